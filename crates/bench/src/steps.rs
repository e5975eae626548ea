//! One run from wallets to proof, and the ladder of runs at rising rates.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::clock;
use crate::compose::{Made, Script};
use crate::connection::Targets;
use crate::load::{self, Plan};
use crate::options::{BenchError, Options, RunResult, Workload};
use crate::pace::Pace;
use crate::progress::{Progress, Span};
use crate::setup::{self, Order, Prepared};
use crate::tally::Tally;
use crate::verify::{self, Claim};

/// Transfers a second, step by step; past the first that is not reached comes the run at full
/// speed.
const LADDER: [u32; 14] = [
    100, 300, 600, 1_000, 1_500, 2_000, 3_000, 5_000, 7_500, 10_000, 15_000, 20_000, 30_000, 50_000,
];
/// A step is reached with this share of its rate.
const REACHED: f64 = 0.95;
/// Connections that make wallets; more would only queue.
const PREPARING: usize = 64;
/// How long one key is tried before its fate counts as unknown.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_WITH_FAULTS: Duration = Duration::from_secs(30);

/// Climbs until a rate is not reached, then runs without limit.
pub(crate) async fn ladder(options: &Options) -> Result<Vec<RunResult>, BenchError> {
    let mut runs = Vec::new();
    for tps in LADDER {
        let mut step = options.clone();
        step.rate = Some(tps.div_ceil(options.batch as u32));
        step.name = format!("{} at {tps}/s", options.name);
        let run = one(&step).await?;
        let reached = run.tps >= f64::from(tps) * REACHED;
        runs.push(run);
        if !reached {
            break;
        }
    }
    let name = format!("{} at full speed", options.name);
    runs.push(one(&Options { rate: None, name, ..options.clone() }).await?);
    Ok(runs)
}

/// Prepares, drives, proves.
pub(crate) async fn one(options: &Options) -> Result<RunResult, BenchError> {
    let targets = Targets::new(&options.urls, &options.api_key)?;
    let begun_ms = clock::wall_ms();
    let run = format!("b{begun_ms:x}p{:x}", std::process::id());
    let prepared = prepare(options, &targets, &run).await?;
    let made = match options.workload {
        Workload::Payments => Made::Payment,
        Workload::Cards => Made::CardPayment,
        _ => Made::Transfer,
    };
    let script = Script {
        made,
        run,
        wallets: prepared.wallets.clone(),
        hot: options.hot,
        batch: options.batch,
        seed: options.seed,
    };
    let tally = drive(options, &targets, script).await?;
    let funding = if made == Made::Transfer { prepared.funding.as_slice() } else { &[] };
    let claim = Claim {
        targets,
        made,
        wallets: prepared.wallets,
        acknowledged: [funding, &tally.acknowledged].concat(),
        unanswered: tally.unanswered,
        begun_ms,
        ended_ms: clock::wall_ms(),
        reads: Arc::new(AtomicU64::new(0)),
    };
    let mut notes = Vec::new();
    let verified = prove(options, claim, &mut notes).await;
    Ok(result(options, &tally, verified, notes))
}

async fn prepare(
    options: &Options,
    targets: &Arc<Targets>,
    run: &str,
) -> Result<Prepared, BenchError> {
    let order = Order {
        targets: Arc::clone(targets),
        run: run.to_owned(),
        wallets: options.wallets,
        rules: options.rules,
        connections: options.connections.min(PREPARING),
        ready: Arc::new(AtomicU64::new(0)),
    };
    let span = Span::Count(options.wallets as u64);
    let _bar = Progress::new(options.progress, "wallets", span, Arc::clone(&order.ready));
    setup::prepare(&order).await
}

async fn drive(
    options: &Options,
    targets: &Arc<Targets>,
    script: Script,
) -> Result<Tally, BenchError> {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let plan = Plan {
        targets: Arc::clone(targets),
        script: Arc::new(script),
        pace: Pace::new(options.warmup, options.duration, options.rate),
        connections: options.connections,
        patience: if options.tolerate_faults { PATIENCE_WITH_FAULTS } else { PATIENCE },
        acknowledged: Arc::clone(&acknowledged),
    };
    let span = Span::Time(plan.pace.end() - plan.pace.start());
    let _bar = Progress::new(options.progress, &options.name, span, acknowledged);
    load::drive(Arc::new(plan)).await
}

async fn prove(options: &Options, claim: Claim, notes: &mut Vec<String>) -> bool {
    let unanswered = claim.unanswered;
    let span = Span::Count((claim.acknowledged.len() / 100 + claim.wallets.len()) as u64);
    let bar = Progress::new(options.progress, "verifying", span, Arc::clone(&claim.reads));
    let found = verify::verify(claim).await;
    drop(bar);
    match found {
        Ok(found) if found.hold(unanswered) => true,
        Ok(found) => {
            notes.push(format!(
                "NOT VERIFIED: {} acknowledged but missing, {} repeated, {} there without \
                 acknowledgement ({unanswered} unanswered), balances off by {}",
                found.missing, found.repeated, found.strangers, found.excess
            ));
            false
        }
        Err(error) => {
            notes.push(format!("NOT VERIFIED: {error}"));
            false
        }
    }
}

fn result(options: &Options, tally: &Tally, verified: bool, mut notes: Vec<String>) -> RunResult {
    let ms = |quantile| tally.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
    if tally.unanswered > 0 {
        notes.push(format!("{} transfers were never answered", tally.unanswered));
    }
    if tally.missed > 0 {
        notes.push(format!("{} requests were due but could not be sent in time", tally.missed));
    }
    if let Some(oddity) = &tally.oddity {
        notes.push(format!("an unexpected answer: {oddity}"));
    }
    let duration_s = options.duration.as_secs_f64();
    RunResult {
        name: options.name.clone(),
        tps: (tally.measured as f64 / duration_s * 10.0).round() / 10.0,
        p50_ms: ms(0.50),
        p95_ms: ms(0.95),
        p99_ms: ms(0.99),
        errors: tally.errors,
        verified,
        batch: options.batch,
        connections: options.connections,
        hot_percent: options.hot,
        duration_s,
        transfers: tally.acknowledged.len() as u64,
        refused: tally.refused,
        rate: options.rate,
        notes,
    }
}
