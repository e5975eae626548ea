//! A payout: from a wallet to its holder's bank.
//!
//! | asked | wallet: total | wallet: held | `payout_in_transit` | `bank` |
//! |---|---|---|---|---|
//! | payout of x | | +x | | |
//! | declined, called off (a void) | | −x | | |
//! | sent (a capture) | −x | −x | +x | |
//! | settled | | | −x | +x |
//! | returned while in transit | +x | | −x | |
//! | returned after it settled | +x | | +x, −x | −x |
//!
//! No freeze stops a returned payout, and a wallet that was closed since is stood in for by
//! `unapplied`. What is in transit is never below zero: after settlement the bank's side comes
//! first ([`super::bank`]).

use caudal_domain::{AccountId, AccountKind, Chart, Leg, TransferId, TransferKind};

use super::{HoldUntil, Movement, NewTransfer, Return, StandIns};

pub fn hold(chart: Chart, wallet: AccountId, amount: i64, until: HoldUntil) -> NewTransfer {
    let leg = Leg::new(wallet, chart.of(AccountKind::PayoutInTransit), amount);
    let new = NewTransfer::new(TransferKind::Payout, chart.currency, vec![leg]);
    NewTransfer { hold_until: Some(until), ..new }
}

pub fn sent(payout: TransferId) -> Movement {
    Movement::Capture { transfer: payout, amount: None, last: true, limits: Vec::new() }
}

/// The bank has confirmed this much.
pub fn settled(chart: Chart, amount: i64) -> NewTransfer {
    let leg = Leg::new(chart.of(AccountKind::PayoutInTransit), chart.of(AccountKind::Bank), amount);
    NewTransfer::new(TransferKind::PayoutSettled, chart.currency, vec![leg])
}

pub fn returned(chart: Chart, payout: TransferId) -> Movement {
    Movement::Return(Box::new(Return {
        stand_ins: StandIns::credits(chart),
        ..Return::plain(payout, None)
    }))
}
