//! Deliveries of webhooks as they are shown, with their attempts.

use caudal_domain::{DeliveryId, EventId, Timestamp, WebhookEndpointId};
use caudal_service::deliveries::{Attempt, Delivery, DeliveryStatus};
use serde::Serialize;
use utoipa::ToSchema;

use crate::query::Shown;

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery, example = json!({
    "id": "whd_01h455vb4pex5vsknk084sn02q", "object": "webhook_delivery",
    "webhook_endpoint_id": "whe_01h455vb4pex5vsknk084sn02q",
    "event_id": "evt_01h455vb4pex5vsknk084sn02q", "type": "transfer.completed",
    "status": "delivered", "next_attempt_at": null,
    "delivered_at": "2026-01-31T09:30:00.000000Z", "failed_at": null,
    "created_at": "2026-01-31T09:30:00.000000Z",
    "attempts": [{"number": 1, "created_at": "2026-01-31T09:30:00.000000Z", "duration_ms": 31,
        "status": 200, "detail": null}]
}))]
pub(crate) struct DeliveryShape<'a> {
    #[schema(value_type = String)]
    id: DeliveryId,
    object: &'static str,
    #[schema(value_type = String)]
    webhook_endpoint_id: WebhookEndpointId,
    /// The `webhook-id` of every attempt.
    #[schema(value_type = String)]
    event_id: EventId,
    #[serde(rename = "type")]
    kind: &'a str,
    /// `pending`, `delivered` or `failed`: given up.
    #[schema(value_type = String)]
    status: DeliveryStatus,
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    delivered_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    failed_at: Option<Timestamp>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Oldest first.
    attempts: Vec<AttemptShape<'a>>,
}

/// One try.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookAttempt)]
struct AttemptShape<'a> {
    /// A number may be missing: whoever made that attempt did not live to tell.
    number: i64,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    duration_ms: i64,
    /// Of the answer, if one came.
    status: Option<i64>,
    /// Why none came.
    detail: Option<&'a str>,
}

impl<'a> From<&'a Attempt> for AttemptShape<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let Attempt { number, at, duration_ms, status, .. } = *attempt;
        let detail = attempt.detail.as_deref();
        Self { number, created_at: at, duration_ms, status, detail }
    }
}

impl<'a> From<&'a Delivery> for DeliveryShape<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        Self {
            id: delivery.id,
            object: "webhook_delivery",
            webhook_endpoint_id: delivery.endpoint,
            event_id: delivery.event,
            kind: &delivery.kind,
            status: delivery.status,
            next_attempt_at: delivery.next_attempt_at,
            delivered_at: delivery.delivered_at,
            failed_at: delivery.failed_at,
            created_at: delivery.created_at,
            attempts: delivery.attempts.iter().map(AttemptShape::from).collect(),
        }
    }
}

impl Shown for DeliveryShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "webhook_endpoint_id",
        "event_id",
        "type",
        "status",
        "next_attempt_at",
        "delivered_at",
        "failed_at",
        "created_at",
        "attempts",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        assert_fields(&DeliveryShape::from(&Delivery {
            id: DeliveryId(1),
            endpoint: WebhookEndpointId(1),
            event: EventId(1),
            kind: "wallet.created".into(),
            status: DeliveryStatus::Pending,
            next_attempt_at: None,
            delivered_at: None,
            failed_at: None,
            created_at: Timestamp::default(),
            attempts: Vec::new(),
        }));
    }
}
