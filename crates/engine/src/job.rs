//! What callers hand in and get back.

use std::{fmt, sync::Arc};

use caudal_domain::{
    Account, AccountId, Bucket, Fingerprint, ReceiptKey, Refusal, TenantId, Transfer, TransferId,
};
use caudal_ledger::Movement;
use caudal_store::{Attachment, Position, Step};

/// One movement, with what belongs to it.
#[derive(Clone, Debug)]
pub struct Command {
    /// `None` moves no money: only what goes with it is written.
    pub movement: Option<Movement>,
    /// Accounts to lock besides those that the movement names: the legs of the transfer that is
    /// captured, voided or given back. Legs never change, so the caller can read them beforehand.
    pub accounts: Vec<AccountId>,
    pub receipt: Option<ReceiptOf>,
    pub attachments: Vec<Attachment>,
    /// Written in the same commit if the command is accepted, and only then: its audit.
    pub steps: Vec<Step>,
    /// Told instead of what the ledger would tell.
    pub telling: Option<Telling>,
    /// What is done where the payer has too little. The command is refused all the same.
    pub otherwise: Option<Otherwise>,
    /// Kept with the receipt and given back with it: of an account's change beside the account,
    /// else alone ([`Given::Kept`]).
    pub context: Option<String>,
}

impl Command {
    pub fn new(movement: Movement) -> Self {
        Self { movement: Some(movement), ..Self::writing() }
    }

    /// Moves nothing; to be filled.
    pub fn writing() -> Self {
        Self {
            movement: None,
            accounts: Vec::new(),
            receipt: None,
            attachments: Vec::new(),
            steps: Vec::new(),
            telling: None,
            otherwise: None,
            context: None,
        }
    }
}

/// An event in a caller's own words. The movement's entries are added to them, with the id of its
/// transfer, so that balances can be told from events whoever tells them.
#[derive(Clone, Debug)]
pub struct Telling {
    pub kind: &'static str,
    /// What it is about, as an id in text, and that thing's bucket.
    pub subject: String,
    pub bucket: Bucket,
    /// A JSON object with a member at least, of ids and amounts; not `transfer_id`, not `entries`.
    pub data: String,
}

/// What is made where a command is refused for want of money: rarely, and only then.
#[derive(Clone)]
pub struct Otherwise(Arc<dyn Fn() -> Instead + Send + Sync>);

/// Rows and an event in the place of a command's own.
#[derive(Clone, Debug)]
pub struct Instead {
    pub steps: Vec<Step>,
    pub telling: Telling,
}

impl Otherwise {
    pub fn new(make: impl Fn() -> Instead + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// The same, with further rows.
    pub fn with(self, steps: Vec<Step>) -> Self {
        Self::new(move || {
            let mut instead = self.make();
            instead.steps.extend_from_slice(&steps);
            instead
        })
    }

    pub(crate) fn make(&self) -> Instead {
        (self.0)()
    }
}

impl fmt::Debug for Otherwise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Otherwise")
    }
}

/// Under which key the answer is kept, and for which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptOf {
    pub key: ReceiptKey,
    pub fingerprint: Fingerprint,
}

/// Commands of one tenant with one reply, in the same commit.
#[derive(Clone, Debug)]
pub struct Job {
    pub tenant: TenantId,
    pub commands: Vec<Command>,
    /// The first refusal undoes all of them.
    pub atomic: bool,
    /// Decides and writes nothing.
    pub dry_run: bool,
    /// A receipt for the job as a whole, besides those of its commands.
    pub receipt: Option<ReceiptOf>,
}

impl Job {
    /// A job of one command.
    pub fn one(tenant: TenantId, command: Command) -> Self {
        Self { tenant, commands: vec![command], atomic: false, dry_run: false, receipt: None }
    }

    /// Whether its commands may be committed apart: nothing but the reply joins them.
    pub(crate) fn is_separable(&self) -> bool {
        self.is_loose() && self.receipt.is_none()
    }

    /// Whether its commands may be committed apart though it has a key of its own: each has one,
    /// too, that tells what became of it.
    pub(crate) fn can_go_apart(&self) -> bool {
        self.is_loose() && self.commands.iter().all(|command| command.receipt.is_some())
    }

    /// Several commands that need not stand or fall together.
    fn is_loose(&self) -> bool {
        self.commands.len() > 1 && !self.atomic && !self.dry_run
    }

    /// The rows it will lock: accounts, and what belongs to the callers.
    pub(crate) fn rows(&self) -> Vec<u128> {
        let mut rows = Vec::with_capacity(2 * self.commands.len());
        for command in &self.commands {
            let named = command.movement.iter().flat_map(Movement::accounts);
            rows.extend(named.map(|account| account.0));
            rows.extend(command.accounts.iter().map(|account| account.0));
            rows.extend(command.attachments.iter().map(|attachment| attachment.row.id));
        }
        rows
    }

    /// The key whose duplicates wait for this job, if there is just one.
    pub(crate) fn sole_key(&self) -> Option<ReceiptKey> {
        match (&self.receipt, self.commands.as_slice()) {
            (Some(receipt), _) => Some(receipt.key),
            (None, [command]) => command.receipt.map(|receipt| receipt.key),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct JobReply {
    /// One for each command, in order; empty when `refused_at` is set.
    pub replies: Vec<Reply>,
    /// An all-or-none job was refused for this command.
    pub refused_at: Option<(usize, Refusal)>,
    /// The whole job was answered from its receipt.
    pub replayed: bool,
    /// How far the event streams had come with this commit.
    pub position: Position,
}

impl JobReply {
    pub(crate) fn empty() -> Self {
        Self { replies: vec![], refused_at: None, replayed: false, position: vec![] }
    }

    /// The part of a batch's position that concerns this job: its events' streams.
    pub(crate) fn own(&self, job: &Job, position: &Position) -> Position {
        let told = |(reply, command): (&Reply, &Command)| match (&reply.given, &command.telling) {
            (Given::Transfer(_) | Given::Done, Some(telling)) => Some(telling.bucket),
            (given, _) => given.bucket(),
        };
        let buckets = self.replies.iter().zip(&job.commands).filter_map(told);
        let streams = buckets.fold(0u16, |streams, bucket| streams | 1 << bucket.stream());
        position.iter().filter(|(stream, _)| streams & (1 << stream) != 0).copied().collect()
    }

    /// Adds what another part of the same request was told.
    pub(crate) fn join(&mut self, part: JobReply) {
        self.replies.extend(part.replies);
        for (stream, seq) in part.position {
            match self.position.iter_mut().find(|(known, _)| *known == stream) {
                Some((_, last)) => *last = seq.max(*last),
                None => self.position.push((stream, seq)),
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct Reply {
    /// Answered from a receipt: nothing was done now.
    pub replayed: bool,
    pub given: Given,
}

#[derive(Clone, Debug)]
pub enum Given {
    Transfer(Box<Transfer>),
    /// A creation from its receipt: read the transfer and show it as it was created.
    Created(TransferId),
    Account {
        account: Account,
        context: Option<String>,
    },
    /// Written, and no money moved.
    Done,
    /// What was kept with the receipt of a command that was accepted, or done otherwise.
    Kept(String),
    Refused(Refusal),
}

impl Given {
    /// Where the event of an accepted command is.
    fn bucket(&self) -> Option<Bucket> {
        match self {
            Self::Transfer(transfer) => Some(transfer.id.bucket()),
            Self::Created(id) => Some(id.bucket()),
            Self::Account { account, .. } => Some(account.id.bucket()),
            Self::Done | Self::Kept(_) | Self::Refused(_) => None,
        }
    }
}

/// Faults: nothing was written, but for [`EngineError::Unknown`]. All may be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("too many requests are waiting")]
    Overloaded,
    #[error("the first request with this key is still being answered")]
    InFlight,
    #[error("{0}")]
    Unavailable(String),
    /// Whether it was written is not known; the same key will tell.
    #[error("{0}")]
    Unknown(String),
}
