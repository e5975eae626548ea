//! An event: something that happened, written in the commit that made it so.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    id::{EventId, TenantId},
    time::Timestamp,
};

macro_rules! kinds {
    ($(pub const $name:ident: &str = $text:literal;)*) => {
        /// What events are called.
        pub mod kinds {
            $(pub const $name: &str = $text;)*

            /// All of them, for whoever chooses among them.
            pub const ALL: &[&str] = &[$($name),*];
        }
    };
}

// Past tense, `noun.verb`. To add one more kind: a line here.
kinds! {
    pub const TRANSFER_COMPLETED: &str = "transfer.completed";
    pub const TRANSFER_HELD: &str = "transfer.held";
    pub const TRANSFER_CAPTURED: &str = "transfer.captured";
    pub const TRANSFER_VOIDED: &str = "transfer.voided";
    pub const TRANSFER_EXPIRED: &str = "transfer.expired";
    pub const TRANSFER_AVAILABLE: &str = "transfer.available";
    pub const TRANSFER_REVERSED: &str = "transfer.reversed";
    pub const PAYMENT_REQUESTED: &str = "payment.requested";
    pub const PAYMENT_PROCESSING: &str = "payment.processing";
    pub const PAYMENT_AUTHORIZED: &str = "payment.authorized";
    pub const PAYMENT_ACTION_REQUIRED: &str = "payment.action_required";
    pub const PAYMENT_QUEUED: &str = "payment.queued";
    pub const PAYMENT_LOST_FROM_SIGHT: &str = "payment.lost_from_sight";
    pub const PAYMENT_NEEDS_DECISION: &str = "payment.needs_decision";
    pub const PAYMENT_IN_REVIEW: &str = "payment.in_review";
    pub const PAYMENT_PROCESSED: &str = "payment.processed";
    pub const PAYMENT_FAILED: &str = "payment.failed";
    pub const PAYMENT_CANCELED: &str = "payment.canceled";
    pub const PAYMENT_BLOCKED: &str = "payment.blocked";
    pub const REFUND_REQUESTED: &str = "refund.requested";
    pub const REFUND_SUCCEEDED: &str = "refund.succeeded";
    pub const DISPUTE_OPENED: &str = "dispute.opened";
    pub const DISPUTE_ANSWERED: &str = "dispute.answered";
    pub const DISPUTE_WON: &str = "dispute.won";
    pub const DISPUTE_LOST: &str = "dispute.lost";
    pub const DISPUTE_NEEDS_DECISION: &str = "dispute.needs_decision";
    pub const PAYOUT_REQUESTED: &str = "payout.requested";
    pub const PAYOUT_SENT: &str = "payout.sent";
    pub const PAYOUT_LOST_FROM_SIGHT: &str = "payout.lost_from_sight";
    pub const PAYOUT_NEEDS_DECISION: &str = "payout.needs_decision";
    pub const PAYOUT_PAID: &str = "payout.paid";
    pub const PAYOUT_FAILED: &str = "payout.failed";
    pub const PAYOUT_RETURNED: &str = "payout.returned";
    pub const PAYOUT_CANCELED: &str = "payout.canceled";
    pub const REFUND_FAILED: &str = "refund.failed";
    pub const WALLET_FUNDED: &str = "wallet.funded";
    pub const WALLET_DEDUCTED: &str = "wallet.deducted";
    pub const WALLET_CREATED: &str = "wallet.created";
    pub const WALLET_UPDATED: &str = "wallet.updated";
    pub const WALLET_FROZEN: &str = "wallet.frozen";
    pub const WALLET_UNFROZEN: &str = "wallet.unfrozen";
    pub const WALLET_CLOSED: &str = "wallet.closed";
    pub const TENANT_CREATED: &str = "tenant.created";
    pub const TENANT_UPDATED: &str = "tenant.updated";
    pub const API_KEY_CREATED: &str = "api_key.created";
    pub const API_KEY_UPDATED: &str = "api_key.updated";
    pub const API_KEY_REVOKED: &str = "api_key.revoked";
    pub const USER_CREATED: &str = "user.created";
    pub const USER_UPDATED: &str = "user.updated";
    pub const USER_VERIFIED: &str = "user.verified";
    pub const USER_DEACTIVATED: &str = "user.deactivated";
    pub const USER_REACTIVATED: &str = "user.reactivated";
    pub const USER_ERASED: &str = "user.erased";
    pub const USER_ROLES_CHANGED: &str = "user.roles_changed";
    pub const SESSION_STARTED: &str = "session.started";
    pub const SESSION_REVOKED: &str = "session.revoked";
    pub const PASSWORD_CHANGED: &str = "password.changed";
    pub const PASSWORD_RECOVERED: &str = "password.recovered";
    pub const SECOND_FACTOR_ENABLED: &str = "second_factor.enabled";
    pub const SECOND_FACTOR_DISABLED: &str = "second_factor.disabled";
    pub const SECOND_FACTOR_UPDATED: &str = "second_factor.updated";
    pub const ROLE_CREATED: &str = "role.created";
    pub const ROLE_UPDATED: &str = "role.updated";
    pub const ROLE_DELETED: &str = "role.deleted";
    pub const PERMISSION_UPDATED: &str = "permission.updated";
    pub const SERVICE_ACCOUNT_CREATED: &str = "service_account.created";
    pub const SERVICE_ACCOUNT_UPDATED: &str = "service_account.updated";
    pub const SERVICE_ACCOUNT_DELETED: &str = "service_account.deleted";
    pub const PAYMENT_TYPE_CREATED: &str = "payment_type.created";
    pub const PAYMENT_TYPE_UPDATED: &str = "payment_type.updated";
    pub const PAYMENT_TYPE_DELETED: &str = "payment_type.deleted";
    pub const GATEWAY_ACCOUNT_CREATED: &str = "gateway_account.created";
    pub const GATEWAY_ACCOUNT_UPDATED: &str = "gateway_account.updated";
    pub const SCHEDULE_CREATED: &str = "schedule.created";
    pub const SCHEDULE_CANCELED: &str = "schedule.canceled";
    pub const SCHEDULE_RUN: &str = "schedule.run";
    pub const SCHEDULE_FAILED: &str = "schedule.failed";
    pub const UPLOAD_CREATED: &str = "upload.created";
    pub const UPLOAD_COMPLETED: &str = "upload.completed";
    pub const RATE_UPDATED: &str = "rate.updated";
    pub const FRAUD_RULE_CREATED: &str = "fraud_rule.created";
    pub const FRAUD_RULE_UPDATED: &str = "fraud_rule.updated";
    pub const FRAUD_RULE_DELETED: &str = "fraud_rule.deleted";
    pub const WALLET_TIER_CHANGED: &str = "wallet_tier.changed";
    pub const ACTIVITY_SUSPICIOUS: &str = "activity.suspicious";
    pub const GATEWAY_WEBHOOK_UNCLAIMED: &str = "gateway_webhook.unclaimed";
    pub const SIGNING_KEY_ROTATED: &str = "signing_key.rotated";
    pub const WEBHOOK_ENDPOINT_CREATED: &str = "webhook_endpoint.created";
    pub const WEBHOOK_ENDPOINT_UPDATED: &str = "webhook_endpoint.updated";
    pub const WEBHOOK_ENDPOINT_ROTATED: &str = "webhook_endpoint.rotated";
    pub const WEBHOOK_ENDPOINT_PINGED: &str = "webhook_endpoint.pinged";
    pub const WEBHOOK_ENDPOINT_DISABLED: &str = "webhook_endpoint.disabled";
    pub const WEBHOOK_ENDPOINT_DELETED: &str = "webhook_endpoint.deleted";
    pub const WEBHOOK_DELIVERY_REPLAYED: &str = "webhook_delivery.replayed";
}

/// An event to be written. Its place in its stream is given in the last step before COMMIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its bucket decides its stream.
    pub id: EventId,
    pub tenant: TenantId,
    /// One of [`kinds`].
    pub kind: &'static str,
    /// What it is about, as an id in text: CloudEvents' `subject`.
    pub subject: String,
    /// JSON object: ids and amounts, no personal data.
    pub data: String,
    pub occurred_at: Timestamp,
}

/// An event as read back: `seq` is commit order within `stream`, without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    pub stream: u8,
    pub seq: i64,
    pub id: EventId,
    pub tenant: TenantId,
    pub kind: String,
    pub subject: String,
    pub data: String,
    pub occurred_at: Timestamp,
}

/// An event as it leaves: CloudEvents 1.0 in JSON.
#[derive(Serialize)]
pub struct CloudEvent<'a> {
    specversion: &'static str,
    id: EventId,
    source: String,
    #[serde(rename = "type")]
    kind: &'a str,
    subject: &'a str,
    time: Timestamp,
    datacontenttype: &'static str,
    data: Option<&'a RawValue>,
}

impl<'a> From<&'a StoredEvent> for CloudEvent<'a> {
    fn from(event: &'a StoredEvent) -> Self {
        let StoredEvent { id, tenant, occurred_at, .. } = *event;
        Self::of((id, tenant, occurred_at), &event.kind, (&event.subject, &event.data))
    }
}

impl<'a> From<&'a Event> for CloudEvent<'a> {
    fn from(event: &'a Event) -> Self {
        let Event { id, tenant, occurred_at, .. } = *event;
        Self::of((id, tenant, occurred_at), event.kind, (&event.subject, &event.data))
    }
}

impl<'a> CloudEvent<'a> {
    fn of(
        (id, tenant, time): (EventId, TenantId, Timestamp),
        kind: &'a str,
        (subject, data): (&'a str, &'a str),
    ) -> Self {
        Self {
            specversion: "1.0",
            id,
            source: format!("/tenants/{tenant}"),
            kind,
            subject,
            time,
            datacontenttype: "application/json",
            data: serde_json::from_str(data).ok(),
        }
    }

    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| unreachable!("plain data: {error}"))
    }
}
