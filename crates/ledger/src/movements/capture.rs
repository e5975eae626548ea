//! A capture: takes a hold's money, wholly or in part, once or several times.
//!
//! | asked | from: total | from: held | to: total |
//! |---|---|---|---|
//! | capture of x, more to come | −x | −x | +x |
//! | last capture of x of a remaining r | −x | −r | +x |
//!
//! Legs are filled in order. A frozen payer does not stop a capture: the money was promised before.

use caudal_domain::{AccountStatus, Leg, Refusal, TenantId, Transfer, TransferId, TransferStatus};

use crate::{
    book::{Book, Outcome, Posting},
    draft::{Change, Draft},
};

/// `terms` are the amount (`None`: all that is left) and whether the rest is released.
pub(crate) fn decide(
    book: &mut Book,
    tenant: TenantId,
    id: TransferId,
    terms: (Option<i64>, bool),
) -> Result<Outcome, Refusal> {
    let mut transfer = book.owned_transfer(tenant, id)?;
    let amount = check(book, &transfer, terms.0)?;
    transfer.amount_captured += amount;
    let done = terms.1 || transfer.amount_captured == transfer.amount;

    let mut draft = book.draft();
    let mut left = amount;
    for leg in &mut transfer.legs {
        let open = leg.amount - leg.captured;
        let taken = open.min(left);
        left -= taken;
        leg.captured += taken;
        capture_leg(&mut draft, id, (leg, taken), if done { open } else { taken })?;
    }
    let accepted = draft.accept();
    if done {
        transfer.status = TransferStatus::Captured;
    }
    accepted.accounts.into_iter().for_each(|account| book.write_account(account));
    book.write_transfer(transfer.clone());
    let entries = accepted.entries;
    Ok(Outcome::Posting(Posting { transfer, created: false, original: None, entries }))
}

fn check(book: &Book, transfer: &Transfer, amount: Option<i64>) -> Result<i64, Refusal> {
    if transfer.status != TransferStatus::Held {
        return Err(Refusal::TransferState { status: transfer.status });
    }
    if transfer.expires_at.is_some_and(|at| book.now() >= at) {
        return Err(Refusal::HoldExpired);
    }
    let closed = |leg: &&Leg| {
        book.account(leg.to).is_some_and(|account| account.status == AccountStatus::Closed)
    };
    if let Some(leg) = transfer.legs.iter().find(closed) {
        return Err(Refusal::WalletClosed { account: leg.to });
    }
    let left = transfer.remaining_hold();
    match amount {
        Some(amount) if amount > left => Err(Refusal::AmountExceedsHeld { left }),
        Some(amount) => Ok(amount),
        None => Ok(left),
    }
}

/// Moves `taken` of the leg and frees `freed` of its hold.
fn capture_leg(
    draft: &mut Draft,
    id: TransferId,
    (leg, taken): (&Leg, i64),
    freed: i64,
) -> Result<(), Refusal> {
    if freed > 0 {
        draft.enter(leg.from, id, Change { amount: -taken, held: -freed })?;
    }
    if taken > 0 {
        draft.enter(leg.to, id, Change { amount: taken, held: 0 })?;
    }
    Ok(())
}
