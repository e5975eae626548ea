//! A dispute: the payer's bank takes the money back, and perhaps gives it again.
//!
//! | asked | wallet: total | : pending | `gateway_receivable` | `fees` | `dispute_loss` |
//! |---|---|---|---|---|---|
//! | chargeback of x | −x | −what of it was pending | +x | | |
//! | the same, the wallet is closed | | | +x | | −x |
//! | chargeback of x + f, the payer bore the fee f | −x | −what of it was pending | +x, +f | −f | |
//! | chargeback of x + y, y was refunded before | −x | −what of it was pending | +x, +y | | −y |
//! | won | +x | | −x, −f, −y | +f | +y |
//! | lost, the wallet bears it | | | | | |
//! | lost, the tenant bears it | +x | | | | −x |
//! | won after that | | | −x, −f, −y | +f | +x, +y |
//!
//! The gateway's account always gets all that the bank took. A chargeback is forced: it passes a
//! freeze and the floor, and the wallet is then in arrears (see `write_off`). Fees that the payee
//! bore are kept. What refunds and chargebacks take from the payee never exceeds the payment: what
//! the bank takes beyond is the tenant's loss. A dispute that is won restores what can be given
//! back. Where the money had gone to `unapplied`, or a closed wallet is paid: see `late`.

use caudal_domain::{AccountId, AccountKind, Chart, Leg, Transfer, TransferId, TransferKind};

use super::{Movement, NewTransfer, Part, Return, StandIns, Terms, refund, reverse};

/// What a payer's bank took, by who gives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The payee; `None` gives all that was not given back before.
    pub payee: Option<i64>,
    /// Of the fee that the payer bore.
    pub fee: i64,
    /// The tenant: there was no more to give back.
    pub tenant: i64,
    /// Of unapplied money so much at most, where the payee's share lies there.
    pub unapplied_most: Option<i64>,
}

impl Taken {
    /// Of `amount`, after the payee's share first what is left of the payer's fee.
    pub fn of(payment: &Transfer, amount: i64, payee: i64) -> Self {
        let fee = reverse::fee_left(payment).min(amount - payee);
        let tenant = amount - payee - fee;
        Self { payee: Some(payee), fee, tenant, unapplied_most: None }
    }
}

pub fn chargeback(chart: Chart, payment: TransferId, taken: Taken) -> Movement {
    Movement::Return(Box::new(Return {
        kind: TransferKind::Chargeback,
        part: Part::PrincipalAndFee(taken.fee),
        forced: true,
        stand_ins: StandIns::debits(chart),
        besides: taken.tenant,
        unapplied_most: taken.unapplied_most,
        ..Return::plain(payment, taken.payee)
    }))
}

/// `besides`: what the tenant gave, as [`Taken::tenant`].
pub fn won(chart: Chart, chargeback: &Transfer, besides: i64) -> Movement {
    Movement::Return(Box::new(Return { besides, ..refund::undone(chart, chargeback) }))
}

/// The tenant bore it, so the tenant has it back.
pub fn won_by_tenant(chart: Chart, chargeback: &Transfer, besides: i64) -> Movement {
    let stand_ins = StandIns::tenant(chart);
    Movement::Return(Box::new(Return { besides, stand_ins, ..refund::undone(chart, chargeback) }))
}

/// The tenant bears a dispute that was lost.
pub fn lost(chart: Chart, wallet: AccountId, amount: i64) -> NewTransfer {
    let leg = Leg::new(chart.of(AccountKind::DisputeLoss), wallet, amount);
    let terms = Terms { stand_ins: StandIns::credits(chart), ..Terms::default() };
    NewTransfer::new(TransferKind::DisputeLost, chart.currency, vec![leg]).on(terms)
}
