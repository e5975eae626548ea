//! Stripe's webhooks: what the event types mean at the port.

use caudal_domain::{Mode, Timestamp};
use serde::Deserialize;

use crate::{
    port::Object,
    webhooks::{EventKind, WebhookError, WebhookEvent},
};

pub const HEADER: &str = "stripe-signature";

#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    livemode: bool,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    object: About,
}

/// Anything: an intent, a refund, a dispute, a payout, or a charge with its intent.
#[derive(Deserialize)]
struct About {
    object: Option<String>,
    id: Option<String>,
    payment_intent: Option<String>,
}

/// Reads an event whose signature is good.
pub fn read(body: &[u8], mode: Mode) -> Result<WebhookEvent, WebhookError> {
    let event: Event = serde_json::from_slice(body)
        .map_err(|_| WebhookError::Nonsense("not an event of Stripe"))?;
    if event.livemode != (mode == Mode::Live) {
        return Err(WebhookError::WrongMode);
    }
    let happened_at = Timestamp::from_micros(0).plus_seconds(event.created);
    let about = about(event.data.object);
    Ok(WebhookEvent { kind: kind(event.kind), id: event.id, about, happened_at })
}

fn about(thing: About) -> Option<(Object, String)> {
    let object = match thing.object.as_deref()? {
        "payment_intent" => Object::Charge,
        // Stripe's charge is one try of an intent, which is what we call a charge.
        "charge" => return thing.payment_intent.map(|intent| (Object::Charge, intent)),
        "refund" => Object::Refund,
        "dispute" => Object::Dispute,
        "payout" => Object::Payout,
        _ => return None,
    };
    thing.id.map(|id| (object, id))
}

fn kind(kind: String) -> EventKind {
    match kind.as_str() {
        "payment_intent.succeeded" => EventKind::ChargeSucceeded,
        "payment_intent.payment_failed" => EventKind::ChargeFailed,
        "payment_intent.amount_capturable_updated" => EventKind::ChargeCapturable,
        "payment_intent.canceled" => EventKind::ChargeCanceled,
        "payment_intent.processing" | "payment_intent.requires_action" | "charge.refunded" => {
            EventKind::ChargeUpdated
        }
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            EventKind::RefundUpdated
        }
        "charge.dispute.created" => EventKind::DisputeOpened,
        "charge.dispute.updated"
        | "charge.dispute.funds_withdrawn"
        | "charge.dispute.funds_reinstated" => EventKind::DisputeUpdated,
        "charge.dispute.closed" => EventKind::DisputeClosed,
        "payout.paid" => EventKind::PayoutPaid,
        "payout.failed" | "payout.canceled" => EventKind::PayoutFailed,
        _ => EventKind::Other(kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_become_kinds_about_things() {
        let intent = r#"{"object":"payment_intent","id":"pi_1"}"#;
        let charge = r#"{"object":"charge","id":"ch_1","payment_intent":"pi_1"}"#;
        let dispute = r#"{"object":"dispute","id":"dp_1","payment_intent":"pi_1"}"#;
        let table = [
            ("payment_intent.succeeded", intent, "ChargeSucceeded Charge pi_1"),
            ("payment_intent.payment_failed", intent, "ChargeFailed Charge pi_1"),
            ("payment_intent.amount_capturable_updated", intent, "ChargeCapturable Charge pi_1"),
            ("charge.refunded", charge, "ChargeUpdated Charge pi_1"),
            ("charge.dispute.created", dispute, "DisputeOpened Dispute dp_1"),
            ("refund.failed", r#"{"object":"refund","id":"re_1"}"#, "RefundUpdated Refund re_1"),
            ("payout.paid", r#"{"object":"payout","id":"po_1"}"#, "PayoutPaid Payout po_1"),
            ("balance.available", r#"{"object":"balance"}"#, "Other(\"balance.available\") none"),
        ];
        for (kind, object, expected) in table {
            let body = format!(
                r#"{{"id":"evt_1","type":"{kind}","created":1700000000,"livemode":false,
                    "data":{{"object":{object}}},"api_version":"any"}}"#
            );
            let event = read(body.as_bytes(), Mode::Test).unwrap();
            let about =
                event.about.map_or("none".into(), |(object, id)| format!("{object:?} {id}"));
            assert_eq!(format!("{:?} {about}", event.kind), expected);
            assert_eq!(read(body.as_bytes(), Mode::Live), Err(WebhookError::WrongMode), "{kind}");
        }
    }

    #[test]
    fn what_is_no_event_is_nonsense() {
        for body in ["", "{}", "[]", r#"{"id":1}"#, "\u{0}"] {
            let nonsense = Err(WebhookError::Nonsense("not an event of Stripe"));
            assert_eq!(read(body.as_bytes(), Mode::Test), nonsense, "{body}");
        }
    }
}
