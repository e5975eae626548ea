//! A write-off: the tenant bears what a wallet owes and will not pay.
//!
//! | asked | `dispute_loss`: total | wallet: total |
//! |---|---|---|
//! | write-off of x | −x | +x |
//!
//! Never more than the wallet is in arrears by, and never more than its debt: what only lacks to a
//! floor above zero is owed to nobody.

use caudal_domain::{AccountId, AccountKind, Chart, Leg, Refusal, TransferKind};

use super::NewTransfer;
use crate::book::Book;

pub fn write_off(chart: Chart, wallet: AccountId, amount: i64) -> NewTransfer {
    let leg = Leg::new(chart.of(AccountKind::DisputeLoss), wallet, amount);
    NewTransfer::new(TransferKind::WriteOff, chart.currency, vec![leg])
}

pub(crate) fn check(book: &Book, legs: &[Leg]) -> Result<(), Refusal> {
    let [leg] = legs else { return Err(Refusal::Rejected) };
    let left = book.account(leg.to).map_or(0, caudal_domain::Account::owed);
    match leg.amount > left {
        true => Err(Refusal::AmountExceedsArrears { left }),
        false => Ok(()),
    }
}
