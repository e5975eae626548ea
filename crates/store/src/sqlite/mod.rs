//! SQLite: one file, one writer thread, a few readers.
//!
//! Everything that writes, the batches of all lanes too, goes through [`writer::Writer`] one after
//! the other; readers see the last commit and never wait for it (WAL).

mod checkpoint;
mod codec;
mod flushes;
mod lane;
mod migrate;
mod readers;
mod rows;
mod unit;
mod writer;

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    path::{self, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use caudal_domain::{Account, AccountId, TenantId, Timestamp};
use rusqlite::{Connection, OpenFlags, params};

use self::{
    checkpoint::{Checkpoints, PAGES},
    flushes::Flushes,
    readers::Readers,
    writer::Writer,
};
use crate::{
    Backend, Lane, Position, RecentEvents, Row, StoreError, UnitOfWork, UnitOutcome, Value,
    known::Known,
    measures::measured,
    receipts::{may_retire, stale_generation},
    wallets::{ACCOUNT_COLUMNS, read_account},
};

pub struct Sqlite {
    // Closed before the writer, whose connection then empties the WAL.
    readers: Readers,
    writer: Arc<Writer>,
    known: Arc<Known>,
    recent: Arc<RecentEvents>,
}

impl Sqlite {
    /// Opens the file, or makes it and the folders above it. One process at a time.
    pub fn open(path: &str) -> Result<Self, StoreError> {
        Self::open_with(path, Flushes::start)
    }

    fn open_with(
        path: &str,
        flushes: impl FnOnce(&Path) -> Result<Flushes, StoreError>,
    ) -> Result<Self, StoreError> {
        if path.is_empty() || path.starts_with(":memory:") {
            return Err(StoreError::Unavailable(
                "sqlite:// needs the path of a file: readers open it beside the writer, so \
                 :memory: can't serve"
                    .into(),
            ));
        }
        let (path, lock) = take(Path::new(path))?;
        let connection = connect_writer(&path)?;
        // What a killed process left tells, too, what it deleted.
        if !checkpoint::cut(&connection) {
            tracing::warn!("a reader of the file kept the WAL from being cut off");
        }
        let checkpoints = Checkpoints::start(path.clone(), PAGES)?;
        let flushes = flushes(&path)?;
        let writer = Writer::start(connection, (checkpoints, flushes), lock)?;
        Ok(Self {
            readers: Readers::new(path),
            writer: Arc::new(writer),
            known: Arc::default(),
            recent: Arc::default(),
        })
    }
}

/// The file's full path, and the lock that keeps every other process away from it.
fn take(path: &Path) -> Result<(PathBuf, File), StoreError> {
    let cannot = |error| StoreError::Unavailable(format!("can't open {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    let path = fs::canonicalize(path).or_else(|_| path::absolute(path)).map_err(cannot)?;
    let mut name = OsString::from(&path);
    name.push(".lock");
    let lock = File::options().create(true).append(true).open(&name).map_err(cannot)?;
    match lock.try_lock() {
        Ok(()) => Ok((path, lock)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unavailable(format!(
            "another process has {} open; SQLite serves one Caudal at a time, PostgreSQL several",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

/// How long a connection waits for another one's lock.
const BUSY_MS: u32 = 2000;

/// How often the WAL is tried to be cut off, and how long after the last try.
const CUTS: usize = 50;
const CUT_AGAIN: Duration = Duration::from_millis(20);

/// Prepared statements kept per connection: more than there are different ones.
const STATEMENTS: usize = 256;

fn connect(path: &Path, flags: OpenFlags, pragmas: &str) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.execute_batch(pragmas)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Pages of 2 KB: entries and receipts fall on random pages, and each goes to the WAL whole. The
/// cache of 24 MB holds the upper levels of every index; each COMMIT walks over all of it, so more
/// costs more than it spares. SQLite's own checkpoint is but the net below [`Checkpoints`]; COMMIT
/// leaves flushing to [`Flushes`]. What is deleted is overwritten: nobody erased may stand in free
/// pages.
fn connect_writer(path: &Path) -> Result<Connection, StoreError> {
    connect(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        "pragma page_size = 2048; pragma journal_mode = wal; pragma synchronous = normal;
         pragma wal_autocheckpoint = 600000; pragma busy_timeout = 2000;
         pragma cache_size = -24576; pragma temp_store = memory; pragma foreign_keys = off;
         pragma secure_delete = on",
    )
}

#[async_trait]
impl Backend for Sqlite {
    async fn query(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        measured(async {
            let rows = self.readers.query(table, sql, params).await?;
            self.writer.seen_is_on_disk().await?;
            Ok(rows)
        })
        .await
    }

    async fn account(
        &self,
        tenant: TenantId,
        id: AccountId,
    ) -> Result<Option<Account>, StoreError> {
        let sql = format!(
            "select {ACCOUNT_COLUMNS} from account_states a where a.id = $1 and a.tenant_id = $2"
        );
        let found = self.query("accounts", &sql, &[id.0.into(), tenant.0.into()]).await?;
        found.first().map(read_account).transpose()
    }

    /// Reads have no time limit here.
    async fn query_at_length(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        self.query(table, sql, params).await
    }

    /// Its plans follow the indices.
    async fn gather_statistics(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn commit(&self, unit: UnitOfWork) -> Result<(UnitOutcome, Position), StoreError> {
        let work =
            move |connection: &Connection| Ok((unit::commit(connection, &unit)?, unit.events));
        let ((outcome, position), events) = measured(self.writer.run(work)).await?;
        self.recent.keep(events, &position);
        Ok((outcome, position))
    }

    fn recent_events(&self) -> &RecentEvents {
        &self.recent
    }

    fn lane(&self) -> Box<dyn Lane> {
        let (known, recent) = (self.known.clone(), self.recent.clone());
        Box::new(lane::SqliteLane::new(self.writer.clone(), known, recent))
    }

    /// One is written while others wait for the disk and the next one is formed.
    fn lanes(&self) -> usize {
        4
    }

    async fn migrate(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        self.writer.run(move |connection| migrate::run(connection, now)).await
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.writer.run(migrate::pending).await
    }

    /// There are none: a B-tree of one file grows as it is.
    async fn create_partitions(&self, _now: Timestamp) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn retire_receipts(&self, now: Timestamp) -> Result<(), StoreError> {
        if !may_retire(now) {
            return Ok(());
        }
        self.writer
            .run(move |connection| {
                // What is personal in them is sealed, and a day's would all be written once more.
                connection.execute_batch("pragma secure_delete = off")?;
                let deleted = connection
                    .prepare_cached("delete from receipts where generation = ?1")
                    .and_then(|mut delete| delete.execute(params![stale_generation(now)]));
                connection.execute_batch("pragma secure_delete = on")?;
                deleted?;
                Ok(())
            })
            .await
    }

    /// The WAL still tells what was deleted: its pages go to the file, and it is cut off. A reader
    /// that needs its old end is waited for.
    async fn forget_deleted(&self) -> Result<(), StoreError> {
        for _ in 0..CUTS {
            if self.writer.run(|connection| Ok(checkpoint::cut(connection))).await? {
                return Ok(());
            }
            tokio::time::sleep(CUT_AGAIN).await;
        }
        Err(StoreError::Contention("readers kept the WAL from being cut off".into()))
    }

    fn connections(&self) -> (usize, usize) {
        self.readers.connections()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use caudal_domain::{Mode, Placement, Tenant, TenantId};

    use super::*;
    use crate::tenants;

    fn tenant(id: u128, name: String) -> UnitOfWork {
        let tenant = Tenant {
            id: TenantId(id),
            name,
            mode: Mode::Test,
            placement: Placement::User,
            region: None,
            timezone: "UTC".into(),
            config: caudal_domain::TenantConfig::default(),
            version: 1,
            created_at: Timestamp::default(),
        };
        UnitOfWork { steps: vec![tenants::insert(&tenant)], ..UnitOfWork::default() }
    }

    async fn most_pages(store: &Sqlite, count: i64) {
        let sql = format!("pragma max_page_count = {count}");
        let set = store.writer.run(move |connection| Ok(connection.execute_batch(&sql)?)).await;
        set.expect("a pragma");
    }

    #[tokio::test]
    async fn nobody_is_answered_before_the_disk_has_it() {
        let folder = std::env::temp_dir().join(format!("caudal-flush-{}", std::process::id()));
        let path = folder.join("books.db");
        let slow = Arc::new(AtomicBool::new(false));
        let disk = slow.clone();
        let flush = move || {
            while disk.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            Ok(())
        };
        let path = path.to_str().expect("a path in UTF-8");
        let store = Sqlite::open_with(path, |_| Flushes::start_with(flush)).expect("a file");
        store.migrate(Timestamp::default()).await.expect("migrations");
        slow.store(true, Ordering::SeqCst);
        let mut writing = Box::pin(store.commit(tenant(1, "acme".into())));
        let sql = "select id from tenants";
        let is_there = async || !store.readers.query("tenants", sql, &[]).await.unwrap().is_empty();
        assert!(futures::poll!(&mut writing).is_pending());
        while !is_there().await {}
        let mut reading = Box::pin(tenants::find(&store, TenantId(1)));
        let early = Duration::from_millis(200);
        let was_told = tokio::time::timeout(early, &mut writing).await.is_ok();
        let was_read = tokio::time::timeout(early, &mut reading).await.is_ok();
        // Before anything can fail: the store closes only when its disk is done.
        slow.store(false, Ordering::SeqCst);
        assert!(!was_told, "it was told too early");
        assert!(!was_read, "it was read too early");
        assert_eq!(writing.await.expect("a commit").0, UnitOutcome::Done);
        assert!(reading.await.expect("a read").is_some());
        drop(store);
        fs::remove_dir_all(folder).expect("removed");
    }

    /// A full disk, played by the most pages that the file may have.
    #[tokio::test]
    async fn writing_goes_on_once_there_is_space_again() {
        let folder = std::env::temp_dir().join(format!("caudal-full-{}", std::process::id()));
        let path = folder.join("books.db");
        let store = Sqlite::open(path.to_str().expect("a path in UTF-8")).expect("a file");
        store.migrate(Timestamp::default()).await.expect("migrations");
        most_pages(&store, 1).await; // Never below what there is already.
        for id in 1..3 {
            let full = store.commit(tenant(id, "x".repeat(100_000))).await;
            assert!(matches!(full, Err(StoreError::Unavailable(_))), "{full:?}");
            let found = tenants::find(&store, TenantId(id)).await.expect("reads go on");
            assert_eq!(found, None);
        }
        most_pages(&store, 1_000_000).await;
        let (outcome, _) = store.commit(tenant(1, "x".repeat(100_000))).await.expect("space");
        assert_eq!(outcome, UnitOutcome::Done);
        drop(store);
        fs::remove_dir_all(folder).expect("removed");
    }
}
