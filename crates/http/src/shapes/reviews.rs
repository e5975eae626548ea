//! Reviews as they are shown: a payment that waits for a person, and why.

use caudal_domain::{AccountId, Currency, FraudRuleId, PaymentId, Timestamp, UserId};
use caudal_service::payments::Payment;
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::Shown;

#[derive(Serialize, ToSchema)]
#[schema(as = Review, example = json!({
    "id": "pay_01h455vb4pex5vsknk084sn02q", "object": "review",
    "rule_id": "frl_01h455vb4pex5vsknk084sn02q", "reason": "rule", "type": "card",
    "amount": 900000, "currency": "USD", "from": null, "to": "wal_01h455vb4pex5vsknk084sn02q",
    "user_id": null, "created_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct ReviewShape<'a> {
    /// The payment's.
    #[schema(value_type = String)]
    id: PaymentId,
    object: &'static str,
    /// The first rule that spoke against it.
    #[schema(value_type = Option<String>)]
    rule_id: Option<FraudRuleId>,
    /// `rule` (it held) or `rule_failed` (it could not be evaluated).
    reason: &'static str,
    #[serde(rename = "type")]
    kind: &'a str,
    /// In minor units.
    amount: i64,
    #[schema(value_type = String)]
    currency: Currency,
    #[schema(value_type = Option<String>)]
    from: Option<AccountId>,
    #[schema(value_type = String)]
    to: AccountId,
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl<'a> From<&'a Payment> for ReviewShape<'a> {
    fn from(payment: &'a Payment) -> Self {
        let row = &payment.row;
        let review = payment.data.review.as_ref();
        let has_failed = review.is_some_and(|review| review.has_failed);
        Self {
            id: row.id,
            object: "review",
            rule_id: review.map(|review| review.rule),
            reason: if has_failed { "rule_failed" } else { "rule" },
            kind: &row.kind,
            amount: row.amount,
            currency: row.currency,
            from: row.from,
            to: row.wallet,
            user_id: row.user,
            created_at: row.created_at,
        }
    }
}

impl Shown for ReviewShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "rule_id",
        "reason",
        "type",
        "amount",
        "currency",
        "from",
        "to",
        "user_id",
        "created_at",
    ];
}
