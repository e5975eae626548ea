//! This room against servers on this machine that speak the protocols for real.

#![expect(clippy::unwrap_used, reason = "a server that cannot start fails the test")]

mod breached_passwords;
mod client;
mod issuers;
mod mail;
mod smtp_server;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use caudal_domain::{Clock, Timestamp, id::Chance};
use caudal_outbound::World;

#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl TestClock {
    fn start() -> Self {
        Self(Arc::new(AtomicI64::new(1_700_000_000_000_000)))
    }

    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    fn world(&self) -> World {
        World { clock: Arc::new(self.clone()), chance: Arc::new(NoChance) }
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
