//! A transfer: posted at once, or held until it is captured.
//!
//! | asked | from: total | from: held | to: total |
//! |---|---|---|---|
//! | posting of x | −x | | +x |
//! | hold of x | | +x | |
//!
//! Legs are decided in order: a later leg may spend what an earlier one brought.

use caudal_domain::{
    Account, AccountStatus, IdSource, Leg, Refusal, TenantId, Transfer, TransferId, TransferStatus,
};

use super::{HoldUntil, NewTransfer};
use crate::{
    book::{Book, Outcome, Posting},
    draft::{Change, Draft},
};

pub(crate) fn decide(
    book: &mut Book,
    tenant: TenantId,
    new: &NewTransfer,
    ids: &mut dyn IdSource,
) -> Result<Outcome, Refusal> {
    let (first_from, first_to) = check_accounts(book, tenant, new)?;
    let id = TransferId(ids.next(book.now(), book.bucket_for(&first_from, &first_to)));
    let mut draft = book.draft();
    for leg in &new.legs {
        match new.hold_until {
            Some(_) => hold(&mut draft, id, leg)?,
            None => move_money(&mut draft, id, leg)?,
        }
    }
    let accepted = draft.accept();
    let amount = total_of(&new.legs)?;
    let transfer = Transfer {
        id,
        tenant,
        kind: new.kind,
        status: match new.hold_until {
            Some(_) => TransferStatus::Held,
            None => TransferStatus::Posted,
        },
        currency: new.currency,
        legs: new.legs.clone(),
        amount,
        amount_captured: 0,
        amount_reversed: 0,
        hold: new.hold_until.is_some(),
        expires_at: new.hold_until.map(|until| match until {
            HoldUntil::Seconds(seconds) => book.now().plus_seconds(seconds),
            HoldUntil::At(at) => at,
        }),
        available_at: None,
        reference: new.reference.clone(),
        metadata: new.metadata.clone(),
        reverses: None,
        created_at: book.now(),
    };
    accepted.accounts.into_iter().for_each(|account| book.write_account(account));
    book.write_transfer(transfer.clone());
    let entries = accepted.entries;
    Ok(Outcome::Posting(Posting { transfer, created: true, original: None, entries }))
}

/// Every refusal that needs no arithmetic, over all legs, in the order of [`Refusal`].
fn check_accounts(
    book: &Book,
    tenant: TenantId,
    new: &NewTransfer,
) -> Result<(Account, Account), Refusal> {
    let pairs = new
        .legs
        .iter()
        .map(|leg| Ok((book.owned_account(tenant, leg.from)?, book.owned_account(tenant, leg.to)?)))
        .collect::<Result<Vec<_>, Refusal>>()?;
    let both = || pairs.iter().flat_map(|(from, to)| [from, to]);
    if let Some(other) = both().find(|a| a.currency != new.currency) {
        return Err(Refusal::CurrencyMismatch { account: other.id });
    }
    if let Some(closed) = both().find(|a| a.status == AccountStatus::Closed) {
        return Err(Refusal::WalletClosed { account: closed.id });
    }
    if let Some((frozen, _)) = pairs.iter().find(|(from, _)| from.status == AccountStatus::Frozen) {
        return Err(Refusal::WalletFrozen { account: frozen.id });
    }
    pairs.first().copied().ok_or(Refusal::Rejected)
}

fn total_of(legs: &[Leg]) -> Result<i64, Refusal> {
    let sum: i128 = legs.iter().map(|leg| i128::from(leg.amount)).sum();
    i64::try_from(sum)
        .ok()
        .filter(|sum| *sum <= caudal_domain::MAX_AMOUNT)
        .ok_or(Refusal::BalanceLimit { account: legs[0].to })
}

pub(super) fn move_money(draft: &mut Draft, id: TransferId, leg: &Leg) -> Result<(), Refusal> {
    draft.require_spendable(leg.from, leg.amount)?;
    draft.enter(leg.from, id, Change { amount: -leg.amount, ..Change::default() })?;
    draft.enter(leg.to, id, Change { amount: leg.amount, ..Change::default() })
}

fn hold(draft: &mut Draft, id: TransferId, leg: &Leg) -> Result<(), Refusal> {
    draft.require_spendable(leg.from, leg.amount)?;
    draft.enter(leg.from, id, Change { held: leg.amount, ..Change::default() })
}
