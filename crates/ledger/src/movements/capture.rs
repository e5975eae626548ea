//! A capture: takes a hold's money, wholly or in part, once or several times.
//!
//! | asked | from: total | from: held | to: total |
//! |---|---|---|---|
//! | capture of x, more to come | −x | −x | +x |
//! | last capture of x of a remaining r | −x | −r | +x |
//!
//! Legs are filled in order. A frozen payer does not stop a capture: the money was promised before.
//! What is taken from a wallet in a day counted when it was held; what may lie in one counts now.

use caudal_domain::{AccountStatus, Leg, Refusal, TenantId, Transfer, TransferId, TransferStatus};

use super::limits::{self, Limit};
use crate::{
    book::{Book, Outcome, Posting},
    draft::{Change, Draft},
};

/// `terms` are the amount (`None`: all that is left), whether the rest is released, and the limits.
pub(crate) fn decide(
    book: &mut Book,
    tenant: TenantId,
    id: TransferId,
    terms: (Option<i64>, bool, &[Limit]),
) -> Result<Outcome, Refusal> {
    let mut transfer = book.owned_transfer(tenant, id)?;
    check_state(book, &transfer)?;
    let left = transfer.remaining_hold();
    let amount = terms.0.unwrap_or(left);
    let fills = fill(&transfer.legs, amount);
    check_payees(book, &transfer.legs, &fills)?;
    if amount > left {
        return Err(Refusal::AmountExceedsHeld { left });
    }
    check_limits(book, &transfer.legs, &fills, terms.2)?;
    transfer.amount_captured += amount;
    let done = terms.1 || transfer.amount_captured == transfer.amount;

    let mut draft = book.draft();
    for (leg, taken) in transfer.legs.iter_mut().zip(fills) {
        let open = leg.amount - leg.captured;
        leg.captured += taken;
        capture_leg(&mut draft, id, (leg, taken), if done { open } else { taken })?;
    }
    let accepted = draft.accept();
    if done {
        transfer.status = TransferStatus::Captured;
    }
    accepted.accounts.into_iter().for_each(|account| book.write_account(account));
    book.write_transfer(transfer.clone());
    Ok(Outcome::Posting(Posting::of(transfer, accepted.entries)))
}

fn check_state(book: &Book, transfer: &Transfer) -> Result<(), Refusal> {
    if transfer.status != TransferStatus::Held {
        return Err(Refusal::TransferState { status: transfer.status });
    }
    if transfer.expires_at.is_some_and(|at| book.now() >= at) {
        return Err(Refusal::HoldExpired);
    }
    Ok(())
}

/// What each leg gives of `amount`, at most what is open on it.
fn fill(legs: &[Leg], amount: i64) -> Vec<i64> {
    let mut left = amount;
    let mut take = |leg: &Leg| {
        let taken = (leg.amount - leg.captured).min(left);
        left -= taken;
        taken
    };
    legs.iter().map(&mut take).collect()
}

/// Only those that would be paid now: a payee that had its part before may have closed since.
fn check_payees(book: &Book, legs: &[Leg], fills: &[i64]) -> Result<(), Refusal> {
    let closed = |id| book.account(id).is_some_and(|a| a.status == AccountStatus::Closed);
    let paid = legs.iter().zip(fills).filter(|(_, taken)| **taken > 0);
    match paid.map(|(leg, _)| leg.to).find(|to| closed(*to)) {
        Some(account) => Err(Refusal::WalletClosed { account }),
        None => Ok(()),
    }
}

fn check_limits(book: &Book, legs: &[Leg], fills: &[i64], limits: &[Limit]) -> Result<(), Refusal> {
    let taken = legs.iter().zip(fills).map(|(leg, taken)| Leg::new(leg.from, leg.to, *taken));
    limits::check(book, &taken.collect::<Vec<_>>(), limits)
}

/// Moves `taken` of the leg and frees `freed` of its hold.
fn capture_leg(
    draft: &mut Draft,
    id: TransferId,
    (leg, taken): (&Leg, i64),
    freed: i64,
) -> Result<(), Refusal> {
    if freed > 0 {
        draft.enter(leg.from, id, Change { amount: -taken, held: -freed, ..Change::default() })?;
    }
    if taken > 0 {
        draft.enter(leg.to, id, Change { amount: taken, ..Change::default() })?;
    }
    Ok(())
}
