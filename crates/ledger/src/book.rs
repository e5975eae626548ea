//! The accounts and transfers a batch has locked, and the decisions made on them so far.

use std::collections::HashMap;

use caudal_domain::{
    Account, AccountId, Bucket, Entry, IdSource, Refusal, TenantId, Timestamp, Transfer, TransferId,
};

use crate::{
    draft::Draft,
    movements::{Movement, Return, available, capture, control, post, release, reverse},
};

/// What one accepted movement wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are postings: a box for each costs more")]
pub enum Outcome {
    Posting(Posting),
    /// The account's status or floor changed; no money moved.
    Account(Account),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// As it stands after the movement.
    pub transfer: Transfer,
    /// The transfer is new; else it was there and changed.
    pub created: bool,
    /// The transfer that a reversal gives back, as it stands now.
    pub original: Option<Transfer>,
    /// What can be given back again of the transfer that `original` had given back.
    pub restored: Option<Transfer>,
    /// In the order in which they number their accounts.
    pub entries: Vec<Entry>,
}

impl Posting {
    /// Of a transfer that was there.
    pub(crate) fn of(transfer: Transfer, entries: Vec<Entry>) -> Self {
        Self { transfer, created: false, original: None, restored: None, entries }
    }

    /// The transfers that changed besides the one posted.
    pub fn others(&self) -> impl Iterator<Item = &Transfer> {
        self.original.iter().chain(&self.restored)
    }
}

#[derive(Default)]
pub struct Book {
    accounts: HashMap<AccountId, Account>,
    transfers: HashMap<TransferId, Transfer>,
    now: Timestamp,
    /// First state of whatever changed since the open savepoint.
    undo: Option<Savepoint>,
}

/// What to put back when an all-or-none group is refused half way.
#[derive(Default)]
struct Savepoint {
    accounts: HashMap<AccountId, Account>,
    transfers: HashMap<TransferId, Option<Transfer>>,
}

impl Book {
    /// The batch's time is the clock's, but never below the last entry of a locked account.
    pub fn new(accounts: Vec<Account>, transfers: Vec<Transfer>, clock: Timestamp) -> Self {
        let now = accounts.iter().map(|a| a.updated_at).fold(clock, Timestamp::max);
        Self {
            accounts: accounts.into_iter().map(|a| (a.id, a)).collect(),
            transfers: transfers.into_iter().map(|t| (t.id, t)).collect(),
            now,
            undo: None,
        }
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    pub fn transfer(&self, id: TransferId) -> Option<&Transfer> {
        self.transfers.get(&id)
    }

    /// Accepts the movement and writes it, or refuses it and changes nothing.
    pub fn decide(
        &mut self,
        tenant: TenantId,
        movement: &Movement,
        ids: &mut dyn IdSource,
    ) -> Result<Outcome, Refusal> {
        match movement {
            Movement::Post(new) => post::decide(self, tenant, new, ids),
            Movement::Capture { transfer, amount, last, limits } => {
                capture::decide(self, tenant, *transfer, (*amount, *last, limits))
            }
            Movement::Void { transfer } => release::void(self, tenant, *transfer),
            Movement::Expire { transfer } => release::expire(self, tenant, *transfer),
            Movement::Reverse { transfer, amount } => {
                reverse::decide(self, tenant, &Return::plain(*transfer, *amount), ids)
            }
            Movement::Return(what) => reverse::decide(self, tenant, what, ids),
            Movement::MakeAvailable { transfer } => available::decide(self, tenant, *transfer),
            Movement::SetStatus { account, status } => {
                control::set_status(self, tenant, *account, *status)
            }
            Movement::SetFloor { account, floor } => {
                control::set_floor(self, tenant, *account, *floor)
            }
        }
    }

    /// From here on, [`Book::undo`] can take everything back.
    pub fn savepoint(&mut self) {
        self.undo = Some(Savepoint::default());
    }

    /// Keeps what was written since the savepoint.
    pub fn keep(&mut self) {
        self.undo = None;
    }

    /// Takes back everything since the savepoint.
    pub fn undo(&mut self) {
        let Some(savepoint) = self.undo.take() else { return };
        self.accounts.extend(savepoint.accounts);
        for (id, before) in savepoint.transfers {
            match before {
                Some(transfer) => self.transfers.insert(id, transfer),
                None => self.transfers.remove(&id),
            };
        }
    }

    pub(crate) fn owned_account(
        &self,
        tenant: TenantId,
        id: AccountId,
    ) -> Result<Account, Refusal> {
        match self.accounts.get(&id) {
            Some(account) if account.tenant == tenant => Ok(*account),
            _ => Err(Refusal::WalletNotFound { account: id }),
        }
    }

    pub(crate) fn owned_transfer(
        &self,
        tenant: TenantId,
        id: TransferId,
    ) -> Result<Transfer, Refusal> {
        match self.transfers.get(&id) {
            Some(transfer) if transfer.tenant == tenant => Ok(transfer.clone()),
            _ => Err(Refusal::TransferNotFound),
        }
    }

    pub(crate) fn draft(&self) -> Draft<'_> {
        Draft::new(self)
    }

    pub(crate) fn write_account(&mut self, account: Account) {
        let before = self.accounts.insert(account.id, account);
        if let (Some(undo), Some(before)) = (&mut self.undo, before) {
            undo.accounts.entry(account.id).or_insert(before);
        }
    }

    pub(crate) fn write_transfer(&mut self, transfer: Transfer) {
        let id = transfer.id;
        let before = self.transfers.insert(id, transfer);
        if let Some(undo) = &mut self.undo {
            undo.transfers.entry(id).or_insert(before);
        }
    }

    /// A transfer lives with its first wallet, so that system accounts do not gather all rows.
    pub(crate) fn bucket_for(&self, from: &Account, to: &Account) -> Bucket {
        use caudal_domain::AccountKind::Wallet;
        match (from.kind, to.kind) {
            (Wallet, _) => from.id.bucket(),
            _ => to.id.bucket(),
        }
    }
}
