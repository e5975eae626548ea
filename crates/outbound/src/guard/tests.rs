//! Places, time limits, retries and the breaker around calls that are told how to end.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{
    FutureExt,
    future::{join_all, pending},
};

use super::*;
use crate::testing::{TestClock, world};

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed")]
struct Failure {
    counts: bool,
}

impl Fault for Failure {
    fn counts(&self) -> bool {
        self.counts
    }

    fn may_pass(&self) -> bool {
        self.counts
    }
}

const THEIRS: Result<(), Failure> = Err(Failure { counts: true });
const OURS: Result<(), Failure> = Err(Failure { counts: false });
const GOOD: Result<(), Failure> = Ok(());

fn guard(options: GuardOptions) -> (Guard, TestClock) {
    let clock = TestClock::default();
    (Guard::new("test", options, world(&clock)), clock)
}

fn refuses(guard: &Guard) -> bool {
    guard.refuses().now_or_never().is_some()
}

#[tokio::test(start_paused = true)]
async fn many_late_calls_are_joined_by_no_more() {
    let (guard, _) = guard(GuardOptions::default());
    let answered = Semaphore::new(0);
    let slow = || {
        guard.call(async {
            let _answer = answered.acquire().await;
            GOOD
        })
    };
    // Nobody knows what is usual before one went well.
    assert_eq!(guard.call(async { GOOD }).await, Ok(()));
    let mut late = Box::pin(join_all((0..10).map(|_| slow())));
    let stalled = tokio::select! {
        () = guard.refuses() => true,
        _ = &mut late => false,
    };
    assert!(stalled);
    assert_eq!(guard.call(async { GOOD }).await, Err(Refused::Stalled));
    // They are answered after all, and that is the end of it.
    answered.add_permits(10);
    assert_eq!(late.await, [const { Ok(()) }; 10]);
    assert!(!refuses(&guard));
    assert_eq!(guard.call(async { GOOD }).await, Ok(()));
}

#[tokio::test]
async fn a_full_guard_refuses_at_once() {
    let (guard, _) = guard(GuardOptions { at_once: 1, ..Default::default() });
    let mut first = Box::pin(guard.call(pending::<Result<(), Failure>>()));
    assert!(futures::poll!(&mut first).is_pending());
    assert_eq!(guard.call(async { GOOD }).await, Err(Refused::Busy));
    drop(first);
    assert_eq!(guard.call(async { GOOD }).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn time_outs_open_the_breaker_and_a_probe_closes_it() {
    let (guard, clock) = guard(GuardOptions::default());
    for _ in 0..10 {
        let result = guard.call(pending::<Result<(), Failure>>()).await;
        assert_eq!(result, Err(Refused::TimedOut));
    }
    let refused = guard.call(async { GOOD }).await;
    assert_eq!(refused, Err(Refused::Open(Duration::from_secs(30))));
    clock.advance(30);
    assert_eq!(guard.call(async { GOOD }).await, Ok(()));
    assert!(!refuses(&guard));
}

#[tokio::test]
async fn what_is_our_fault_does_not_open_it() {
    let (guard, _) = guard(GuardOptions::default());
    for _ in 0..30 {
        assert_eq!(guard.call(async { OURS }).await, OURS.map_err(Refused::Failed));
    }
    assert!(!refuses(&guard));
}

#[tokio::test]
async fn a_probe_that_nobody_waits_for_is_free_again() {
    let (guard, clock) = guard(GuardOptions::default());
    for _ in 0..10 {
        let _ = guard.call(async { THEIRS }).await;
    }
    clock.advance(30);
    let mut probe = Box::pin(guard.call(pending::<Result<(), Failure>>()));
    assert!(futures::poll!(&mut probe).is_pending());
    let refused = guard.call(async { GOOD }).await;
    assert_eq!(refused, Err(Refused::Open(Duration::ZERO)));
    drop(probe);
    assert_eq!(guard.call(async { GOOD }).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_idempotent_call_is_tried_again_if_that_may_help() {
    let (guard, _) = guard(GuardOptions { tries: 3, ..Default::default() });
    for (results, made, last) in [
        ([GOOD, GOOD, GOOD], 1, Ok(())),
        ([THEIRS, GOOD, GOOD], 2, Ok(())),
        ([THEIRS, THEIRS, THEIRS], 3, THEIRS.map_err(Refused::Failed)),
        ([OURS, GOOD, GOOD], 1, OURS.map_err(Refused::Failed)),
    ] {
        let (tries, mut results) = (AtomicUsize::new(0), results.into_iter());
        let result = guard.call_idempotent(|| {
            tries.fetch_add(1, Ordering::SeqCst);
            let result = results.next().unwrap();
            async { result }
        });
        assert_eq!(result.await, last);
        assert_eq!(tries.into_inner(), made);
    }
}

#[tokio::test(start_paused = true)]
async fn tries_and_pauses_share_one_limit() {
    let pause = Duration::from_secs(2);
    let (guard, _) = guard(GuardOptions { tries: 9, pause, ..Default::default() });
    let began = Instant::now();
    let result = guard.call_idempotent(|| async { THEIRS }).await;
    assert_eq!(result, THEIRS.map_err(Refused::Failed));
    assert!(began.elapsed() <= Duration::from_secs(3));
}
