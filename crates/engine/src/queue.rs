//! The bounded queue: fair between tenants, and full at once instead of slow for all.
//!
//! Each tenant has a line of its own; a batch takes a little from each in turn. Once the queue is
//! half full, a tenant with a quarter of it gets no more in, so half is always left for others.
//!
//! A batch takes only jobs whose rows no other batch of this process holds: two lanes would else
//! wait for each other's locks, batch after batch. What has to wait keeps its place, and nothing
//! behind it that shares a row with it goes first.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use caudal_domain::TenantId;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    EngineError, Job, Settings,
    lines::{Answer, Lines, Waiting},
};

/// What one lane took; its rows are free again when this is dropped.
pub(crate) struct Batch {
    pub jobs: Vec<Waiting>,
    rows: Vec<u128>,
    queue: Arc<Queue>,
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.queue.release(&self.rows);
    }
}

/// How long a meeting with another process is remembered.
const CROWDED_FOR: Duration = Duration::from_millis(500);
/// How often is looked for those who wait too long.
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub(crate) struct Queue {
    lines: Mutex<Lines>,
    arrived: Notify,
    queue_commands: usize,
    batch_commands: usize,
    timeout: Duration,
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
        let mut lines = self.lines();
        self.admit(&lines, job.tenant, size)?;
        let (answer, is_free) = lines.push(job);
        drop(lines);
        // Else the lane that holds its rows will come for it.
        if is_free {
            self.arrived.notify_one();
        }
        Ok(answer)
    }

    /// Puts one tenant's jobs in line together, or refuses all of them at once.
    pub fn push_all(&self, jobs: Vec<Job>) -> Result<Vec<oneshot::Receiver<Answer>>, EngineError> {
        let Some(first) = jobs.first() else { return Ok(Vec::new()) };
        let mut lines = self.lines();
        self.admit(&lines, first.tenant, jobs.len())?;
        let answers = jobs.into_iter().map(|job| lines.push(job).0).collect();
        drop(lines);
        self.arrived.notify_one();
        Ok(answers)
    }

    /// Whether there is room for so many commands more.
    fn admit(&self, lines: &Lines, tenant: TenantId, size: usize) -> Result<(), EngineError> {
        if lines.closed {
            return Err(EngineError::Unavailable("the engine is shutting down".into()));
        }
        let full = lines.commands + size > self.queue_commands && lines.commands > 0;
        let line = lines.by_tenant.get(&tenant).map_or(0, |line| line.commands);
        let greedy = line > 0
            && line + size > self.queue_commands / 4
            && lines.commands >= self.queue_commands / 2;
        if full || greedy {
            return Err(EngineError::Overloaded);
        }
        Ok(())
    }

    /// While another process works on the same accounts, one lane is enough: more of them would
    /// only hold each other's rows and stream heads up.
    fn crowded_until(&self) -> Option<Instant> {
        let lines = self.lines();
        lines.crowded_until.filter(|until| !lines.closed && *until > Instant::now())
    }

    /// Another process was met.
    pub fn crowd(&self) {
        self.lines().crowded_until = Some(Instant::now() + CROWDED_FOR);
    }

    /// Puts jobs that were passed over back where they came from, before what came after them.
    pub fn put_back(&self, jobs: Vec<Waiting>) {
        let mut lines = self.lines();
        for waiting in jobs.into_iter().rev() {
            lines.put_back(waiting);
        }
    }

    /// Waits until something can be done and takes a batch of it; `None` once closed and empty.
    pub async fn take(self: &Arc<Self>, lane: usize) -> Option<Batch> {
        loop {
            if let (Some(until), true) = (self.crowded_until(), lane > 0) {
                // What woke this lane is for one that works.
                self.arrived.notify_one();
                sleep_until(until).await;
            }
            if let Some(batch) = self.take_now() {
                return Some(batch);
            }
            if self.is_done() {
                self.arrived.notify_one();
                return None;
            }
            self.arrived.notified().await;
        }
    }

    /// A batch of what can be done at once, if there is anything.
    pub fn take_now(self: &Arc<Self>) -> Option<Batch> {
        let mut lines = self.lines();
        let mut jobs = lines.take(self.batch_commands);
        // Whoever went away while waiting will ask again with the same key.
        let is_there = |waiting: &Waiting| !waiting.ticket.reply.is_closed();
        while !jobs.is_empty() && !jobs.iter().any(is_there) {
            jobs = lines.take(self.batch_commands);
        }
        jobs.retain(is_there);
        let rows: Vec<u128> =
            jobs.iter().flat_map(|waiting| &waiting.ticket.rows).copied().collect();
        lines.busy.extend(&rows);
        drop(lines);
        if jobs.is_empty() {
            return None;
        }
        // Another lane may be idle while more is waiting.
        self.arrived.notify_one();
        Some(Batch { jobs, rows, queue: self.clone() })
    }

    /// Waits until there is something to do, free or not; `false` once closed and empty.
    pub async fn wait(&self) -> bool {
        while self.lines().commands == 0 {
            if self.is_done() {
                return false;
            }
            self.arrived.notified().await;
        }
        true
    }

    fn is_done(&self) -> bool {
        let lines = self.lines();
        lines.closed && lines.commands == 0
    }

    fn release(&self, rows: &[u128]) {
        let mut lines = self.lines();
        for row in rows {
            lines.busy.remove(row);
        }
        drop(lines);
        self.arrived.notify_one();
    }

    /// Answers those who wait too long, until the queue is closed and empty: also while no lane
    /// comes for them, each being busy with a commit whose answer was lost.
    pub async fn answer_late(&self) {
        while !self.is_done() {
            sleep(LOOK_EVERY).await;
            let late = Instant::now().checked_sub(self.timeout).map(|then| self.lines().late(then));
            for waiting in late.unwrap_or_default() {
                // The receiver may have gone meanwhile; then nobody needs the answer.
                let _ = waiting.ticket.reply.send(Err(EngineError::Overloaded));
            }
        }
    }

    pub fn close(&self) {
        self.lines().closed = true;
        self.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use caudal_domain::{AccountId, TransferId};
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

    fn queue(commands: usize, batch: usize) -> Arc<Queue> {
        Arc::new(Queue::new(&Settings {
            queue_commands: commands,
            batch_commands: batch,
            ..Settings::default()
        }))
    }

    /// A job that locks these rows.
    fn holding(rows: &[u128]) -> Job {
        let mut job = job(1, 1);
        job.commands[0].accounts = rows.iter().map(|row| AccountId(*row)).collect();
        job
    }

    /// What the jobs of a batch lock.
    fn rows_of(batch: &Batch) -> Vec<Vec<u128>> {
        let accounts = |waiting: &Waiting| {
            waiting.job.commands[0].accounts.iter().map(|account| account.0).collect()
        };
        batch.jobs.iter().map(accounts).collect()
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
        let batch = queue.take(0).await.expect("open");
        assert_eq!(batch.jobs.len(), 100);
        assert!(batch.jobs.iter().any(|w| w.job.tenant == TenantId(2)), "the small tenant waits");
    }

    #[tokio::test]
    async fn a_job_larger_than_a_batch_goes_alone_and_whole() {
        let queue = queue(8192, 100);
        let _small = queue.push(job(1, 1));
        let _large = queue.push(job(1, 1000));
        assert_eq!(queue.take(0).await.map(|batch| batch.jobs.len()), Some(1));
        let batch = queue.take(0).await.expect("open");
        assert_eq!(batch.jobs[0].job.commands.len(), 1000);
        assert_eq!(queue.depth().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_though_no_lane_comes() {
        let queue = queue(8192, 100);
        let [first, _other] = [1, 2].map(|tenant| queue.push(job(tenant, 1)).expect("room"));
        let answering = tokio::spawn({
            let queue = queue.clone();
            async move { queue.answer_late().await }
        });
        sleep(Duration::from_secs(4)).await;
        let mut second = queue.push(job(1, 3)).expect("room");
        let told = first.await.expect("an answer");
        assert!(matches!(told, Err(EngineError::Overloaded)), "{told:?}");
        assert!(second.try_recv().is_err(), "it came later");
        assert_eq!(queue.depth().0, 3);
        let batch = queue.take_now().expect("the second");
        assert_eq!(batch.jobs[0].job.commands.len(), 3);
        queue.close();
        answering.await.expect("ends with the queue");
    }

    #[tokio::test]
    async fn who_went_away_leaves_nobody_waiting() {
        let queue = queue(8192, 100);
        for _ in 0..350 {
            drop(queue.push(job(1, 1)));
        }
        let _answer = queue.push(job(1, 1));
        assert_eq!(queue.take_now().map(|batch| batch.jobs.len()), Some(1));
        assert!(queue.take_now().is_none());
    }

    #[tokio::test]
    async fn a_closed_queue_is_drained_before_it_ends() {
        let queue = queue(8192, 100);
        let _answer = queue.push(job(1, 1));
        queue.close();
        assert!(queue.push(job(1, 1)).is_err());
        assert!(queue.take(0).await.is_some());
        assert!(queue.take(0).await.is_none());
    }

    #[tokio::test]
    async fn a_batch_leaves_what_another_holds_and_what_would_overtake() {
        let queue = queue(8192, 100);
        let mut answers = vec![queue.push(holding(&[1, 2]))];
        let first = queue.take(0).await.expect("open");
        answers.extend([&[2, 3], &[3, 4], &[5, 6]].map(|rows| queue.push(holding(rows))));
        let second = queue.take(0).await.expect("open");
        // 3 is free, but whoever wants 2 and 3 was there before.
        assert_eq!(rows_of(&second), [vec![5, 6]]);
        drop(first);
        assert_eq!(rows_of(&queue.take(0).await.expect("open")), [vec![2, 3], vec![3, 4]]);
    }

    #[tokio::test]
    async fn a_lane_with_nothing_free_wakes_when_the_other_is_done() {
        let queue = queue(8192, 100);
        let _first = queue.push(holding(&[1]));
        let batch = queue.take(0).await.expect("open");
        let _second = queue.push(holding(&[1]));
        let idle = tokio::spawn({
            let queue = queue.clone();
            async move { queue.take(0).await.map(|batch| batch.jobs.len()) }
        });
        tokio::task::yield_now().await;
        assert!(!idle.is_finished());
        drop(batch);
        assert_eq!(idle.await.expect("no panic"), Some(1));
    }
}
