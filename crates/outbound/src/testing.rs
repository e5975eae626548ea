//! For the tests of this room: a clock that is moved by hand, and no chance at all.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use caudal_domain::{Clock, Timestamp, id::Chance};

use crate::guard::World;

#[derive(Clone)]
pub struct TestClock(Arc<AtomicI64>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_700_000_000_000_000)))
    }
}

impl TestClock {
    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

struct NoChance;

impl Chance for NoChance {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

pub fn world(clock: &TestClock) -> World {
    World { clock: Arc::new(clock.clone()), chance: Arc::new(NoChance) }
}
