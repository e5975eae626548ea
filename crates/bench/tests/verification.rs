//! A run against a server that keeps its word is verified; against one that does not, it is not.

mod fake;

use std::time::Duration;

use caudal_bench::{Options, RunResult};
use fake::{Fake, Fault};

/// A short run against a server with that fault; what `change` sets differs.
async fn run(fault: Fault, change: impl FnOnce(&mut Options)) -> RunResult {
    let server = Fake::start(fault).await;
    let mut options = Options {
        urls: vec![server.url()],
        api_key: "sk_test_fake".into(),
        connections: 4,
        duration: Duration::from_millis(300),
        warmup: Duration::from_millis(50),
        wallets: 8,
        progress: false,
        ..Options::default()
    };
    change(&mut options);
    caudal_bench::run(&options).await.expect("the run ends").remove(0)
}

#[tokio::test]
async fn what_was_kept_is_verified() {
    let run = run(Fault::None, |_| {}).await;
    assert!(run.verified, "{run:?}");
    assert!(run.tps > 0.0 && run.transfers > 0 && run.p99_ms >= run.p50_ms, "{run:?}");
    assert_eq!((run.errors, run.notes.len()), (0, 0), "{run:?}");
}

#[tokio::test]
async fn batches_through_a_hot_wallet_are_verified() {
    let run = run(Fault::None, |options| (options.batch, options.hot) = (7, 100)).await;
    assert!(run.verified && run.transfers.is_multiple_of(7), "{run:?}");
}

#[tokio::test]
async fn an_acknowledged_transfer_that_is_lost_is_found() {
    let run = run(Fault::LosesOne, |_| {}).await;
    assert!(!run.verified, "{run:?}");
    assert!(run.notes[0].contains("1 acknowledged but missing"), "{run:?}");
}

#[tokio::test]
async fn a_transfer_done_twice_is_found() {
    let run = run(Fault::DoesOneTwice, |_| {}).await;
    assert!(!run.verified, "{run:?}");
    assert!(run.notes[0].contains("1 there without"), "{run:?}");
}

#[tokio::test]
async fn money_that_vanishes_is_found() {
    let run = run(Fault::TakesOneUnit, |_| {}).await;
    assert!(!run.verified, "{run:?}");
    assert!(run.notes[0].contains("balances off by -1"), "{run:?}");
}

#[tokio::test]
async fn lost_answers_and_overload_are_tried_again_under_the_same_key() {
    let run = run(Fault::DropsAndOverloads, |options| options.tolerate_faults = true).await;
    assert!(run.verified, "{run:?}");
    assert!(run.errors > 0, "{run:?}");
}

#[tokio::test]
async fn an_open_loop_sends_what_is_due() {
    let run = run(Fault::None, |options| options.rate = Some(200)).await;
    assert!(run.verified, "{run:?}");
    assert!((100.0..=220.0).contains(&run.tps), "{run:?}");
}

#[tokio::test]
async fn a_refusing_server_is_an_error_that_says_so() {
    let server = Fake::start(Fault::Refuses).await;
    let options = Options { urls: vec![server.url()], progress: false, ..Options::default() };
    let error = caudal_bench::run(&options).await.expect_err("no wallet can be made");
    assert!(error.to_string().contains("401"), "{error}");
}
