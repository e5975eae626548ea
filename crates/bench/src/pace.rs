//! When a request is due: at once after the last answer, or by the clock.
//!
//! By the clock (open loop) a request that had to wait for a free connection is measured from when
//! it was due, so a server that stalls is not spared the requests it kept from being sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

/// Lateness up to this is the timer's own, not the server's.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// The time table of a run, shared by its workers.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    measured: Instant,
    end: Instant,
    rate: Option<u32>,
    tickets: AtomicU64,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Send; latency counts from here.
    Send(Instant),
    /// This one was due but the run is over.
    Missed(Instant),
    Over,
}

impl Pace {
    pub(crate) fn new(warmup: Duration, duration: Duration, rate: Option<u32>) -> Self {
        let start = Instant::now();
        let measured = start + warmup;
        Self { start, measured, end: measured + duration, rate, tickets: AtomicU64::new(0) }
    }

    pub(crate) fn start(&self) -> Instant {
        self.start
    }

    pub(crate) fn end(&self) -> Instant {
        self.end
    }

    /// Whether `at` is inside what is measured.
    pub(crate) fn measures(&self, at: Instant) -> bool {
        (self.measured..self.end).contains(&at)
    }

    pub(crate) async fn turn(&self) -> Turn {
        let now = Instant::now();
        let Some(rate) = self.rate else {
            return if now < self.end { Turn::Send(now) } else { Turn::Over };
        };
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let nanos = u128::from(ticket) * 1_000_000_000 / u128::from(rate);
        let due = self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        if due >= self.end {
            return Turn::Over;
        }
        if now >= self.end {
            return Turn::Missed(due);
        }
        if now >= due {
            return Turn::Send(due);
        }
        sleep_until(due.into()).await;
        let woken = Instant::now();
        Turn::Send(if woken - due <= TIMER_SLACK { woken } else { due })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_that_had_to_wait_are_measured_from_when_they_were_due() {
        let mut pace = Pace::new(Duration::ZERO, Duration::from_secs(60), Some(10));
        pace.start -= Duration::from_secs(10);
        assert_eq!(pace.turn().await, Turn::Send(pace.start));
        assert_eq!(pace.turn().await, Turn::Send(pace.start + Duration::from_millis(100)));
    }

    #[tokio::test]
    async fn what_was_due_but_never_sent_is_known() {
        let mut pace = Pace::new(Duration::ZERO, Duration::from_secs(1), Some(2));
        pace.start -= Duration::from_secs(9);
        pace.end -= Duration::from_secs(9);
        assert_eq!(pace.turn().await, Turn::Missed(pace.start));
        assert!(matches!(pace.turn().await, Turn::Missed(_)));
        assert_eq!(pace.turn().await, Turn::Over);
    }
}
