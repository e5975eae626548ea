//! Every reason for which Caudal says no to a well-formed request, each with a name.
//!
//! Refusals are values: they are decided, stored with the idempotency key and repeated. When
//! several apply, the first of this list is given. `http` maps each to its status in one `match`.

use serde::{Deserialize, Serialize};

use crate::{
    account::{AccountStatus, WalletLimit},
    id::AccountId,
    payment::{DisputeStatus, PaymentStatus, PayoutStatus, RefundStatus},
    transfer::TransferStatus,
    user::UserStatus,
};

/// In order of precedence.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Refusal {
    #[error("this idempotency key was used before with another request")]
    IdempotencyMismatch,
    #[error("no such transfer")]
    TransferNotFound,
    #[error("no such payment")]
    PaymentNotFound,
    #[error("no wallet {account}")]
    WalletNotFound { account: AccountId },
    #[error("no such quote")]
    QuoteNotFound,
    #[error("there is no rate on record for this pair of currencies")]
    RateNotFound,
    #[error("something else changed it meanwhile; read it again and retry")]
    Conflict,
    #[error("{account} is in another currency")]
    CurrencyMismatch { account: AccountId },
    #[error(
        "the transfer belongs to a payment or the like; capture, cancel or refund that instead"
    )]
    TransferOfPayment,
    #[error("the transfer is {status}")]
    TransferState { status: TransferStatus },
    #[error("the payment is {}", .status.name())]
    PaymentState { status: PaymentStatus },
    #[error("the refund is {}", .status.name())]
    RefundState { status: RefundStatus },
    #[error("the dispute is {}", .status.name())]
    DisputeState { status: DisputeStatus },
    #[error("the payout is {}", .status.name())]
    PayoutState { status: PayoutStatus },
    #[error("the quote was used before")]
    QuoteUsed,
    #[error("a settlement of this reference is booked with other amounts")]
    SettlementBooked,
    #[error("the quote has expired; ask for another")]
    QuoteExpired,
    #[error("the hold has expired")]
    HoldExpired,
    #[error("{account} is closed")]
    WalletClosed { account: AccountId },
    #[error("{account} is frozen: nothing can be taken from it")]
    WalletFrozen { account: AccountId },
    #[error("the wallet is {status}")]
    WalletState { status: AccountStatus },
    #[error("the wallet still holds money; move {total} minor units out first")]
    WalletNotEmpty { total: i64 },
    #[error("only {left} minor units of the hold are left")]
    AmountExceedsHeld { left: i64 },
    #[error("only {left} minor units of the transfer can still be reversed")]
    AmountExceedsReversible { left: i64 },
    #[error("only {left} minor units of the payment can still be captured")]
    AmountExceedsAuthorized { left: i64 },
    #[error("only {left} minor units of the payment can still be given back")]
    AmountExceedsRefundable { left: i64 },
    #[error("only {left} minor units are owed and can be written off")]
    AmountExceedsArrears { left: i64 },
    #[error("the amount is worth nothing in the other currency")]
    ExchangeTooSmall,
    #[error("{account}: the limit on its {} leaves {left} minor units", .limit.name())]
    LimitReached { account: AccountId, limit: WalletLimit, left: i64 },
    #[error("{account} has {spendable} minor units to spend, {needed} are needed")]
    InsufficientFunds { account: AccountId, spendable: i64, needed: i64 },
    #[error("the balance of {account} would pass ±(2^53−1) minor units")]
    BalanceLimit { account: AccountId },
    #[error("the password is known from published leaks; choose another")]
    PasswordCompromised,
    #[error("the tenant has a user with this e-mail address")]
    EmailTaken,
    #[error("the user is {}", .status.name())]
    UserState { status: UserStatus },
    #[error("the tenant would be left without an active owner")]
    LastOwner,
    #[error("the name is taken")]
    NameTaken,
    #[error("the key was revoked, has ended or was rotated already")]
    KeyState,
    #[error("the tenant has {most} webhook endpoints, which is all it can have")]
    WebhookEndpointsFull { most: i64 },
    #[error("the webhook endpoint is disabled; enable it first")]
    WebhookEndpointState,
    #[error("the database refused this request's values")]
    Rejected,
}

impl Refusal {
    /// The stable name a program reads.
    pub fn code(&self) -> &'static str {
        match self {
            Self::IdempotencyMismatch => "idempotency_mismatch",
            Self::TransferNotFound => "transfer_not_found",
            Self::PaymentNotFound => "payment_not_found",
            Self::WalletNotFound { .. } => "wallet_not_found",
            Self::QuoteNotFound => "quote_not_found",
            Self::RateNotFound => "rate_not_found",
            Self::Conflict => "conflict",
            Self::CurrencyMismatch { .. } => "currency_mismatch",
            Self::TransferOfPayment => "transfer_of_payment",
            Self::TransferState { .. } => "transfer_state",
            Self::PaymentState { .. } => "payment_state",
            Self::RefundState { .. } => "refund_state",
            Self::DisputeState { .. } => "dispute_state",
            Self::PayoutState { .. } => "payout_state",
            Self::QuoteUsed => "quote_used",
            Self::SettlementBooked => "settlement_booked",
            Self::QuoteExpired => "quote_expired",
            Self::HoldExpired => "transfer_state",
            Self::WalletClosed { .. } => "wallet_closed",
            Self::WalletFrozen { .. } => "wallet_frozen",
            Self::WalletState { .. } => "wallet_state",
            Self::WalletNotEmpty { .. } => "wallet_state",
            Self::AmountExceedsHeld { .. } => "amount_exceeds_held",
            Self::AmountExceedsReversible { .. } => "amount_exceeds_reversible",
            Self::AmountExceedsAuthorized { .. } => "amount_exceeds_authorized",
            Self::AmountExceedsRefundable { .. } => "amount_exceeds_refundable",
            Self::AmountExceedsArrears { .. } => "amount_exceeds_arrears",
            Self::ExchangeTooSmall => "exchange_too_small",
            Self::LimitReached { .. } => "limit_reached",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::BalanceLimit { .. } => "balance_limit",
            Self::PasswordCompromised => "password_compromised",
            Self::EmailTaken => "email_taken",
            Self::UserState { .. } => "user_state",
            Self::LastOwner => "last_owner",
            Self::NameTaken => "name_taken",
            Self::KeyState => "api_key_state",
            Self::WebhookEndpointsFull { .. } => "webhook_endpoints_full",
            Self::WebhookEndpointState => "webhook_endpoint_state",
            Self::Rejected => "rejected",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_refusals_read_back_as_they_were() {
        let account = AccountId(77);
        let refusal = Refusal::InsufficientFunds { account, spendable: 5, needed: 6 };
        let text = serde_json::to_string(&refusal).expect("plain data");
        assert!(text.contains("insufficient_funds"), "{text}");
        assert_eq!(serde_json::from_str::<Refusal>(&text).expect("its own text"), refusal);
    }
}
