//! What gateways say when they decline, in our words, and whether another gateway may be tried.
//!
//! A decline is definitive: it did not happen. Whether it may be tried elsewhere is another
//! question. Yes where the gateway, its bank or its contract is the reason; no where the payer's
//! card, money or bank is, for then the answer would be the same, and card schemes fine those who
//! ask again. A code that no table knows is not tried elsewhere.

/// Why a gateway declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeclineCode {
    InsufficientFunds,
    ExpiredCard,
    IncorrectCard,
    CardNotSupported,
    CurrencyNotSupported,
    LimitExceeded,
    LostOrStolen,
    Fraud,
    /// The payer's bank said no and not why.
    DoNotHonor,
    AuthenticationRequired,
    AuthenticationFailed,
    Duplicate,
    /// The gateway or a bank behind it could not.
    ProcessingError,
    IssuerUnavailable,
    /// The account that money should go to cannot take it.
    InvalidAccount,
    InvalidAmount,
    /// The thing is not in a state that allows it: ask for its standing.
    WrongState,
    NotFound,
    /// The gateway does not understand us: ours to repair.
    InvalidRequest,
    /// The gateway does not know or trust this account: its owner's to repair.
    AccountRefused,
    /// Anything else.
    Other,
}

use DeclineCode::*;

const NAMES: &[(DeclineCode, &str)] = &[
    (InsufficientFunds, "insufficient_funds"),
    (ExpiredCard, "expired_card"),
    (IncorrectCard, "incorrect_card"),
    (CardNotSupported, "card_not_supported"),
    (CurrencyNotSupported, "currency_not_supported"),
    (LimitExceeded, "limit_exceeded"),
    (LostOrStolen, "lost_or_stolen"),
    (Fraud, "fraud"),
    (DoNotHonor, "do_not_honor"),
    (AuthenticationRequired, "authentication_required"),
    (AuthenticationFailed, "authentication_failed"),
    (Duplicate, "duplicate"),
    (ProcessingError, "processing_error"),
    (IssuerUnavailable, "issuer_unavailable"),
    (InvalidAccount, "invalid_account"),
    (InvalidAmount, "invalid_amount"),
    (WrongState, "wrong_state"),
    (NotFound, "not_found"),
    (InvalidRequest, "invalid_request"),
    (AccountRefused, "account_refused"),
    (Other, "declined"),
];

impl DeclineCode {
    /// As it is kept and shown (`decline_code`).
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(code, _)| *code == self).map_or("declined", |(_, name)| name)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(code, _)| *code)
    }
}

/// A decline as a table gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decline {
    pub code: DeclineCode,
    pub retryable_elsewhere: bool,
}

/// A gateway's code, ours, and whether another gateway may be tried.
pub type Table = &'static [(&'static str, DeclineCode, bool)];

/// Looks a gateway's code up.
pub fn decline(table: Table, code: &str) -> Decline {
    let found = table.iter().find(|(theirs, ..)| *theirs == code);
    let (code, retryable_elsewhere) =
        found.map_or((Other, false), |(_, code, elsewhere)| (*code, *elsewhere));
    Decline { code, retryable_elsewhere }
}

const ELSEWHERE: bool = true;
const NOWHERE: bool = false;

/// Stripe's decline codes (docs.stripe.com/declines/codes), then its error codes
/// (docs.stripe.com/error-codes) and the failure reasons of refunds and payouts.
pub const STRIPE: Table = &[
    ("insufficient_funds", InsufficientFunds, NOWHERE),
    ("withdrawal_count_limit_exceeded", LimitExceeded, NOWHERE),
    ("card_velocity_exceeded", LimitExceeded, NOWHERE),
    ("expired_card", ExpiredCard, NOWHERE),
    ("incorrect_cvc", IncorrectCard, NOWHERE),
    ("incorrect_number", IncorrectCard, NOWHERE),
    ("incorrect_pin", IncorrectCard, NOWHERE),
    ("incorrect_zip", IncorrectCard, NOWHERE),
    ("incorrect_address", IncorrectCard, NOWHERE),
    ("invalid_cvc", IncorrectCard, NOWHERE),
    ("invalid_number", IncorrectCard, NOWHERE),
    ("invalid_pin", IncorrectCard, NOWHERE),
    ("invalid_expiry_month", IncorrectCard, NOWHERE),
    ("invalid_expiry_year", IncorrectCard, NOWHERE),
    ("pin_try_exceeded", LimitExceeded, NOWHERE),
    ("invalid_account", IncorrectCard, NOWHERE),
    ("new_account_information_available", IncorrectCard, NOWHERE),
    ("lost_card", LostOrStolen, NOWHERE),
    ("stolen_card", LostOrStolen, NOWHERE),
    ("pickup_card", LostOrStolen, NOWHERE),
    ("restricted_card", LostOrStolen, NOWHERE),
    ("fraudulent", Fraud, NOWHERE),
    ("merchant_blacklist", Fraud, NOWHERE),
    ("security_violation", Fraud, NOWHERE),
    ("highest_risk_level", Fraud, NOWHERE),
    ("do_not_try_again", DoNotHonor, NOWHERE),
    ("stop_payment_order", DoNotHonor, NOWHERE),
    ("revocation_of_authorization", DoNotHonor, NOWHERE),
    ("revocation_of_all_authorizations", DoNotHonor, NOWHERE),
    ("call_issuer", DoNotHonor, NOWHERE),
    ("do_not_honor", DoNotHonor, ELSEWHERE),
    ("generic_decline", DoNotHonor, ELSEWHERE),
    ("no_action_taken", DoNotHonor, ELSEWHERE),
    ("card_declined", DoNotHonor, ELSEWHERE),
    ("authentication_required", AuthenticationRequired, NOWHERE),
    ("authentication_not_handled", AuthenticationRequired, NOWHERE),
    ("approve_with_id", AuthenticationRequired, NOWHERE),
    ("mobile_device_authentication_required", AuthenticationRequired, NOWHERE),
    ("offline_pin_required", AuthenticationRequired, NOWHERE),
    ("online_or_offline_pin_required", AuthenticationRequired, NOWHERE),
    ("payment_intent_authentication_failure", AuthenticationFailed, NOWHERE),
    ("card_not_supported", CardNotSupported, ELSEWHERE),
    ("service_not_allowed", CardNotSupported, ELSEWHERE),
    ("transaction_not_allowed", CardNotSupported, ELSEWHERE),
    ("not_permitted", CardNotSupported, ELSEWHERE),
    ("currency_not_supported", CurrencyNotSupported, ELSEWHERE),
    ("duplicate_transaction", Duplicate, NOWHERE),
    ("processing_error", ProcessingError, ELSEWHERE),
    ("reenter_transaction", ProcessingError, ELSEWHERE),
    ("try_again_later", ProcessingError, ELSEWHERE),
    ("issuer_not_available", IssuerUnavailable, ELSEWHERE),
    ("invalid_amount", InvalidAmount, NOWHERE),
    ("testmode_decline", InvalidRequest, NOWHERE),
    ("test_mode_live_card", InvalidRequest, NOWHERE),
    ("amount_too_small", InvalidAmount, NOWHERE),
    ("amount_too_large", InvalidAmount, NOWHERE),
    ("parameter_invalid_integer", InvalidAmount, NOWHERE),
    ("charge_already_captured", WrongState, NOWHERE),
    ("charge_already_refunded", WrongState, NOWHERE),
    ("charge_disputed", WrongState, NOWHERE),
    ("charge_expired_for_capture", WrongState, NOWHERE),
    ("capture_charge_authorization_expired", WrongState, NOWHERE),
    ("payment_intent_unexpected_state", WrongState, NOWHERE),
    ("payment_method_unactivated", AccountRefused, ELSEWHERE),
    ("account_invalid", AccountRefused, ELSEWHERE),
    ("api_key_expired", AccountRefused, ELSEWHERE),
    ("platform_api_key_expired", AccountRefused, ELSEWHERE),
    ("livemode_mismatch", AccountRefused, NOWHERE),
    ("resource_missing", NotFound, NOWHERE),
    ("balance_insufficient", InsufficientFunds, NOWHERE),
    ("insufficient_funds_for_refund", InsufficientFunds, NOWHERE),
    ("expired_or_canceled_card", ExpiredCard, NOWHERE),
    ("lost_or_stolen_card", LostOrStolen, NOWHERE),
    ("account_closed", InvalidAccount, NOWHERE),
    ("account_frozen", InvalidAccount, NOWHERE),
    ("no_account", InvalidAccount, NOWHERE),
    ("incorrect_account_holder_name", InvalidAccount, NOWHERE),
    ("invalid_account_number", InvalidAccount, NOWHERE),
    ("bank_account_restricted", InvalidAccount, NOWHERE),
    ("bank_account_unusable", InvalidAccount, NOWHERE),
    ("payouts_not_allowed", AccountRefused, NOWHERE),
    ("could_not_process", ProcessingError, NOWHERE),
];

/// The simulator's codes; its test tokens tell which.
pub const SIMULATOR: Table = &[
    ("card_declined", DoNotHonor, ELSEWHERE),
    ("insufficient_funds", InsufficientFunds, NOWHERE),
    ("expired_card", ExpiredCard, NOWHERE),
    ("processing_error", ProcessingError, ELSEWHERE),
    ("fraudulent", Fraud, NOWHERE),
    ("authentication_failed", AuthenticationFailed, NOWHERE),
    ("authentication_required", AuthenticationRequired, NOWHERE),
    ("bank_refused", InvalidAccount, NOWHERE),
    ("bank_returned", InvalidAccount, NOWHERE),
    ("amount_too_large", InvalidAmount, NOWHERE),
    ("wrong_state", WrongState, NOWHERE),
    ("resource_missing", NotFound, NOWHERE),
    ("invalid_request", InvalidRequest, NOWHERE),
    ("dispute_lost", Other, NOWHERE),
    ("live_refused", AccountRefused, NOWHERE),
    ("unauthorized", AccountRefused, ELSEWHERE),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_become_ours() {
        let table = [
            (STRIPE, "insufficient_funds", "insufficient_funds", NOWHERE),
            (STRIPE, "expired_card", "expired_card", NOWHERE),
            (STRIPE, "do_not_honor", "do_not_honor", ELSEWHERE),
            (STRIPE, "do_not_try_again", "do_not_honor", NOWHERE),
            (STRIPE, "processing_error", "processing_error", ELSEWHERE),
            (STRIPE, "issuer_not_available", "issuer_unavailable", ELSEWHERE),
            (STRIPE, "stolen_card", "lost_or_stolen", NOWHERE),
            (STRIPE, "fraudulent", "fraud", NOWHERE),
            (STRIPE, "payment_intent_unexpected_state", "wrong_state", NOWHERE),
            (STRIPE, "something_of_next_year", "declined", NOWHERE),
            (SIMULATOR, "card_declined", "do_not_honor", ELSEWHERE),
            (SIMULATOR, "", "declined", NOWHERE),
        ];
        for (table, theirs, ours, elsewhere) in table {
            let found = decline(table, theirs);
            assert_eq!((found.code.name(), found.retryable_elsewhere), (ours, elsewhere));
        }
    }

    #[test]
    fn what_the_payer_or_the_bank_is_the_reason_for_is_tried_nowhere_else() {
        for table in [STRIPE, SIMULATOR] {
            for (theirs, code, elsewhere) in table {
                let payers = matches!(
                    code,
                    InsufficientFunds
                        | ExpiredCard
                        | IncorrectCard
                        | LostOrStolen
                        | Fraud
                        | LimitExceeded
                        | AuthenticationRequired
                        | AuthenticationFailed
                        | Duplicate
                        | WrongState
                        | InvalidAmount
                        | InvalidRequest
                );
                assert!(!(payers && *elsewhere), "{theirs}");
            }
        }
    }

    #[test]
    fn no_code_stands_twice_and_every_name_leads_back() {
        for table in [STRIPE, SIMULATOR] {
            let mut seen = HashSet::new();
            for (theirs, code, _) in table {
                assert!(seen.insert(theirs), "{theirs}");
                assert_eq!(DeclineCode::from_name(code.name()), Some(*code), "{theirs}");
            }
        }
    }
}
