//! A circuit breaker as a plain state machine: no clock, no lock, no I/O.
//!
//! Closed, it remembers how the last calls went. When enough of them failed it opens and lets
//! nothing through for a while; then one call, the probe, tries. Its success closes the breaker
//! with nothing remembered, its failure opens it again.

use std::{collections::VecDeque, time::Duration};

use caudal_domain::Timestamp;

/// When it opens and for how long. The defaults are those of the planning documents' gateway
/// breaker: half of the last 20 calls, judged from the 10th on, for 30 s.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOptions {
    /// Calls remembered.
    pub window: usize,
    /// Calls without which no verdict is given.
    pub least: usize,
    /// Failures in a hundred that open it.
    pub failures_percent: usize,
    pub open_for: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        let open_for = Duration::from_secs(30);
        Self { window: 20, least: 10, failures_percent: 50, open_for }
    }
}

/// How a call went, as far as the other side's health goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// Given up by us before it was known.
    Unknown,
}

/// Leave for one call; to be handed back with its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// What happened before the breaker last changed does not count.
    era: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Timestamp },
    Probing,
}

pub struct Breaker {
    options: BreakerOptions,
    state: State,
    era: u64,
    failed: VecDeque<bool>,
}

impl Breaker {
    pub fn new(options: BreakerOptions) -> Self {
        Self { options, state: State::Closed, era: 0, failed: VecDeque::new() }
    }

    /// Leave for a call now, or how long to wait. While a probe is under way the wait is zero:
    /// it ends when the probe does.
    pub fn admit(&mut self, now: Timestamp) -> Result<Pass, Duration> {
        match self.state {
            State::Closed => {}
            State::Open { until } if now < until => return Err(between(now, until)),
            State::Open { .. } => self.change(State::Probing),
            State::Probing => return Err(Duration::ZERO),
        }
        Ok(Pass { era: self.era })
    }

    /// Takes the outcome of a call in.
    pub fn settle(&mut self, pass: Pass, outcome: Outcome, now: Timestamp) {
        if pass.era != self.era {
            return;
        }
        match (self.state, outcome) {
            (State::Probing, Outcome::Success) => self.change(State::Closed),
            (State::Probing, Outcome::Failure) => self.open(now),
            (State::Probing, Outcome::Unknown) => self.change(State::Open { until: now }),
            (_, Outcome::Unknown) => {}
            (_, outcome) => self.remember(outcome == Outcome::Failure, now),
        }
    }

    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    fn remember(&mut self, failed: bool, now: Timestamp) {
        if self.failed.len() >= self.options.window {
            self.failed.pop_front();
        }
        self.failed.push_back(failed);
        let failures = self.failed.iter().filter(|&&failed| failed).count();
        let judged = self.failed.len() >= self.options.least;
        if judged && failures * 100 >= self.failed.len() * self.options.failures_percent {
            self.open(now);
        }
    }

    fn open(&mut self, now: Timestamp) {
        let micros = i64::try_from(self.options.open_for.as_micros()).unwrap_or(i64::MAX);
        let until = Timestamp::from_micros(now.micros().saturating_add(micros));
        self.change(State::Open { until });
    }

    fn change(&mut self, state: State) {
        self.state = state;
        self.era += 1;
        self.failed.clear();
    }
}

fn between(now: Timestamp, then: Timestamp) -> Duration {
    let micros = then.micros().saturating_sub(now.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests;
