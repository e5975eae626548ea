//! A clock that stands still until the test moves it on.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use caudal::system::SystemClock;
use caudal_domain::{Clock, Timestamp};

/// Starts at the real time of day, so that partitions and generations of receipts are today's.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn start() -> Self {
        Self(Arc::new(AtomicI64::new(SystemClock.now().micros())))
    }

    pub fn set(&self, at: Timestamp) {
        self.0.store(at.micros(), Ordering::SeqCst);
    }

    pub fn advance(&self, seconds: i64) {
        self.advance_micros(seconds * 1_000_000);
    }

    pub fn advance_micros(&self, micros: i64) {
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
