//! What waits, a line for each tenant: who is next, and which rows must be free for it.

use std::collections::{HashMap, HashSet, VecDeque};

use caudal_domain::TenantId;
use tokio::{sync::oneshot, time::Instant};

use crate::{EngineError, Job, JobReply};

pub(crate) type Answer = Result<JobReply, EngineError>;

/// A job and whoever waits for it.
pub(crate) struct Waiting {
    pub job: Job,
    pub ticket: Ticket,
}

/// A job's place in the queue.
pub(crate) struct Ticket {
    pub reply: oneshot::Sender<Answer>,
    /// How often its accounts were found held by another process.
    pub passed_over: u32,
    pub since: Instant,
    /// The rows it will lock.
    pub rows: Vec<u128>,
}

/// Commands taken from one tenant before the next one's turn.
const TURN_COMMANDS: usize = 32;
/// Jobs of one tenant that are passed over in a turn, at most: bounds the search for a free one.
const TURN_PASSES: usize = 512;

#[derive(Default)]
pub(crate) struct Lines {
    pub by_tenant: HashMap<TenantId, Line>,
    /// Tenants with something waiting, in the order of their turns.
    turns: VecDeque<TenantId>,
    pub commands: usize,
    /// Rows of the batches under way.
    pub busy: HashSet<u128>,
    /// Another process was met a moment ago.
    pub crowded_until: Option<Instant>,
    pub closed: bool,
}

#[derive(Default)]
pub(crate) struct Line {
    jobs: VecDeque<Waiting>,
    pub commands: usize,
}

impl Lines {
    fn is_free(&self, rows: &[u128]) -> bool {
        rows.iter().all(|row| !self.busy.contains(row))
    }

    /// The answer to come, and whether its rows are free.
    pub fn push(&mut self, job: Job) -> (oneshot::Receiver<Answer>, bool) {
        let (reply, answer) = oneshot::channel();
        let rows = job.rows();
        let is_free = self.is_free(&rows);
        self.commands += job.commands.len();
        let ticket = Ticket { reply, passed_over: 0, since: Instant::now(), rows };
        self.line(job.tenant, job.commands.len()).push_back(Waiting { job, ticket });
        (answer, is_free)
    }

    pub fn put_back(&mut self, waiting: Waiting) {
        self.commands += waiting.job.commands.len();
        self.line(waiting.job.tenant, waiting.job.commands.len()).push_front(waiting);
    }

    /// The tenant's line, which is to grow by so many commands.
    fn line(&mut self, tenant: TenantId, commands: usize) -> &mut VecDeque<Waiting> {
        let line = self.by_tenant.entry(tenant).or_default();
        if line.jobs.is_empty() {
            self.turns.push_back(tenant);
        }
        line.commands += commands;
        &mut line.jobs
    }

    /// Takes out what has waited since before then; each line has the oldest in front.
    pub fn late(&mut self, then: Instant) -> Vec<Waiting> {
        let mut late = Vec::new();
        for line in self.by_tenant.values_mut() {
            while line.jobs.front().is_some_and(|waiting| waiting.ticket.since < then)
                && let Some(waiting) = line.jobs.pop_front()
            {
                line.commands -= waiting.job.commands.len();
                self.commands -= waiting.job.commands.len();
                late.push(waiting);
            }
        }
        self.by_tenant.retain(|_, line| !line.jobs.is_empty());
        self.turns.retain(|tenant| self.by_tenant.contains_key(tenant));
        late
    }

    pub fn take(&mut self, limit: usize) -> Vec<Waiting> {
        let mut taking = Taking { limit, ..Taking::default() };
        let mut stuck = Vec::new();
        while taking.commands < limit {
            let Some(tenant) = self.turns.pop_front() else { break };
            let Some(line) = self.by_tenant.get_mut(&tenant) else { continue };
            let given = line.give(&mut taking, &self.busy);
            self.commands -= given;
            match line.jobs.is_empty() {
                true => drop(self.by_tenant.remove(&tenant)),
                false if given == 0 => stuck.push(tenant),
                false => self.turns.push_back(tenant),
            }
        }
        for tenant in stuck.into_iter().rev() {
            self.turns.push_front(tenant);
        }
        taking.jobs
    }
}

/// A batch being taken.
#[derive(Default)]
struct Taking {
    jobs: Vec<Waiting>,
    commands: usize,
    limit: usize,
    /// Rows of jobs that were passed over: what came later must not overtake them.
    reserved: HashSet<u128>,
}

impl Line {
    /// Gives the batch one turn's jobs and says how many commands these were.
    fn give(&mut self, taking: &mut Taking, busy: &HashSet<u128>) -> usize {
        let mut given = 0;
        let mut passed = Vec::new();
        while let Some(next) = self.jobs.front()
            && passed.len() < TURN_PASSES
        {
            let size = next.job.commands.len();
            let fits = taking.commands + size <= taking.limit || taking.commands == 0;
            if !fits || (given > 0 && given + size > TURN_COMMANDS) {
                break;
            }
            let Some(next) = self.jobs.pop_front() else { break };
            let waits = |row| busy.contains(row) || taking.reserved.contains(row);
            if next.ticket.rows.iter().any(waits) {
                taking.reserved.extend(&next.ticket.rows);
                passed.push(next);
                continue;
            }
            given += size;
            taking.commands += size;
            taking.jobs.push(next);
        }
        for job in passed.into_iter().rev() {
            self.jobs.push_front(job);
        }
        self.commands -= given;
        given
    }
}
