//! Carries committed events to consumers inside the process.
//!
//! Nothing is lost for good here: whoever falls behind the bounded buffer is told so and reads the
//! store from its own position on.

use std::sync::Arc;

use caudal_domain::event::StoredEvent;
use tokio::sync::broadcast;

/// Events a consumer may be behind before it is told to read the store.
const BUFFER_EVENTS: usize = 8192;

/// Cheap to clone; the same bus behind all.
#[derive(Clone)]
pub struct Bus {
    sender: broadcast::Sender<Arc<StoredEvent>>,
}

/// The consumer missed this many events and must read them from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed(pub u64);

pub struct Subscription {
    receiver: broadcast::Receiver<Arc<StoredEvent>>,
}

impl Default for Bus {
    fn default() -> Self {
        Self { sender: broadcast::Sender::new(BUFFER_EVENTS) }
    }
}

impl Bus {
    pub fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.sender.subscribe() }
    }

    pub fn has_subscribers(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Only the relay calls this, after the commit.
    pub fn publish(&self, event: Arc<StoredEvent>) {
        // Fails when nobody listens, which is no fault.
        let _ = self.sender.send(event);
    }
}

impl Subscription {
    /// The next event in commit order of its stream; `None` when the bus is gone.
    pub async fn next(&mut self) -> Option<Result<Arc<StoredEvent>, Missed>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(Err(Missed(count))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
