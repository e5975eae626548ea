//! Stops units of work at the database's door: one until the test lets it go on, so that of two
//! requests at once the test says which comes first; or many until all have come.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use caudal_domain::{Account, AccountId, TenantId, Timestamp};
use caudal_store::{
    Backend, Lane, Position, RecentEvents, Row, Store, StoreError, UnitOfWork, UnitOutcome, Value,
};
use tokio::sync::{
    Barrier,
    oneshot::{self, Receiver, Sender},
};

use crate::wait::PATIENCE;

/// The database behind it, which everything goes to.
#[derive(Clone)]
pub struct Gate {
    store: Store,
    next: Arc<Mutex<Option<Stop>>>,
    together: Arc<Mutex<Option<Together>>>,
}

/// Units that are to go in at once.
struct Together {
    part: &'static str,
    to_come: usize,
    barrier: Arc<Barrier>,
}

/// What the gate knows of a unit that is to be stopped.
struct Stop {
    part: &'static str,
    came: Sender<()>,
    released: Receiver<()>,
}

/// What the test knows of it.
pub struct Held {
    came: Receiver<()>,
    release: Sender<()>,
}

impl Held {
    /// Waits until the unit has come, runs `meanwhile`, then lets it go on.
    pub async fn during<T>(self, meanwhile: impl Future<Output = T>) -> T {
        let came = tokio::time::timeout(PATIENCE, self.came).await;
        came.expect("the unit came in time").expect("the gate is there");
        let done = meanwhile.await;
        let _ = self.release.send(());
        done
    }
}

impl Gate {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, next: Arc::default(), together: Arc::default() }
    }

    /// Stops the next unit with a statement that contains `part`.
    pub fn hold(&self, part: &'static str) -> Held {
        let ((came, has_come), (release, released)) = (oneshot::channel(), oneshot::channel());
        *self.next() = Some(Stop { part, came, released });
        Held { came: has_come, release }
    }

    /// Stops the next `count` units with a statement that contains `part` until all have come.
    pub fn gather(&self, part: &'static str, count: usize) {
        let barrier = Arc::new(Barrier::new(count));
        let together = Together { part, to_come: count, barrier };
        *self.together.lock().unwrap_or_else(PoisonError::into_inner) = Some(together);
    }

    fn next(&self) -> std::sync::MutexGuard<'_, Option<Stop>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_of(&self, unit: &UnitOfWork) -> Option<Stop> {
        self.next().take_if(|stop| has(unit, stop.part))
    }

    fn gathered(&self, unit: &UnitOfWork) -> Option<Arc<Barrier>> {
        let mut together = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        let together = together.as_mut().filter(|it| it.to_come > 0 && has(unit, it.part))?;
        together.to_come -= 1;
        Some(together.barrier.clone())
    }
}

fn has(unit: &UnitOfWork, part: &str) -> bool {
    unit.steps.iter().any(|step| step.sql.contains(part))
}

#[async_trait]
impl Backend for Gate {
    async fn commit(&self, unit: UnitOfWork) -> Result<(UnitOutcome, Position), StoreError> {
        if let Some(stop) = self.stop_of(&unit) {
            let _ = stop.came.send(());
            let _ = stop.released.await;
        }
        if let Some(barrier) = self.gathered(&unit) {
            // Where some never come, the test has failed by then and waits for these to end.
            let _ = tokio::time::timeout(2 * PATIENCE, barrier.wait()).await;
        }
        self.store.commit(unit).await
    }

    async fn query(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        self.store.query(table, sql, params).await
    }

    async fn account(
        &self,
        tenant: TenantId,
        id: AccountId,
    ) -> Result<Option<Account>, StoreError> {
        self.store.account(tenant, id).await
    }

    async fn query_at_length(
        &self,
        table: &'static str,
        sql: &str,
        params: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        self.store.query_at_length(table, sql, params).await
    }

    async fn gather_statistics(&self) -> Result<(), StoreError> {
        self.store.gather_statistics().await
    }

    fn recent_events(&self) -> &RecentEvents {
        self.store.recent_events()
    }

    fn lane(&self) -> Box<dyn Lane> {
        self.store.lane()
    }

    async fn migrate(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        self.store.migrate(now).await
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, StoreError> {
        self.store.pending_migrations().await
    }

    async fn create_partitions(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        self.store.create_partitions(now).await
    }

    async fn retire_receipts(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store.retire_receipts(now).await
    }

    async fn forget_deleted(&self) -> Result<(), StoreError> {
        self.store.forget_deleted().await
    }

    fn connections(&self) -> (usize, usize) {
        self.store.connections()
    }
}
