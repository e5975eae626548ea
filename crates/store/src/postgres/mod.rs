//! PostgreSQL: connections, batches by pipelining, partitions by month and by hash of the bucket.

mod accounts;
mod attached;
mod connect;
mod errors;
mod events;
mod lane;
mod migrate;
mod partitions;
mod statements;
mod unit;
mod values;
mod writes;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use caudal_domain::{Account, AccountId, TenantId, Timestamp};
use deadpool_postgres::{Object, Pool, QueueMode, Runtime};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    Backend, Lane, Position, RecentEvents, Row, Settings, StoreError, UnitOfWork, UnitOutcome,
    Value, known::Known, measures::measured,
};
use accounts::Accounts;
use connect::Connector;
pub use connect::is_exposed;

/// One database, with a pool for reads and small writes.
pub(crate) struct Postgres {
    connector: Arc<Connector>,
    pool: Pool,
    known: Arc<Known>,
    recent: Arc<RecentEvents>,
    accounts: Accounts,
}

impl Postgres {
    /// Checks the settings; connections are made when they are first needed.
    pub fn open(settings: &Settings) -> Result<Self, StoreError> {
        let connector = Arc::new(Connector::new(settings)?);
        let recent = Arc::<RecentEvents>::default();
        let pool = Pool::builder(connector.clone().manager())
            .max_size(settings.pool.max_connections)
            .wait_timeout(Some(settings.pool.wait_timeout))
            .create_timeout(Some(settings.pool.connect_timeout))
            // The last one used is warm: the server keeps each connection's plans by itself.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .post_create(connect::session_hook(recent.clone()))
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { connector, pool, known: Arc::default(), recent, accounts: Accounts::default() })
    }
}

async fn client(pool: &Pool) -> Result<Object, StoreError> {
    pool.get().await.map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// A connection on which something is under way. Given up half-way it is closed, and with it
/// whatever was not committed; whoever got it next would wait behind that.
struct Open(Option<Object>);

impl Open {
    fn new(client: Object) -> Self {
        Self(Some(client))
    }

    fn client(&self) -> Result<&Object, StoreError> {
        self.0.as_ref().ok_or_else(|| StoreError::Unavailable("the connection is gone".into()))
    }

    /// It is over: back to the pool.
    fn end(mut self) {
        self.0 = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

/// A little more than the server allows a statement. A server that froze or is gone from the
/// network does not keep its own limit.
const READ_WITHIN: Duration = Duration::from_secs(11);

/// A connection on which something is read. Given up half-way it goes back to the pool once its
/// answer has come, and is closed where none comes: whoever got it next would wait behind that.
struct Reading(Option<Object>);

impl Reading {
    fn client(&self) -> Result<&Object, StoreError> {
        self.0.as_ref().ok_or_else(|| StoreError::Unavailable("the connection is gone".into()))
    }

    async fn rows(
        mut self,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        let params = values::params(params);
        let reading = async {
            let client = self.client()?;
            let statement = client.prepare_cached(sql).await.map_err(errors::classify)?;
            client.query(&statement, &params).await.map_err(errors::classify)
        };
        let read = timeout(READ_WITHIN, reading).await;
        let object = self.0.take();
        read.unwrap_or_else(|_| {
            object.map(Object::take);
            Err(StoreError::Unavailable("the database did not answer in time".into()))
        })
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Some(object) = self.0.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return drop(Object::take(object)) };
        runtime.spawn(async move {
            // Answered when all before it is.
            let idle = timeout(READ_WITHIN, object.simple_query("")).await;
            if !matches!(idle, Ok(Ok(_))) {
                drop(Object::take(object));
            }
        });
    }
}

#[async_trait]
impl Backend for Postgres {
    async fn query(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let read = async { Reading(Some(client(&self.pool).await?)).rows(sql, params).await };
        measured(read).await?.iter().map(|row| values::row(table, row)).collect()
    }

    async fn account(
        &self,
        tenant: TenantId,
        id: AccountId,
    ) -> Result<Option<Account>, StoreError> {
        self.accounts.find(&self.pool, tenant, id).await
    }

    async fn query_at_length(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let client = self.connector.connect_at_length().await?;
        let rows = client.query(sql, &values::params(params)).await.map_err(errors::classify)?;
        rows.iter().map(|row| values::row(table, row)).collect()
    }

    /// By hand: PostgreSQL's own daemon never looks at partitioned tables as a whole.
    async fn gather_statistics(&self) -> Result<(), StoreError> {
        let client = self.connector.connect_as_owner().await?;
        let tables = "accounts, entries, transfers, receipts, events, stream_heads";
        client.batch_execute(&format!("analyze {tables}")).await.map_err(errors::classify)
    }

    async fn commit(&self, unit: UnitOfWork) -> Result<(UnitOutcome, Position), StoreError> {
        let commit = async { unit::commit(client(&self.pool).await?, &unit).await };
        let (outcome, position) = measured(commit).await?;
        self.recent.keep(unit.events, &position);
        Ok((outcome, position))
    }

    fn recent_events(&self) -> &RecentEvents {
        &self.recent
    }

    fn lane(&self) -> Box<dyn Lane> {
        let (known, recent) = (self.known.clone(), self.recent.clone());
        Box::new(lane::PostgresLane::new(self.connector.clone(), known, recent))
    }

    async fn migrate(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let mut client = self.connector.connect_as_owner().await?;
        let done = migrate::run(&mut client).await?;
        partitions::create(&client, now).await?;
        Ok(done)
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        migrate::pending(&self.connector.connect_as_owner().await?).await
    }

    async fn create_partitions(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        partitions::create(&self.connector.connect_as_owner().await?, now).await
    }

    async fn retire_receipts(&self, now: Timestamp) -> Result<(), StoreError> {
        partitions::retire_receipts(&self.connector.connect_as_owner().await?, now).await
    }

    /// Autovacuum and the recycling of WAL do it in time.
    async fn forget_deleted(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn connections(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size - status.available.min(status.size), status.max_size)
    }
}
