//! A write that moves no money, as data: one commit of its steps, events and receipt.

use caudal_domain::{Event, Fingerprint, ReceiptKey, Timestamp, TransferId};

use crate::{Receipt, Value};

/// One statement, the same on both databases.
#[derive(Clone, Debug)]
pub struct Step {
    pub sql: &'static str,
    pub params: Vec<Value>,
    pub expect: Expect,
    /// See [`Step::with_transfer`].
    pub transfer_at: Option<usize>,
    /// The same of lists, a column each, for a batch that has many such steps.
    pub of_lists: Option<OfLists>,
}

/// A statement that does with lists what steps do one by one, in no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OfLists {
    pub sql: &'static str,
    /// A row may be left out, and is missed where steps have to touch one.
    pub may_miss: bool,
}

/// How many rows the statement must touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expect {
    Any,
    /// One row; else the unit is given up and says which step missed.
    One,
}

impl Step {
    pub fn new(sql: &'static str, params: Vec<Value>) -> Self {
        Self { sql, params, expect: Expect::Any, transfer_at: None, of_lists: None }
    }

    /// Adds a last parameter: the id of the transfer that the step's command makes. Only the engine
    /// knows it, and puts it there.
    pub fn with_transfer(mut self) -> Self {
        self.transfer_at = Some(self.params.len());
        self.params.push(Value::Null);
        self
    }

    /// The step of a command that made this transfer.
    pub fn of_transfer(&self, made: TransferId) -> Self {
        let mut step = self.clone();
        if let Some(place) = self.transfer_at.and_then(|place| step.params.get_mut(place)) {
            *place = made.0.into();
        }
        step
    }

    /// Always misses: a unit made of it tells what its receipt's key was told before, and writes
    /// nothing.
    pub fn never() -> Self {
        Self::one("update tenants set version = version where 1 = 0", Vec::new())
    }

    pub fn one(sql: &'static str, params: Vec<Value>) -> Self {
        Self { expect: Expect::One, ..Self::new(sql, params) }
    }

    /// `sql` inserts what this step does, of lists (`unnest`), and nothing that could leave a row
    /// out: its rows are new, or the statement fails.
    pub fn inserting_lists(mut self, sql: &'static str) -> Self {
        self.of_lists = Some(OfLists { sql, may_miss: false });
        self
    }

    /// `sql` updates rows of lists (`unnest`) as this step does one, looked up by their key alone:
    /// another condition that an index knows may lead the planner there while tables are empty.
    pub fn updating_lists(mut self, sql: &'static str) -> Self {
        self.of_lists = Some(OfLists { sql, may_miss: true });
        self
    }

    /// Whether it touches a row or none is the same to the caller.
    pub fn or_none(mut self) -> Self {
        self.expect = Expect::Any;
        self
    }
}

#[derive(Clone, Debug, Default)]
pub struct UnitOfWork {
    pub at: Timestamp,
    pub steps: Vec<Step>,
    pub events: Vec<Event>,
    /// Looked up first: a key met before gives the first answer and does nothing.
    pub receipt: Option<Receipt>,
}

impl UnitOfWork {
    /// Takes what the other writes and tells into this commit.
    pub fn join(&mut self, other: Self) {
        self.steps.extend(other.steps);
        self.events.extend(other.events);
    }

    pub(crate) fn key(&self) -> Option<(ReceiptKey, Fingerprint)> {
        self.receipt.as_ref().map(|r| (r.key, r.fingerprint))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitOutcome {
    Done,
    /// The key was met before; the caller compares the fingerprint.
    Replayed(Receipt),
    /// This step, or one of those behind it that insert alike, did not touch one row; nothing was
    /// written.
    Missed(usize),
}
