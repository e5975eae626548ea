//! Webhooks of gateways: believed by their signature alone, kept before they are answered, each
//! once; what nobody knows is asked for again, and told in the end.

use caudal_domain::Clock;
use caudal_gateway::webhooks::hmac;
use caudal_service::payment_saga::Point;
use caudal_testkit::{Answer, Call, TestApp, both_databases, until};
use serde_json::{Value, json};

use super::{
    payments::{id, read, with},
    payments_at_gateways::card,
};

both_databases! {
    only_the_gateways_own_are_believed a_webhook_is_kept_once what_nobody_knows_is_told_in_the_end
    what_comes_while_a_call_is_under_way_is_heard_later
}

const SECRET: &str = "whsec_of_this_account";
const NEXT_SECRET: &str = "whsec_of_this_account_next";

/// An account at the simulator whose secrets are known: its path.
pub async fn account(app: &TestApp, name: &str, secrets: &[&str]) -> String {
    let body = json!({"kind": "simulator", "name": name, "credentials":
        {"api_key": format!("sim_test_{name}"), "webhook_secrets": secrets}});
    let made = app.client.post("/gateway-accounts", body).await.expect(201);
    format!("/gateway-accounts/{}", made["id"].as_str().expect("an id"))
}

/// As the simulator writes it.
fn event(id: &str) -> Value {
    json!({"id": id, "type": "charge.succeeded", "created_at": "2026-01-31T09:30:00Z", "data": {
        "object": "charge", "id": "ch_unknown", "key": "k", "status": "succeeded", "amount": 5,
        "currency": "USD", "amount_captured": 5, "amount_refunded": 0, "amount_disputed": 0,
        "fee": 0, "payment_method": "pm_card_visa", "manual": false, "decline_code": null,
        "next_action_url": null, "return_url": null, "created_at": "2026-01-31T09:30:00Z"}})
}

pub fn seconds(app: &TestApp) -> i64 {
    app.clock.now().millis().div_euclid(1_000)
}

pub fn signed(secret: &str, at_s: i64, body: &str) -> String {
    hmac::sign(&[secret], at_s, body.as_bytes())
}

pub async fn tell(app: &TestApp, account: &str, signature: Option<&str>, body: &str) -> Answer {
    let call = Call::new("POST", format!("{account}/webhooks")).text(body.to_owned());
    let call = match signature {
        Some(signature) => call.header("simulator-signature", signature),
        None => call,
    };
    app.client.without_key().send(call).await
}

/// How long a webhook is its worker's.
const LEASE_S: i64 = 30;

async fn is_given_up(app: &TestApp) -> bool {
    let sql = "select event_key from incoming_webhooks where failed_at is not null";
    let rows = app.instance.store.query("incoming_webhooks", sql, &[]).await.expect("rows");
    !rows.is_empty()
}

/// What was kept.
async fn kept(app: &TestApp) -> Vec<String> {
    let sql = "select event_key from incoming_webhooks order by event_key";
    let rows = app.instance.store.query("incoming_webhooks", sql, &[]).await.expect("rows");
    rows.iter().map(|row| row.text(0).expect("a key").to_owned()).collect()
}

async fn only_the_gateways_own_are_believed(app: &TestApp) {
    let path = account(app, "one", &[SECRET, NEXT_SECRET]).await;
    let other = account(app, "other", &["whsec_of_another_account"]).await;
    let (now, good) = (seconds(app), event("evt_1").to_string());
    let bad = "401 bad_signature";
    let table = [
        ("none", None, &*good, bad),
        ("not a signature", Some("hello".to_owned()), &good, bad),
        ("no time", Some(signed(SECRET, now, &good).replace("t=", "x=")), &good, bad),
        ("of another body", Some(signed(SECRET, now, "{}")), &good, bad),
        ("by another's secret", Some(signed("whsec_of_another_account", now, &good)), &good, bad),
        ("too old", Some(signed(SECRET, now - 301, &good)), &good, bad),
        ("from the future", Some(signed(SECRET, now + 301, &good)), &good, bad),
        ("no event", Some(signed(SECRET, now, "[]")), "[]", "400 invalid_request"),
        ("no JSON", Some(signed(SECRET, now, "\u{0}")), "\u{0}", "400 invalid_request"),
    ];
    for (what, signature, body, refused) in table {
        let answer = tell(app, &path, signature.as_deref(), body).await;
        let (status, code) = refused.split_once(' ').expect("both");
        answer.refused_as(what, status.parse().expect("a number"), code);
        assert_eq!(kept(app).await, [""; 0], "{what} is kept");
    }
    let signature = signed(SECRET, now, &good);
    tell(app, &other, Some(&signature), &good).await.refused(401, "bad_signature");
    for unknown in ["gwa_1", "gwa_00000000000000000000000007"] {
        let path = format!("/gateway-accounts/{unknown}");
        let answer = tell(app, &path, Some(&signature), &good).await;
        answer.refused(404, "gateway_account_not_found");
    }
    let huge = format!("{good}{}", " ".repeat(300 << 10));
    let answer = tell(app, &path, Some(&signed(SECRET, now, &huge)), &huge).await;
    answer.refused(413, "payload_too_large");
    assert_eq!(kept(app).await, [""; 0]);
    let late = signed(NEXT_SECRET, now - 299, &good);
    assert_eq!(tell(app, &path, Some(&late), &good).await.status, 200);
    assert_eq!(kept(app).await, ["evt_1"]);
}

async fn a_webhook_is_kept_once(app: &TestApp) {
    let one = account(app, "one", &[SECRET]).await;
    let other = account(app, "other", &[SECRET]).await;
    let now = seconds(app);
    for (path, id) in [(&one, "evt_1"), (&one, "evt_1"), (&one, "evt_2"), (&other, "evt_1")] {
        let body = event(id).to_string();
        let signature = signed(SECRET, now, &body);
        assert_eq!(tell(app, path, Some(&signature), &body).await.status, 200, "{id}");
    }
    // Another account's events are its own, whatever they are called.
    assert_eq!(kept(app).await, ["evt_1", "evt_1", "evt_2"]);
    // Nothing of what the gateway wrote is kept but names of things.
    let sql = "select data from incoming_webhooks";
    let rows = app.instance.store.query("incoming_webhooks", sql, &[]).await.expect("rows");
    assert!(rows.iter().all(|row| !format!("{row:?}").contains("pm_card_visa")), "{rows:?}");
}

async fn what_nobody_knows_is_told_in_the_end(app: &TestApp) {
    let path = account(app, "one", &[SECRET]).await;
    let mut heard = app.client.events(None).await;
    let (body, now) = (event("evt_1").to_string(), seconds(app));
    assert_eq!(tell(app, &path, Some(&signed(SECRET, now, &body)), &body).await.status, 200);
    let store = &app.instance.store;
    let sql = "select attempts, next_at from incoming_webhooks";
    let mut tries = 0;
    until("it to be given up", async || {
        let rows = store.query("incoming_webhooks", sql, &[]).await.expect("rows");
        let (attempts, next_at) = (rows[0].int(0).expect("a count"), rows[0].time(1).expect("due"));
        tries = attempts;
        // Not while it is being worked on: then it is leased.
        let waits_s = (next_at.micros() - app.clock.now().micros()) / 1_000_000;
        if waits_s > 0 && waits_s != LEASE_S {
            app.clock.set(next_at);
        }
        is_given_up(app).await
    })
    .await;
    let message = heard.next().await;
    assert_eq!(message.event, "gateway_webhook.unclaimed");
    let data = &message.data["data"];
    let said = (&data["event_key"], &data["kind"], &data["reference"]);
    assert_eq!(said, (&json!("evt_1"), &json!("charge.succeeded"), &json!("ch_unknown")));
    assert_eq!(tries, 10);
    // Somebody has mended what was wrong, and has it sent once more.
    let signature = signed(SECRET, seconds(app), &body);
    assert_eq!(tell(app, &path, Some(&signature), &body).await.status, 200);
    assert!(!is_given_up(app).await);
}

/// A webhook came, and was tried and left, or called done.
pub async fn was_tried(app: &TestApp) {
    let sql = "select attempts, next_at, done_at from incoming_webhooks";
    until("a webhook to be tried", async || {
        let rows = app.instance.store.query("incoming_webhooks", sql, &[]).await.expect("rows");
        let leased_until = app.clock.now().plus_seconds(LEASE_S);
        rows.iter().any(|row| {
            let tries = row.int(0).expect("a count");
            let is_left = row.time(1).expect("due") != leased_until;
            tries > 0 && is_left || row.opt_time(2).expect("a time").is_some()
        })
    })
    .await;
}

async fn what_comes_while_a_call_is_under_way_is_heard_later(app: &TestApp) {
    let (client, service) = (&app.client, &app.instance.service);
    let wallet = client.wallet("USD").await;
    let held = service.hold_saga_at(Point::Called);
    let asked = with(card(&wallet, 700, "pm_bank_transfer"), "type", "bank_transfer");
    let paying = client.clone();
    let paying = tokio::spawn(async move { paying.post("/payments", asked).await });
    // Told that it is on its way, and then by webhook that it has come, before that is written.
    until("the call", async || service.is_saga_held()).await;
    was_tried(app).await;
    held.send(()).expect("it waits");
    let begun = paying.await.expect("an answer").expect(201);
    assert_eq!(begun["status"], "processing");
    // The gateway itself is asked again after ten seconds.
    app.clock.advance(3);
    until("the money", async || read(client, &id(&begun)).await["status"] == "succeeded").await;
    assert_eq!(client.balance(&wallet).await, (700, 0, 700));
}
