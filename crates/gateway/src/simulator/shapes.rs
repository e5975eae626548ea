//! What the simulator's HTTP says and hears, for its server and its client.

use caudal_domain::{Amount, Currency, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Succeeded,
    RequiresAction,
    RequiresCapture,
    Processing,
    Canceled,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "object")]
pub enum Thing {
    Charge(Charge),
    Refund(Refund),
    Dispute(Dispute),
    Payout(Payout),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    pub id: String,
    pub key: String,
    pub status: Status,
    pub amount: i64,
    pub currency: Currency,
    pub amount_captured: i64,
    pub amount_refunded: i64,
    pub amount_disputed: i64,
    pub fee: i64,
    pub payment_method: String,
    pub manual: bool,
    pub decline_code: Option<String>,
    pub next_action_url: Option<String>,
    pub return_url: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    pub key: String,
    pub charge: String,
    pub status: Status,
    pub amount: i64,
    pub currency: Currency,
    pub decline_code: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DisputeStatus {
    Open,
    UnderReview,
    Won,
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    pub id: String,
    pub charge: String,
    pub status: DisputeStatus,
    pub amount: i64,
    pub currency: Currency,
    pub reason: String,
    pub evidence: Option<String>,
    pub evidence_due_at: Timestamp,
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payout {
    pub id: String,
    pub key: String,
    pub status: Status,
    pub amount: i64,
    pub currency: Currency,
    pub destination: String,
    pub decline_code: Option<String>,
    pub created_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCharge {
    pub amount: Amount,
    pub currency: Currency,
    pub payment_method: String,
    #[serde(default)]
    pub manual: bool,
    pub description: Option<String>,
    pub return_url: Option<String>,
    #[serde(default)]
    pub metadata: Vec<(String, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCapture {
    pub amount: Amount,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRefund {
    pub charge: String,
    pub amount: Amount,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPayout {
    pub amount: Amount,
    pub currency: Currency,
    pub destination: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvidence {
    pub text: String,
}

/// What the payer's bank takes: all that is left of the charge, if nothing is said. A bank does not
/// look at what was refunded before.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NewDispute {
    pub amount: Option<Amount>,
    pub currency: Option<Currency>,
}

/// How a dispute ends, by whoever plays the bank.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    pub won: bool,
}

/// Where an account's webhooks go.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    pub url: String,
    /// Each signs; two while one is replaced.
    pub secrets: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    pub error: ProblemBody,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct ProblemBody {
    pub code: String,
    pub message: String,
    /// What was made of it all the same: a declined charge.
    #[serde(default)]
    pub reference: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub created_at: Timestamp,
    pub data: Thing,
}

impl Thing {
    pub fn id(&self) -> &str {
        match self {
            Self::Charge(charge) => &charge.id,
            Self::Refund(refund) => &refund.id,
            Self::Dispute(dispute) => &dispute.id,
            Self::Payout(payout) => &payout.id,
        }
    }
}
