//! Payments as they are asked for and shown.

use caudal_domain::{
    AccountId, Amount, BusinessDay, Currency, GatewayAccountId, PaymentId, Timestamp, TransferId,
    UserId,
    payment::{PaymentEvent, PaymentStatus},
    payment_type::CaptureMode,
    text::{Metadata, check_text},
};
use caudal_service::payments::{Expanded, Happened, NewPayment, Payment, PaymentFollow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    WalletId, check_metadata, check_name,
    refunds::{AttemptShape, RefundShape},
    refuse_card_number,
};
use crate::{
    json::objects,
    problem::{Problem, ProblemShape},
    query::Shown,
};

/// Characters of a description, of a gateway's token and of a URL at most.
const TEXT_CHARS: usize = 500;

macro_rules! payment_request {
    ($(#[$meta:meta])* $name:ident { $($(#[$field:meta])* $extra:ident: $type:ty,)* }) => {
        #[derive(Debug, Deserialize, Serialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        $(#[$meta])*
        pub(crate) struct $name {
            /// The name of a payment type: `wallet`, `card` …
            #[serde(rename = "type")]
            #[schema(example = "card")]
            kind: String,
            /// In minor units: 1050 is 10.50 USD.
            #[schema(value_type = i64, minimum = 1, maximum = 9007199254740991i64, example = 1050)]
            amount: Amount,
            /// ISO 4217.
            #[schema(value_type = String, example = "USD")]
            currency: Currency,
            /// The wallet that is credited.
            #[schema(value_type = String, example = "wal_01h455vb4pex5vsknk084sn02r")]
            to: WalletId,
            /// The payer's wallet, for types that come from one.
            #[schema(value_type = Option<String>, example = "wal_01h455vb4pex5vsknk084sn02q")]
            from: Option<WalletId>,
            /// A gateway's token, for types that come through one; never a card number.
            #[schema(example = "pm_card_visa")]
            payment_method: Option<String>,
            /// `automatic`, or `manual`: authorized until it is captured. As the type says, if not
            /// given.
            #[schema(value_type = Option<String>)]
            capture: Option<CaptureMode>,
            /// Where the payer comes back to after what `next_action` asks of them.
            return_url: Option<String>,
            /// Your own word for it; lists can be filtered by it.
            #[schema(max_length = 200)]
            reference: Option<String>,
            /// What the payer reads.
            #[schema(max_length = 500)]
            description: Option<String>,
            #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
            metadata: Option<Metadata>,
            $($(#[$field])* $extra: $type,)*
        }
    };
}

payment_request! {
    /// A payment of some type to a wallet.
    #[schema(as = NewPayment, example = json!({
        "type": "card", "amount": 1050, "currency": "USD",
        "to": "wal_01h455vb4pex5vsknk084sn02r", "payment_method": "pm_card_visa"
    }))]
    PaymentRequest {}
}

payment_request! {
    /// A payment in a batch.
    #[schema(as = PaymentBatchItem)]
    PaymentItem {
        /// In the same scope as the header of a single payment.
        #[schema(min_length = 1, max_length = 255)]
        idempotency_key: Option<String>,
    }
}

/// Up to 1,000 payments.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPaymentBatch)]
pub(crate) struct PaymentBatchRequest {
    #[schema(min_items = 1, max_items = 1000)]
    #[serde(deserialize_with = "objects")]
    pub payments: Vec<PaymentItem>,
}

impl PaymentItem {
    /// The key, and what a single payment of the same words would have asked.
    pub fn split(self) -> (Option<String>, PaymentRequest) {
        let Self { kind, amount, currency, to, from, payment_method, .. } = self;
        let Self { capture, return_url, reference, description, metadata, .. } = self;
        let request = PaymentRequest {
            kind,
            amount,
            currency,
            to,
            from,
            payment_method,
            capture,
            return_url,
            reference,
            description,
            metadata,
        };
        (self.idempotency_key, request)
    }
}

/// What came of a batch, in its order.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentBatchResults)]
pub(crate) struct PaymentBatchShape<'a> {
    pub results: Vec<PaymentResultShape<'a>>,
}

/// What came of one item: `payment` or `error`.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentBatchResult)]
pub(crate) struct PaymentResultShape<'a> {
    /// As HTTP's: 201 where the payment was made.
    pub status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment: Option<PaymentShape<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ProblemShape<'a>>,
}

impl PaymentRequest {
    /// `at` is where it stands in the body: `payments[3].`.
    pub fn into_new(self, at: &str) -> Result<NewPayment, Problem> {
        let param = |name: &str| format!("{at}{name}");
        if self.from == Some(self.to) && self.to != WalletId::UNKNOWN {
            return Err(Problem::invalid(
                param("to"),
                "money moves from one wallet to another one",
            ));
        }
        check_name(&param("type"), &self.kind)?;
        self.reference.iter().try_for_each(|text| check_name(&param("reference"), text))?;
        let texts = [
            ("payment_method", &self.payment_method),
            ("return_url", &self.return_url),
            ("description", &self.description),
        ];
        for (name, text) in texts {
            text.iter().try_for_each(|text| check_words(&param(name), text))?;
        }
        if let Some(url) = &self.return_url
            && !["https://", "http://"].iter().any(|scheme| url.starts_with(scheme))
        {
            return Err(Problem::invalid(param("return_url"), "begins with https://"));
        }
        let metadata = self.metadata.unwrap_or_default();
        check_metadata(&param("metadata"), &metadata)?;
        Ok(NewPayment {
            kind: self.kind,
            amount: self.amount,
            currency: self.currency,
            to: self.to.0,
            from: self.from.map(|wallet| wallet.0),
            payment_method: self.payment_method,
            capture: self.capture,
            return_url: self.return_url,
            reference: self.reference,
            description: self.description,
            metadata,
        })
    }
}

/// What a schedule or a file asks for each time.
#[derive(Serialize, ToSchema)]
#[schema(as = PlannedPayment)]
pub(crate) struct NewPaymentShape<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[schema(value_type = i64)]
    amount: Amount,
    #[schema(value_type = String)]
    currency: Currency,
    #[schema(value_type = String)]
    to: AccountId,
    #[schema(value_type = Option<String>)]
    from: Option<AccountId>,
    payment_method: Option<&'a str>,
    reference: Option<&'a str>,
    description: Option<&'a str>,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: &'a Metadata,
}

impl<'a> From<&'a NewPayment> for NewPaymentShape<'a> {
    fn from(new: &'a NewPayment) -> Self {
        Self {
            kind: &new.kind,
            amount: new.amount,
            currency: new.currency,
            to: new.to,
            from: new.from,
            payment_method: new.payment_method.as_deref(),
            reference: new.reference.as_deref(),
            description: new.description.as_deref(),
            metadata: &new.metadata,
        }
    }
}

pub(super) fn check_words(param: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(Problem::invalid(param, "is empty"));
    }
    check_text(text, TEXT_CHARS).map_err(|why| Problem::invalid(param, why))?;
    refuse_card_number(param, text)
}

#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentCapture, example = json!({"amount": 500}))]
pub(crate) struct PaymentCaptureRequest {
    /// All that was authorized, if not given; what is not taken is let go.
    #[schema(value_type = Option<i64>, minimum = 1)]
    amount: Option<Amount>,
}

impl PaymentCaptureRequest {
    pub fn follow(&self) -> PaymentFollow {
        PaymentFollow::Capture { amount: self.amount.map(Amount::minor) }
    }
}

/// A payment as it stands.
#[derive(Serialize, ToSchema)]
#[schema(as = Payment, example = json!({
    "id": "pay_01h455vb4pex5vsknk084sn02s", "object": "payment", "type": "card",
    "status": "succeeded", "amount": 1050, "currency": "USD", "amount_captured": 1050,
    "amount_refunded": 0, "amount_disputed": 0, "fee": 61,
    "to": "wal_01h455vb4pex5vsknk084sn02r", "from": null, "user_id": null,
    "payment_method": "pm_card_visa", "capture": "automatic", "capture_until": null,
    "gateway_account_id": "gwa_01h455vb4pex5vsknk084sn02t", "gateway_reference": "sim_ch_1",
    "transfer_id": "trf_01h455vb4pex5vsknk084sn02v", "next_action": null,
    "needs_decision": false, "failure": null, "decline_code": null, "reference": null,
    "description": null, "metadata": {},
    "available_at": null, "business_date": "2026-01-31",
    "created_at": "2026-01-31T09:30:00.000000Z", "updated_at": "2026-01-31T09:30:00.100000Z"
}))]
pub(crate) struct PaymentShape<'a> {
    #[schema(value_type = String)]
    id: PaymentId,
    object: &'static str,
    #[serde(rename = "type")]
    kind: &'a str,
    /// `requires_capture`, `requires_action`, `processing`, `queued`, `unknown`, `in_review`,
    /// `succeeded`, `failed`, `canceled` or `blocked`.
    #[schema(value_type = String)]
    status: PaymentStatus,
    amount: i64,
    #[schema(value_type = String)]
    currency: Currency,
    amount_captured: i64,
    amount_refunded: i64,
    amount_disputed: i64,
    /// In minor units of the same currency.
    fee: i64,
    #[schema(value_type = String)]
    to: AccountId,
    #[schema(value_type = Option<String>)]
    from: Option<AccountId>,
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    payment_method: Option<&'a str>,
    /// `automatic` or `manual`.
    capture: &'static str,
    /// When what was authorized and not captured is let go.
    #[schema(value_type = Option<String>, format = DateTime)]
    capture_until: Option<Timestamp>,
    #[schema(value_type = Option<String>)]
    gateway_account_id: Option<GatewayAccountId>,
    gateway_reference: Option<&'a str>,
    /// The transfer that moved the money.
    #[schema(value_type = Option<String>)]
    transfer_id: Option<TransferId>,
    next_action: Option<NextActionShape<'a>>,
    /// Nobody could tell for seven days what became of it, or of a refund of it: a person finds out
    /// and says so (`/resolve`).
    needs_decision: bool,
    /// Why it failed: `insufficient_funds`, `card_declined`, `timed_out` …
    failure: Option<&'a str>,
    /// The gateway's reason.
    decline_code: Option<&'a str>,
    reference: Option<&'a str>,
    description: Option<&'a str>,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    metadata: &'a Metadata,
    /// When the wallet may spend it, if not at once.
    #[schema(value_type = Option<String>, format = DateTime)]
    available_at: Option<Timestamp>,
    /// The day of the tenant's books on which it was made, by which `/reports/daily` counts it.
    #[schema(value_type = String, format = Date)]
    business_date: BusinessDay,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// With `expand[]=refunds`, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    refunds: Option<Vec<RefundShape<'a>>>,
    /// With `expand[]=attempts`: calls to gateways, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Vec<AttemptShape<'a>>>,
    /// With `expand[]=events`: what happened to it, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<Vec<HappenedShape>>,
}

/// What the payer must do.
#[derive(Serialize, ToSchema)]
#[schema(as = NextAction)]
pub(crate) struct NextActionShape<'a> {
    /// `redirect`.
    #[serde(rename = "type")]
    kind: &'static str,
    url: &'a str,
}

/// A step of a payment's life.
#[derive(Serialize, ToSchema)]
#[schema(as = PaymentStep)]
pub(crate) struct HappenedShape {
    #[schema(value_type = String)]
    event: PaymentEvent,
    #[schema(value_type = String)]
    status: PaymentStatus,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl<'a> From<&'a Payment> for PaymentShape<'a> {
    fn from(payment: &'a Payment) -> Self {
        let (row, data) = (&payment.row, &payment.data);
        let url = data.next_action_url.as_deref();
        let is_moved = row.amounts.captured > 0;
        Self {
            id: row.id,
            object: "payment",
            kind: &row.kind,
            status: row.status,
            amount: row.amount,
            currency: row.currency,
            amount_captured: row.amounts.captured,
            amount_refunded: row.amounts.refunded,
            amount_disputed: row.amounts.disputed,
            fee: row.fee,
            to: row.wallet,
            from: row.from,
            user_id: row.user,
            payment_method: row.payment_method.as_deref(),
            capture: if row.manual_capture { "manual" } else { "automatic" },
            capture_until: data.capture_until,
            gateway_account_id: row.gateway_account,
            gateway_reference: row.gateway_reference.as_deref(),
            transfer_id: row.transfer.filter(|_| is_moved),
            next_action: url.map(|url| NextActionShape { kind: "redirect", url }),
            needs_decision: data.needs_decision || data.is_contradicted,
            failure: row.failure.as_deref(),
            decline_code: data.decline_code.as_deref(),
            reference: row.reference.as_deref(),
            description: row.description.as_deref(),
            metadata: &row.metadata,
            available_at: row.available_at,
            business_date: row.business_day,
            created_at: row.created_at,
            updated_at: row.updated_at,
            refunds: None,
            attempts: None,
            events: None,
        }
    }
}

impl<'a> PaymentShape<'a> {
    pub fn expanded(expanded: &'a Expanded, with_events: bool) -> Self {
        let shape = Self::from(&expanded.payment);
        let refunds = expanded.refunds.as_deref();
        let attempts = expanded.attempts.as_deref();
        let step =
            |&Happened { what, status, at }: &Happened| HappenedShape { event: what, status, at };
        let events = || expanded.payment.history().iter().map(step).collect();
        Self {
            refunds: refunds.map(|rows| rows.iter().map(RefundShape::from).collect()),
            attempts: attempts.map(|rows| rows.iter().map(AttemptShape::from).collect()),
            events: with_events.then(events),
            ..shape
        }
    }
}

impl Shown for PaymentShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "type",
        "status",
        "amount",
        "currency",
        "amount_captured",
        "amount_refunded",
        "amount_disputed",
        "fee",
        "to",
        "from",
        "user_id",
        "payment_method",
        "capture",
        "capture_until",
        "gateway_account_id",
        "gateway_reference",
        "transfer_id",
        "next_action",
        "needs_decision",
        "failure",
        "decline_code",
        "reference",
        "description",
        "metadata",
        "available_at",
        "business_date",
        "created_at",
        "updated_at",
    ];
}
