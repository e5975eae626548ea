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

    /// Takes the key, or waits until whoever has it is done. The duplicate then runs like any
    /// other command and finds the receipt.
    pub async fn enter(self: &Arc<Self>, key: ReceiptKey) -> Result<Turn, EngineError> {
        let wait = async {
            loop {
                let Some(done) = self.try_enter(key) else {
                    return Turn { owner: self.clone(), key };
                };
                done.await;
            }
        };
        tokio::time::timeout(self.timeout, wait).await.map_err(|_| EngineError::InFlight)
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
