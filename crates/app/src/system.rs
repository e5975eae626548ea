//! The real clock and the real chance: the only places that ask the operating system for them.

use std::time::{SystemTime, UNIX_EPOCH};

use caudal_domain::{
    Clock, Timestamp,
    id::{Chance, Uuid7Source},
};

#[derive(Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one real clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }
}

#[derive(Clone, Copy, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    #[expect(clippy::disallowed_methods, reason = "this is the one real source of chance")]
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}

/// A source of ids over the real chance.
pub fn ids() -> Uuid7Source<SystemChance> {
    Uuid7Source::new(SystemChance)
}
