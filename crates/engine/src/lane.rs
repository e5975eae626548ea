//! One lane: takes a batch, commits it, answers; then the next.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use caudal_domain::{Clock, IdSource, Refusal};
use caudal_store::{Lane, Locked, StoreError};
use metrics::{counter, histogram};

use crate::{
    EngineError, Given, Job, JobReply, Reply, batch,
    queue::{Answer, Queue, Waiting},
};

/// How often a batch is run when another writer was in the way.
const ATTEMPTS: u32 = 4;

pub(crate) struct LaneTask {
    lane: Box<dyn Lane>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    ids: Arc<Mutex<Box<dyn IdSource>>>,
}

impl LaneTask {
    pub fn new(
        lane: Box<dyn Lane>,
        queue: Arc<Queue>,
        clock: Arc<dyn Clock>,
        ids: Box<dyn IdSource>,
    ) -> Self {
        Self { lane, queue, clock, ids: Arc::new(Mutex::new(ids)) }
    }

    pub async fn run(mut self) {
        while let Some(mut batch) = self.queue.take().await {
            let waiting = std::mem::take(&mut batch.jobs);
            let mut replies = Vec::with_capacity(waiting.len());
            let mut jobs = Vec::with_capacity(waiting.len());
            for Waiting { job, reply, .. } in waiting {
                jobs.push(job);
                replies.push(reply);
            }
            let answers = self.commit(jobs).await;
            drop(batch);
            for (reply, answer) in replies.into_iter().zip(answers) {
                // Whoever went away will ask again with the same key.
                let _ = reply.send(answer);
            }
        }
    }

    /// Commits the jobs together; where the database refuses a value, in ever smaller parts, so
    /// that one bad row never fails its neighbours.
    async fn commit(&mut self, jobs: Vec<Job>) -> Vec<Answer> {
        let jobs = Arc::new(jobs);
        let count = jobs.len();
        match self.attempt(&jobs).await {
            Ok(replies) => replies.into_iter().map(Ok).collect(),
            Err(StoreError::Rejected(why)) => {
                let jobs = Arc::try_unwrap(jobs).unwrap_or_else(|shared| shared.to_vec());
                Box::pin(self.bisect(jobs, why)).await
            }
            Err(error) => {
                tracing::error!(%error, jobs = count, "a batch could not be committed");
                let fault = match error {
                    StoreError::Unknown(why) => EngineError::Unknown(why),
                    other => EngineError::Unavailable(other.to_string()),
                };
                vec![Err(fault); count]
            }
        }
    }

    async fn bisect(&mut self, mut jobs: Vec<Job>, why: String) -> Vec<Answer> {
        if jobs.len() > 1 {
            let second = jobs.split_off(jobs.len() / 2);
            let mut answers = self.commit(jobs).await;
            answers.extend(self.commit(second).await);
            return answers;
        }
        let Some(mut job) = jobs.pop() else { return Vec::new() };
        if job.commands.len() > 1 && !job.atomic && job.receipt.is_none() {
            let mut second = job.clone();
            second.commands = job.commands.split_off(job.commands.len() / 2);
            let first = self.commit(vec![job]).await;
            let second = self.commit(vec![second]).await;
            return vec![join(first, second)];
        }
        tracing::error!(why, "BUG: the database refused a value that the door let in");
        let refusal = Refusal::Rejected;
        let reply = match job.atomic {
            true => JobReply { refused_at: Some((0, refusal)), ..JobReply::empty() },
            false => {
                let given = Given::Refused(refusal);
                let replies = vec![Reply { replayed: false, given }; job.commands.len()];
                JobReply { replies, ..JobReply::empty() }
            }
        };
        vec![Ok(reply)]
    }

    /// Runs the jobs as one batch, again if another writer was in the way.
    async fn attempt(&mut self, jobs: &Arc<Vec<Job>>) -> Result<Vec<JobReply>, StoreError> {
        let mut attempt = 1;
        loop {
            match self.once(jobs).await {
                Err(StoreError::Contention(why)) if attempt < ATTEMPTS => {
                    tracing::warn!(why, attempt, "running the batch again");
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn once(&mut self, jobs: &Arc<Vec<Job>>) -> Result<Vec<JobReply>, StoreError> {
        let decided: Arc<Mutex<Vec<JobReply>>> = Arc::default();
        let locks = batch::locks(jobs, self.clock.now());
        let decide = {
            let (jobs, decided) = (jobs.clone(), decided.clone());
            let (clock, ids) = (self.clock.clone(), self.ids.clone());
            Box::new(move |locked: Locked| {
                let mut ids = ids.lock().unwrap_or_else(PoisonError::into_inner);
                let (replies, writes) = batch::decide(&jobs, locked, clock.now(), ids.as_mut());
                *decided.lock().unwrap_or_else(PoisonError::into_inner) = replies;
                writes
            })
        };
        let started = Instant::now();
        let position = self.lane.commit_batch(locks, decide).await?;
        let commands: usize = jobs.iter().map(|job| job.commands.len()).sum();
        histogram!("engine_batch_commands").record(commands as f64);
        histogram!("engine_commit_seconds").record(started.elapsed().as_secs_f64());
        counter!("database_transactions_total").increment(1);
        let mut replies =
            std::mem::take(&mut *decided.lock().unwrap_or_else(PoisonError::into_inner));
        for reply in &mut replies {
            reply.position.clone_from(&position);
        }
        Ok(replies)
    }
}

/// The two halves of a job that was run in parts.
fn join(first: Vec<Answer>, second: Vec<Answer>) -> Answer {
    let mut joined = JobReply::empty();
    for part in first.into_iter().chain(second) {
        let part = part?;
        joined.replies.extend(part.replies);
        joined.position = part.position;
    }
    Ok(joined)
}
