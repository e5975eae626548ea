//! A reversal: a new transfer that gives back what another one moved, never more than is left.
//!
//! | asked | original's to: total | original's to: pending | original's from: total |
//! |---|---|---|---|
//! | reversal of x, p of it still pending | −x | −p | +x |
//!
//! The first leg's money is given back first, but within one reversal the last leg moves first:
//! what a later leg had spent comes back before it is needed. The payer of the reversal must have
//! the money, unless the reversal is forced; what is pending goes first. A reversal is itself
//! final; a refund and a chargeback can be undone once ([`Return::restores`]). A bank may take more
//! than there is to give back ([`Return::besides`]).

use std::borrow::Cow;

use caudal_domain::{
    AccountId, AccountStatus, IdSource, Leg, Refusal, TenantId, Transfer, TransferId, TransferKind,
    TransferStatus, fee::share,
};

use super::late::{self, StandIns};
use crate::{
    book::{Book, Outcome, Posting},
    draft::{Change, Draft},
};

/// Giving back, with its terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    pub transfer: TransferId,
    /// `None` gives back all that is left; of the principal, where that is what is asked for.
    pub amount: Option<i64>,
    /// What the new transfer is.
    pub kind: TransferKind,
    pub part: Part,
    /// Passes floors and freezes.
    pub forced: bool,
    pub stand_ins: StandIns,
    /// The transfer that `transfer` had given back, when that is what is undone.
    pub restores: Option<TransferId>,
    /// Beyond what is given back, to whom the first leg came from: the last leg, paid by
    /// `stand_ins.debits`. Of an undoing: its last leg was such a one, and restores nothing.
    pub besides: i64,
    /// Of unapplied money so much at most; `stand_ins.debits` pays the rest.
    pub unapplied_most: Option<i64>,
    /// Why a person asked for it; it stands in the new transfer's metadata.
    pub reason: Option<String>,
}

/// Of which legs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All, in order.
    #[default]
    All,
    /// The first leg: the payment without its fees.
    Principal,
    /// The first leg, and the same share of every other.
    PrincipalAndFees,
    /// The first leg, and so much of the fees that its payer bore.
    PrincipalAndFee(i64),
}

impl Return {
    /// A reversal on no terms.
    pub fn plain(transfer: TransferId, amount: Option<i64>) -> Self {
        Self {
            transfer,
            amount,
            kind: TransferKind::Reversal,
            part: Part::All,
            forced: false,
            stand_ins: StandIns::default(),
            restores: None,
            besides: 0,
            unapplied_most: None,
            reason: None,
        }
    }

    /// A person takes back what must not stay, also below the floor and from who is frozen.
    pub fn by_force(transfer: TransferId, amount: Option<i64>, reason: String) -> Self {
        Self { forced: true, reason: Some(reason), ..Self::plain(transfer, amount) }
    }
}

pub(crate) fn decide(
    book: &mut Book,
    tenant: TenantId,
    what: &Return,
    ids: &mut dyn IdSource,
) -> Result<Outcome, Refusal> {
    let mut original = book.owned_transfer(tenant, what.transfer)?;
    let mut restored = match what.restores {
        Some(id) => Some(book.owned_transfer(tenant, id)?),
        None => None,
    };
    let left = check_state(&original, what)?;
    let asked = match what.amount {
        None if left == 0 => return Err(Refusal::TransferState { status: original.status }),
        asked => asked.unwrap_or(left),
    };
    let fee_left = fee_left(&original);
    let beyond = original.legs.last().map_or(0, |last| last.reversed);
    let back = take_back(&mut original, asked, what.part);
    let took_last = original.legs.last().is_some_and(|last| last.reversed > beyond);
    // What was beyond the payment lies first in what undoes it.
    let restoring = &back[usize::from(what.besides > 0 && took_last)..];
    let made = [back.as_slice(), besides(&original, what).as_slice()].concat();
    let legs = late::redirect(book, tenant, &made, what.stand_ins);
    let legs = late::share(book, legs, what);
    check_accounts(book, &legs, what.forced)?;
    check_amounts(what.part, (asked, left), fee_left)?;
    if legs.is_empty() {
        return Err(Refusal::TransferState { status: original.status });
    }
    original.amount_reversed += back.iter().map(|leg| leg.amount).sum::<i64>();
    original.status = standing(&original);
    restored = restored.filter(|_| !restoring.is_empty());
    if let Some(restored) = &mut restored {
        restore(restored, restoring);
    }

    let id = TransferId(ids.next(book.now(), original.id.bucket()));
    let mut draft = book.draft();
    legs.iter().try_for_each(|leg| give_back(&mut draft, id, leg, what.forced))?;
    let accepted = draft.accept();
    let mut transfer = transfer_of(book, (id, what.kind), &original, legs);
    transfer.metadata.0.extend(what.reason.iter().map(|why| ("reason".into(), why.clone())));
    accepted.accounts.into_iter().for_each(|account| book.write_account(account));
    let changed = restored.iter().chain([&original, &transfer]);
    changed.for_each(|transfer| book.write_transfer(transfer.clone()));
    let posting = Posting::of(transfer, accepted.entries);
    let original = Some(original);
    Ok(Outcome::Posting(Posting { created: true, original, restored, ..posting }))
}

fn transfer_of(
    book: &Book,
    (id, kind): (TransferId, TransferKind),
    original: &Transfer,
    legs: Cow<'_, [Leg]>,
) -> Transfer {
    let mut legs = legs.into_owned();
    // What was pending on the way back is not pending where it went.
    legs.iter_mut().for_each(|leg| leg.pending = 0);
    Transfer {
        id,
        tenant: original.tenant,
        kind,
        status: TransferStatus::Posted,
        currency: original.currency,
        amount: legs.iter().map(|leg| leg.amount).sum(),
        legs,
        amount_captured: 0,
        amount_reversed: 0,
        hold: false,
        expires_at: None,
        available_at: None,
        reference: original.reference.clone(),
        metadata: Default::default(),
        reverses: Some(original.id),
        created_at: book.now(),
    }
}

/// What is left to give back.
fn check_state(original: &Transfer, what: &Return) -> Result<i64, Refusal> {
    use TransferStatus::{Captured, PartiallyReversed, Posted, Reversed};
    let moved_money = matches!(original.status, Posted | Captured | PartiallyReversed | Reversed);
    let is_undone = original.reverses.is_some() && original.kind.is_undoable_return();
    let names_it = original.reverses == what.restores;
    if !moved_money || !names_it || original.reverses.is_some() != is_undone {
        return Err(Refusal::TransferState { status: original.status });
    }
    Ok(match what.part {
        Part::All => original.moved() - original.amount_reversed,
        Part::Principal | Part::PrincipalAndFees | Part::PrincipalAndFee(_) => {
            let principal = &original.legs[0];
            moved(original.hold, principal) - principal.reversed
        }
    })
}

fn check_amounts(part: Part, (asked, left): (i64, i64), fee_left: i64) -> Result<(), Refusal> {
    match part {
        _ if asked > left => Err(Refusal::AmountExceedsReversible { left }),
        Part::PrincipalAndFee(fee) if fee > fee_left => {
            Err(Refusal::AmountExceedsReversible { left: fee_left })
        }
        _ => Ok(()),
    }
}

/// What is left of the fees that the payer bore.
pub(super) fn fee_left(transfer: &Transfer) -> i64 {
    let fees = transfer.legs[1..].iter().filter(|fee| fee.from == transfer.legs[0].from);
    fees.map(|fee| moved(transfer.hold, fee) - fee.reversed).sum()
}

/// The leg of what is beyond the original.
fn besides(original: &Transfer, what: &Return) -> Option<Leg> {
    let payer = what.stand_ins.debits.filter(|_| what.besides > 0 && what.restores.is_none())?;
    Some(Leg::new(payer, original.legs[0].from, what.besides))
}

fn moved(hold: bool, leg: &Leg) -> i64 {
    if hold { leg.captured } else { leg.amount }
}

fn standing(transfer: &Transfer) -> TransferStatus {
    match (transfer.moved() - transfer.amount_reversed, transfer.amount_reversed) {
        (0, _) => TransferStatus::Reversed,
        (_, 0) if transfer.hold => TransferStatus::Captured,
        (_, 0) => TransferStatus::Posted,
        _ => TransferStatus::PartiallyReversed,
    }
}

/// Marks `amount`, or all there is, as given back on the original's legs and returns the opposite
/// legs, the last one first. Their `pending` is what the payee had not been able to spend.
pub(super) fn take_back(original: &mut Transfer, amount: i64, part: Part) -> Vec<Leg> {
    let parts = match part {
        Part::All => in_order(original, amount),
        Part::Principal => vec![amount],
        Part::PrincipalAndFees => with_fees(original, amount),
        Part::PrincipalAndFee(fee) => with_fee(original, amount, fee),
    };
    let hold = original.hold;
    let mut back = Vec::with_capacity(parts.len());
    for (leg, part) in original.legs.iter_mut().zip(parts) {
        let taken = part.min(moved(hold, leg) - leg.reversed);
        if taken > 0 {
            let pending = taken.min(leg.pending);
            leg.reversed += taken;
            leg.pending -= pending;
            back.push(Leg { pending, ..Leg::new(leg.to, leg.from, taken) });
        }
    }
    if original.pending() == 0 {
        original.available_at = None;
    }
    back.reverse();
    back
}

fn in_order(original: &Transfer, amount: i64) -> Vec<i64> {
    let mut left = amount;
    let part = |leg: &Leg| {
        let part = (moved(original.hold, leg) - leg.reversed).min(left);
        left -= part;
        part
    };
    original.legs.iter().map(part).collect()
}

/// Of each fee its share of all that was given back, less that of what was given back before: the
/// last one takes the remainder.
fn with_fees(original: &Transfer, amount: i64) -> Vec<i64> {
    let principal = &original.legs[0];
    let whole = moved(original.hold, principal);
    let (before, after) = (principal.reversed, principal.reversed.saturating_add(amount));
    let part = |fee: &Leg| {
        let fee = moved(original.hold, fee);
        share(fee, after, whole) - share(fee, before, whole)
    };
    std::iter::once(amount).chain(original.legs[1..].iter().map(part)).collect()
}

fn with_fee(original: &Transfer, amount: i64, fee: i64) -> Vec<i64> {
    let payer = original.legs[0].from;
    let mut left = fee;
    let part = |fee: &Leg| {
        let whole = if fee.from == payer { moved(original.hold, fee) - fee.reversed } else { 0 };
        let part = whole.min(left);
        left -= part;
        part
    };
    std::iter::once(amount).chain(original.legs[1..].iter().map(part)).collect()
}

/// Takes back that `back` was given back: on the legs between the same accounts first, and where a
/// stand-in took part on any.
fn restore(transfer: &mut Transfer, back: &[Leg]) {
    for undone in back {
        let mut left = undone.amount;
        let is_same = |leg: &Leg| (leg.from, leg.to) == (undone.from, undone.to);
        for same in [true, false] {
            for leg in transfer.legs.iter_mut().filter(|leg| is_same(leg) == same) {
                let part = left.min(leg.reversed);
                leg.reversed -= part;
                left -= part;
            }
        }
        transfer.amount_reversed -= undone.amount - left;
    }
    transfer.status = standing(transfer);
}

/// Moves the leg; its pending part was never there to spend.
fn give_back(draft: &mut Draft, id: TransferId, leg: &Leg, is_forced: bool) -> Result<(), Refusal> {
    if !is_forced {
        draft.require_spendable(leg.from, leg.amount - leg.pending)?;
    }
    let given = Change { amount: -leg.amount, pending: -leg.pending, ..Change::default() };
    draft.enter(leg.from, id, given)?;
    draft.enter(leg.to, id, Change { amount: leg.amount, ..Change::default() })
}

fn check_accounts(book: &Book, legs: &[Leg], is_forced: bool) -> Result<(), Refusal> {
    let status = |id: AccountId| book.account(id).map(|account| account.status);
    for leg in legs {
        for account in [leg.from, leg.to] {
            if status(account) == Some(AccountStatus::Closed) {
                return Err(Refusal::WalletClosed { account });
            }
        }
    }
    let is_frozen = |leg: &&Leg| status(leg.from) == Some(AccountStatus::Frozen) && !is_forced;
    match legs.iter().find(is_frozen) {
        Some(leg) => Err(Refusal::WalletFrozen { account: leg.from }),
        None => Ok(()),
    }
}
