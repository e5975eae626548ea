//! What both suites hold against every movement, whatever it was: the rules of double entry.

use caudal_domain::{
    Account, AccountId, Bucket, Currency, IdSource, MAX_AMOUNT, Refusal, Timestamp, Transfer,
    TransferId, TransferStatus,
};
use caudal_ledger::{Book, Movement, Outcome, Posting, movements::Force};

/// Ids that count up: the instant's milliseconds, a number, the bucket.
#[derive(Default)]
pub struct Counted(u128);

impl IdSource for Counted {
    fn next(&mut self, at: Timestamp, bucket: Bucket) -> u128 {
        self.0 += 1;
        ((at.millis() as u128) << 80) | (self.0 << 8) | u128::from(bucket.0)
    }
}

/// All that a book holds.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub now: Timestamp,
    pub accounts: Vec<Account>,
    pub transfers: Vec<Transfer>,
}

impl State {
    /// Transfers that the book does not have are left out.
    pub fn of(book: &Book, accounts: &[AccountId], transfers: &[TransferId]) -> Self {
        let account = |id: &AccountId| *book.account(*id).expect("a book never loses an account");
        Self {
            now: book.now(),
            accounts: accounts.iter().map(account).collect(),
            transfers: transfers.iter().filter_map(|id| book.transfer(*id).cloned()).collect(),
        }
    }

    fn transfer(&self, id: TransferId) -> Option<&Transfer> {
        self.transfers.iter().find(|transfer| transfer.id == id)
    }

    /// Sum of the totals in a currency.
    fn sum(&self, currency: Currency) -> i128 {
        let of = self.accounts.iter().filter(|account| account.currency == currency);
        of.map(|account| i128::from(account.total)).sum()
    }

    /// What open holds keep of the account.
    fn promised(&self, id: AccountId) -> i64 {
        let open = self.transfers.iter().filter(|t| t.status == TransferStatus::Held);
        let legs = open.flat_map(|transfer| &transfer.legs).filter(|leg| leg.from == id);
        legs.map(|leg| leg.amount - leg.captured).sum()
    }

    /// What is pending on the account and no transfer's leg accounts for.
    fn unexplained(&self, account: &Account) -> i64 {
        let legs = self.transfers.iter().flat_map(|transfer| &transfer.legs);
        let pending = legs.filter(|leg| leg.to == account.id).map(|leg| leg.pending);
        account.pending - pending.sum::<i64>()
    }
}

/// Panics unless `before` may become `after` by a movement that ended so. `after` must hold every
/// transfer of the outcome.
pub fn check(
    before: &State,
    after: &State,
    (movement, result): (&Movement, &Result<Outcome, Refusal>),
) {
    match result {
        Err(_) => assert_eq!(before, after, "a refused movement left a trace"),
        Ok(Outcome::Account(account)) => check_control(before, after, account),
        Ok(Outcome::Posting(posting)) => {
            check_entries(before, after, posting);
            if !may_cross_floors(movement) {
                check_floors(before, after);
            }
            check_transfers(before, after, posting);
        }
    }
    for account in &after.accounts {
        assert_eq!(account.held, after.promised(account.id), "held of {account:?}");
        assert!(account.held >= 0 && account.held <= MAX_AMOUNT, "held of {account:?}");
        assert!(account.total.abs() <= MAX_AMOUNT, "total of {account:?}");
        assert_eq!(before.sum(account.currency), after.sum(account.currency), "money was made");
    }
}

fn may_cross_floors(movement: &Movement) -> bool {
    match movement {
        Movement::Post(new) => new.terms.as_ref().is_some_and(|t| t.force != Force::Never),
        Movement::Return(what) => what.forced,
        _ => false,
    }
}

/// Only that account's status and floor may differ.
fn check_control(before: &State, after: &State, changed: &Account) {
    let mut expected = before.clone();
    for account in expected.accounts.iter_mut().filter(|account| account.id == changed.id) {
        account.status = changed.status;
        account.floor = changed.floor;
    }
    assert_eq!(&expected, after, "more changed than status and floor");
    assert!(after.accounts.contains(changed), "the outcome is not what the book holds");
}

/// Playing the entries on what was there gives what is there.
fn check_entries(before: &State, after: &State, posting: &Posting) {
    let mut accounts = before.accounts.clone();
    for entry in &posting.entries {
        let account = accounts.iter_mut().find(|account| account.id == entry.account);
        let account = account.expect("an entry on an account of the book");
        assert_eq!(entry.version, account.version + 1, "a gap before {entry:?}");
        assert_eq!(entry.balance_after, account.total + entry.amount, "{entry:?}");
        assert_eq!(entry.transfer, posting.transfer.id, "{entry:?}");
        assert_eq!(entry.created_at, after.now, "{entry:?}");
        assert!(entry.created_at >= account.updated_at, "time went back: {entry:?}");
        account.version = entry.version;
        account.total = entry.balance_after;
        account.held = entry.held_after;
        account.pending = entry.pending_after;
        account.updated_at = entry.created_at;
    }
    assert_eq!(accounts, after.accounts, "the entries do not tell the balances");
    assert_eq!(posting.entries.iter().map(|entry| entry.amount).sum::<i64>(), 0);
    for (was, is) in before.accounts.iter().zip(&after.accounts) {
        assert_eq!(before.unexplained(was), after.unexplained(is), "pending of {is:?}");
    }
}

fn check_floors(before: &State, after: &State) {
    for (was, is) in before.accounts.iter().zip(&after.accounts) {
        // An account below its floor (it was raised later) falls no further.
        let lowest = is.floor.map_or(i64::MIN, |floor| floor.min(was.available()));
        assert!(is.available() >= lowest, "{is:?} fell below its floor");
    }
}

fn check_transfers(before: &State, after: &State, posting: &Posting) {
    let written: Vec<_> = posting.others().chain([&posting.transfer]).collect();
    for transfer in written.iter().copied() {
        assert_eq!(after.transfer(transfer.id), Some(transfer), "the book holds another");
    }
    assert_eq!(before.transfer(posting.transfer.id).is_none(), posting.created);
    for transfer in &after.transfers {
        check_sums(transfer);
        check_available(transfer);
        match before.transfer(transfer.id) {
            Some(was) if posting.restored.as_ref() == Some(transfer) => {
                assert_eq!(was.clone().as_created(), transfer.clone().as_created());
                assert!(transfer.amount_reversed < was.amount_reversed, "nothing was restored");
            }
            Some(was) if written.contains(&transfer) => check_same_order(was, transfer),
            Some(was) => assert_eq!(was, transfer, "a transfer changed that was not asked for"),
            None => assert_eq!(transfer.id, posting.transfer.id, "a transfer nobody asked for"),
        }
    }
}

fn check_sums(transfer: &Transfer) {
    let sum = |part: fn(&caudal_domain::Leg) -> i64| transfer.legs.iter().map(part).sum::<i64>();
    assert_eq!(transfer.amount, sum(|leg| leg.amount), "{transfer:?}");
    assert_eq!(transfer.amount_captured, sum(|leg| leg.captured), "{transfer:?}");
    assert_eq!(transfer.amount_reversed, sum(|leg| leg.reversed), "{transfer:?}");
    for leg in &transfer.legs {
        let moved = if transfer.hold { leg.captured } else { leg.amount };
        assert!((0..=leg.amount).contains(&leg.captured), "{transfer:?}");
        assert!((0..=moved).contains(&leg.reversed), "{transfer:?}");
        assert!((0..=leg.amount - leg.reversed).contains(&leg.pending), "{transfer:?}");
    }
}

/// What has a time has something pending, and the other way round.
fn check_available(transfer: &Transfer) {
    assert_eq!(transfer.available_at.is_some(), transfer.pending() > 0, "{transfer:?}");
}

/// What was asked for stays as it was asked.
fn check_same_order(was: &Transfer, is: &Transfer) {
    assert_eq!(was.clone().as_created(), is.clone().as_created(), "the order changed");
    assert!(is.amount_captured >= was.amount_captured && is.amount_reversed >= was.amount_reversed);
}
