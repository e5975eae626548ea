//! The bounded queue: fair between tenants, and full at once instead of slow for all.
//!
//! Each tenant has a line of its own; a batch takes a little from each in turn. Once the queue is
//! half full, a tenant with a quarter of it gets no more in, so half is always left for others.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use caudal_domain::TenantId;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use crate::{EngineError, Job, JobReply, Settings};

pub(crate) type Answer = Result<JobReply, EngineError>;

/// A job and whoever waits for it.
pub(crate) struct Waiting {
    pub job: Job,
    pub reply: oneshot::Sender<Answer>,
    pub since: Instant,
}

/// Commands taken from one tenant before the next one's turn.
const TURN_COMMANDS: usize = 32;

pub(crate) struct Queue {
    lines: Mutex<Lines>,
    arrived: Notify,
    queue_commands: usize,
    batch_commands: usize,
    timeout: Duration,
}

#[derive(Default)]
struct Lines {
    by_tenant: HashMap<TenantId, Line>,
    /// Tenants with something waiting, in the order of their turns.
    turns: VecDeque<TenantId>,
    commands: usize,
    closed: bool,
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<Waiting>,
    commands: usize,
}

impl Queue {
    pub fn new(settings: &Settings) -> Self {
        Self {
            lines: Mutex::default(),
            arrived: Notify::new(),
            queue_commands: settings.queue_commands,
            batch_commands: settings.batch_commands,
            timeout: settings.queue_timeout,
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn depth(&self) -> (usize, usize) {
        (self.lines().commands, self.queue_commands)
    }

    /// Puts the job in line, or refuses at once.
    pub fn push(&self, job: Job) -> Result<oneshot::Receiver<Answer>, EngineError> {
        let size = job.commands.len();
        let (reply, answer) = oneshot::channel();
        let mut lines = self.lines();
        if lines.closed {
            return Err(EngineError::Unavailable("the engine is shutting down".into()));
        }
        let full = lines.commands + size > self.queue_commands && lines.commands > 0;
        let line = lines.by_tenant.get(&job.tenant).map_or(0, |line| line.commands);
        let greedy = line >= self.queue_commands / 4 && lines.commands >= self.queue_commands / 2;
        if full || greedy {
            return Err(EngineError::Overloaded);
        }
        let tenant = job.tenant;
        let line = lines.by_tenant.entry(tenant).or_default();
        let first = line.jobs.is_empty();
        line.commands += size;
        line.jobs.push_back(Waiting { job, reply, since: Instant::now() });
        lines.commands += size;
        if first {
            lines.turns.push_back(tenant);
        }
        drop(lines);
        self.arrived.notify_one();
        Ok(answer)
    }

    /// Waits until something is there and takes a batch of it; `None` once closed and empty.
    pub async fn take(&self) -> Option<Vec<Waiting>> {
        loop {
            let (batch, closed) = {
                let mut lines = self.lines();
                (lines.take(self.batch_commands), lines.closed)
            };
            let batch = self.drop_late(batch);
            match (batch.is_empty(), closed) {
                (false, _) => {
                    // Another lane may be idle while more is waiting.
                    self.arrived.notify_one();
                    return Some(batch);
                }
                (true, true) => {
                    self.arrived.notify_one();
                    return None;
                }
                (true, false) => self.arrived.notified().await,
            }
        }
    }

    /// Answers those who waited too long, and forgets those who went away.
    fn drop_late(&self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let now = Instant::now();
        let (mut kept, mut late) = (Vec::with_capacity(batch.len()), Vec::new());
        for waiting in batch {
            if waiting.reply.is_closed() {
                continue;
            }
            match now.duration_since(waiting.since) > self.timeout {
                true => late.push(waiting),
                false => kept.push(waiting),
            }
        }
        for waiting in late {
            // The receiver may have gone meanwhile; then nobody needs the answer.
            let _ = waiting.reply.send(Err(EngineError::Overloaded));
        }
        kept
    }

    pub fn close(&self) {
        self.lines().closed = true;
        self.arrived.notify_one();
    }
}

impl Lines {
    fn take(&mut self, limit: usize) -> Vec<Waiting> {
        let mut batch = Vec::new();
        let mut taken = 0;
        while taken < limit {
            let Some(tenant) = self.turns.pop_front() else { break };
            let Some(line) = self.by_tenant.get_mut(&tenant) else { continue };
            let before = taken;
            while let Some(next) = line.jobs.front() {
                let size = next.job.commands.len();
                let fits = taken + size <= limit || taken == 0;
                if !fits || (taken > before && taken - before + size > TURN_COMMANDS) {
                    break;
                }
                taken += size;
                line.commands -= size;
                batch.extend(line.jobs.pop_front());
            }
            let stuck = taken == before;
            match line.jobs.is_empty() {
                true => drop(self.by_tenant.remove(&tenant)),
                false if stuck => self.turns.push_front(tenant),
                false => self.turns.push_back(tenant),
            }
            if stuck {
                break;
            }
        }
        self.commands -= taken;
        batch
    }
}

#[cfg(test)]
mod tests {
    use caudal_domain::TransferId;
    use caudal_ledger::Movement;

    use super::*;
    use crate::Command;

    fn job(tenant: u128, commands: usize) -> Job {
        let command = Command::new(Movement::Void { transfer: TransferId(1) });
        Job {
            commands: vec![command; commands],
            ..Job::one(TenantId(tenant), Command::new(Movement::Void { transfer: TransferId(1) }))
        }
    }

    fn queue(commands: usize, batch: usize) -> Queue {
        Queue::new(&Settings {
            queue_commands: commands,
            batch_commands: batch,
            ..Settings::default()
        })
    }

    #[test]
    fn one_tenant_gets_half_of_an_empty_queue_and_a_quarter_of_a_contended_one() {
        let queue = queue(80, 512);
        let mut waiting = Vec::new();
        let mut push = |tenant| queue.push(job(tenant, 1)).map(|answer| waiting.push(answer));
        let alone = (0..100).take_while(|_| push(1).is_ok()).count();
        assert_eq!(alone, 40);
        let second = (0..100).take_while(|_| push(2).is_ok()).count();
        assert_eq!(second, 20);
        let third = (0..100).take_while(|_| push(3).is_ok()).count();
        assert_eq!(third, 20);
        assert_eq!(push(4), Err(EngineError::Overloaded), "the queue is full");
    }

    #[tokio::test]
    async fn a_batch_takes_from_each_tenant_in_turn() {
        let queue = queue(8192, 100);
        let mut answers = Vec::new();
        for _ in 0..1000 {
            answers.extend(queue.push(job(1, 1)));
        }
        answers.extend(queue.push(job(2, 1)));
        let batch = queue.take().await.expect("open");
        assert_eq!(batch.len(), 100);
        assert!(batch.iter().any(|w| w.job.tenant == TenantId(2)), "the small tenant waits");
    }

    #[tokio::test]
    async fn a_job_larger_than_a_batch_goes_alone_and_whole() {
        let queue = queue(8192, 100);
        let _small = queue.push(job(1, 1));
        let _large = queue.push(job(1, 1000));
        assert_eq!(queue.take().await.map(|b| b.len()), Some(1));
        let batch = queue.take().await.expect("open");
        assert_eq!(batch[0].job.commands.len(), 1000);
        assert_eq!(queue.depth().0, 0);
    }

    #[tokio::test]
    async fn a_closed_queue_is_drained_before_it_ends() {
        let queue = queue(8192, 100);
        let _answer = queue.push(job(1, 1));
        queue.close();
        assert!(queue.push(job(1, 1)).is_err());
        assert!(queue.take().await.is_some());
        assert!(queue.take().await.is_none());
    }
}
