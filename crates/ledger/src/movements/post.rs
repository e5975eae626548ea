//! A transfer: posted at once, or held until it is captured.
//!
//! | asked | from: total | from: held | to: total |
//! |---|---|---|---|
//! | posting of x | −x | | +x |
//! | hold of x | | +x | |
//! | posting of x, p of it pending | −x | | +x (pending +p) |
//!
//! Legs are decided in order: a later leg may spend what an earlier one brought. What has happened
//! outside is forced: it passes floors and freezes ([`Force`]).

use std::borrow::Cow;

use caudal_domain::{
    Account, AccountStatus, IdSource, Leg, Refusal, TenantId, Transfer, TransferId, TransferKind,
    TransferStatus,
};

use super::{Force, NewTransfer, Terms, late, limits, write_off};
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
    let legs = legs_of(book, tenant, new)?;
    let force = new.terms.as_ref().map_or(Force::Never, |terms| terms.force);
    let (first_from, first_to) = check_accounts(book, tenant, new, &legs)?;
    check_rules(book, new, &legs)?;
    let id = TransferId(ids.next(book.now(), book.bucket_for(&first_from, &first_to)));
    let mut draft = book.draft();
    for (place, leg) in legs.iter().enumerate() {
        match new.hold_until {
            Some(_) => hold(&mut draft, id, leg)?,
            None => move_money(&mut draft, id, leg, is_forced(force, &legs, place))?,
        }
    }
    let accepted = draft.accept();
    let transfer = transfer_of(book, (id, tenant), new, legs.into_owned())?;
    accepted.accounts.into_iter().for_each(|account| book.write_account(account));
    book.write_transfer(transfer.clone());
    Ok(Outcome::Posting(Posting { created: true, ..Posting::of(transfer, accepted.entries) }))
}

/// The legs that will be made. What is pending needs its time, and a hold brings nothing yet.
fn legs_of<'n>(
    book: &Book,
    tenant: TenantId,
    new: &'n NewTransfer,
) -> Result<Cow<'n, [Leg]>, Refusal> {
    let fits = |leg: &Leg| (0..=leg.amount).contains(&leg.pending);
    let is_pending = new.legs.iter().any(|leg| leg.pending != 0);
    let available = new.terms.as_ref().and_then(|terms| terms.available);
    let is_hold = new.hold_until.is_some();
    if is_pending != available.is_some() || is_pending && (is_hold || !new.legs.iter().all(fits)) {
        return Err(Refusal::Rejected);
    }
    Ok(match &new.terms {
        Some(terms) => late::redirect(book, tenant, &new.legs, terms.stand_ins),
        None => Cow::Borrowed(&new.legs),
    })
}

/// What needs no draft and is not the same for every transfer.
fn check_rules(book: &Book, new: &NewTransfer, legs: &[Leg]) -> Result<(), Refusal> {
    if new.kind == TransferKind::WriteOff {
        write_off::check(book, legs)?;
    }
    match &new.terms {
        Some(terms) => limits::check(book, legs, &terms.limits),
        None => Ok(()),
    }
}

fn is_forced(force: Force, legs: &[Leg], place: usize) -> bool {
    match force {
        Force::Never => false,
        Force::Fees => place > 0 && legs[place].from == legs[0].to,
        Force::All => true,
    }
}

fn transfer_of(
    book: &Book,
    (id, tenant): (TransferId, TenantId),
    new: &NewTransfer,
    legs: Vec<Leg>,
) -> Result<Transfer, Refusal> {
    let terms: Option<&Terms> = new.terms.as_deref();
    let available = terms.and_then(|terms| terms.available);
    Ok(Transfer {
        id,
        tenant,
        kind: new.kind,
        status: match new.hold_until {
            Some(_) => TransferStatus::Held,
            None => TransferStatus::Posted,
        },
        currency: new.currency,
        amount: total_of(&legs)?,
        legs,
        amount_captured: 0,
        amount_reversed: 0,
        hold: new.hold_until.is_some(),
        expires_at: new.hold_until.map(|until| until.from(book.now())),
        available_at: available.map(|until| until.from(book.now())),
        reference: new.reference.clone(),
        metadata: new.metadata.clone(),
        reverses: None,
        created_at: book.now(),
    })
}

/// Every refusal that needs no arithmetic, over all legs, in the order of [`Refusal`].
fn check_accounts(
    book: &Book,
    tenant: TenantId,
    new: &NewTransfer,
    legs: &[Leg],
) -> Result<(Account, Account), Refusal> {
    let pairs = legs
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
    let force = new.terms.as_ref().map_or(Force::Never, |terms| terms.force);
    let mut payers = pairs.iter().map(|(from, _)| from).enumerate();
    let stops = |(place, from): &(usize, &Account)| {
        from.status == AccountStatus::Frozen && !is_forced(force, legs, *place)
    };
    if let Some((_, frozen)) = payers.find(stops) {
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

/// A forced leg takes what is not there.
fn move_money(
    draft: &mut Draft,
    id: TransferId,
    leg: &Leg,
    is_forced: bool,
) -> Result<(), Refusal> {
    if !is_forced {
        draft.require_spendable(leg.from, leg.amount)?;
    }
    draft.enter(leg.from, id, Change { amount: -leg.amount, ..Change::default() })?;
    let paid = Change { amount: leg.amount, pending: leg.pending, ..Change::default() };
    draft.enter(leg.to, id, paid)
}

fn hold(draft: &mut Draft, id: TransferId, leg: &Leg) -> Result<(), Refusal> {
    draft.require_spendable(leg.from, leg.amount)?;
    draft.enter(leg.from, id, Change { held: leg.amount, ..Change::default() })
}
