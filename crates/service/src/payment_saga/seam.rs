//! Where a test can stop a saga, as a crash would, or hold it up. Nobody else does.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::{Service, ServiceError};

/// Between two steps of a saga, of a payment or a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Written down, and not called.
    Accepted,
    /// Called, and not written what was said.
    Called,
    /// Written, and nothing done that follows.
    Booked,
}

impl Point {
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Called, Self::Booked];
}

#[derive(Default)]
pub(crate) struct Seam(Mutex<Option<(Point, oneshot::Receiver<()>)>>);

impl Seam {
    fn take(&self, point: Point) -> Option<oneshot::Receiver<()>> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some((at, _)) if *at == point => held.take().map(|(_, receiver)| receiver),
            _ => None,
        }
    }
}

impl Service {
    /// The next saga of this process that comes to the point waits there. Sending lets it go on;
    /// dropping the sender makes an end of it, as a crash would.
    pub fn hold_saga_at(&self, point: Point) -> oneshot::Sender<()> {
        let (sender, receiver) = oneshot::channel();
        let mut held = self.inner.seam.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some((point, receiver));
        sender
    }

    /// Whether one has come there: it is waiting or gone.
    pub fn is_saga_held(&self) -> bool {
        self.inner.seam.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    pub(crate) async fn pass(&self, point: Point) -> Result<(), ServiceError> {
        match self.inner.seam.take(point) {
            None => Ok(()),
            Some(held) => {
                held.await.map_err(|_| ServiceError::Unavailable("stopped by a test".into()))
            }
        }
    }
}
