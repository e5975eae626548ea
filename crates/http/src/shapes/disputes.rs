//! Disputes as they are answered and shown.

use caudal_domain::{
    Currency, DisputeId, GatewayAccountId, PaymentId, Timestamp, TransferId,
    payment::DisputeStatus, text::check_text,
};
use caudal_service::disputes::DisputeRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{problem::Problem, query::Shown, shapes::refuse_card_number};

/// Stripe's own limit on free text.
const EVIDENCE_CHARS: usize = 20_000;

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Evidence, example = json!({"text": "Delivered on 30 January, signed for."}))]
pub(crate) struct EvidenceRequest {
    #[schema(min_length = 1, max_length = 20_000)]
    text: String,
}

impl EvidenceRequest {
    pub fn into_text(self) -> Result<String, Problem> {
        if self.text.is_empty() {
            return Err(Problem::invalid("text", "is empty"));
        }
        check_text(&self.text, EVIDENCE_CHARS).map_err(|why| Problem::invalid("text", why))?;
        refuse_card_number("text", &self.text)?;
        Ok(self.text)
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Dispute, example = json!({
    "id": "dsp_01h455vb4pex5vsknk084sn02q", "object": "dispute", "status": "needs_response",
    "payment_id": "pay_01h455vb4pex5vsknk084sn02q", "amount": 1050, "currency": "USD",
    "reason": "fraudulent", "evidence": null, "evidence_due_at": "2026-02-07T09:30:00.000000Z",
    "gateway_account_id": "gwa_01h455vb4pex5vsknk084sn02q", "gateway_reference": "dp_1",
    "transfer_id": "trf_01h455vb4pex5vsknk084sn02q",
    "created_at": "2026-01-31T09:30:00.000000Z", "updated_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct DisputeShape<'a> {
    #[schema(value_type = String)]
    id: DisputeId,
    object: &'static str,
    /// `needs_response`, `under_review`, `won`, `lost`.
    #[schema(value_type = String)]
    status: DisputeStatus,
    #[schema(value_type = String)]
    payment_id: PaymentId,
    amount: i64,
    #[schema(value_type = String)]
    currency: Currency,
    /// The gateway's word for why.
    reason: Option<&'a str>,
    evidence: Option<&'a str>,
    #[schema(value_type = Option<String>, format = DateTime)]
    evidence_due_at: Option<Timestamp>,
    #[schema(value_type = String)]
    gateway_account_id: GatewayAccountId,
    gateway_reference: &'a str,
    /// The chargeback.
    #[schema(value_type = Option<String>)]
    transfer_id: Option<TransferId>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a DisputeRow> for DisputeShape<'a> {
    fn from(dispute: &'a DisputeRow) -> Self {
        Self {
            id: dispute.id,
            object: "dispute",
            status: dispute.status,
            payment_id: dispute.payment,
            amount: dispute.amount,
            currency: dispute.currency,
            reason: dispute.reason.as_deref(),
            evidence: dispute.evidence.as_deref(),
            evidence_due_at: dispute.evidence_due_at,
            gateway_account_id: dispute.gateway_account,
            gateway_reference: &dispute.gateway_reference,
            transfer_id: dispute.transfer,
            created_at: dispute.created_at,
            updated_at: dispute.updated_at,
        }
    }
}

impl Shown for DisputeShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "status",
        "payment_id",
        "amount",
        "currency",
        "reason",
        "evidence",
        "evidence_due_at",
        "gateway_account_id",
        "gateway_reference",
        "transfer_id",
        "created_at",
        "updated_at",
    ];
}
