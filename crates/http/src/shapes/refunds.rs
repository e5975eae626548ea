//! Refunds as they are asked for and shown, and calls to gateways as shown.

use caudal_domain::{
    Amount, Currency, GatewayAccountId, PaymentId, RefundId, Timestamp, TransferId,
    payment::RefundStatus,
};
use caudal_service::{
    payment_saga::Found,
    payments::{AttemptRow, RefundRow},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check_name;
use crate::{problem::Problem, query::Shown};

#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRefund, example = json!({"amount": 500, "reason": "one cup was broken"}))]
pub(crate) struct RefundRequest {
    /// All that is left, if not given.
    #[schema(value_type = Option<i64>, minimum = 1)]
    pub amount: Option<Amount>,
    #[schema(max_length = 200)]
    pub reason: Option<String>,
}

/// What a person has found out about money that nobody else could tell of.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Resolution, example = json!({"outcome": "succeeded", "gateway_reference": "ch_1"}))]
pub(crate) struct ResolutionRequest {
    /// `succeeded`: the money moved at the gateway; `failed`: it did not and will not.
    outcome: Outcome,
    /// The gateway's name for it; with `succeeded` alone.
    #[schema(max_length = 200)]
    gateway_reference: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Succeeded,
    Failed,
}

impl ResolutionRequest {
    pub fn found(&self) -> Result<Found, Problem> {
        const FIELD: &str = "gateway_reference";
        self.gateway_reference.iter().try_for_each(|text| check_name(FIELD, text))?;
        match (self.outcome, &self.gateway_reference) {
            (Outcome::Succeeded, Some(reference)) => {
                Ok(Found::Moved { reference: reference.clone() })
            }
            (Outcome::Failed, None) => Ok(Found::NotMoved),
            (Outcome::Succeeded, None) => {
                Err(Problem::invalid(FIELD, "what moved has a name there"))
            }
            (Outcome::Failed, Some(_)) => {
                Err(Problem::invalid(FIELD, "what did not move has no name there"))
            }
        }
    }
}

/// A refund as it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Refund, example = json!({
    "id": "ref_01h455vb4pex5vsknk084sn02s", "object": "refund",
    "payment_id": "pay_01h455vb4pex5vsknk084sn02s", "status": "succeeded", "amount": 500,
    "currency": "USD", "reason": null, "transfer_id": "trf_01h455vb4pex5vsknk084sn02v",
    "gateway_reference": null, "failure": null, "created_at": "2026-01-31T09:30:00.000000Z",
    "updated_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct RefundShape<'a> {
    #[schema(value_type = String)]
    id: RefundId,
    object: &'static str,
    #[schema(value_type = String)]
    payment_id: PaymentId,
    /// `pending`, `succeeded` or `failed`.
    #[schema(value_type = String)]
    status: RefundStatus,
    amount: i64,
    #[schema(value_type = String)]
    currency: Currency,
    reason: Option<&'a str>,
    /// The transfer that gave the money back.
    #[schema(value_type = Option<String>)]
    transfer_id: Option<TransferId>,
    gateway_reference: Option<&'a str>,
    /// Why it failed; the payee has the money again.
    failure: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a RefundRow> for RefundShape<'a> {
    fn from(row: &'a RefundRow) -> Self {
        Self {
            id: row.id,
            object: "refund",
            payment_id: row.payment,
            status: row.status,
            amount: row.amount,
            currency: row.currency,
            reason: row.reason.as_deref(),
            transfer_id: row.transfer,
            gateway_reference: row.gateway_reference.as_deref(),
            failure: row.failure.as_deref(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Shown for RefundShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "payment_id",
        "status",
        "amount",
        "currency",
        "reason",
        "transfer_id",
        "gateway_reference",
        "failure",
        "created_at",
        "updated_at",
    ];
}

/// A call to a gateway.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentAttempt)]
pub(crate) struct AttemptShape<'a> {
    number: i64,
    #[schema(value_type = String)]
    gateway_account_id: GatewayAccountId,
    /// `charge`, `capture`, `cancel` or `refund`.
    operation: &'a str,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// What the gateway said; null while nobody knows.
    outcome: Option<&'a str>,
    gateway_reference: Option<&'a str>,
    decline_code: Option<&'a str>,
    detail: Option<&'a str>,
}

impl<'a> From<&'a AttemptRow> for AttemptShape<'a> {
    fn from(row: &'a AttemptRow) -> Self {
        let ended = row.ended.as_ref();
        Self {
            number: row.number,
            gateway_account_id: row.gateway_account,
            operation: &row.operation,
            started_at: row.started_at,
            ended_at: ended.map(|ended| ended.at),
            outcome: ended.map(|ended| ended.outcome.as_str()),
            gateway_reference: ended.and_then(|ended| ended.reference.as_deref()),
            decline_code: ended.and_then(|ended| ended.decline_code.as_deref()),
            detail: ended.and_then(|ended| ended.detail.as_deref()),
        }
    }
}
