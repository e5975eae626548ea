//! The pace of a worker: a pause between rounds, cut short when the instance stops.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) struct Rounds {
    stop: CancellationToken,
}

impl Rounds {
    pub fn new(stop: &CancellationToken) -> Self {
        Self { stop: stop.clone() }
    }

    /// Waits for the next round; false when there is none.
    pub async fn next(&self, pause: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}
