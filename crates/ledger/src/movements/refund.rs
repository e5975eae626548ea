//! A refund: gives a payment back, wholly or in part.
//!
//! | asked | payee: total | : pending | payer or `gateway_receivable` | `fees` | fee's bearer |
//! |---|---|---|---|---|---|
//! | refund of x, fee kept | −x | −what of it was pending | +x | | |
//! | refund of x, part g of the fee given back | −x | −what of it was pending | +x | −g | +g |
//! | made by the gateway itself | as above, also below the floor and from who is frozen | | | | |
//! | the same, the wallet is closed | `dispute_loss` −x | | +x | | |
//! | the refund failed | +x | | −x | +g | −g |
//!
//! g is the fee's share of all refunds so far less that of those before, so the last one takes the
//! remainder. What is pending goes back first; the rest the payee must have. A payer's wallet that
//! was closed since is stood in for by `unapplied`. A refund that failed restores what can be given
//! back of the payment.

use caudal_domain::{Chart, Transfer, TransferId, TransferKind, fee::FeeReturn};

use super::{Movement, Part, Return, StandIns, reverse};

/// `amount: None` gives back all that is left of the payment.
pub fn refund(chart: Chart, payment: TransferId, amount: Option<i64>, fee: FeeReturn) -> Movement {
    Movement::Return(Box::new(Return {
        kind: TransferKind::Refund,
        part: part_of(fee),
        stand_ins: StandIns::credits(chart),
        ..Return::plain(payment, amount)
    }))
}

/// The gateway has given it back of its own accord: nobody can refuse it. The tenant stands in for
/// a wallet that was closed.
pub fn made_there(chart: Chart, payment: TransferId, amount: i64, fee: FeeReturn) -> Movement {
    Movement::Return(Box::new(Return {
        kind: TransferKind::Refund,
        part: part_of(fee),
        forced: true,
        stand_ins: StandIns::loss(chart),
        ..Return::plain(payment, Some(amount))
    }))
}

fn part_of(fee: FeeReturn) -> Part {
    match fee {
        FeeReturn::Kept => Part::Principal,
        FeeReturn::Proportional => Part::PrincipalAndFees,
    }
}

/// What a refund of `amount` brings back to where the payment came from, as its transfer stands.
pub fn brings_back(payment: &Transfer, amount: i64, fee: FeeReturn) -> i64 {
    let Some(source) = payment.legs.first().map(|leg| leg.from) else { return 0 };
    let back = reverse::take_back(&mut payment.clone(), amount, part_of(fee));
    back.iter().filter(|leg| leg.to == source).map(|leg| leg.amount).sum()
}

/// The payee has the money again.
pub fn failed(chart: Chart, refund: &Transfer) -> Movement {
    Movement::Return(Box::new(undone(chart, refund)))
}

/// Gives back what a refund or a chargeback had taken, all of it.
pub(super) fn undone(chart: Chart, what: &Transfer) -> Return {
    Return {
        forced: true,
        stand_ins: StandIns::credits(chart),
        restores: what.reverses,
        ..Return::plain(what.id, None)
    }
}
