//! Card money: taken by a gateway for a wallet, and later paid to the bank.
//!
//! | asked | `gateway_receivable` | wallet: total | : pending | `fees` | `bank` | `gateway_fees` |
//! |---|---|---|---|---|---|---|
//! | capture of x, fee f borne by the payee | −x | +x, −f | +(x − f) | +f | | |
//! | capture of x, fee f borne by the payer | −x, −f | +x | +x | +f | | |
//! | settlement of x, of which the gateway keeps g | +(x − g), +g | | | | −(x − g) | −g |
//! | the same, x below g: out of the bank | −(g − x), +g | | | | +(g − x) | −g |
//! | the gateway charges g besides (a dispute) | +g | | | | | −g |
//!
//! Without `available` nothing is pending. The gateway has the money, so no wallet can refuse it:
//! a frozen one and one in arrears are paid, a closed one's money goes to `unapplied`.

use caudal_domain::{
    AccountId, AccountKind, Chart, GatewayAccountId, Leg, TransferKind, fee::FeeBearer,
};

use super::{Force, HoldUntil, NewTransfer, StandIns, Terms, pay};

/// Money that a gateway has taken.
#[derive(Clone, Copy, Debug)]
pub struct CardCapture {
    pub gateway: GatewayAccountId,
    pub wallet: AccountId,
    /// Without the fee that its payer bears.
    pub amount: i64,
    pub fee: i64,
    pub bearer: FeeBearer,
    /// When the wallet may spend it; `None`: at once.
    pub available: Option<HoldUntil>,
}

pub fn capture(chart: Chart, card: &CardCapture) -> NewTransfer {
    let mut first = Leg::new(chart.receivable(card.gateway), card.wallet, card.amount);
    let fee = pay::fee_leg(chart, &first, card.fee, card.bearer);
    let paid_on = fee.iter().filter(|leg| leg.from == first.to).map(|leg| leg.amount).sum::<i64>();
    let available = card.available.filter(|_| card.amount > paid_on);
    if available.is_some() {
        first.pending = card.amount - paid_on;
    }
    let legs = std::iter::once(first).chain(fee).collect();
    NewTransfer::new(TransferKind::Payment, chart.currency, legs).on(Terms {
        force: Force::Fees,
        available,
        stand_ins: StandIns::credits(chart),
        limits: Vec::new(),
    })
}

/// `amount` is what the gateway owed for, `kept` the part of it that the gateway keeps. Either may
/// be below zero: more was given back than taken, fees came back.
pub fn settlement(chart: Chart, gateway: GatewayAccountId, amount: i64, kept: i64) -> NewTransfer {
    let owed = chart.receivable(gateway);
    let parts = [(AccountKind::Bank, amount - kept), (AccountKind::GatewayFees, kept)];
    let legs = parts.into_iter().filter_map(|(kind, part)| match part {
        0 => None,
        1.. => Some(Leg::new(chart.of(kind), owed, part)),
        _ => Some(Leg::new(owed, chart.of(kind), -part)),
    });
    NewTransfer::new(TransferKind::GatewaySettlement, chart.currency, legs.collect())
}

/// What the gateway takes off what it owes.
pub fn gateway_fee(chart: Chart, gateway: GatewayAccountId, amount: i64) -> NewTransfer {
    let leg = Leg::new(chart.of(AccountKind::GatewayFees), chart.receivable(gateway), amount);
    NewTransfer::new(TransferKind::Fee, chart.currency, vec![leg])
}
