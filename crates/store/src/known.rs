//! What this process knows of accounts: how its last commits left them.
//!
//! On PostgreSQL a batch whose accounts are all known neither locks nor reads them first. Its
//! update holds only where each row still is what was known, in all that a decision looks at; else
//! nothing of the batch is written and it runs again under locks. So another process, a failover
//! or a hand at the database costs a second run, never money. Batches are all of one kind or the
//! other: rows are locked in one statement and one order either way.
//!
//! SQLite's one writer knows by itself whether anybody else wrote to the file.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use caudal_domain::{Account, AccountId};

/// About 20 MB. When there are more, it starts again from nothing.
const ACCOUNTS_MOST: usize = 1 << 17;
/// Where processes share accounts, one batch in so many is tried in vain.
const REST_MOST: u32 = 4096;

#[derive(Default)]
pub(crate) struct Known(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    accounts: HashMap<AccountId, Account>,
    /// So many batches still go under locks, and nothing is kept.
    rest: u32,
    /// How long the last rest was.
    rested: u32,
    /// SQLite's `data_version`: another one after every write by others.
    file_version: i64,
}

impl Known {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the accounts that are known. Whoever takes them is about to change them, so they
    /// are forgotten until they are kept again.
    pub fn take(&self, ids: &[AccountId]) -> Vec<Option<Account>> {
        let mut memory = self.memory();
        memory.rest = memory.rest.saturating_sub(1);
        ids.iter().map(|id| memory.accounts.remove(id)).collect()
    }

    /// After a commit.
    pub fn keep(&self, accounts: &[Account]) {
        let mut memory = self.memory();
        if memory.rest > 0 {
            return;
        }
        if memory.accounts.len() + accounts.len() > ACCOUNTS_MOST {
            memory.accounts.clear();
        }
        memory.accounts.extend(accounts.iter().map(|account| (account.id, *account)));
    }

    /// Forgets all if it is of another state of the database file than this one.
    pub fn heed(&self, file_version: i64) {
        let mut memory = self.memory();
        if memory.file_version != file_version {
            memory.file_version = file_version;
            memory.accounts.clear();
        }
    }

    /// Somebody else changed what was known: most likely they will again.
    pub fn was_wrong(&self) {
        let mut memory = self.memory();
        memory.accounts.clear();
        memory.rested = (memory.rested * 2).clamp(1, REST_MOST);
        memory.rest = memory.rested;
    }

    pub fn was_right(&self) {
        self.memory().rested /= 2;
    }
}

/// The accounts with what was written of them. Both lists are in the order of the locks.
pub(crate) fn overlay(accounts: &mut [Account], written: &[Account]) {
    let mut written = written.iter().peekable();
    for account in accounts {
        if let Some(new) = written.next_if(|new| new.id == account.id) {
            *account = *new;
        }
    }
}

#[cfg(test)]
mod tests {
    use caudal_domain::{AccountKind, AccountStatus, Currency, TenantId, Timestamp};

    use super::*;

    fn account(id: u128, total: i64) -> Account {
        Account {
            id: AccountId(id),
            tenant: TenantId(1),
            kind: AccountKind::Wallet,
            currency: Currency::from_code("USD").expect("a currency"),
            status: AccountStatus::Active,
            floor: Some(0),
            total,
            held: 0,
            pending: 0,
            version: 1,
            updated_at: Timestamp::default(),
        }
    }

    fn totals(known: &Known, ids: &[u128]) -> Vec<Option<i64>> {
        let ids: Vec<_> = ids.iter().copied().map(AccountId).collect();
        known.take(&ids).iter().map(|found| found.map(|account| account.total)).collect()
    }

    #[test]
    fn what_is_taken_is_in_one_hand() {
        let known = Known::default();
        assert_eq!(totals(&known, &[1]), [None]);
        known.keep(&[account(1, 10), account(2, 20)]);
        assert_eq!(totals(&known, &[3, 2]), [None, Some(20)]);
        assert_eq!(totals(&known, &[1, 2]), [Some(10), None]);
        known.heed(7);
        known.keep(&[account(1, 11), account(2, 21)]);
        known.heed(7);
        assert_eq!(totals(&known, &[1]), [Some(11)]);
        known.heed(8);
        assert_eq!(totals(&known, &[2]), [None]);
    }

    #[test]
    fn the_more_often_it_was_wrong_the_longer_it_rests() {
        let known = Known::default();
        let mut rests = Vec::new();
        for _ in 0..20 {
            known.keep(&[account(1, 10)]);
            known.was_wrong();
            let mut rest = 0;
            while totals(&known, &[1]) == [None] {
                known.keep(&[account(1, 10)]);
                rest += 1;
            }
            rests.push(rest);
        }
        assert_eq!(rests[..4], [1, 2, 4, 8]);
        assert_eq!(rests[19], REST_MOST);
        (0..32).for_each(|_| known.was_right());
        known.was_wrong();
        assert_eq!(totals(&known, &[1]), [None]);
        known.keep(&[account(1, 10)]);
        assert_eq!(totals(&known, &[1]), [Some(10)]);
    }

    #[test]
    fn written_accounts_take_the_place_of_read_ones() {
        let mut accounts = [account(1, 10), account(2, 20), account(3, 30)];
        overlay(&mut accounts, &[account(1, 11), account(3, 33)]);
        assert_eq!(accounts.map(|account| account.total), [11, 20, 33]);
    }

    #[test]
    fn memory_is_bounded() {
        let known = Known::default();
        for id in 0..=ACCOUNTS_MOST as u128 {
            known.keep(&[account(id, 0)]);
        }
        assert_eq!(known.memory().accounts.len(), 1);
    }
}
