//! Changes worked out aside, so that a refusal half way leaves the book as it was.

use caudal_domain::{Account, AccountId, Entry, MAX_AMOUNT, Refusal, TransferId};

use crate::book::Book;

/// Copies of the touched accounts and the entries made on them.
pub(crate) struct Draft<'b> {
    book: &'b Book,
    accounts: Vec<Account>,
    entries: Vec<Entry>,
}

/// What a [`Draft`] leaves behind once every check has passed.
pub(crate) struct Accepted {
    pub accounts: Vec<Account>,
    pub entries: Vec<Entry>,
}

impl<'b> Draft<'b> {
    pub fn new(book: &'b Book) -> Self {
        Self { book, accounts: Vec::with_capacity(2), entries: Vec::with_capacity(2) }
    }

    /// The account as it stands in this draft.
    pub fn account(&mut self, id: AccountId) -> Result<&mut Account, Refusal> {
        let found = self.accounts.iter().position(|a| a.id == id);
        let place = match found {
            Some(place) => place,
            None => {
                let account =
                    *self.book.account(id).ok_or(Refusal::WalletNotFound { account: id })?;
                self.accounts.push(account);
                self.accounts.len() - 1
            }
        };
        Ok(&mut self.accounts[place])
    }

    /// Takes `amount` from what the account may spend.
    pub fn require_spendable(&mut self, id: AccountId, amount: i64) -> Result<(), Refusal> {
        match self.account(id)?.spendable() {
            Some(spendable) if spendable < amount => {
                Err(Refusal::InsufficientFunds { account: id, spendable, needed: amount })
            }
            _ => Ok(()),
        }
    }

    /// Adds the change to the total, to what is held and to what is pending, as one entry.
    pub fn enter(
        &mut self,
        id: AccountId,
        transfer: TransferId,
        change: Change,
    ) -> Result<(), Refusal> {
        let now = self.book.now();
        let account = self.account(id)?;
        let total = within_limit(account.total, change.amount);
        let held = within_limit(account.held, change.held);
        let pending = within_limit(account.pending, change.pending);
        let (Some(total), Some(held), Some(pending)) = (total, held, pending) else {
            return Err(Refusal::BalanceLimit { account: id });
        };
        assert!(held >= 0, "{id}: more released than held");
        assert!(pending >= 0, "{id}: more made available than was pending");
        account.total = total;
        account.held = held;
        account.pending = pending;
        account.version += 1;
        account.updated_at = now;
        let entry = Entry {
            account: id,
            version: account.version,
            transfer,
            amount: change.amount,
            balance_after: total,
            held_after: held,
            pending_after: pending,
            created_at: now,
        };
        self.entries.push(entry);
        Ok(())
    }

    pub fn accept(self) -> Accepted {
        Accepted { accounts: self.accounts, entries: self.entries }
    }
}

/// What one entry changes, all signed.
#[derive(Default)]
pub(crate) struct Change {
    pub amount: i64,
    pub held: i64,
    pub pending: i64,
}

/// A balance stays within ±(2^53 − 1), so that every JSON reader holds it exactly.
fn within_limit(balance: i64, change: i64) -> Option<i64> {
    balance.checked_add(change).filter(|sum| (-MAX_AMOUNT..=MAX_AMOUNT).contains(sum))
}
