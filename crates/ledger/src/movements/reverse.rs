//! A reversal: a new transfer that gives back what another one moved, never more than is left.
//!
//! | asked | original's to: total | original's from: total |
//! |---|---|---|
//! | reversal of x | −x | +x |
//!
//! The first leg's money is given back first, but within one reversal the last leg moves first:
//! what a later leg had spent comes back before it is needed. The payer of the reversal must have
//! the money; a reversal is itself final.

use caudal_domain::{
    AccountStatus, IdSource, Leg, Refusal, TenantId, Transfer, TransferId, TransferKind,
    TransferStatus,
};

use super::post::move_money;
use crate::book::{Book, Outcome, Posting};

/// `what` is the transfer and the amount to give back (`None`: all that is left).
pub(crate) fn decide(
    book: &mut Book,
    tenant: TenantId,
    what: (TransferId, Option<i64>),
    ids: &mut dyn IdSource,
) -> Result<Outcome, Refusal> {
    let mut original = book.owned_transfer(tenant, what.0)?;
    let left = check_state(&original)?;
    let amount = match what.1 {
        None if left == 0 => return Err(Refusal::TransferState { status: original.status }),
        asked => asked.unwrap_or(left),
    };
    let legs = take_back(&mut original, amount);
    check_accounts(book, &legs)?;
    if amount > left {
        return Err(Refusal::AmountExceedsReversible { left });
    }
    original.amount_reversed += amount;
    original.status = match moved(&original) - original.amount_reversed {
        0 => TransferStatus::Reversed,
        _ => TransferStatus::PartiallyReversed,
    };

    let id = TransferId(ids.next(book.now(), original.id.bucket()));
    let mut draft = book.draft();
    for leg in &legs {
        move_money(&mut draft, id, leg)?;
    }
    let accepted = draft.accept();
    let transfer = Transfer {
        id,
        tenant,
        kind: TransferKind::Reversal,
        status: TransferStatus::Posted,
        currency: original.currency,
        legs,
        amount,
        amount_captured: 0,
        amount_reversed: 0,
        hold: false,
        expires_at: None,
        available_at: None,
        reference: original.reference.clone(),
        metadata: Default::default(),
        reverses: Some(original.id),
        created_at: book.now(),
    };
    accepted.accounts.into_iter().for_each(|account| book.write_account(account));
    book.write_transfer(original.clone());
    book.write_transfer(transfer.clone());
    let entries = accepted.entries;
    Ok(Outcome::Posting(Posting { transfer, created: true, original: Some(original), entries }))
}

/// What the transfer has moved so far.
fn moved(transfer: &Transfer) -> i64 {
    if transfer.hold { transfer.amount_captured } else { transfer.amount }
}

/// What is left to give back.
fn check_state(original: &Transfer) -> Result<i64, Refusal> {
    use TransferStatus::{Captured, PartiallyReversed, Posted, Reversed};
    let moved_money = matches!(original.status, Posted | Captured | PartiallyReversed | Reversed);
    if original.kind == TransferKind::Reversal || !moved_money {
        return Err(Refusal::TransferState { status: original.status });
    }
    Ok(moved(original) - original.amount_reversed)
}

/// Marks `amount`, or all there is, as given back on the original's legs and returns the opposite
/// legs, the last one first.
fn take_back(original: &mut Transfer, amount: i64) -> Vec<Leg> {
    let mut left = amount;
    let hold = original.hold;
    let mut legs = Vec::with_capacity(original.legs.len());
    for leg in &mut original.legs {
        let moved = if hold { leg.captured } else { leg.amount };
        let taken = (moved - leg.reversed).min(left);
        if taken > 0 {
            leg.reversed += taken;
            left -= taken;
            legs.push(Leg::new(leg.to, leg.from, taken));
        }
    }
    legs.reverse();
    legs
}

fn check_accounts(book: &Book, legs: &[Leg]) -> Result<(), Refusal> {
    let status = |id| book.account(id).map(|account| account.status);
    for leg in legs {
        for account in [leg.from, leg.to] {
            if status(account) == Some(AccountStatus::Closed) {
                return Err(Refusal::WalletClosed { account });
            }
        }
    }
    match legs.iter().find(|leg| status(leg.from) == Some(AccountStatus::Frozen)) {
        Some(leg) => Err(Refusal::WalletFrozen { account: leg.from }),
        None => Ok(()),
    }
}
