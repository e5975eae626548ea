//! Group commit: takes all commands that are waiting, lets the ledger decide each in order, and
//! commits the lot at once. No SQL, no HTTP, no knowledge of payments.
//!
//! Reading order: [`job`] (what callers hand in and get back), `queue` and `lines` (bounded and
//! fair), `lane` (one batch after the other), `batch` (locks, decisions, writes), `events` (what is
//! told).

mod batch;
mod events;
mod in_flight;
pub mod job;
mod lane;
mod lines;
mod queue;

use std::{sync::Arc, time::Duration};

use caudal_domain::{Clock, IdSource};
use caudal_store::Store;
pub use job::{
    Command, EngineError, Given, Instead, Job, JobReply, Otherwise, ReceiptOf, Reply, Telling,
};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::{in_flight::InFlight, lane::LaneTask, queue::Queue};

/// Limits of the engine. Every wait has one.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Batches under way at once; a second one prepares while the first commits.
    pub lanes: usize,
    /// Commands in one batch (one larger job still goes in whole).
    pub batch_commands: usize,
    /// Commands waiting; beyond it callers are told `overloaded` at once.
    pub queue_commands: usize,
    /// A job that waits longer is told `overloaded` instead of being run late.
    pub queue_timeout: Duration,
    /// How long a duplicate waits for the first answer before it is told `in flight`.
    pub duplicate_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lanes: 2,
            batch_commands: 512,
            queue_commands: 8192,
            queue_timeout: Duration::from_secs(5),
            duplicate_timeout: Duration::from_secs(2),
        }
    }
}

async fn answer_of(answer: oneshot::Receiver<lines::Answer>) -> lines::Answer {
    answer.await.unwrap_or(Err(EngineError::Unavailable("the engine lost the batch".into())))
}

/// Makes one source of ids for each lane.
pub type IdSources = Arc<dyn Fn() -> Box<dyn IdSource> + Send + Sync>;

/// The engine's handle: cheap to clone, the same engine behind all.
#[derive(Clone)]
pub struct Engine {
    queue: Arc<Queue>,
    in_flight: Arc<InFlight>,
    lanes: Arc<std::sync::Mutex<Vec<JoinHandle<()>>>>,
}

impl Engine {
    /// Starts the lanes. Must be called inside a tokio runtime.
    pub fn start(
        store: &Store,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        ids: IdSources,
    ) -> Self {
        let queue = Arc::new(Queue::new(settings));
        let start = |number| {
            let (store, queue) = (store.clone(), queue.clone());
            let (clock, ids) = (clock.clone(), ids.clone());
            tokio::spawn(lane::keep_running(move || {
                let parts = lane::Parts { queue: &queue, clock: &clock, ids: &ids };
                LaneTask::new(number, store.lane(), &parts)
            }))
        };
        let lanes = (0..settings.lanes).map(start).collect();
        let waiting = queue.clone();
        tokio::spawn(async move { waiting.answer_late().await });
        Self {
            queue,
            in_flight: Arc::new(InFlight::new(settings.duplicate_timeout)),
            lanes: Arc::new(std::sync::Mutex::new(lanes)),
        }
    }

    /// Hands in a job and waits for its commit.
    pub async fn submit(&self, job: Job) -> Result<JobReply, EngineError> {
        if job.is_separable() {
            return self.submit_each(job).await;
        }
        let _turn = match job.sole_key() {
            Some(key) => Some(self.in_flight.enter(key).await?),
            None => None,
        };
        answer_of(self.queue.push(job)?).await
    }

    /// Commands that nothing joins go in one by one, so that those which have to wait for a row
    /// don't hold up the others. A fault of one is the answer to all: their keys will tell.
    async fn submit_each(&self, job: Job) -> Result<JobReply, EngineError> {
        let single = |command| Job::one(job.tenant, command);
        let answers = self.queue.push_all(job.commands.into_iter().map(single).collect())?;
        let mut joined = JobReply::empty();
        for answer in answers {
            joined.join(answer_of(answer).await?);
        }
        joined.position.sort_unstable();
        Ok(joined)
    }

    /// Commands waiting and the most there may be.
    pub fn queued(&self) -> (usize, usize) {
        self.queue.depth()
    }

    /// Takes no more jobs, commits what is waiting, returns when the last lane has stopped.
    pub async fn shutdown(&self) {
        self.queue.close();
        let lanes: Vec<_> = match self.lanes.lock() {
            Ok(mut lanes) => lanes.drain(..).collect(),
            Err(_) => return,
        };
        for lane in lanes {
            if let Err(error) = lane.await {
                tracing::error!(%error, "a lane of the engine ended badly");
            }
        }
    }
}
