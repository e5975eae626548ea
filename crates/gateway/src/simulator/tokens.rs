//! Test tokens: what becomes of a payment method or a bank account is in its name.
//!
//! Those of cards do as Stripe's of the same names; `pm_slow_5s`, `pm_timeout` and `pm_error_500`
//! are ours, as those of bank transfers and of bank accounts. To add one more: a line below.

use std::time::Duration;

/// What becomes of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Succeed,
    Decline(&'static str),
    /// Succeeds, and is disputed a little later.
    Dispute,
    ThreeDSecure,
    /// Decided a little later: so.
    Later(bool),
    /// Succeeds; its refunds are decided a little later: so.
    RefundLater(bool),
}

/// What becomes of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// The charge is made at once, the answer comes late.
    Slow(Duration),
    /// Nothing happens, and nothing is ever said.
    Silent,
    /// Nothing happens, and a 500 is said.
    Error,
}

const FIVE_SECONDS: Duration = Duration::from_secs(5);

const METHODS: &[(&str, Fate, Trouble)] = &[
    ("pm_card_visa", Fate::Succeed, Trouble::None),
    ("pm_card_mastercard", Fate::Succeed, Trouble::None),
    ("pm_card_chargeDeclined", Fate::Decline("card_declined"), Trouble::None),
    ("pm_card_chargeDeclinedInsufficientFunds", Fate::Decline("insufficient_funds"), Trouble::None),
    ("pm_card_chargeDeclinedExpiredCard", Fate::Decline("expired_card"), Trouble::None),
    ("pm_card_chargeDeclinedProcessingError", Fate::Decline("processing_error"), Trouble::None),
    ("pm_card_chargeDeclinedFraudulent", Fate::Decline("fraudulent"), Trouble::None),
    ("pm_card_createDispute", Fate::Dispute, Trouble::None),
    ("pm_card_threeDSecure2Required", Fate::ThreeDSecure, Trouble::None),
    ("pm_card_pendingRefund", Fate::RefundLater(true), Trouble::None),
    ("pm_card_refundFail", Fate::RefundLater(false), Trouble::None),
    ("pm_bank_transfer", Fate::Later(true), Trouble::None),
    ("pm_bank_transferFails", Fate::Later(false), Trouble::None),
    ("pm_slow_5s", Fate::Succeed, Trouble::Slow(FIVE_SECONDS)),
    ("pm_timeout", Fate::Succeed, Trouble::Silent),
    ("pm_error_500", Fate::Succeed, Trouble::Error),
];

/// `None` for a payment method that is no token of ours.
pub fn method(token: &str) -> Option<(Fate, Trouble)> {
    let found = METHODS.iter().find(|(known, ..)| *known == token);
    found.map(|(_, fate, trouble)| (*fate, *trouble))
}

/// What becomes of a payout to that bank account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bank {
    Paid,
    /// The bank sends it back.
    Returned,
    Refused,
}

/// Accounts whose key begins so are at a bank that takes no cards today, whoever pays.
const DECLINING: &str = "sim_test_declines";

/// Why the account's bank declines every charge.
pub fn declines(account: &str) -> Option<&'static str> {
    account.starts_with(DECLINING).then_some("processing_error")
}

pub fn bank(token: &str) -> Option<Bank> {
    match token {
        "ba_ok" => Some(Bank::Paid),
        "ba_returned" => Some(Bank::Returned),
        "ba_refused" => Some(Bank::Refused),
        _ => None,
    }
}
