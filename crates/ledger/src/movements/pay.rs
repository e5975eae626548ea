//! A payment from wallet to wallet, and its fee.
//!
//! | asked | payer: total | payee: total | `fees`: total |
//! |---|---|---|---|
//! | payment of x, fee f borne by the payee | −x | +x, −f | +f |
//! | payment of x, fee f borne by the payer | −x, −f | +x | +f |
//! | a fee of f by itself | | −f | +f |
//!
//! The first leg is the payment, what follows is its fee: refunds tell them apart so. A payee's
//! fee comes out of what the payment has just brought it, so neither a floor nor a freeze of the
//! payee stops a payment.

use caudal_domain::{AccountId, AccountKind, Chart, Leg, TransferKind, fee::FeeBearer};

use super::{Force, NewTransfer, StandIns, Terms};

/// Money from one wallet to another.
#[derive(Clone, Copy, Debug)]
pub struct WalletPayment {
    pub payer: AccountId,
    pub payee: AccountId,
    /// Without the fee that its payer bears.
    pub amount: i64,
    pub fee: i64,
    pub bearer: FeeBearer,
}

pub fn pay(chart: Chart, payment: &WalletPayment) -> NewTransfer {
    let first = Leg::new(payment.payer, payment.payee, payment.amount);
    let fee = pay_fee(chart, &first, payment);
    let legs = std::iter::once(first).chain(fee).collect();
    let new = NewTransfer::new(TransferKind::Payment, chart.currency, legs);
    match payment.fee {
        0 => new,
        _ => new.on(Terms { force: Force::Fees, ..Terms::default() }),
    }
}

fn pay_fee(chart: Chart, first: &Leg, payment: &WalletPayment) -> Option<Leg> {
    fee_leg(chart, first, payment.fee, payment.bearer)
}

/// The leg of the fee behind the payment's own.
pub(super) fn fee_leg(chart: Chart, first: &Leg, fee: i64, bearer: FeeBearer) -> Option<Leg> {
    let from = match bearer {
        FeeBearer::Payer => first.from,
        FeeBearer::Payee => first.to,
    };
    (fee > 0).then(|| Leg::new(from, chart.of(AccountKind::Fees), fee))
}

/// A fee apart from its payment: of a hold that was captured, of a dispute. It can't be refused.
pub fn charge(chart: Chart, wallet: AccountId, amount: i64) -> NewTransfer {
    let leg = Leg::new(wallet, chart.of(AccountKind::Fees), amount);
    NewTransfer::new(TransferKind::Fee, chart.currency, vec![leg]).on(Terms {
        force: Force::All,
        stand_ins: StandIns::debits(chart),
        ..Terms::default()
    })
}
