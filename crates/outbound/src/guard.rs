//! What stands before every call that leaves: places, a time limit, a breaker, perhaps a retry.
//! Where many calls are late at once, no more are made until some have ended.
//!
//! A guard knows nothing of HTTP: it guards any future. One guard for each callee, so that one
//! that is ill does not take the others' places. Payment gateways use it too.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use caudal_domain::{Clock, Timestamp, id::Chance};
use metrics::{counter, gauge};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout, timeout_at},
};

use self::pace::Pace;
use crate::breaker::{Breaker, BreakerOptions, Outcome, Pass};

mod pace;

/// Limits of one callee.
#[derive(Clone, Copy, Debug)]
pub struct GuardOptions {
    /// Calls under way at once; one more is refused as [`Refused::Busy`].
    pub at_once: usize,
    /// For the whole call, retries and the pauses between them included.
    pub limit: Duration,
    /// Tries of a call that may be repeated ([`Guard::call_idempotent`]).
    pub tries: usize,
    /// Pause before the second try; doubles with each, and up to as much again by chance.
    pub pause: Duration,
    pub breaker: BreakerOptions,
}

impl Default for GuardOptions {
    /// 32 at once within 3 s: what a request that waits for it can spare.
    fn default() -> Self {
        Self {
            at_once: 32,
            limit: Duration::from_secs(3),
            tries: 2,
            pause: Duration::from_millis(50),
            breaker: BreakerOptions::default(),
        }
    }
}

/// What a guard asks of an error.
pub trait Fault {
    /// Whether it speaks against the other side's health (a 500 does, a 404 does not).
    fn counts(&self) -> bool;

    /// Whether the same call may soon go well.
    fn may_pass(&self) -> bool;
}

/// Why a guarded call has no result.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused<E> {
    #[error("too many calls of this kind are under way")]
    Busy,
    #[error("the other side failed too often lately; next try in {0:?}")]
    Open(Duration),
    #[error("the other side has stopped answering")]
    Stalled,
    #[error("no answer in time")]
    TimedOut,
    #[error(transparent)]
    Failed(E),
}

impl<E> Refused<E> {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Open(_) => "open",
            Self::Stalled => "stalled",
            Self::TimedOut => "timed_out",
            Self::Failed(_) => "failed",
        }
    }
}

/// Time and chance, as handed in: what a guard takes from outside.
#[derive(Clone)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub chance: Arc<dyn Chance>,
}

pub struct Guard {
    name: Arc<str>,
    options: GuardOptions,
    world: World,
    places: Semaphore,
    health: Mutex<Health>,
    refusing: watch::Sender<bool>,
}

struct Health {
    breaker: Breaker,
    pace: Pace,
}

impl Guard {
    /// A guard for the callee `name`, which is the label `call` of its metrics: keep their number
    /// small.
    pub fn new(name: &str, options: GuardOptions, world: World) -> Self {
        gauge!("circuit_breaker_open", "call" => name.to_owned()).set(0.0);
        Self {
            name: name.into(),
            options,
            world,
            places: Semaphore::new(options.at_once),
            health: Mutex::new(Health {
                breaker: Breaker::new(options.breaker),
                pace: Pace::default(),
            }),
            refusing: watch::Sender::new(false),
        }
    }

    /// Makes a call once.
    pub async fn call<T, E: Fault>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Refused<E>> {
        self.counted(self.attempt(self.deadline(), call)).await
    }

    /// Makes a call that does no harm when it is made twice, again if need be.
    pub async fn call_idempotent<T, E: Fault, F: Future<Output = Result<T, E>>>(
        &self,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Refused<E>> {
        let (deadline, mut pauses) = (self.deadline(), self.pauses());
        self.counted(async {
            loop {
                let result = self.attempt(deadline, call()).await;
                let again = matches!(&result, Err(Refused::Failed(fault)) if fault.may_pass());
                match pauses.next() {
                    Some(pause) if again && Instant::now() + pause < deadline => {
                        tokio::time::sleep(pause).await;
                    }
                    _ => return result,
                }
            }
        })
        .await
    }

    /// Ends as soon as calls are refused: the breaker is open, or the other side has stopped
    /// answering.
    pub async fn refuses(&self) {
        // The sender lives as long as the guard.
        let _ = self.refusing.subscribe().wait_for(|refusing| *refusing).await;
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.limit
    }

    async fn counted<T, E>(
        &self,
        call: impl Future<Output = Result<T, Refused<E>>>,
    ) -> Result<T, Refused<E>> {
        let result = match self.places.try_acquire() {
            Err(_) => Err(Refused::Busy),
            Ok(_place) => call.await,
        };
        let outcome = result.as_ref().map_or_else(Refused::outcome, |_| "ok");
        let call = self.name.to_string();
        counter!("outbound_calls_total", "call" => call, "outcome" => outcome).increment(1);
        result
    }

    async fn attempt<T, E: Fault>(
        &self,
        deadline: Instant,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Refused<E>> {
        let mut admitted = self.admit()?;
        let result = timeout_at(deadline, admitted.watch(call)).await;
        admitted.outcome = match &result {
            Ok(Err(fault)) if fault.counts() => Outcome::Failure,
            Ok(_) => Outcome::Success,
            Err(_) => Outcome::Failure,
        };
        result.map_err(|_| Refused::TimedOut)?.map_err(Refused::Failed)
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let mut seed = [0; 8];
        self.world.chance.fill(&mut seed);
        ExponentialBuilder::new()
            .with_min_delay(self.options.pause)
            .with_max_times(self.options.tries.saturating_sub(1))
            .with_jitter()
            .with_jitter_seed(u64::from_le_bytes(seed))
            .build()
    }

    fn admit<E>(&self) -> Result<Admitted<'_>, Refused<E>> {
        let (pass, late_after) = self.change(|health, options| {
            if health.is_stalled(options) {
                return Err(Refused::Stalled);
            }
            let pass = health.breaker.admit(self.now()).map_err(Refused::Open)?;
            Ok((pass, health.pace.begin()))
        })?;
        let (began, outcome) = (Instant::now(), Outcome::Unknown);
        Ok(Admitted { guard: self, pass, began, outcome, late_after, is_late: false })
    }

    fn settle(&self, ended: &Admitted<'_>) {
        let took = (ended.outcome == Outcome::Success).then(|| ended.began.elapsed());
        self.change(|health, _| {
            health.pace.end(ended.is_late, took);
            health.breaker.settle(ended.pass, ended.outcome, self.now());
        });
    }

    /// Changes its health, and tells what came of that.
    fn change<T>(&self, change: impl FnOnce(&mut Health, &BreakerOptions) -> T) -> T {
        let options = &self.options.breaker;
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (health.breaker.is_open(), health.is_stalled(options));
        let changed = change(&mut health, options);
        let after @ (open, stalled) = (health.breaker.is_open(), health.is_stalled(options));
        self.refusing.send_if_modified(|refusing| {
            std::mem::replace(refusing, open || stalled) != (open || stalled)
        });
        if before != after {
            let gauge = gauge!("circuit_breaker_open", "call" => self.name.to_string());
            gauge.set(f64::from(u8::from(open)));
            tracing::warn!(call = &*self.name, open, stalled, "circuit breaker");
        }
        changed
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

impl Health {
    fn is_stalled(&self, options: &BreakerOptions) -> bool {
        self.pace.is_stalled(options.least, options.failures_percent)
    }
}

/// A call under way. Dropped by whoever asked and no longer waits, its outcome stays unknown; its
/// probe, if it was one, is free again.
struct Admitted<'a> {
    guard: &'a Guard,
    pass: Pass,
    began: Instant,
    outcome: Outcome,
    late_after: Option<Duration>,
    is_late: bool,
}

impl Admitted<'_> {
    /// The call's result; notes on the way when it is late.
    async fn watch<F: Future>(&mut self, call: F) -> F::Output {
        let mut call = pin!(call);
        let Some(late_after) = self.late_after else { return call.await };
        if let Ok(result) = timeout(late_after, &mut call).await {
            return result;
        }
        self.is_late = true;
        self.guard.change(|health, _| health.pace.is_late());
        call.await
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.guard.settle(self);
    }
}

#[cfg(test)]
mod tests;
