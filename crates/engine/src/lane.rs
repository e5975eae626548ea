//! One lane: takes a batch, commits it, answers; then the next.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use caudal_domain::{Clock, IdSource, Refusal};
use caudal_store::{Lane, Locked, Locks, StoreError};
use metrics::{counter, histogram};

use crate::{
    EngineError, Given, IdSources, Job, JobReply, Reply, batch,
    queue::{Answer, Queue, Waiting},
};

/// How often a batch is run when another writer was in the way.
const ATTEMPTS: u32 = 4;
/// So often a job gives way to another process that holds its accounts; then it waits for it.
const PASSED_OVER_MOST: u32 = 3;

/// So many jobs held up all at once share a hot account: trying again would be in vain.
const HOT_JOBS: usize = 16;
/// So many batches then wait at once, instead of looking first.
const HOT_BATCHES: u32 = 64;

/// What came of a job.
enum Settled {
    Answered(Answer),
    /// Another process holds its accounts.
    PassedOver(Job),
}

/// What all lanes of an engine share.
pub(crate) struct Parts<'a> {
    pub queue: &'a Arc<Queue>,
    pub clock: &'a Arc<dyn Clock>,
    pub ids: &'a IdSources,
}

pub(crate) struct LaneTask {
    lane: Box<dyn Lane>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    ids: Arc<Mutex<Box<dyn IdSource>>>,
    number: usize,
    /// Batches that are to wait for accounts held elsewhere.
    waits_left: u32,
}

impl LaneTask {
    /// `number` counts from zero: lane 0 never rests.
    pub fn new(number: usize, lane: Box<dyn Lane>, engine: &Parts<'_>) -> Self {
        let ids = Arc::new(Mutex::new((engine.ids)()));
        let (queue, clock) = (engine.queue.clone(), engine.clock.clone());
        Self { lane, queue, clock, ids, number, waits_left: 0 }
    }

    pub async fn run(mut self) {
        while let Some(mut batch) = self.queue.take(self.number).await {
            let waiting = std::mem::take(&mut batch.jobs);
            let (jobs, tickets): (Vec<_>, Vec<_>) =
                waiting.into_iter().map(|Waiting { job, ticket }| (job, ticket)).unzip();
            // Nobody is passed over for ever.
            let is_late = tickets.iter().any(|ticket| ticket.passed_over >= PASSED_OVER_MOST);
            let pass_over = !is_late && self.waits_left == 0;
            self.waits_left = self.waits_left.saturating_sub(1);
            let mut answers = Vec::with_capacity(tickets.len());
            let mut passed = Vec::new();
            for (settled, mut ticket) in self.commit(jobs, pass_over).await.into_iter().zip(tickets)
            {
                match settled {
                    Settled::Answered(answer) => answers.push((ticket.reply, answer)),
                    Settled::PassedOver(job) => {
                        ticket.passed_over += 1;
                        passed.push(Waiting { job, ticket });
                    }
                }
            }
            if !passed.is_empty() {
                self.queue.put_back(passed);
            }
            drop(batch);
            for (reply, answer) in answers {
                // Whoever went away will ask again with the same key.
                let _ = reply.send(answer);
            }
        }
    }

    /// Commits the jobs together; where the database refuses a value, in ever smaller parts, so
    /// that one bad row never fails its neighbours.
    async fn commit(&mut self, jobs: Vec<Job>, pass_over: bool) -> Vec<Settled> {
        let jobs = Arc::new(jobs);
        let count = jobs.len();
        let result = self.attempt(&jobs, pass_over).await;
        let jobs = Arc::try_unwrap(jobs).unwrap_or_else(|shared| shared.to_vec());
        match result {
            Ok(replies) => jobs
                .into_iter()
                .zip(replies)
                .map(|(job, reply)| match reply {
                    Some(reply) => Settled::Answered(Ok(reply)),
                    None => Settled::PassedOver(job),
                })
                .collect(),
            Err(StoreError::Rejected(why)) => Box::pin(self.bisect(jobs, why)).await,
            Err(error) => {
                tracing::error!(%error, jobs = count, "a batch could not be committed");
                let fault = match error {
                    StoreError::Unknown(why) => EngineError::Unknown(why),
                    other => EngineError::Unavailable(other.to_string()),
                };
                (0..count).map(|_| Settled::Answered(Err(fault.clone()))).collect()
            }
        }
    }

    async fn bisect(&mut self, mut jobs: Vec<Job>, why: String) -> Vec<Settled> {
        if jobs.len() > 1 {
            let second = jobs.split_off(jobs.len() / 2);
            let mut settled = self.commit(jobs, false).await;
            settled.extend(self.commit(second, false).await);
            return settled;
        }
        let Some(job) = jobs.pop() else { return Vec::new() };
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
        vec![Settled::Answered(Ok(reply))]
    }

    /// Runs the jobs as one batch, again if another writer was in the way.
    async fn attempt(
        &mut self,
        jobs: &Arc<Vec<Job>>,
        pass_over: bool,
    ) -> Result<Vec<Option<JobReply>>, StoreError> {
        let mut attempt = 1;
        let mut pass_over = pass_over;
        loop {
            match self.once(jobs, pass_over).await {
                // Another process has them all: waiting for it is the shortest way.
                Ok(replies) if pass_over && replies.iter().all(Option::is_none) => {
                    pass_over = false;
                    if replies.len() >= HOT_JOBS {
                        self.waits_left = HOT_BATCHES;
                    }
                }
                Err(StoreError::Contention(why)) if attempt < ATTEMPTS => {
                    tracing::warn!(why, attempt, "running the batch again");
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn once(
        &mut self,
        jobs: &Arc<Vec<Job>>,
        pass_over: bool,
    ) -> Result<Vec<Option<JobReply>>, StoreError> {
        let decided: Arc<Mutex<Vec<Option<JobReply>>>> = Arc::default();
        let locks = Locks { pass_over, ..batch::locks(jobs, self.clock.now()) };
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
        let mut replies =
            std::mem::take(&mut *decided.lock().unwrap_or_else(PoisonError::into_inner));
        let done = jobs.iter().zip(&replies).filter(|(_, reply)| reply.is_some());
        let commands: usize = done.map(|(job, _)| job.commands.len()).sum();
        histogram!("engine_batch_commands").record(commands as f64);
        histogram!("engine_commit_seconds").record(started.elapsed().as_secs_f64());
        counter!("database_transactions_total").increment(1);
        for reply in replies.iter_mut().flatten() {
            reply.position = reply.own(&position);
        }
        Ok(replies)
    }
}
