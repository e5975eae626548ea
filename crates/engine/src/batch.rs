//! One batch: which rows it locks, what the ledger decides on them, what is written.

use std::collections::{HashMap, HashSet};

use caudal_domain::{AccountId, Fingerprint, IdSource, ReceiptKey, Refusal, Timestamp, TransferId};
use caudal_ledger::{Book, Movement, Outcome};
use caudal_store::{Answer, AttachedRow, Locked, Locks, Receipt, Writes};

use crate::{Command, Given, Instead, Job, JobReply, Otherwise, Reply, events, job::ReceiptOf};

/// What the jobs need locked and read, sorted in the one locking order.
pub(crate) fn locks(jobs: &[Job], at: Timestamp) -> Locks {
    let mut locks = Locks { at, ..Locks::default() };
    for job in jobs {
        locks.receipts.extend(job.receipt.map(|receipt| receipt.key));
        for command in &job.commands {
            add_locks(&mut locks, command);
        }
    }
    locks.accounts.sort_unstable_by_key(|id| (id.bucket(), *id));
    locks.accounts.dedup();
    locks.rows.sort_unstable();
    locks.rows.dedup();
    locks.transfers.sort_unstable_by_key(|id| (id.bucket(), *id));
    locks.transfers.dedup();
    locks.receipts.sort_unstable_by_key(|key| (key.bucket(), *key));
    locks.receipts.dedup();
    locks
}

fn add_locks(locks: &mut Locks, command: &Command) {
    locks.accounts.extend(command.movement.iter().flat_map(Movement::accounts));
    locks.transfers.extend(command.movement.iter().flat_map(Movement::transfers));
    locks.accounts.extend_from_slice(&command.accounts);
    locks.rows.extend(command.attachments.iter().map(|attachment| attachment.row));
    locks.receipts.extend(command.receipt.map(|receipt| receipt.key));
}

/// Decides all jobs on what was found under the locks. `None`: one of its accounts was passed over,
/// or is one of a job before it that was: none overtakes another on the way to an account.
pub(crate) fn decide(
    jobs: &[Job],
    locked: Locked,
    clock: Timestamp,
    ids: &mut dyn IdSource,
) -> (Vec<Option<JobReply>>, Writes) {
    let mut decision = Decision {
        book: Book::new(locked.accounts, locked.transfers, clock),
        receipts: locked
            .receipts
            .into_iter()
            .map(|receipt| (receipt.key, (receipt.fingerprint, receipt.answer)))
            .collect(),
        rows: locked.rows.into_iter().collect(),
        made: Made::default(),
        ids,
    };
    let mut passed: HashSet<u128> = locked.passed.iter().map(|account| account.0).collect();
    let mut replies = Vec::with_capacity(jobs.len());
    for job in jobs {
        if !passed.is_empty() && job.rows().iter().any(|row| passed.contains(row)) {
            passed.extend(job.rows());
            replies.push(None);
            continue;
        }
        replies.push(Some(decision.job(job)));
    }
    (replies, decision.writes())
}

struct Decision<'a> {
    book: Book,
    receipts: HashMap<ReceiptKey, (Fingerprint, Answer)>,
    rows: HashMap<AttachedRow, i64>,
    made: Made,
    ids: &'a mut dyn IdSource,
}

/// What was written so far, in order; what an undone job wrote is cut off again.
#[derive(Default)]
struct Made {
    accounts: Vec<AccountId>,
    transfers: Vec<(TransferId, bool)>,
    receipts: Vec<ReceiptKey>,
    writes: Writes,
    /// Rows whose attachment was written in this batch: a later one is stale.
    rows: Vec<AttachedRow>,
}

#[derive(Clone, Copy)]
struct Mark {
    lengths: [usize; 7],
}

impl Made {
    fn mark(&self) -> Mark {
        Mark {
            lengths: [
                self.accounts.len(),
                self.transfers.len(),
                self.receipts.len(),
                self.writes.entries.len(),
                self.writes.events.len(),
                self.writes.steps.len(),
                self.rows.len(),
            ],
        }
    }

    /// Cuts back to the mark; the keys whose receipts went are returned.
    fn cut(&mut self, mark: Mark) -> Vec<ReceiptKey> {
        let [accounts, transfers, receipts, entries, events, steps, rows] = mark.lengths;
        self.accounts.truncate(accounts);
        self.transfers.truncate(transfers);
        self.writes.entries.truncate(entries);
        self.writes.events.truncate(events);
        self.writes.steps.truncate(steps);
        self.rows.truncate(rows);
        self.receipts.split_off(receipts)
    }
}

impl Decision<'_> {
    fn job(&mut self, job: &Job) -> JobReply {
        if let Some(reply) = self.replay_job(job) {
            return reply;
        }
        let undoable = job.atomic || job.dry_run;
        let mark = self.made.mark();
        if undoable {
            self.book.savepoint();
        }
        let mut replies = Vec::with_capacity(job.commands.len());
        let mut refused_at = None;
        for (index, command) in job.commands.iter().enumerate() {
            let reply = self.command(job, command);
            if let (true, Given::Refused(refusal)) = (job.atomic, &reply.given) {
                refused_at = Some((index, refusal.clone()));
                break;
            }
            replies.push(reply);
        }
        if job.dry_run || refused_at.is_some() {
            self.undo(mark);
        }
        self.book.keep();
        if refused_at.is_some() {
            replies.clear();
        }
        let reply = JobReply { replies, refused_at, replayed: false, position: Vec::new() };
        // What is stale is decided again by the caller, under the same key.
        let is_stale = matches!(reply.refused_at, Some((_, Refusal::Conflict)));
        if let (Some(receipt), false) = (job.receipt, job.dry_run || is_stale) {
            self.keep_receipt(receipt, answer_of_job(job, &reply));
        }
        reply
    }

    fn undo(&mut self, mark: Mark) {
        self.book.undo();
        for key in self.made.cut(mark) {
            self.receipts.remove(&key);
        }
    }

    fn replay_job(&mut self, job: &Job) -> Option<JobReply> {
        let receipt = job.receipt?;
        let (fingerprint, answer) = self.receipts.get(&receipt.key)?;
        let is_same = *fingerprint == receipt.fingerprint;
        // Its commands were decided one by one: what became of each is kept with its own key.
        if is_same && matches!(answer, Answer::Group(items) if items.is_empty()) {
            let replies = job.commands.iter().map(|command| self.command(job, command)).collect();
            return Some(JobReply { replies, replayed: true, ..JobReply::empty() });
        }
        let mut reply =
            JobReply { replies: vec![], refused_at: None, replayed: true, position: vec![] };
        match answer {
            _ if !is_same => {
                reply.replayed = false;
                reply.refused_at = Some((0, Refusal::IdempotencyMismatch));
            }
            Answer::RefusedAt { index, refusal } => {
                reply.refused_at = Some((*index, refusal.clone()));
            }
            Answer::Group(items) => reply.replies = items.iter().map(replay).collect(),
            other => reply.replies = vec![replay(other)],
        }
        Some(reply)
    }

    fn command(&mut self, job: &Job, command: &Command) -> Reply {
        if let Some(receipt) = command.receipt
            && let Some((fingerprint, answer)) = self.receipts.get(&receipt.key)
        {
            return match *fingerprint == receipt.fingerprint {
                true => replay(answer),
                false => fresh(Given::Refused(Refusal::IdempotencyMismatch)),
            };
        }
        let given = match self.accept(job, command) {
            Ok(given) => given,
            Err(refusal) => Given::Refused(refusal),
        };
        let instead = command.otherwise.as_ref().filter(|_| is_want_of_money(&given));
        if let Some(Instead { steps, telling }) = instead.map(Otherwise::make) {
            self.made.writes.events.push(events::told(job.tenant, &telling, &self.book, self.ids));
            self.made.writes.steps.extend(steps);
            // These write the rows that the command would have written.
            self.made.rows.extend(command.attachments.iter().map(|attachment| attachment.row));
        }
        // A stale attachment is decided again by the caller, under the same key.
        if let (Some(receipt), false) =
            (command.receipt, matches!(given, Given::Refused(Refusal::Conflict)))
        {
            let answer = match (&given, instead) {
                (Given::Refused(_), None) => answer_of(&given, command),
                _ => kept(command).unwrap_or_else(|| answer_of(&given, command)),
            };
            self.keep_receipt(receipt, answer);
        }
        fresh(given)
    }

    fn accept(&mut self, job: &Job, command: &Command) -> Result<Given, Refusal> {
        for attachment in &command.attachments {
            let version = self.rows.get(&attachment.row);
            let stale = version != Some(&attachment.expected_version);
            if stale || self.made.rows.contains(&attachment.row) {
                return Err(Refusal::Conflict);
            }
        }
        let outcome = match &command.movement {
            Some(movement) => Some(self.book.decide(job.tenant, movement, self.ids)?),
            None => None,
        };
        let event = match (&command.movement, &outcome, &command.telling) {
            (_, Some(Outcome::Posting(posting)), Some(telling)) => {
                Some(events::told_of(telling, posting, self.ids))
            }
            (_, _, Some(telling)) => Some(events::told(job.tenant, telling, &self.book, self.ids)),
            (Some(movement), Some(outcome), None) => Some(events::of(movement, outcome, self.ids)),
            _ => None,
        };
        self.made.writes.events.extend(event);
        if let Some(outcome) = &outcome {
            self.note(outcome);
        }
        self.write_steps(command, outcome.as_ref());
        Ok(outcome.map_or(Given::Done, |outcome| given_of(outcome, command)))
    }

    /// What the movement changed.
    fn note(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Posting(posting) => {
                let transfer = (posting.transfer.id, posting.created);
                self.made.transfers.push(transfer);
                self.made.transfers.extend(posting.others().map(|other| (other.id, false)));
                self.made.accounts.extend(posting.entries.iter().map(|entry| entry.account));
                self.made.writes.entries.extend_from_slice(&posting.entries);
            }
            Outcome::Account(account) => self.made.accounts.push(account.id),
        }
    }

    fn write_steps(&mut self, command: &Command, outcome: Option<&Outcome>) {
        self.made.rows.extend(command.attachments.iter().map(|attachment| attachment.row));
        let writes = command.attachments.iter().map(|attachment| &attachment.write);
        let steps = writes.chain(&command.steps).map(|step| match outcome {
            Some(Outcome::Posting(posting)) => step.of_transfer(posting.transfer.id),
            Some(Outcome::Account(_)) | None => step.clone(),
        });
        self.made.writes.steps.extend(steps);
    }

    fn keep_receipt(&mut self, receipt: ReceiptOf, answer: Answer) {
        self.receipts.insert(receipt.key, (receipt.fingerprint, answer));
        self.made.receipts.push(receipt.key);
    }

    /// The final state of everything that was touched.
    fn writes(self) -> Writes {
        let Self { book, mut receipts, made, .. } = self;
        let mut writes = made.writes;
        writes.at = book.now();
        let mut accounts = made.accounts;
        accounts.sort_unstable_by_key(|id| (id.bucket(), *id));
        accounts.dedup();
        writes.accounts = accounts.iter().filter_map(|id| book.account(*id).copied()).collect();

        let created: HashSet<TransferId> =
            made.transfers.iter().filter(|(_, new)| *new).map(|(id, _)| *id).collect();
        let mut seen = HashSet::with_capacity(made.transfers.len());
        for (id, _) in made.transfers {
            if let (true, Some(transfer)) = (seen.insert(id), book.transfer(id).cloned()) {
                match created.contains(&id) {
                    true => writes.new_transfers.push(transfer),
                    false => writes.changed_transfers.push(transfer),
                }
            }
        }
        let mut keys = made.receipts;
        keys.sort_unstable_by_key(|key| (key.bucket(), *key));
        writes.receipts = keys
            .into_iter()
            .filter_map(|key| {
                let (fingerprint, answer) = receipts.remove(&key)?;
                Some(Receipt { key, fingerprint, answer })
            })
            .collect();
        writes
    }
}

fn fresh(given: Given) -> Reply {
    Reply { replayed: false, given }
}

fn given_of(outcome: Outcome, command: &Command) -> Given {
    match outcome {
        Outcome::Posting(posting) => Given::Transfer(Box::new(posting.transfer)),
        Outcome::Account(account) => Given::Account { account, context: command.context.clone() },
    }
}

fn is_want_of_money(given: &Given) -> bool {
    matches!(given, Given::Refused(Refusal::InsufficientFunds { .. }))
}

/// What the caller wants kept instead of the answer.
fn kept(command: &Command) -> Option<Answer> {
    let is_of_account =
        matches!(command.movement, Some(Movement::SetStatus { .. } | Movement::SetFloor { .. }));
    command.context.clone().filter(|_| !is_of_account).map(Answer::Said)
}

/// The shortest answer from which the same can be said again.
fn answer_of(given: &Given, command: &Command) -> Answer {
    match given {
        Given::Transfer(transfer) => match command.movement {
            Some(Movement::Post(_) | Movement::Reverse { .. } | Movement::Return(_)) => {
                Answer::Created(transfer.id)
            }
            _ => Answer::Changed(transfer.clone()),
        },
        Given::Done => Answer::Said(String::new()),
        Given::Kept(text) => Answer::Said(text.clone()),
        Given::Created(id) => Answer::Created(*id),
        Given::Account { account, context } => {
            Answer::Account { account: *account, context: context.clone() }
        }
        Given::Refused(refusal) => Answer::Refused(refusal.clone()),
    }
}

/// Groups hold creations only, so each item is an id or a refusal; or the caller has said on the
/// first of them what is to be kept.
fn answer_of_job(job: &Job, reply: &JobReply) -> Answer {
    if let Some((index, refusal)) = &reply.refused_at {
        return Answer::RefusedAt { index: *index, refusal: refusal.clone() };
    }
    if let Some(kept) = job.commands.first().and_then(kept) {
        return kept;
    }
    let items = reply.replies.iter().zip(&job.commands);
    Answer::Group(items.map(|(reply, command)| answer_of(&reply.given, command)).collect())
}

fn replay(answer: &Answer) -> Reply {
    let given = match answer {
        Answer::Created(id) => Given::Created(*id),
        Answer::Changed(transfer) => Given::Transfer(transfer.clone()),
        Answer::Account { account, context } => {
            Given::Account { account: *account, context: context.clone() }
        }
        Answer::Refused(refusal) | Answer::RefusedAt { refusal, .. } => {
            Given::Refused(refusal.clone())
        }
        // The fingerprint holds the path, so an answer of another kind can't be met.
        Answer::Group(_) => Given::Refused(Refusal::IdempotencyMismatch),
        Answer::Said(text) => Given::Kept(text.clone()),
    };
    Reply { replayed: true, given }
}
