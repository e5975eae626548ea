//! Limits of a wallet's tier: on its balance, and on what is taken from it a day and a month.
//!
//! They are decided here, with the movement, on what the caller has read: `used` goes stale when
//! something else is taken meanwhile, so it comes with an attached row whose version is checked in
//! the same commit. No entries.

use caudal_domain::{AccountId, Leg, Refusal, account::WalletLimit};

use crate::book::Book;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub account: AccountId,
    pub limit: WalletLimit,
    pub most: i64,
    /// Taken in the day or month so far; of no meaning for a balance.
    pub used: i64,
}

/// All that the legs take or bring together counts.
pub(crate) fn check(book: &Book, legs: &[Leg], limits: &[Limit]) -> Result<(), Refusal> {
    limits.iter().try_for_each(|limit| {
        let sum = |of: fn(&Leg) -> AccountId| -> i128 {
            let legs = legs.iter().filter(|leg| of(leg) == limit.account);
            legs.map(|leg| i128::from(leg.amount)).sum()
        };
        let (taken, brought) = (sum(|leg| leg.from), sum(|leg| leg.to));
        let total = book.account(limit.account).map_or(0, |account| account.total);
        let (asked, used) = match limit.limit {
            WalletLimit::Balance => (brought - taken, total),
            WalletLimit::Day | WalletLimit::Month => (taken, limit.used),
        };
        let left = (i128::from(limit.most) - i128::from(used)).max(0);
        match asked > left {
            true => Err(Refusal::LimitReached {
                account: limit.account,
                limit: limit.limit,
                left: i64::try_from(left).unwrap_or(i64::MAX),
            }),
            false => Ok(()),
        }
    })
}
