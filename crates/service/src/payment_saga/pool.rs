//! Sagas that run for requests: so many workers, so many in line behind them. What finds no place
//! in the line runs for its caller at once, so that it is the callers who are held up, and nothing
//! is turned away that was accepted.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sizes of the pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    pub workers: usize,
    /// Those that wait for a worker.
    pub queue: usize,
}

impl Default for PoolSettings {
    /// The planning documents' pool of payments, grown. A worker that waits is no thread, so none
    /// is kept ready.
    fn default() -> Self {
        Self { workers: 100, queue: 1000 }
    }
}

pub(crate) struct Pool {
    settings: PoolSettings,
    workers: Arc<Semaphore>,
    line: Semaphore,
}

impl Pool {
    pub fn new(settings: PoolSettings) -> Self {
        let workers = Arc::new(Semaphore::new(settings.workers));
        Self { settings, workers, line: Semaphore::new(settings.queue) }
    }

    /// A worker, when it is one's turn; none where the line is full.
    pub async fn worker(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(worker) = self.workers.clone().try_acquire_owned() {
            return Some(worker);
        }
        let _place = self.line.try_acquire().ok()?;
        self.workers.clone().acquire_owned().await.ok()
    }

    /// Workers that are at work, and how many wait for one.
    pub fn busy(&self) -> (usize, usize) {
        let PoolSettings { workers, queue } = self.settings;
        let free = (self.workers.available_permits(), self.line.available_permits());
        (workers - free.0, queue - free.1)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn one_works_one_waits_and_the_next_works_for_its_caller() {
        let pool = Pool::new(PoolSettings { workers: 1, queue: 1 });
        let first = pool.worker().await.expect("the only worker");
        let mut second = Box::pin(pool.worker());
        assert!(matches!(futures::poll!(&mut second), Poll::Pending), "in line");
        assert_eq!(pool.busy(), (1, 1));
        assert!(pool.worker().await.is_none(), "the line is full");
        drop(first);
        let second = second.await.expect("its turn");
        assert_eq!(pool.busy(), (1, 0));
        drop(second);
        assert_eq!(pool.busy(), (0, 0));
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_line() {
        let pool = Pool::new(PoolSettings { workers: 1, queue: 1 });
        let _first = pool.worker().await;
        let mut second = Box::pin(pool.worker());
        assert!(futures::poll!(&mut second).is_pending());
        drop(second);
        assert_eq!(pool.busy(), (1, 0));
    }
}
