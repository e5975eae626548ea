//! What a batch locks, finds and writes: the words between the engine and a database.

use caudal_domain::{
    Account, AccountId, Bucket, Entry, Event, ReceiptKey, Timestamp, Transfer, TransferId,
};

use crate::{Receipt, Step};

/// A caller's own row that goes with a movement: a payment's state, a saga step.
#[derive(Clone, Debug)]
pub struct Attachment {
    pub row: AttachedRow,
    /// The row's `version` on which the caller decided; another one refuses the command.
    pub expected_version: i64,
    /// Writes the row (and its new version).
    pub write: Step,
}

/// A row with the columns `bucket`, `id` and `version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttachedRow {
    pub table: &'static str,
    pub bucket: Bucket,
    pub id: u128,
}

/// What to lock and read, each list sorted and without doubles.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    /// By (bucket, id).
    pub accounts: Vec<AccountId>,
    /// Locked right after the accounts.
    pub rows: Vec<AttachedRow>,
    /// Read after the locks.
    pub transfers: Vec<TransferId>,
    /// Read after the locks.
    pub receipts: Vec<ReceiptKey>,
    /// The clock when the batch was formed: chooses the generations of receipts.
    pub at: Timestamp,
    /// Pass over accounts that another writer holds, instead of waiting for them.
    pub pass_over: bool,
}

/// What was found under the locks. Rows that do not exist are left out.
#[derive(Debug, Default)]
pub struct Locked {
    pub accounts: Vec<Account>,
    pub rows: Vec<(AttachedRow, i64)>,
    pub transfers: Vec<Transfer>,
    pub receipts: Vec<Receipt>,
    /// Accounts that were passed over: they exist, and another writer holds them.
    pub passed: Vec<AccountId>,
}

/// What to write, all in the one commit.
#[derive(Debug, Default)]
pub struct Writes {
    /// New values of changed accounts, by (bucket, id).
    pub accounts: Vec<Account>,
    pub new_transfers: Vec<Transfer>,
    pub changed_transfers: Vec<Transfer>,
    pub entries: Vec<Entry>,
    pub receipts: Vec<Receipt>,
    pub events: Vec<Event>,
    /// Attachments' writes, and what else goes with accepted commands.
    pub steps: Vec<Step>,
    /// The batch's time, as the ledger set it.
    pub at: Timestamp,
}

impl Writes {
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
            && self.new_transfers.is_empty()
            && self.changed_transfers.is_empty()
            && self.receipts.is_empty()
            && self.events.is_empty()
            && self.steps.is_empty()
    }
}

/// The engine's decision between reading and writing. May be called again with fresh data.
pub type Decide = Box<dyn FnMut(Locked) -> Writes + Send>;
