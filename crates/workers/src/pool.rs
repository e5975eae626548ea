//! A pool of workers in front of work that waits in the database: so many at least, more while
//! the queue is full, and what the queue can't hold stays where it is. Nothing is lost with the
//! process.
//!
//! Plain state: no tasks, no clock. Nobody takes all places: one endpoint has a share of the queue
//! and of the workers.

use std::collections::{HashMap, HashSet, VecDeque};

use caudal_domain::{DeliveryId, WebhookEndpointId};
use caudal_service::deliveries::DeliveryRow;

/// Sizes of the pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSettings {
    pub workers_min: usize,
    pub workers_max: usize,
    /// Work taken from the database that no worker has begun.
    pub queue: usize,
}

impl Default for PoolSettings {
    /// The planning documents' pool of notifications.
    fn default() -> Self {
        Self { workers_min: 10, workers_max: 50, queue: 500 }
    }
}

/// One endpoint has this part of the queue, and of the fewest workers, at most.
const QUEUE_SHARE: usize = 10;
const WORKERS_SHARE: usize = 2;

/// What one endpoint has in here.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    queued: usize,
    running: usize,
}

pub(crate) struct Pool {
    settings: PoolSettings,
    /// Workers there may be now.
    size: usize,
    queue: VecDeque<DeliveryRow>,
    known: HashSet<DeliveryId>,
    shares: HashMap<WebhookEndpointId, Share>,
    running: usize,
}

impl Pool {
    pub fn new(settings: PoolSettings) -> Self {
        let (queue, known, shares) = Default::default();
        Self { settings, size: settings.workers_min, queue, known, shares, running: 0 }
    }

    pub fn is_full(&self) -> bool {
        self.queue.len() >= self.settings.queue
    }

    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    pub fn running(&self) -> usize {
        self.running
    }

    /// As much as can be of use: what waits here is found again.
    pub fn most(&self) -> usize {
        self.settings.queue + self.running
    }

    /// Endpoints that have their share of the queue.
    pub fn sated(&self) -> Vec<WebhookEndpointId> {
        let most = self.share_of_queue();
        let sated = self.shares.iter().filter(|(_, share)| share.queued >= most);
        sated.map(|(endpoint, _)| *endpoint).collect()
    }

    /// Takes work in; whether there was a place for it.
    pub fn push(&mut self, row: DeliveryRow) -> bool {
        let most = self.share_of_queue();
        let queued = self.shares.get(&row.endpoint).map_or(0, |share| share.queued);
        if self.is_full() || queued >= most || !self.known.insert(row.id) {
            return false;
        }
        self.shares.entry(row.endpoint).or_default().queued += 1;
        self.queue.push_back(row);
        if self.is_full() {
            self.size = self.settings.workers_max;
        }
        true
    }

    /// The next work, if a worker is free for it.
    pub fn start(&mut self) -> Option<DeliveryRow> {
        if self.queue.is_empty() {
            self.size = self.settings.workers_min;
        }
        if self.running >= self.size {
            return None;
        }
        let most = (self.settings.workers_min / WORKERS_SHARE).max(1);
        let is_next = |row: &DeliveryRow| {
            self.shares.get(&row.endpoint).is_none_or(|share| share.running < most)
        };
        let place = self.queue.iter().position(is_next)?;
        let row = self.queue.remove(place)?;
        let share = self.shares.entry(row.endpoint).or_default();
        share.queued -= 1;
        share.running += 1;
        self.running += 1;
        Some(row)
    }

    pub fn ended(&mut self, id: DeliveryId, endpoint: WebhookEndpointId) {
        self.known.remove(&id);
        self.running -= 1;
        if let Some(share) = self.shares.get_mut(&endpoint) {
            share.running -= 1;
            if share.queued + share.running == 0 {
                self.shares.remove(&endpoint);
            }
        }
    }

    fn share_of_queue(&self) -> usize {
        (self.settings.queue / QUEUE_SHARE).max(1)
    }
}

#[cfg(test)]
mod tests {
    use caudal_domain::{EventId, TenantId, Timestamp};

    use super::*;

    fn pool() -> Pool {
        Pool::new(PoolSettings { workers_min: 4, workers_max: 8, queue: 20 })
    }

    fn row(id: u128, endpoint: u128) -> DeliveryRow {
        DeliveryRow {
            id: DeliveryId(id),
            tenant: TenantId(1),
            endpoint: WebhookEndpointId(endpoint),
            event: EventId(id),
            kind: "wallet.created".into(),
            body: "{}".into(),
            attempts: 0,
            next_at: Timestamp::default(),
            delivered_at: None,
            failed_at: None,
            created_at: Timestamp::default(),
        }
    }

    fn started(pool: &mut Pool) -> Vec<DeliveryRow> {
        std::iter::from_fn(|| pool.start()).collect()
    }

    #[test]
    fn a_full_queue_calls_for_more_workers_and_an_empty_one_lets_them_go() {
        let mut pool = pool();
        for n in 0..19 {
            assert!(pool.push(row(n, n)));
        }
        let mut under_way = started(&mut pool);
        assert_eq!((under_way.len(), pool.queued()), (4, 15));
        for n in 20..25 {
            assert!(pool.push(row(n, n)));
        }
        assert!(pool.is_full());
        assert!(!pool.push(row(99, 99)), "it stays where it is");
        under_way.extend(started(&mut pool));
        assert_eq!((under_way.len(), pool.running()), (8, 8));
        while let Some(done) = under_way.pop() {
            pool.ended(done.id, done.endpoint);
            under_way.extend(pool.start());
        }
        assert_eq!((pool.queued(), pool.running()), (0, 0));
        for n in 0..10 {
            assert!(pool.push(row(n, n)), "known no longer");
        }
        assert_eq!(started(&mut pool).len(), 4);
        assert!(pool.shares.len() <= 10, "nothing is remembered of those who have nothing here");
    }

    #[test]
    fn nobody_takes_all_places() {
        let mut pool = pool();
        assert!(pool.push(row(1, 1)) && pool.push(row(2, 1)));
        assert!(!pool.push(row(3, 1)), "a tenth of the queue");
        assert_eq!(pool.sated(), [WebhookEndpointId(1)]);
        assert_eq!(started(&mut pool).len(), 2);
        assert!(pool.sated().is_empty());
        assert!(pool.push(row(4, 1)) && pool.push(row(5, 2)));
        let next: Vec<_> = started(&mut pool).iter().map(|row| row.id.0).collect();
        assert_eq!(next, [5], "half of the workers");
        pool.ended(DeliveryId(1), WebhookEndpointId(1));
        assert_eq!(pool.start().map(|row| row.id.0), Some(4));
    }

    #[test]
    fn what_is_here_is_not_taken_twice() {
        let mut pool = pool();
        assert!(pool.push(row(1, 1)));
        assert!(!pool.push(row(1, 1)));
        assert!(pool.start().is_some());
        assert!(!pool.push(row(1, 1)), "under way");
        pool.ended(DeliveryId(1), WebhookEndpointId(1));
        assert!(pool.push(row(1, 1)), "due again");
    }
}
