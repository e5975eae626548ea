//! When API keys were last used: written once a minute a key at most, behind the requests and
//! never in their way. What a full queue or a failing database loses is written a minute later.

use std::sync::{
    OnceLock,
    atomic::{AtomicI64, Ordering},
};

use caudal_domain::{ApiKeyId, TenantId, Timestamp};
use caudal_store::{Store, UnitOfWork, api_keys};
use tokio::sync::mpsc;

/// Between two writes of one key.
const PACE_MICROS: i64 = 60_000_000;
/// Uses waiting to be written at most.
const WAITING_MOST: usize = 1024;
/// Uses in one commit at most.
const AT_ONCE: usize = 128;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    pub tenant: TenantId,
    pub key: ApiKeyId,
    pub at: Timestamp,
}

/// When a key's use was last handed on.
pub(crate) struct LastUse(AtomicI64);

impl LastUse {
    pub fn new(at: Option<Timestamp>) -> Self {
        Self(AtomicI64::new(at.map_or(i64::MIN, Timestamp::micros)))
    }

    /// Whether this use is to be written: true for one of many at the same time.
    fn is_due(&self, now: Timestamp) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let due = now.micros().saturating_sub(last) >= PACE_MICROS;
        let (order, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        due && self.0.compare_exchange(last, now.micros(), order, failure).is_ok()
    }
}

/// Hands uses to the one who writes them, who starts with the first.
pub(crate) struct KeyUses {
    store: Store,
    queue: OnceLock<mpsc::Sender<Use>>,
}

impl KeyUses {
    pub fn new(store: Store) -> Self {
        Self { store, queue: OnceLock::new() }
    }

    pub fn note(&self, last: &LastUse, used: Use) {
        if !last.is_due(used.at) {
            return;
        }
        let queue = self.queue.get_or_init(|| {
            let (queue, uses) = mpsc::channel(WAITING_MOST);
            tokio::spawn(write(self.store.clone(), uses));
            queue
        });
        if queue.try_send(used).is_err() {
            tracing::debug!("too many uses of API keys wait to be written");
        }
    }
}

/// Ends when the service that uses it is gone.
async fn write(store: Store, mut uses: mpsc::Receiver<Use>) {
    let mut some = Vec::with_capacity(AT_ONCE);
    while uses.recv_many(&mut some, AT_ONCE).await > 0 {
        let Some(at) = some.iter().map(|used| used.at).max() else { continue };
        // In the order of ids: two processes that write the same keys wait for each other and
        // never both.
        some.sort_unstable_by_key(|used| used.key);
        let steps = some.drain(..).map(|used| api_keys::used(used.tenant, used.key, used.at));
        let unit = UnitOfWork { at, steps: steps.collect(), ..UnitOfWork::default() };
        if let Err(error) = store.commit(unit).await {
            tracing::warn!(%error, "the last uses of API keys can't be written now");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_due_once_a_minute() {
        let last = LastUse::new(None);
        let second = |count: i64| Timestamp::from_micros(count * 1_000_000);
        for (at, due) in [(5, true), (5, false), (64, false), (65, true), (66, false)] {
            assert_eq!(last.is_due(second(at)), due, "after {at} s");
        }
        assert!(!LastUse::new(Some(second(30))).is_due(second(31)));
    }
}
