//! Duplicates of a request that is being answered wait for the first one's answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use caudal_domain::ReceiptKey;
use tokio::sync::Notify;

use crate::EngineError;

pub(crate) struct InFlight {
    keys: Mutex<HashMap<ReceiptKey, Arc<Notify>>>,
    timeout: Duration,
}

/// Holds the key until dropped.
pub(crate) struct Turn {
    owner: Arc<InFlight>,
    key: ReceiptKey,
}

impl InFlight {
    pub fn new(timeout: Duration) -> Self {
        Self { keys: Mutex::default(), timeout }
    }

    /// Takes the key, or waits until whoever has it is done. All that waited then run at once,
    /// like any other commands, and find the receipt; where there is none, it is the receipt that
    /// keeps them from happening twice.
    pub async fn enter(self: &Arc<Self>, key: ReceiptKey) -> Result<Option<Turn>, EngineError> {
        let Some(done) = self.try_enter(key) else {
            return Ok(Some(Turn { owner: self.clone(), key }));
        };
        tokio::time::timeout(self.timeout, done).await.map_err(|_| EngineError::InFlight)?;
        Ok(None)
    }

    /// `None`: the key is ours now. Else what to wait for.
    fn try_enter(&self, key: ReceiptKey) -> Option<impl Future<Output = ()> + use<>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        match keys.get(&key) {
            Some(notify) => Some(notify.clone().notified_owned()),
            None => {
                keys.insert(key, Arc::default());
                None
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut keys = self.owner.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(notify) = keys.remove(&self.key) {
            notify.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{future::join_all, poll};

    use super::*;

    const KEY: ReceiptKey = ReceiptKey(7);

    #[tokio::test(start_paused = true)]
    async fn duplicates_wait_for_the_first_and_go_on_together() {
        let in_flight = Arc::new(InFlight::new(Duration::from_secs(2)));
        let first = in_flight.enter(KEY).await.expect("nobody else");
        assert!(first.is_some());
        assert!(in_flight.enter(ReceiptKey(8)).await.expect("another key").is_some());
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(in_flight.enter(KEY))).collect();
        for one in &mut waiting {
            assert!(poll!(one).is_pending());
        }
        drop(first);
        for one in join_all(waiting).await {
            assert!(one.expect("in time").is_none());
        }
        assert!(in_flight.enter(KEY).await.expect("it is free").is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_the_limit() {
        let in_flight = Arc::new(InFlight::new(Duration::from_secs(2)));
        let first = in_flight.enter(KEY).await;
        let late = in_flight.enter(KEY).await;
        assert!(matches!(late, Err(EngineError::InFlight)));
        drop(first);
    }
}
