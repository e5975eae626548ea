//! A dispute: the payer's bank takes the money back, and perhaps gives it again.
//!
//! | asked | wallet: total | wallet: pending | `gateway_receivable` | `dispute_loss` |
//! |---|---|---|---|---|
//! | chargeback of x | −x | −what of it was pending | +x | |
//! | the same, the wallet is closed | | | +x | −x |
//! | won | +x | | −x | |
//! | lost, the wallet bears it | | | | |
//! | lost, the tenant bears it | +x | | | −x |
//!
//! A chargeback is forced: it passes a freeze and the floor, and the wallet is then in arrears (see
//! `write_off`). Fees of the payment are kept. Refunds and chargebacks together never exceed the
//! payment; a dispute that is won restores what can be given back.

use caudal_domain::{AccountId, AccountKind, Chart, Leg, Transfer, TransferId, TransferKind};

use super::{Movement, NewTransfer, Part, Return, StandIns, refund};

/// `amount: None` takes all that was not given back before.
pub fn chargeback(chart: Chart, payment: TransferId, amount: Option<i64>) -> Movement {
    Movement::Return(Box::new(Return {
        kind: TransferKind::Chargeback,
        part: Part::Principal,
        forced: true,
        stand_ins: StandIns::debits(chart),
        ..Return::plain(payment, amount)
    }))
}

pub fn won(chart: Chart, chargeback: &Transfer) -> Movement {
    refund::undo(chart, chargeback)
}

/// The tenant bears a dispute that was lost.
pub fn lost(chart: Chart, wallet: AccountId, amount: i64) -> NewTransfer {
    let leg = Leg::new(chart.of(AccountKind::DisputeLoss), wallet, amount);
    NewTransfer::new(TransferKind::DisputeLost, chart.currency, vec![leg])
}
