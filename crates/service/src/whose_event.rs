//! Whom an event is about, and what of it a wallet holder sees: their own side of it, for an entry
//! tells the balance of its wallet.

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use caudal_domain::{AccountId, UserId, event::StoredEvent};
use serde::Deserialize;
use serde_json::Value;

/// An event that many may hear; whom it names is read once, when the first of them asks.
pub(crate) struct Heard {
    pub stored: Arc<StoredEvent>,
    names: OnceLock<Names>,
}

impl Heard {
    pub fn new(event: impl Into<Arc<StoredEvent>>) -> Arc<Self> {
        Arc::new(Self { stored: event.into(), names: OnceLock::new() })
    }

    pub fn names(&self) -> &Names {
        // What names nobody is nobody's.
        self.names.get_or_init(|| serde_json::from_str(&self.stored.data).unwrap_or_default())
    }
}

/// The ids of people and wallets in an event's data.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Names {
    pub user_id: Option<UserId>,
    wallet_id: Option<AccountId>,
    entries: Vec<NamedEntry>,
}

#[derive(Deserialize)]
struct NamedEntry {
    wallet_id: AccountId,
}

impl Names {
    pub fn wallets(&self) -> impl Iterator<Item = AccountId> {
        self.entries.iter().map(|entry| entry.wallet_id).chain(self.wallet_id)
    }
}

/// What of a payment's event is its payer's alone.
const PAYERS: [&str; 4] = ["user_id", "gateway_account_id", "failure", "decline_code"];

/// The event with the entries of these wallets only, and without what is the payer's if it is
/// another's payment.
pub(crate) fn seen_by(
    event: &Arc<StoredEvent>,
    reader: UserId,
    own: &HashSet<AccountId>,
) -> Arc<StoredEvent> {
    let Ok(Value::Object(mut data)) = serde_json::from_str(&event.data) else {
        return event.clone();
    };
    let parts = data.len();
    let user = data.get("user_id").and_then(Value::as_str);
    if data.contains_key("payment_id") && user != Some(&reader.to_string()) {
        data.retain(|name, _| !PAYERS.contains(&name.as_str()));
    }
    let is_cut = data.len() < parts;
    let entries = data.get_mut("entries").and_then(Value::as_array_mut);
    if entries.is_none() && !is_cut {
        return event.clone();
    }
    let wallet_of = |entry: &Value| entry["wallet_id"].as_str()?.parse().ok();
    if let Some(entries) = entries {
        entries.retain(|entry| wallet_of(entry).is_some_and(|wallet| own.contains(&wallet)));
    }
    let data = Value::Object(data);
    Arc::new(StoredEvent { data: data.to_string(), ..StoredEvent::clone(event) })
}

#[cfg(test)]
mod tests {
    use caudal_domain::{EventId, TenantId, Timestamp};
    use serde_json::json;

    use super::*;

    fn event(data: &Value) -> StoredEvent {
        StoredEvent {
            stream: 0,
            seq: 1,
            id: EventId(1),
            tenant: TenantId(1),
            kind: "transfer.completed".into(),
            subject: "trf".into(),
            data: data.to_string(),
            occurred_at: Timestamp::default(),
        }
    }

    #[test]
    fn both_sides_are_named_and_each_sees_its_own() {
        let (payer, payee) = (AccountId(7), AccountId(8));
        let heard = Heard::new(event(&json!({"amount": 5, "entries": [
            {"wallet_id": payer, "balance": 95}, {"wallet_id": payee, "balance": 5}]})));
        assert_eq!(heard.names().wallets().collect::<Vec<_>>(), [payer, payee]);
        let seen = seen_by(&heard.stored, UserId(3), &HashSet::from([payee]));
        let data: Value = serde_json::from_str(&seen.data).expect("JSON");
        let wanted = json!({"amount": 5, "entries": [{"wallet_id": payee, "balance": 5}]});
        assert_eq!(data, wanted);
    }

    #[test]
    fn what_a_payer_failed_at_is_theirs() {
        let data = json!({"payment_id": "pay_1", "wallet_id": AccountId(8), "user_id": UserId(3),
            "status": "failed", "failure": "card_declined", "decline_code": "expired_card"});
        let told = Arc::new(event(&data));
        let seen = |reader| {
            let seen = seen_by(&told, reader, &HashSet::from([AccountId(8)]));
            serde_json::from_str::<Value>(&seen.data).expect("JSON")
        };
        assert_eq!(seen(UserId(3)), data);
        let left = json!({"payment_id": "pay_1", "wallet_id": AccountId(8), "status": "failed"});
        assert_eq!(seen(UserId(4)), left);
    }

    #[test]
    fn an_event_of_a_wallet_or_a_user_names_it_and_others_name_nobody() {
        let heard = Heard::new(event(&json!({"wallet_id": AccountId(7), "user_id": UserId(3)})));
        assert_eq!(heard.names().user_id, Some(UserId(3)));
        assert_eq!(heard.names().wallets().collect::<Vec<_>>(), [AccountId(7)]);
        let heard = Heard::new(event(&json!({"api_key_id": "key_1", "user_id": null})));
        assert_eq!((heard.names().user_id, heard.names().wallets().count()), (None, 0));
        assert_eq!(Heard::new(event(&json!({"entries": "?"}))).names().wallets().count(), 0);
    }
}
