//! Turns: what is decided on the same thing (a count, what is left of a payment), in this process,
//! waits for what came before it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use moka::sync::Cache;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};

use crate::ServiceError;

/// How long one waits for those before it.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// What takes turns at once, at least.
const TURNS: u64 = 100_000;
const TURN_IDLE: Duration = Duration::from_secs(60);

/// Kept until what was decided is written.
pub(crate) type Turn = Vec<OwnedMutexGuard<()>>;

/// Whose turn it is, by the id of what is decided on.
pub(crate) struct Turns(Cache<u128, Arc<Mutex<()>>>);

impl Turns {
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(TURNS).time_to_idle(TURN_IDLE).build())
    }

    /// In the order of the ids, so that no two wait for each other.
    pub async fn of(&self, ids: &BTreeSet<u128>) -> Result<Turn, ServiceError> {
        let mut turn = Vec::with_capacity(ids.len());
        for id in ids {
            let one = self.0.get_with(*id, Arc::default);
            let waited = timeout(TURN_WITHIN, one.lock_owned()).await;
            turn.push(waited.map_err(|_| ServiceError::Overloaded)?);
        }
        Ok(turn)
    }
}
