//! The surface of a database, and the one place where the choice between them is made.

use std::sync::Arc;

use async_trait::async_trait;
use caudal_domain::{Account, AccountId, TenantId, Timestamp};

use crate::{
    Decide, Locks, RecentEvents, Row, Settings, StoreError, UnitOfWork, UnitOutcome, Value,
    postgres, sqlite,
};

/// What each database does in its own way. One is chosen in [`open`], nowhere else.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Rows of a read. `table` is named in errors.
    async fn query(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError>;

    /// The account as it stands; locks nothing.
    async fn account(&self, tenant: TenantId, id: AccountId)
    -> Result<Option<Account>, StoreError>;

    /// A read over whole tables, for proofs: it takes as long as it takes.
    async fn query_at_length(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError>;

    /// Has the database look at its tables, so that reads at length are planned well.
    async fn gather_statistics(&self) -> Result<(), StoreError>;

    /// Runs the unit, with the position after it.
    async fn commit(&self, unit: UnitOfWork) -> Result<(UnitOutcome, Position), StoreError>;

    /// The events of this process' last commits.
    fn recent_events(&self) -> &RecentEvents;

    /// A connection of its own for one lane of the engine.
    fn lane(&self) -> Box<dyn Lane>;

    /// So many batches under way at once are worth while.
    fn lanes(&self) -> usize {
        2
    }

    /// Brings the schema up to date; the names of the migrations it ran.
    async fn migrate(&self, now: Timestamp) -> Result<Vec<String>, StoreError>;

    /// Migrations that have not run yet.
    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError>;

    /// Creates partitions ahead of `now`; the names of those created.
    async fn create_partitions(&self, now: Timestamp) -> Result<Vec<String>, StoreError>;

    /// Empties the generation of receipts that no longer counts.
    async fn retire_receipts(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Sees to it that what was deleted stands nowhere any more, as far as the database can.
    async fn forget_deleted(&self) -> Result<(), StoreError>;

    /// Connections in use and the most there may be.
    fn connections(&self) -> (usize, usize);
}

/// Commits batches, one at a time.
#[async_trait]
pub trait Lane: Send {
    /// Begins the next batch's transaction by waiting for these accounts, so that the batch need
    /// not be formed before they are free. Does nothing where writers take turns anyway.
    async fn lock_ahead(&mut self, accounts: &[AccountId]) -> Result<(), StoreError>;

    /// Locks and reads, lets `decide` say what to write, writes, commits. Answers with the last
    /// `seq` of each stream written to. An error means that nothing was written, but for
    /// [`StoreError::Unknown`].
    async fn commit_batch(&mut self, locks: Locks, decide: Decide) -> Result<Position, StoreError>;
}

/// `(stream, seq)`: how far the streams had come after a commit.
pub type Position = Vec<(u8, i64)>;

/// The database, whichever it is.
pub type Store = Arc<dyn Backend>;

/// Whether what goes to the database the URL names can be read on its way there.
pub fn is_exposed(settings: &Settings) -> Result<bool, StoreError> {
    match settings.url.starts_with("sqlite://") {
        true => Ok(false),
        false => postgres::is_exposed(&settings.url),
    }
}

/// Opens the database that the URL names.
pub async fn open(settings: &Settings) -> Result<Store, StoreError> {
    let url = settings.url.as_str();
    if let Some(path) = url.strip_prefix("sqlite://") {
        return Ok(Arc::new(sqlite::Sqlite::open(path)?));
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Arc::new(postgres::Postgres::open(settings)?));
    }
    Err(StoreError::Unavailable("the database URL must start with sqlite:// or postgres://".into()))
}
