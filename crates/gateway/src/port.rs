//! The port: what every gateway is asked, and the few ways in which it can answer.
//!
//! Whoever calls it must treat the three ends of a call apart. An [`Answer`] is the gateway's
//! decision. [`GatewayFault::NotSent`]: it did not happen, and may be queued. And
//! [`GatewayFault::Unclear`]: it may have happened; ask ([`Gateway::query`]), never send it
//! elsewhere.
//!
//! References are the gateway's names for things, keys are ours: the idempotency key under which
//! a thing was asked for. A key belongs to one request of one kind; what is sent again is sent
//! under the same one, and never 24 h later, for gateways forget keys.

use std::time::Duration;

use async_trait::async_trait;
use caudal_domain::{Amount, Currency, Timestamp};

use crate::{
    accounts::GatewayKind,
    errors::DeclineCode,
    quirks::{AmountQuirk, Purpose},
    webhooks::{Delivery, WebhookError, WebhookEvent},
};

/// A tenant's account at a gateway, ready to be called. Each call ends within the limit of its
/// guard (3 s) whatever the gateway does.
#[async_trait]
pub trait Gateway: Send + Sync {
    fn kind(&self) -> GatewayKind;

    /// Whether the payment method is one for tests, which belongs to nobody.
    fn is_everybodys(&self, payment_method: &str) -> bool;

    /// Whether the gateway takes such an amount at all; to be asked before money is held.
    fn check_amount(
        &self,
        amount: Amount,
        currency: Currency,
        purpose: Purpose,
    ) -> Result<(), AmountQuirk>;

    /// Ends as soon as calls are refused, because too many failed or the gateway has stopped
    /// answering.
    async fn refuses(&self);

    /// Charges a payment method, or authorizes it for a later capture.
    async fn charge(&self, charge: &ChargeRequest) -> Result<Answer, GatewayFault>;

    /// Takes all or part of what was authorized; the rest is released.
    async fn capture(&self, capture: &CaptureRequest) -> Result<Answer, GatewayFault>;

    /// Lets go what was authorized and not captured.
    async fn cancel(&self, cancel: &CancelRequest) -> Result<Answer, GatewayFault>;

    async fn refund(&self, refund: &RefundRequest) -> Result<Answer, GatewayFault>;

    /// Sends money out to a bank account that the gateway knows.
    async fn payout(&self, payout: &PayoutRequest) -> Result<Answer, GatewayFault>;

    /// Answers a dispute; what comes of it is told by its standing later.
    async fn submit_evidence(&self, evidence: &EvidenceRequest) -> Result<Answer, GatewayFault>;

    /// Gives a dispute up, for good: the answer is that it is lost.
    async fn concede(&self, concession: &ConcedeRequest) -> Result<Answer, GatewayFault>;

    /// What the gateway knows of a thing. `None` is not a failure: a request may still be under
    /// way, or the gateway's index may lag.
    async fn query(&self, query: &Query) -> Result<Option<Standing>, GatewayFault>;

    /// Whether a webhook is this account's gateway's own, and what it tells. It moves no money:
    /// [`Gateway::fetch`] first.
    async fn verify_webhook(
        &self,
        delivery: &Delivery<'_>,
        now: Timestamp,
    ) -> Result<WebhookEvent, WebhookError>;

    /// Tells the gateway where this account's webhooks go. Where that is set by hand at the
    /// gateway, there is nothing to do.
    async fn point_webhooks(&self, _url: &str) -> Result<(), GatewayFault> {
        Ok(())
    }

    /// What an event speaks of, asked of the gateway itself. `None` too where the event speaks of
    /// nothing that the port knows.
    async fn fetch(&self, event: &WebhookEvent) -> Result<Option<Standing>, GatewayFault> {
        let Some((object, reference)) = &event.about else { return Ok(None) };
        self.query(&Query::Reference { object: *object, reference: reference.clone() }).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureMode {
    Automatic,
    /// Authorized only; [`Gateway::capture`] takes it.
    Manual,
}

#[derive(Clone, Debug)]
pub struct ChargeRequest {
    pub key: String,
    pub amount: Amount,
    pub currency: Currency,
    /// The gateway's token of it, never a card number.
    pub payment_method: String,
    pub capture: CaptureMode,
    /// What the payer reads on the receipt.
    pub description: Option<String>,
    /// Where the payer goes after 3-D Secure; without it, a card that asks for it is declined.
    pub return_url: Option<String>,
    /// Ours, kept by the gateway beside the charge: ids, no personal data.
    pub metadata: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
pub struct CaptureRequest {
    pub key: String,
    pub reference: String,
    pub amount: Amount,
    pub currency: Currency,
}

#[derive(Clone, Debug)]
pub struct CancelRequest {
    pub key: String,
    pub reference: String,
}

#[derive(Clone, Debug)]
pub struct RefundRequest {
    pub key: String,
    /// The charge's reference.
    pub charge: String,
    pub amount: Amount,
    pub currency: Currency,
}

#[derive(Clone, Debug)]
pub struct PayoutRequest {
    pub key: String,
    pub amount: Amount,
    pub currency: Currency,
    /// The gateway's token of a bank account.
    pub destination: String,
}

#[derive(Clone, Debug)]
pub struct EvidenceRequest {
    pub key: String,
    /// The dispute's reference.
    pub dispute: String,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct ConcedeRequest {
    pub key: String,
    /// The dispute's reference.
    pub dispute: String,
}

/// What the gateway decided. References are those of what was asked for: of the charge, also for
/// its capture and cancellation; of the refund; of the payout; of the dispute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Succeeded {
        reference: String,
        /// What the gateway keeps, if it says so already.
        fee: Option<Fee>,
    },
    /// The payer must do something at `url`.
    RequiresAction {
        reference: String,
        url: String,
    },
    RequiresCapture {
        reference: String,
    },
    /// Decided later; a webhook or a query tells.
    Processing {
        reference: String,
    },
    Canceled {
        reference: String,
    },
    /// It did not happen and will not.
    Declined {
        code: DeclineCode,
        /// Whether another gateway may be tried; never after anything but this.
        retryable_elsewhere: bool,
        reference: Option<String>,
    },
}

/// A fee; its currency is the account's, which need not be the charge's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee {
    pub amount_minor: i64,
    pub currency: Currency,
}

impl Answer {
    pub fn reference(&self) -> Option<&str> {
        match self {
            Self::Succeeded { reference, .. }
            | Self::RequiresAction { reference, .. }
            | Self::RequiresCapture { reference }
            | Self::Processing { reference }
            | Self::Canceled { reference } => Some(reference),
            Self::Declined { reference, .. } => reference.as_deref(),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayFault {
    /// It did not happen: nothing was sent, or what was sent was turned away unread.
    #[error("not sent: {0}")]
    NotSent(NotSent),
    /// It may have happened.
    #[error("unclear: {0}")]
    Unclear(Unclear),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    #[error("the gateway failed too often lately; next try in {0:?}")]
    BreakerOpen(Duration),
    #[error("the gateway has stopped answering")]
    Stalled,
    #[error("too many calls to the gateway are under way")]
    Busy,
    #[error("no connection: {0}")]
    NoConnection(String),
    #[error("the gateway asks for patience (429)")]
    Throttled,
    #[error("the request cannot be sent: {0}")]
    Unsendable(String),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    #[error("no answer in time")]
    TimedOut,
    /// 5xx, or a conflict with the same request under way; or, after a try that was unclear, a
    /// status that says nothing of that try.
    #[error("status {0}")]
    Status(u16),
    #[error("connection lost: {0}")]
    ConnectionLost(String),
    #[error("the answer cannot be read: {0}")]
    Nonsense(&'static str),
    /// An earlier try of the call was unclear, and a later one was not made.
    #[error("an earlier try is unclear: {0}")]
    Earlier(String),
}

/// The kinds of thing a gateway keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    Charge,
    Refund,
    Dispute,
    Payout,
}

/// A question after the state of things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    Reference {
        object: Object,
        reference: String,
    },
    /// By our key, when no answer told the reference.
    Key {
        object: Object,
        key: String,
        /// For refunds: the charge's reference, since some gateways keep refunds there only.
        charge: Option<String>,
        /// When it was sent first; nothing older is looked at.
        since: Timestamp,
    },
}

/// What a gateway knows of a thing. Amounts and currency are to be compared with ours before money
/// moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    Charge(ChargeStanding),
    Refund(RefundStanding),
    Dispute(DisputeStanding),
    Payout(PayoutStanding),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeStanding {
    pub reference: String,
    /// The key that asked for it, if the gateway kept it.
    pub key: Option<String>,
    pub amount_minor: i64,
    pub captured_minor: i64,
    /// What was given back, where the gateway tells it with the charge.
    pub refunded_minor: Option<i64>,
    pub currency: Currency,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundStanding {
    pub reference: String,
    pub key: Option<String>,
    pub charge: Option<String>,
    pub amount_minor: i64,
    pub currency: Currency,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeStanding {
    pub reference: String,
    pub charge: Option<String>,
    pub amount_minor: i64,
    pub currency: Currency,
    pub state: DisputeState,
    /// The gateway's word for why.
    pub reason: String,
    pub evidence_due_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeState {
    /// Asked about; no money was taken.
    Inquiry,
    /// The money was taken; evidence may be given.
    Open,
    UnderReview,
    /// The money is ours again.
    Won,
    Lost,
    /// An inquiry that ended without a dispute.
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutStanding {
    pub reference: String,
    pub key: Option<String>,
    pub amount_minor: i64,
    pub currency: Currency,
    pub answer: Answer,
}
