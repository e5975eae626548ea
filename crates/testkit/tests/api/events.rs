//! The event stream: everything that was committed, once and in order, to those it concerns.

use std::collections::{BTreeMap, BTreeSet};

use caudal_domain::SystemRole;
use caudal_testkit::{Call, Message, TestApp, at_once, both_databases};
use serde_json::{Value, json};

both_databases! {
    streams_begin_now_or_where_they_were_left every_transfer_once_and_in_order
    nobody_hears_another_tenant bad_positions_are_refused kinds_tell_what_happened
    a_revoked_key_hears_no_more what_ends_a_session_ends_its_stream
}

const MEMBERS: [&str; 8] =
    ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"];

fn assert_cloud_event(message: &Message, tenant: &str) {
    let event = &message.data;
    let names: BTreeSet<_> = event.as_object().expect("an object").keys().collect();
    assert_eq!(names, MEMBERS.map(str::to_owned).iter().collect(), "{event}");
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["source"], format!("/tenants/{tenant}"));
    assert_eq!(event["type"], message.event);
    assert_eq!(event["datacontenttype"], "application/json");
    assert!(event["id"].as_str().is_some_and(|id| id.starts_with("evt_")), "{event}");
    let time = event["time"].as_str().expect("a time");
    assert!(caudal_domain::Timestamp::parse(time).is_some(), "{time}");
    assert!(event["data"].is_object(), "{event}");
}

async fn streams_begin_now_or_where_they_were_left(app: &TestApp) {
    let client = &app.client;
    let tenant = client.get("/tenants/me").await.expect(200);
    let tenant = tenant["id"].as_str().expect("an id");
    let (from, to) = client.pair(1000).await;
    let mut stream = client.events(None).await;
    let mut told = Vec::new();
    for amount in 1..=5 {
        let moved = client.transfer(&from, &to, amount).await.expect(201);
        let message = stream.next().await;
        assert_cloud_event(&message, tenant);
        assert_eq!(message.event, "transfer.completed");
        assert_eq!(message.data["subject"], moved["id"]);
        assert_eq!(message.data["data"]["amount"], amount);
        told.push(message);
    }
    drop(stream);
    client.transfer(&from, &to, 6).await.expect(201);
    // From each of them on, the rest follows.
    for place in 0..told.len() {
        let mut again = client.events(Some(&told[place].id)).await;
        for message in &told[place + 1..] {
            assert_eq!(again.next().await.data, message.data);
        }
        assert_eq!(again.next().await.data["data"]["amount"], 6);
    }
}

/// What was heard of one tenant's wallets.
#[derive(Default)]
struct Heard {
    events: BTreeSet<String>,
    transfers: BTreeSet<String>,
    /// By payer: the versions in the order they came.
    versions: BTreeMap<String, Vec<i64>>,
}

impl Heard {
    fn take(&mut self, message: &Message) {
        let event = &message.data;
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        assert!(self.events.insert(text(&event["id"])), "twice: {event}");
        if message.event == "transfer.completed" {
            self.transfers.insert(text(&event["subject"]));
        }
        for entry in event["data"]["entries"].as_array().into_iter().flatten() {
            let versions = self.versions.entry(text(&entry["wallet_id"])).or_default();
            versions.push(entry["version"].as_i64().expect("a number"));
        }
    }
}

async fn every_transfer_once_and_in_order(app: &TestApp) {
    let client = &app.client;
    let mut stream = client.events(None).await;
    let mut payers = Vec::new();
    for _ in 0..8 {
        payers.push(client.funded(10_000).await);
    }
    let payee = client.wallet("USD").await;
    let (caller, all, to) = (client.clone(), payers.clone(), payee.clone());
    let writing = tokio::spawn(at_once(8, move |number| {
        let (caller, from, to) = (caller.clone(), all[number].clone(), to.clone());
        async move {
            let mut written = Vec::new();
            for _ in 0..60 {
                let moved = caller.transfer(&from, &to, 1).await.expect(201);
                written.push(moved["id"].as_str().expect("an id").to_owned());
            }
            written
        }
    }));
    let mut heard = Heard::default();
    let mut last = String::new();
    while heard.transfers.len() < 8 * 60 {
        let message = stream.next().await;
        heard.take(&message);
        last = message.id;
        // Cut off in the middle, again and again, while the writers go on.
        if heard.events.len().is_multiple_of(37) {
            stream = client.events(Some(&last)).await;
        }
    }
    let written: BTreeSet<_> =
        writing.await.expect("the writers ended").into_iter().flatten().collect();
    assert_eq!(heard.transfers, written);
    // Nothing comes twice after the end either: the next event is the one made now.
    let mut stream = client.events(Some(&last)).await;
    let after = client.transfer(&payee, &payers[0], 1).await.expect(201);
    assert_eq!(stream.next().await.data["subject"], after["id"]);
    for payer in &payers {
        let wanted: Vec<_> = (1..=61).collect();
        assert_eq!(heard.versions[payer], wanted, "in order, without a gap");
    }
    let mut paid = heard.versions[&payee].clone();
    paid.sort_unstable();
    assert_eq!(paid, (1..=480).collect::<Vec<_>>(), "each entry once");
}

async fn nobody_hears_another_tenant(app: &TestApp) {
    let other = app.tenant("test").await;
    let (ours, theirs) = (app.client.pair(1000).await, other.pair(1000).await);
    let mut stream = other.events(None).await;
    let mut our_stream = app.client.events(None).await;
    app.client.transfer(&ours.0, &ours.1, 100).await.expect(201);
    let our_place = our_stream.next().await.id;
    let mut source = None;
    for amount in 1..=30 {
        app.client.transfer(&ours.0, &ours.1, amount).await.expect(201);
        let moved = other.transfer(&theirs.0, &theirs.1, amount).await.expect(201);
        let message = stream.next().await;
        assert_eq!(message.data["subject"], moved["id"]);
        let tenant = message.data["source"].clone();
        assert_eq!(*source.get_or_insert_with(|| tenant.clone()), tenant);
    }
    // A position of ours is a place in the same streams: it shows them no more than their own.
    let mut resumed = other.events(Some(&our_place)).await;
    for _ in 0..30 {
        let event = resumed.next().await.data;
        let text = event.to_string();
        assert!(!text.contains(&ours.0) && !text.contains(&ours.1), "{text}");
        assert_eq!(Some(&event["source"]), source.as_ref());
    }
}

async fn bad_positions_are_refused(app: &TestApp) {
    let future = ["zzzz"; 16].join("-");
    let long = "0-".repeat(5000);
    let huge = ["z".repeat(30).as_str(); 16].join("-");
    for bad in ["x", "0", "-1", "0-0", "null", "\u{e9}", &future, &long, &huge] {
        let call = Call::new("GET", "/events").header("last-event-id", bad);
        let answer = app.client.send(call).await;
        answer.refused(400, "invalid_request");
        assert_eq!(answer.json["param"], "Last-Event-ID");
    }
}

async fn kinds_tell_what_happened(app: &TestApp) {
    let client = &app.client;
    let mut stream = client.events(None).await;
    let mut told = async |kind: &str| {
        let message = stream.next().await;
        assert_eq!(message.event, kind, "{}", message.data);
        message.data
    };
    let from = client.wallet("USD").await;
    assert_eq!(told("wallet.created").await["subject"], json!(from));
    let to = client.wallet("USD").await;
    told("wallet.created").await;
    client.fund(&from, 1000).await.expect(201);
    told("wallet.funded").await;
    client.act(&from, "withdraw", json!({"amount": 1})).await.expect(201);
    told("wallet.deducted").await;
    let pair = (from.clone(), to);
    let hold = client.hold(&pair, 100, 60).await;
    let held = told("transfer.held").await;
    assert_eq!(held["data"]["entries"][0]["held"], 100);
    client.act(&hold, "capture", json!({"amount": 10})).await.expect(200);
    assert_eq!(told("transfer.captured").await["data"]["amount_captured"], 10);
    client.act(&hold, "reverse", json!({})).await.expect(201);
    assert_eq!(told("transfer.reversed").await["data"]["reverses"], json!(hold));
    let hold = client.hold(&pair, 100, 60).await;
    told("transfer.held").await;
    client.act(&hold, "void", json!({})).await.expect(200);
    told("transfer.voided").await;
    client.hold(&pair, 100, 60).await;
    told("transfer.held").await;
    app.clock.advance(60);
    told("transfer.expired").await;
    let path = format!("/wallets/{from}");
    let secret = json!({"name": "Ada Lovelace", "metadata": {"card": "secret"}});
    client.patch(&path, secret).await.expect(200);
    let updated = told("wallet.updated").await.to_string();
    assert!(!updated.contains("Ada") && !updated.contains("secret"), "{updated}");
    for (verb, kind) in [("freeze", "wallet.frozen"), ("unfreeze", "wallet.unfrozen")] {
        client.act(&from, verb, json!({})).await.expect(200);
        told(kind).await;
    }
    // A refusal is no event: the next one is what is done after it.
    client.transfer(&pair.0, &pair.1, 5000).await.refused(402, "insufficient_funds");
    client.wallet("EUR").await;
    told("wallet.created").await;
}

async fn a_revoked_key_hears_no_more(app: &TestApp) {
    let narrow = json!({"name": "listener", "scopes": ["events:read"]});
    let key = app.client.post("/api-keys", narrow).await.expect(201);
    let listener = app.client.with_key(key["key"].as_str().expect("the key"));
    let mut stream = listener.events(None).await;
    let (from, to) = app.client.pair(1000).await;
    app.client.transfer(&from, &to, 1).await.expect(201);
    stream.next().await;
    let id = key["id"].as_str().expect("an id");
    app.client.delete(format!("/api-keys/{id}")).await;
    stream.ended().await;
}

async fn what_ends_a_session_ends_its_stream(app: &TestApp) {
    let (from, to) = app.client.pair(1000).await;
    let (left_id, left) = app.user(&[SystemRole::Support]).await;
    let (moved_id, moved) = app.user(&[SystemRole::Support]).await;
    let (_, stays) = app.user(&[SystemRole::Support]).await;
    let mut ends = [left.events(None).await, moved.events(None).await];
    let mut goes_on = stays.events(None).await;
    app.client.delete(format!("/users/{left_id}/sessions")).await.expect(204);
    let roles = Call::new("PUT", format!("/users/{moved_id}/roles"));
    app.client.send(roles.json(&json!({"roles": ["wallet_holder"]}))).await.expect(200);
    let after = app.client.transfer(&from, &to, 1).await.expect(201);
    for stream in &mut ends {
        let heard = stream.rest().await;
        assert!(heard.iter().all(|it| it.event != "transfer.completed"), "{heard:?}");
    }
    let mut heard = goes_on.next().await;
    while heard.event != "transfer.completed" {
        heard = goes_on.next().await;
    }
    assert_eq!(heard.data["subject"], after["id"]);
}
