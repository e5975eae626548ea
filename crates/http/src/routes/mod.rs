//! Handlers, a file per noun: read what was asked, call one use case, say what came of it.

pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod bank_movements;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod deliveries;
pub(crate) mod disputes;
pub(crate) mod events;
pub(crate) mod exchanges;
pub(crate) mod fraud_rules;
pub(crate) mod gateway_accounts;
pub(crate) mod health;
pub(crate) mod incoming_webhooks;
pub(crate) mod mails;
pub(crate) mod notifications;
pub(crate) mod openapi;
pub(crate) mod passwords;
pub(crate) mod payment_types;
pub(crate) mod payments;
pub(crate) mod payouts;
pub(crate) mod quotes;
pub(crate) mod rates;
pub(crate) mod refunds;
pub(crate) mod reports;
pub(crate) mod reviews;
pub(crate) mod roles;
pub(crate) mod schedules;
pub(crate) mod second_factor;
pub(crate) mod service_accounts;
pub(crate) mod sessions;
pub(crate) mod settlements;
pub(crate) mod signing_keys;
pub(crate) mod tenants;
pub(crate) mod transfers;
pub(crate) mod uploads;
pub(crate) mod users;
pub(crate) mod wallet_tiers;
pub(crate) mod wallets;
pub(crate) mod webhook_endpoints;

use std::{marker::PhantomData, str::FromStr, sync::Arc};

use axum::{
    extract::{FromRequestParts, Path},
    http::{HeaderMap, header, request::Parts},
};
use caudal_domain::{
    AccountId, ApiKeyId, DeliveryId, DisputeId, FraudRuleId, GatewayAccountId, NotificationId,
    PaymentId, PaymentTypeId, PayoutId, QuoteId, RefundId, RoleRef, ScheduleId, ServiceAccountId,
    SessionId, TransferId, UploadId, UserId, WebhookEndpointId,
};
use caudal_service::Caller;

use crate::{answer::is_match, auth::By, problem::Problem};

/// Who changes something, and as which version they have seen it.
pub(crate) struct Editor {
    pub caller: Arc<Caller>,
    headers: HeaderMap,
}

impl Editor {
    /// Whether `If-Match` was given.
    pub fn expects(&self) -> bool {
        self.headers.contains_key(header::IF_MATCH)
    }

    pub fn has_seen(&self, version: &str) -> bool {
        is_match(&self.headers, version)
    }
}

impl<S: Sync> FromRequestParts<S> for Editor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let By(caller) = By::from_request_parts(parts, state).await?;
        Ok(Self { caller, headers: parts.headers.clone() })
    }
}

/// An id that can stand in a path, and what it names.
pub(crate) trait Named: FromStr {
    const NOUN: &'static str;
}

impl Named for AccountId {
    const NOUN: &'static str = "wallet";
}

impl Named for TransferId {
    const NOUN: &'static str = "transfer";
}

impl Named for PaymentId {
    const NOUN: &'static str = "payment";
}

impl Named for RefundId {
    const NOUN: &'static str = "refund";
}

impl Named for SessionId {
    const NOUN: &'static str = "session";
}

impl Named for UserId {
    const NOUN: &'static str = "user";
}

impl Named for RoleRef {
    const NOUN: &'static str = "role";
}

impl Named for ServiceAccountId {
    const NOUN: &'static str = "service_account";
}

impl Named for PaymentTypeId {
    const NOUN: &'static str = "payment_type";
}

impl Named for DisputeId {
    const NOUN: &'static str = "dispute";
}

impl Named for PayoutId {
    const NOUN: &'static str = "payout";
}

impl Named for GatewayAccountId {
    const NOUN: &'static str = "gateway_account";
}

impl Named for ScheduleId {
    const NOUN: &'static str = "schedule";
}

impl Named for UploadId {
    const NOUN: &'static str = "upload";
}

impl Named for QuoteId {
    const NOUN: &'static str = "quote";
}

impl Named for FraudRuleId {
    const NOUN: &'static str = "fraud_rule";
}

impl Named for ApiKeyId {
    const NOUN: &'static str = "api_key";
}

impl Named for WebhookEndpointId {
    const NOUN: &'static str = "webhook_endpoint";
}

impl Named for DeliveryId {
    const NOUN: &'static str = "webhook_delivery";
}

impl Named for NotificationId {
    const NOUN: &'static str = "notification";
}

/// The id in the path; a malformed one names nothing.
pub(crate) struct InPath<T>(pub T, PhantomData<T>);

impl<S: Send + Sync, T: Named + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unknown = || Problem::not_found(T::NOUN);
        let text = Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown())?;
        text.parse().map(|id| Self(id, PhantomData)).map_err(|_| unknown())
    }
}

/// The two ids in the path, of a thing and of what belongs to it.
pub(crate) struct BothInPath<T, U>(pub T, pub U);

impl<S: Send + Sync, T: Named + Send, U: Named + Send> FromRequestParts<S> for BothInPath<T, U> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let both = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((first, second)) = both.map_err(|_| Problem::not_found(T::NOUN))?;
        let first = first.parse().map_err(|_| Problem::not_found(T::NOUN))?;
        let second = second.parse().map_err(|_| Problem::not_found(U::NOUN))?;
        Ok(Self(first, second))
    }
}
