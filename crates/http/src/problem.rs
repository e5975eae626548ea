//! Every way to say no, as RFC 9457 problems. The one place where refusals meet HTTP.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use caudal_domain::{AccountId, PaymentId, Refusal, payment::PaymentStatus};
use caudal_service::{ServiceError, limits::Verdict, payments::Declined};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{answer::add_headers, api::RequestId, limits};

/// A problem on its way out: `frame` writes its body, for it knows the request's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub code: Cow<'static, str>,
    pub detail: String,
    /// The field, header or query parameter that is wrong.
    pub param: Option<String>,
    /// The same request may succeed later.
    pub retryable: bool,
    /// The item of a batch for which all of it was refused.
    pub index: Option<usize>,
    /// A payment that was made and came to nothing.
    pub declined: Option<Box<Declined>>,
    /// The limit that was reached.
    pub limit: Option<Box<Verdict>>,
    /// Said before, under the same key.
    pub is_replay: bool,
    /// There was a token, but not a good one.
    pub is_bad_token: bool,
    /// The connection is of no more use.
    pub is_last: bool,
}

/// What a problem looks like.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:caudal:problem:insufficient_funds", "title": "Insufficient funds", "status": 402,
    "code": "insufficient_funds", "detail": "wal_… has 100 minor units to spend, 250 are needed",
    "param": null, "request_id": "req_5f0c9a3e7b21d846", "retryable": false
}))]
pub(crate) struct ProblemShape<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    code: &'a str,
    detail: &'a str,
    param: Option<&'a str>,
    request_id: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// The gateway's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'a str>,
    /// The payment that came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<DeclinedShape>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeclinedPayment)]
pub(crate) struct DeclinedShape {
    #[schema(value_type = String)]
    id: PaymentId,
    #[schema(value_type = String)]
    status: PaymentStatus,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            param: None,
            retryable: status == StatusCode::SERVICE_UNAVAILABLE,
            index: None,
            declined: None,
            limit: None,
            is_replay: false,
            is_bad_token: false,
            is_last: false,
        }
    }

    /// 400 `invalid_request`.
    pub fn invalid(param: impl Into<String>, detail: impl Into<String>) -> Self {
        let param = Some(param.into()).filter(|param| !param.is_empty());
        Self { param, ..Self::new(StatusCode::BAD_REQUEST, "invalid_request", detail) }
    }

    /// 404 of a noun.
    pub fn not_found(noun: &str) -> Self {
        let name = noun.replace('_', " ");
        Self::new(
            StatusCode::NOT_FOUND,
            format!("{noun}_not_found"),
            format!("There is no such {name}."),
        )
    }

    pub(crate) fn shape<'a>(&'a self, id: &'a RequestId) -> ProblemShape<'a> {
        ProblemShape {
            kind: format!("urn:caudal:problem:{}", self.code),
            title: title(&self.code),
            status: self.status.as_u16(),
            code: &self.code,
            detail: &self.detail,
            param: self.param.as_deref(),
            request_id: id.text(),
            retryable: self.retryable,
            index: self.index,
            decline_code: self.declined.as_ref().and_then(|it| it.decline_code.as_deref()),
            payment: self
                .declined
                .as_ref()
                .map(|it| DeclinedShape { id: it.payment, status: it.status }),
        }
    }

    /// The answer as it leaves.
    pub(crate) fn write(&self, id: &RequestId, response: &mut Response) {
        let body = serde_json::to_vec(&self.shape(id)).unwrap_or_default();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        headers.remove(header::CONTENT_LENGTH);
        self.add_headers(headers);
        *response.body_mut() = Body::from(body);
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        if let Some(verdict) = &self.limit {
            limits::add_headers(headers, verdict);
        }
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.entry(header::RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                let challenge = if self.is_bad_token { BAD_TOKEN } else { CHALLENGE };
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            StatusCode::FORBIDDEN if self.code == STEP_UP_REQUIRED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(STEP_UP));
            }
            _ => {}
        }
        add_headers(headers, self.is_replay, &Vec::new());
    }
}

/// RFC 6750, section 3: without a token there is nothing to say of it.
const CHALLENGE: &str = "Bearer realm=\"caudal\"";
const BAD_TOKEN: &str = "Bearer realm=\"caudal\", error=\"invalid_token\"";

/// Forbidden until `/auth/step-up`.
const STEP_UP_REQUIRED: &str = "step_up_required";
/// RFC 9470, section 3.
const STEP_UP: &str = "Bearer realm=\"caudal\", error=\"insufficient_user_authentication\", \
     error_description=\"a fresh authentication is needed\"";

/// `insufficient_funds` → `Insufficient funds`.
fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The HTTP status of every refusal.
fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::InsufficientFunds { .. } => StatusCode::PAYMENT_REQUIRED,
        Refusal::WalletNotFound { .. }
        | Refusal::TransferNotFound
        | Refusal::QuoteNotFound
        | Refusal::RateNotFound
        | Refusal::PaymentNotFound => StatusCode::NOT_FOUND,
        Refusal::WalletFrozen { .. }
        | Refusal::WalletClosed { .. }
        | Refusal::WalletState { .. }
        | Refusal::WalletNotEmpty { .. }
        | Refusal::TransferOfPayment
        | Refusal::TransferState { .. }
        | Refusal::HoldExpired
        | Refusal::PaymentState { .. }
        | Refusal::RefundState { .. }
        | Refusal::DisputeState { .. }
        | Refusal::PayoutState { .. }
        | Refusal::QuoteUsed
        | Refusal::SettlementBooked
        | Refusal::EmailTaken
        | Refusal::UserState { .. }
        | Refusal::LastOwner
        | Refusal::NameTaken
        | Refusal::KeyState
        | Refusal::WebhookEndpointState
        | Refusal::Conflict => StatusCode::CONFLICT,
        Refusal::CurrencyMismatch { .. }
        | Refusal::IdempotencyMismatch
        | Refusal::AmountExceedsHeld { .. }
        | Refusal::AmountExceedsReversible { .. }
        | Refusal::AmountExceedsAuthorized { .. }
        | Refusal::AmountExceedsRefundable { .. }
        | Refusal::AmountExceedsArrears { .. }
        | Refusal::ExchangeTooSmall
        | Refusal::QuoteExpired
        | Refusal::LimitReached { .. }
        | Refusal::BalanceLimit { .. }
        | Refusal::PasswordCompromised
        | Refusal::WebhookEndpointsFull { .. }
        | Refusal::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = match &refusal {
            Refusal::WalletNotFound { account: AccountId(0) } => "no such wallet".into(),
            other => other.to_string(),
        };
        let mut problem = Self::new(status_of(&refusal), refusal.code(), detail);
        problem.retryable = refusal == Refusal::Conflict;
        problem
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        let problem = |status, code: &'static str| Self::new(status, code, detail.clone());
        match error {
            ServiceError::Refused(refusal) => refusal.into(),
            ServiceError::RefusedBefore(refusal) => Self { is_replay: true, ..refusal.into() },
            ServiceError::Declined(declined) => {
                let refused =
                    Self::new(StatusCode::PAYMENT_REQUIRED, declined.code.clone(), detail.clone());
                let is_replay = declined.replayed;
                Self { is_replay, declined: Some(declined), ..refused }
            }
            ServiceError::Invalid { param, detail } => Self::invalid(param, detail),
            ServiceError::NotFound(noun) => Self::not_found(noun),
            ServiceError::BadSignature(_) => problem(StatusCode::UNAUTHORIZED, "bad_signature"),
            ServiceError::Stale => problem(StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            ServiceError::NotAUser => problem(StatusCode::FORBIDDEN, "not_a_user"),
            ServiceError::WrongPassword => problem(StatusCode::FORBIDDEN, "wrong_password"),
            ServiceError::WrongProof => problem(StatusCode::FORBIDDEN, "wrong_proof"),
            ServiceError::SecondFactorState(_) => {
                problem(StatusCode::CONFLICT, "second_factor_state")
            }
            ServiceError::StepUpRequired => problem(StatusCode::FORBIDDEN, STEP_UP_REQUIRED),
            ServiceError::Forbidden(_)
            | ServiceError::BeyondReach
            | ServiceError::OwnPayment
            | ServiceError::SystemRole => problem(StatusCode::FORBIDDEN, "forbidden"),
            ServiceError::Unauthorized => {
                let refused = problem(StatusCode::UNAUTHORIZED, "unauthorized");
                Self { is_bad_token: true, ..refused }
            }
            ServiceError::BadCredentials => {
                problem(StatusCode::UNAUTHORIZED, "invalid_credentials")
            }
            ServiceError::RateLimited(verdict) => {
                let limited = problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited");
                Self { retryable: true, limit: Some(Box::new(verdict)), ..limited }
            }
            ServiceError::Overloaded => problem(StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            ServiceError::InFlight => {
                let in_flight = problem(StatusCode::CONFLICT, "idempotency_in_flight");
                Self { retryable: true, ..in_flight }
            }
            ServiceError::Unavailable(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ServiceError::Broken(why) => {
                tracing::error!(why, "BUG: a request could not be answered");
                internal()
            }
        }
    }
}

/// 500: never from input.
pub(crate) fn internal() -> Problem {
    let detail = "Something is wrong on this side. It has been logged.";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
}

#[cfg(test)]
mod tests {
    use caudal_domain::{AccountStatus, TransferStatus, UserStatus};

    use super::*;

    #[test]
    fn each_refusal_has_the_status_of_the_contract() {
        let account = AccountId(7);
        let status = TransferStatus::Voided;
        let table = [
            (Refusal::IdempotencyMismatch, 422, "idempotency_mismatch"),
            (Refusal::TransferNotFound, 404, "transfer_not_found"),
            (Refusal::WalletNotFound { account }, 404, "wallet_not_found"),
            (Refusal::Conflict, 409, "conflict"),
            (Refusal::CurrencyMismatch { account }, 422, "currency_mismatch"),
            (Refusal::TransferState { status }, 409, "transfer_state"),
            (Refusal::HoldExpired, 409, "transfer_state"),
            (Refusal::WalletClosed { account }, 409, "wallet_closed"),
            (Refusal::WalletFrozen { account }, 409, "wallet_frozen"),
            (Refusal::WalletState { status: AccountStatus::Active }, 409, "wallet_state"),
            (Refusal::WalletNotEmpty { total: 5 }, 409, "wallet_state"),
            (Refusal::AmountExceedsHeld { left: 5 }, 422, "amount_exceeds_held"),
            (Refusal::AmountExceedsReversible { left: 5 }, 422, "amount_exceeds_reversible"),
            (
                Refusal::InsufficientFunds { account, spendable: 1, needed: 2 },
                402,
                "insufficient_funds",
            ),
            (Refusal::BalanceLimit { account }, 422, "balance_limit"),
            (Refusal::QuoteNotFound, 404, "quote_not_found"),
            (Refusal::RateNotFound, 404, "rate_not_found"),
            (Refusal::QuoteUsed, 409, "quote_used"),
            (Refusal::SettlementBooked, 409, "settlement_booked"),
            (Refusal::QuoteExpired, 422, "quote_expired"),
            (Refusal::ExchangeTooSmall, 422, "exchange_too_small"),
            (Refusal::PasswordCompromised, 422, "password_compromised"),
            (Refusal::EmailTaken, 409, "email_taken"),
            (Refusal::UserState { status: UserStatus::Pending }, 409, "user_state"),
            (Refusal::LastOwner, 409, "last_owner"),
            (Refusal::NameTaken, 409, "name_taken"),
            (Refusal::KeyState, 409, "api_key_state"),
            (Refusal::WebhookEndpointsFull { most: 20 }, 422, "webhook_endpoints_full"),
            (Refusal::WebhookEndpointState, 409, "webhook_endpoint_state"),
            (Refusal::Rejected, 422, "rejected"),
        ];
        for (refusal, status, code) in table {
            let problem = Problem::from(refusal);
            assert_eq!((problem.status.as_u16(), &*problem.code), (status, code));
        }
    }

    #[test]
    fn faults_say_whether_to_try_again() {
        let table = [
            (ServiceError::Overloaded, 503, "overloaded", true),
            (ServiceError::Unavailable("…".into()), 503, "unavailable", true),
            (ServiceError::InFlight, 409, "idempotency_in_flight", true),
            (ServiceError::Unauthorized, 401, "unauthorized", false),
            (ServiceError::Stale, 412, "precondition_failed", false),
            (ServiceError::NotFound("api_key"), 404, "api_key_not_found", false),
            (ServiceError::Broken("secret".into()), 500, "internal", false),
        ];
        for (error, status, code, retryable) in table {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), &*problem.code), (status, code));
            assert_eq!(problem.retryable, retryable, "{code}");
            assert!(!problem.detail.contains("secret"));
        }
    }

    #[test]
    fn a_problem_has_the_members_of_the_contract() {
        let id = RequestId(HeaderValue::from_static("req_1"));
        let problem = Problem::invalid("amount", "is wrong");
        let json = serde_json::to_value(problem.shape(&id)).expect("plain data");
        let names: Vec<_> = json.as_object().expect("an object").keys().cloned().collect();
        let wanted =
            ["code", "detail", "param", "request_id", "retryable", "status", "title", "type"];
        assert_eq!(names, wanted);
        assert_eq!(json["title"], "Invalid request");
        assert_eq!(json["type"], "urn:caudal:problem:invalid_request");
    }
}
