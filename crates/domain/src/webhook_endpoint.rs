//! Where a tenant wants its events sent, and which of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    event::kinds,
    id::{TenantId, WebhookEndpointId},
    time::Timestamp,
};

/// All types of events, those that are yet to come too.
pub const ALL_EVENTS: &str = "*";
/// Of a tenant: each event is a delivery for each of them.
pub const ENDPOINTS_MOST: i64 = 20;

/// As it is shown: its secret is not among this.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    pub id: WebhookEndpointId,
    pub tenant: TenantId,
    pub url: String,
    /// Types of events, or `*`.
    pub events: Vec<String>,
    /// When it was disabled, and why.
    pub disabled: Option<(Timestamp, String)>,
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Without the address, which may hold a secret.
impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookEndpoint")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// Whether an endpoint that wants these types wants this one.
pub fn wants(events: &[String], kind: &str) -> bool {
    events.iter().any(|wanted| wanted == ALL_EVENTS || wanted == kind)
}

/// Types in order, each once. Says what is wrong with them otherwise.
pub fn checked_events(mut events: Vec<String>) -> Result<Vec<String>, String> {
    if events.is_empty() {
        return Err("names no type of event; \"*\" is all of them".into());
    }
    let is_known = |kind: &String| kind == ALL_EVENTS || kinds::ALL.contains(&kind.as_str());
    if let Some(unknown) = events.iter().find(|kind| !is_known(kind)) {
        let shown: String = unknown.chars().take(60).collect();
        return Err(format!("{shown:?} is no type of event"));
    }
    events.sort_unstable();
    events.dedup();
    if events.len() > 1 && events.iter().any(|kind| kind == ALL_EVENTS) {
        return Err("\"*\" is all types: name it alone".into());
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn types_are_known_ones_each_once() {
        let table = [
            (&["*"][..], Some(&["*"][..])),
            (
                &["wallet.created", "transfer.completed", "wallet.created"],
                Some(&["transfer.completed", "wallet.created"]),
            ),
            (&[], None),
            (&["wallet.exploded"], None),
            (&["Wallet.created"], None),
            (&["wallet.*"], None),
            (&[""], None),
            (&["*", "wallet.created"], None),
        ];
        for (given, wanted) in table {
            assert_eq!(checked_events(texts(given)).ok(), wanted.map(texts), "{given:?}");
        }
    }

    #[test]
    fn all_or_just_those_named() {
        assert!(wants(&texts(&["*"]), "wallet.created"));
        assert!(wants(&texts(&["wallet.created"]), "wallet.created"));
        assert!(!wants(&texts(&["wallet.created"]), "wallet.closed"));
    }
}
