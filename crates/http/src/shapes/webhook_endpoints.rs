//! Webhook endpoints as they are asked for and shown.

use caudal_domain::{Timestamp, WebhookEndpoint, WebhookEndpointId, webhook_endpoint};
use caudal_service::{
    api_keys::Secret,
    webhook_endpoints::{NewWebhookEndpoint, WebhookEndpointChange},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{problem::Problem, query::Shown};

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookEndpoint, example = json!({
    "url": "https://shop.example/caudal", "events": ["transfer.completed"]
}))]
pub(crate) struct WebhookEndpointRequest {
    /// Absolute, to a public address, port 80, 443 or 1024 and above; `https` for live tenants.
    #[schema(max_length = 2048)]
    url: String,
    /// Types of events, or `*` for all.
    #[schema(min_items = 1)]
    events: Vec<String>,
}

impl WebhookEndpointRequest {
    pub fn into_new(self) -> Result<NewWebhookEndpoint, Problem> {
        Ok(NewWebhookEndpoint { url: self.url, events: checked(self.events)? })
    }
}

fn checked(events: Vec<String>) -> Result<Vec<String>, Problem> {
    webhook_endpoint::checked_events(events).map_err(|why| Problem::invalid("events", why))
}

#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookEndpointChange, example = json!({"active": true}))]
pub(crate) struct WebhookEndpointPatch {
    #[schema(max_length = 2048)]
    url: Option<String>,
    #[schema(min_items = 1)]
    events: Option<Vec<String>>,
    /// False: nothing is sent, and what is under way is given up. True: from now on.
    active: Option<bool>,
}

impl WebhookEndpointPatch {
    pub fn into_change(self) -> Result<WebhookEndpointChange, Problem> {
        let events = self.events.map(checked).transpose()?;
        Ok(WebhookEndpointChange { url: self.url, events, active: self.active })
    }
}

/// How long everything is signed with the old secret as well.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WebhookRotation, example = json!({"overlap_s": 3600}))]
pub(crate) struct WebhookRotation {
    /// Seconds; a day, if not given.
    #[schema(minimum = 0, maximum = 604_800)]
    overlap_s: Option<i64>,
}

const DAY_S: i64 = 24 * 3600;

impl WebhookRotation {
    pub fn overlap_s(&self) -> Result<i64, Problem> {
        let overlap_s = self.overlap_s.unwrap_or(DAY_S);
        match (0..=7 * DAY_S).contains(&overlap_s) {
            true => Ok(overlap_s),
            false => Err(Problem::invalid("overlap_s", "0 to 604800 seconds: a week")),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookEndpoint, example = json!({
    "id": "whe_01h455vb4pex5vsknk084sn02q", "object": "webhook_endpoint",
    "url": "https://shop.example/caudal", "events": ["transfer.completed"], "active": true,
    "disabled_at": null, "disabled_reason": null, "created_at": "2026-01-31T09:30:00.000000Z",
    "updated_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct WebhookEndpointShape<'a> {
    #[schema(value_type = String)]
    id: WebhookEndpointId,
    object: &'static str,
    /// `whsec_…`: only in the first answer to what made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    url: &'a str,
    events: &'a [String],
    active: bool,
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Timestamp>,
    /// `asked`, or `failing`: it took nothing for two days, or said that it is gone.
    disabled_reason: Option<&'a str>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> WebhookEndpointShape<'a> {
    pub fn with_secret(endpoint: &'a WebhookEndpoint, secret: Option<&'a Secret>) -> Self {
        Self { secret: secret.map(Secret::reveal), ..endpoint.into() }
    }
}

impl<'a> From<&'a WebhookEndpoint> for WebhookEndpointShape<'a> {
    fn from(endpoint: &'a WebhookEndpoint) -> Self {
        let disabled = endpoint.disabled.as_ref();
        Self {
            id: endpoint.id,
            object: "webhook_endpoint",
            secret: None,
            url: &endpoint.url,
            events: &endpoint.events,
            active: disabled.is_none(),
            disabled_at: disabled.map(|(at, _)| *at),
            disabled_reason: disabled.map(|(_, why)| why.as_str()),
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

impl Shown for WebhookEndpointShape<'_> {
    const FIELDS: &'static [&'static str] = &[
        "id",
        "object",
        "url",
        "events",
        "active",
        "disabled_at",
        "disabled_reason",
        "created_at",
        "updated_at",
    ];
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        assert_fields(&WebhookEndpointShape::from(&WebhookEndpoint {
            id: WebhookEndpointId(1),
            tenant: TenantId(1),
            url: "https://shop.example/".into(),
            events: vec!["*".into()],
            disabled: None,
            version: 1,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }));
    }
}
