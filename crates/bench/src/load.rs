//! The generator: threads of their own, each with one event loop and its share of connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::compose::{Composer, Script};
use crate::connection::{Connection, Targets};
use crate::options::BenchError;
use crate::pace::{Pace, Turn};
use crate::tally::{Request, Tally};

/// Most generator threads: one drives some tens of thousands of requests a second.
const THREADS_MOST: usize = 4;

/// All that the workers of a run share.
#[derive(Debug)]
pub(crate) struct Plan {
    pub targets: Arc<Targets>,
    pub script: Arc<Script>,
    pub pace: Pace,
    pub connections: usize,
    /// How long one key is tried.
    pub patience: Duration,
    /// Transfers acknowledged so far.
    pub acknowledged: Arc<AtomicU64>,
}

/// Half the cores, so that what is measured keeps the rest.
fn threads(connections: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, THREADS_MOST).min(connections)
}

/// Runs the plan to its end on threads of its own.
pub(crate) async fn drive(plan: Arc<Plan>) -> Result<Tally, BenchError> {
    let threads = threads(plan.connections);
    let handles: Vec<_> = (0..threads)
        .map(|thread| {
            let plan = Arc::clone(&plan);
            std::thread::spawn(move || generate(plan, thread, threads))
        })
        .collect();
    let merged = tokio::task::spawn_blocking(move || {
        let mut all = Tally::new();
        for handle in handles {
            all.merge(handle.join().map_err(|_| BenchError::Generator)??);
        }
        Ok(all)
    });
    merged.await.map_err(|_| BenchError::Generator)?
}

fn generate(plan: Arc<Plan>, thread: usize, threads: usize) -> Result<Tally, BenchError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| BenchError::Io { what: "starting a thread".into(), source })?;
    let tally = Arc::new(Mutex::new(Tally::new()));
    runtime.block_on(async {
        let mut workers = JoinSet::new();
        for number in (thread..plan.connections).step_by(threads) {
            workers.spawn(work(Arc::clone(&plan), number, Arc::clone(&tally)));
        }
        while let Some(done) = workers.join_next().await {
            done.map_err(|_| BenchError::Generator)?;
        }
        Ok(())
    })?;
    let tally = Arc::into_inner(tally).ok_or(BenchError::Generator)?;
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

async fn work(plan: Arc<Plan>, number: usize, tally: Arc<Mutex<Tally>>) {
    let mut connection = Connection::new(Arc::clone(&plan.targets), number);
    let mut composer = Composer::new(Arc::clone(&plan.script), &plan.targets, number);
    loop {
        let begun = match plan.pace.turn().await {
            Turn::Send(begun) => begun,
            Turn::Missed(due) => {
                tally.lock().unwrap_or_else(PoisonError::into_inner).miss(&plan.pace, due);
                continue;
            }
            Turn::Over => return,
        };
        let until = Instant::now() + plan.patience;
        let outcome = connection.settle(composer.next(), until).await;
        let (batch, made) = (plan.script.batch, plan.script.made);
        let request = Request { pace: &plan.pace, begun, batch, made, connection: &connection };
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tally.enter(&request, outcome);
        drop(tally);
        plan.acknowledged.fetch_add(count, Ordering::Relaxed);
    }
}
