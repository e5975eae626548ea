//! One lane: takes a batch, commits it, answers; then the next.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use caudal_domain::{AccountId, Clock, IdSource, Refusal};
use caudal_store::{Lane, Locked, Locks, StoreError, Writes};
use futures::FutureExt;
use metrics::{counter, histogram};

use crate::{
    EngineError, Given, IdSources, Job, JobReply, Reply, batch,
    lines::{Answer, Waiting},
    queue::{Batch, Queue},
};

/// How often a batch is run when another writer was in the way.
const ATTEMPTS: u32 = 4;
/// So often a job gives way to another process that holds its accounts; then it waits for it.
const PASSED_OVER_MOST: u32 = 3;

/// Who holds a hot account waits for no other, so a job gives way longer; then that time ends.
const PASSED_OVER_WHILE_HOT: u32 = 16;

/// So many jobs held up all at once share a hot account: trying again would be in vain.
const HOT_JOBS: usize = 16;
/// So many batches then wait for it before they are formed.
const HOT_BATCHES: u32 = 256;

/// While the database is away, every batch fails at once.
const OUTAGE_SAID_EVERY: Duration = Duration::from_secs(5);

/// What came of a job.
enum Settled {
    Answered(Answer),
    /// Another process holds its accounts.
    PassedOver(Job),
}

/// What one run of a batch came to.
#[derive(Default)]
struct Decided {
    /// `None`: passed over.
    replies: Vec<Option<JobReply>>,
    passed: Vec<AccountId>,
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
    hot: Hot,
    outage: Outage,
}

/// Runs the lane to its end. A panic is a bug: it costs the batch in hand, whose callers are told
/// that there is no answer, and the connection, but not the lane.
pub(crate) async fn keep_running(make: impl Fn() -> LaneTask) {
    while AssertUnwindSafe(make().run()).catch_unwind().await.is_err() {
        tracing::error!("BUG: a batch panicked; its lane starts again");
    }
}

/// Says that batches fail, not for each of them.
#[derive(Default)]
struct Outage {
    said_at: Option<Instant>,
    /// Jobs failed since.
    jobs: usize,
}

impl Outage {
    fn log(&mut self, error: &StoreError, jobs: usize) {
        self.jobs += jobs;
        if self.said_at.is_none_or(|at| at.elapsed() > OUTAGE_SAID_EVERY) {
            tracing::error!(%error, jobs = self.jobs, "batches could not be committed");
            *self = Self { said_at: Some(Instant::now()), jobs: 0 };
        }
    }
}

/// Accounts that another process uses all the time as well. Waiting for them first, and forming
/// the batch when they are free, makes larger batches than waiting with a batch in hand.
#[derive(Default)]
struct Hot {
    accounts: Vec<AccountId>,
    batches_left: u32,
    /// The batch in hand was formed with their locks held.
    is_held: bool,
}

impl LaneTask {
    /// `number` counts from zero: lane 0 never rests.
    pub fn new(number: usize, lane: Box<dyn Lane>, engine: &Parts<'_>) -> Self {
        let ids = Arc::new(Mutex::new((engine.ids)()));
        let (queue, clock) = (engine.queue.clone(), engine.clock.clone());
        Self { lane, queue, clock, ids, number, hot: Hot::default(), outage: Outage::default() }
    }

    pub async fn run(mut self) {
        while let Some(mut batch) = self.take().await {
            let waiting = std::mem::take(&mut batch.jobs);
            let (jobs, tickets): (Vec<_>, Vec<_>) =
                waiting.into_iter().map(|Waiting { job, ticket }| (job, ticket)).unzip();
            // Nobody is passed over for ever; but who holds a hot account waits for no other.
            let passed_over = tickets.iter().map(|ticket| ticket.passed_over).max().unwrap_or(0);
            let pass_over = passed_over < PASSED_OVER_MOST || self.hot.is_held;
            if passed_over >= PASSED_OVER_WHILE_HOT {
                self.hot.batches_left = 0;
            }
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
                self.queue.crowd();
                self.queue.put_back(passed);
            }
            drop(batch);
            for (reply, answer) in answers {
                // Whoever went away will ask again with the same key.
                let _ = reply.send(answer);
            }
        }
    }

    async fn take(&mut self) -> Option<Batch> {
        self.hot.is_held = false;
        if self.hot.batches_left > 0 {
            self.hot.batches_left -= 1;
            self.queue.crowd();
            if self.queue.wait().await && self.lane.lock_ahead(&self.hot.accounts).await.is_ok() {
                if let Some(batch) = self.queue.take_now() {
                    self.hot.is_held = true;
                    return Some(batch);
                }
                // Nothing free: lets go of what it holds.
                let nothing = Box::new(|_| Writes::default());
                self.lane.commit_batch(Locks::default(), nothing).await.ok();
            }
            self.hot.batches_left = 0;
        }
        self.queue.take(self.number).await
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
                self.outage.log(&error, count);
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
        if job.can_go_apart() {
            return vec![Settled::Answered(self.apart(job).await)];
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
        vec![Settled::Answered(Ok(reply))]
    }

    /// The group's own key first, without answers: whoever finds it asks the items' keys. Where
    /// another process had it meanwhile, that one's answer stands.
    async fn apart(&mut self, mut group: Job) -> Answer {
        let tenant = group.tenant;
        let items = std::mem::take(&mut group.commands);
        let gone = Err(EngineError::Unavailable("the group's key was not kept".into()));
        let mut joined = match self.commit(vec![group], false).await.pop() {
            Some(Settled::Answered(answer)) => answer,
            _ => gone,
        }?;
        if joined.refused_at.is_some() || !joined.replies.is_empty() {
            return Ok(joined);
        }
        let items = items.into_iter().map(|command| Job::one(tenant, command)).collect();
        for settled in self.commit(items, false).await {
            if let Settled::Answered(answer) = settled {
                joined.join(answer?);
            }
        }
        joined.position.sort_unstable();
        Ok(joined)
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
                Ok(Decided { replies, passed })
                    if pass_over && replies.iter().all(Option::is_none) =>
                {
                    pass_over = false;
                    self.notice_hot(jobs, &passed);
                }
                Err(StoreError::Contention(why)) if attempt < ATTEMPTS => {
                    tracing::warn!(why, attempt, "running the batch again");
                    attempt += 1;
                }
                result => return result.map(|decided| decided.replies),
            }
        }
    }

    /// Many jobs held up by the same few accounts: it will be so again.
    fn notice_hot(&mut self, jobs: &[Job], passed: &[AccountId]) {
        self.queue.crowd();
        if jobs.len() < HOT_JOBS || self.number > 0 {
            return;
        }
        let rows: Vec<Vec<u128>> = jobs.iter().map(Job::rows).collect();
        let users = |account: &AccountId| rows.iter().filter(|r| r.contains(&account.0)).count();
        let is_hot = |account: &AccountId| users(account) * 2 > jobs.len();
        let accounts: Vec<_> = passed.iter().copied().filter(is_hot).collect();
        let batches_left = if accounts.is_empty() { 0 } else { HOT_BATCHES };
        self.hot = Hot { accounts, batches_left, is_held: false };
    }

    async fn once(&mut self, jobs: &Arc<Vec<Job>>, pass_over: bool) -> Result<Decided, StoreError> {
        let decided: Arc<Mutex<Decided>> = Arc::default();
        let locks = Locks { pass_over, ..batch::locks(jobs, self.clock.now()) };
        let decide = {
            let (jobs, decided) = (jobs.clone(), decided.clone());
            let (clock, ids) = (self.clock.clone(), self.ids.clone());
            Box::new(move |locked: Locked| {
                let mut ids = ids.lock().unwrap_or_else(PoisonError::into_inner);
                let passed = locked.passed.clone();
                let (replies, writes) = batch::decide(&jobs, locked, clock.now(), ids.as_mut());
                let now = Decided { replies, passed };
                *decided.lock().unwrap_or_else(PoisonError::into_inner) = now;
                writes
            })
        };
        let started = Instant::now();
        let position = self.lane.commit_batch(locks, decide).await?;
        let mut decided =
            std::mem::take(&mut *decided.lock().unwrap_or_else(PoisonError::into_inner));
        let done = jobs.iter().zip(&decided.replies).filter(|(_, reply)| reply.is_some());
        let commands: usize = done.map(|(job, _)| job.commands.len()).sum();
        histogram!("engine_batch_commands").record(commands as f64);
        histogram!("engine_commit_seconds").record(started.elapsed().as_secs_f64());
        counter!("database_transactions_total").increment(1);
        for (job, reply) in jobs.iter().zip(&mut decided.replies) {
            if let Some(reply) = reply {
                reply.position = reply.own(job, &position);
            }
        }
        Ok(decided)
    }
}
