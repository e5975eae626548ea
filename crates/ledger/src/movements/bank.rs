//! The bank: money that comes to the tenant's account there, and leaves it.
//!
//! | asked | `bank`: total | `treasury`: total | `payout_in_transit`: total |
//! |---|---|---|---|
//! | money in of x | −x | +x | |
//! | money out of x | +x | −x | |
//! | a settled payout of x comes back | −x | | +x |
//!
//! A debit of `bank` is money that lies there. A privileged act, with a scope of its own.

use caudal_domain::{AccountKind, Chart, Leg, TransferKind};

use super::NewTransfer;

pub fn money_in(chart: Chart, amount: i64) -> NewTransfer {
    bank_in(chart, AccountKind::Treasury, amount)
}

/// Then the payout itself is returned to its wallet.
pub fn payout_came_back(chart: Chart, amount: i64) -> NewTransfer {
    bank_in(chart, AccountKind::PayoutInTransit, amount)
}

pub fn money_out(chart: Chart, amount: i64) -> NewTransfer {
    let leg = Leg::new(chart.of(AccountKind::Treasury), chart.of(AccountKind::Bank), amount);
    NewTransfer::new(TransferKind::BankOut, chart.currency, vec![leg])
}

fn bank_in(chart: Chart, to: AccountKind, amount: i64) -> NewTransfer {
    let leg = Leg::new(chart.of(AccountKind::Bank), chart.of(to), amount);
    NewTransfer::new(TransferKind::BankIn, chart.currency, vec![leg])
}
