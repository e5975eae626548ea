//! Accounts that a lane has read. None is ever deleted, so one that is not found later is held by
//! another process; whether an account exists has to be asked only of those never read.

use std::collections::HashSet;

use caudal_domain::{Account, AccountId};

/// About 5 MB. When there are more, it starts again from nothing.
const ACCOUNTS_MOST: usize = 1 << 17;

#[derive(Default)]
pub(super) struct Seen(HashSet<AccountId>);

impl Seen {
    pub fn has(&self, account: AccountId) -> bool {
        self.0.contains(&account)
    }

    pub fn keep(&mut self, accounts: &[Account]) {
        if self.0.len() + accounts.len() > ACCOUNTS_MOST {
            self.0.clear();
        }
        self.0.extend(accounts.iter().map(|account| account.id));
    }
}
