//! What comes too late, or is too much: the place of a closed wallet is taken by an account of the
//! tenant's, and that of a wallet whose balance could not hold what it is credited.
//!
//! | asked | entries instead |
//! |---|---|
//! | credit of x to a closed wallet | `unapplied` +x |
//! | credit of x that lifts a wallet above 2^53 − 1 | `unapplied` +x |
//! | forced debit of x from a closed wallet | `dispute_loss` −x |
//! | chargeback of x, of which y lies on `unapplied` | `unapplied` −y, `dispute_loss` −(x − y) |
//! | unapplied money of x, applied | `unapplied` −x, wallet +x |
//!
//! Only where the transfer's terms name the stand-in; else the wallet refuses. What a wallet was
//! credited and pays on in one transfer (its fee) stays with the one stand-in. Unapplied money of
//! many lies on one account: what was applied is never taken from what is left for the others.

use std::borrow::Cow;

use caudal_domain::{
    Account, AccountId, AccountKind, AccountStatus, Chart, Leg, MAX_AMOUNT, TenantId, TransferKind,
};

use super::{NewTransfer, Return};
use crate::book::Book;

/// Who pays and who is paid in the place of a closed wallet; or is paid, of one that is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandIns {
    pub credits: Option<AccountId>,
    pub debits: Option<AccountId>,
    /// Also in the place of wallets that are open, and of unapplied money.
    pub always: bool,
}

impl StandIns {
    /// The unapplied money is paid.
    pub fn credits(chart: Chart) -> Self {
        Self { credits: Some(chart.of(AccountKind::Unapplied)), ..Self::default() }
    }

    /// The tenant bears what nobody is left to pay.
    pub fn debits(chart: Chart) -> Self {
        Self { debits: Some(chart.of(AccountKind::DisputeLoss)), ..Self::default() }
    }

    /// The tenant bears it all, what the holder would have had of it too.
    pub fn loss(chart: Chart) -> Self {
        let loss = Some(chart.of(AccountKind::DisputeLoss));
        Self { credits: loss, debits: loss, always: false }
    }

    /// The tenant has paid the holder before, and is paid in their place.
    pub fn tenant(chart: Chart) -> Self {
        Self { credits: Some(chart.of(AccountKind::DisputeLoss)), always: true, ..Self::default() }
    }
}

/// Gives unapplied money to whom it belongs.
pub fn apply(chart: Chart, wallet: AccountId, amount: i64) -> NewTransfer {
    let leg = Leg::new(chart.of(AccountKind::Unapplied), wallet, amount);
    NewTransfer::new(TransferKind::Applied, chart.currency, vec![leg])
}

/// The legs as they will be made.
pub(crate) fn redirect<'l>(
    book: &Book,
    tenant: TenantId,
    legs: &'l [Leg],
    stand_ins: StandIns,
) -> Cow<'l, [Leg]> {
    if stand_ins == StandIns::default() {
        return Cow::Borrowed(legs);
    }
    let is_holders = |kind| matches!(kind, AccountKind::Wallet | AccountKind::Unapplied);
    let can_not = |account: &Account| {
        let is_full = || stand_ins.credits.is_some() && overflows(account, legs);
        account.status == AccountStatus::Closed
            || stand_ins.always && is_holders(account.kind)
            || is_full()
    };
    let is_out = |id| book.account(id).is_some_and(|a| a.tenant == tenant && can_not(a));
    if !legs.iter().any(|leg| is_out(leg.from) || is_out(leg.to)) {
        return Cow::Borrowed(legs);
    }
    let is_paid = |id| legs.iter().any(|leg| leg.to == id);
    let place = |id, stand_in: Option<AccountId>| match stand_in {
        Some(stand_in) if is_out(id) => stand_in,
        _ => id,
    };
    let mut made = legs.to_vec();
    for leg in &mut made {
        let payer = if is_paid(leg.from) { stand_ins.credits } else { stand_ins.debits };
        leg.from = place(leg.from, payer);
        leg.to = place(leg.to, stand_ins.credits);
    }
    Cow::Owned(made)
}

/// Whether the legs credit the wallet more than its balance may be, before it pays any of it on.
fn overflows(account: &Account, legs: &[Leg]) -> bool {
    let pays = |leg: &&Leg| leg.from == account.id;
    let brought = legs.iter().take_while(|leg| !pays(leg)).filter(|leg| leg.to == account.id);
    let total = brought.fold(account.total, |total, leg| total.saturating_add(leg.amount));
    account.kind == AccountKind::Wallet && total > MAX_AMOUNT
}

/// Of unapplied money the legs take what is there, and the stand-in gives the rest.
pub(crate) fn share<'l>(book: &Book, legs: Cow<'l, [Leg]>, what: &Return) -> Cow<'l, [Leg]> {
    let Some(stand_in) = what.stand_ins.debits else { return legs };
    // What the leg may take; `None`: all of it.
    let there = |leg: &Leg| {
        let account = book.account(leg.from).filter(|a| a.kind == AccountKind::Unapplied)?;
        let spendable = account.spendable().unwrap_or(i64::MAX).max(0);
        let most = what.unapplied_most.unwrap_or(i64::MAX);
        Some(most.min(spendable.saturating_add(leg.pending)).max(leg.pending))
    };
    if !legs.iter().any(|leg| there(leg).is_some_and(|there| there < leg.amount)) {
        return legs;
    }
    let mut made = Vec::with_capacity(legs.len() + 1);
    for leg in legs.iter() {
        let taken = there(leg).unwrap_or(leg.amount).min(leg.amount);
        let own = Leg { amount: taken, ..leg.clone() };
        let rest = Leg::new(stand_in, leg.to, leg.amount - taken);
        made.extend([own, rest].into_iter().filter(|leg| leg.amount > 0));
    }
    Cow::Owned(made)
}
