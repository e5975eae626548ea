//! Disputes: a payer's bank takes money back, also below the floor; they are answered, won, lost.

use caudal_gateway::simulator::{Settings, WebhookSettings};
use caudal_testkit::{TestApp, both_databases, until};
use serde_json::{Value, json};

use super::gateway_accounts::{at_the_simulator, own_accounts};

both_databases! {
    a_dispute_takes_what_is_not_there_and_gives_it_back a_dispute_ends_as_it_is_answered
    the_tenant_bears_what_its_type_says disputes_of_others_are_not_seen
    what_is_given_up_is_given_up_at_the_gateway an_unclear_answer_gives_nothing_up
    what_the_bank_has_decided_is_not_given_up what_was_told_meanwhile_is_answered
}

const API_KEY: &str = "sim_test_of_disputes";

fn webhooks(app: &TestApp, hold: bool) {
    let webhooks = WebhookSettings { hold, ..WebhookSettings::default() };
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    simulator.set(Settings { webhooks, ..Settings::default() });
}

/// A payment of 500 to the wallet that its payer disputes.
async fn disputed(app: &TestApp, kind: &str, wallet: &str) -> String {
    let body = json!({"type": kind, "amount": 500, "currency": "USD", "to": wallet,
        "payment_method": "pm_card_createDispute"});
    let payment = app.client.post("/payments", body).await.expect(201);
    assert_eq!(payment["status"], "succeeded", "{payment}");
    payment["id"].as_str().expect("an id").to_owned()
}

async fn dispute_of(app: &TestApp, payment: &str) -> String {
    let mut found = None;
    until("the dispute", async || {
        let all = app.client.all("/disputes").await;
        found = all.into_iter().find(|it| it["payment_id"] == payment);
        // Told before its payment was written, it is tried again later.
        app.clock.advance(if found.is_none() { 1 } else { 0 });
        found.is_some()
    })
    .await;
    let found = found.expect("it was waited for");
    found["id"].as_str().expect("an id").to_owned()
}

async fn comes_to(app: &TestApp, id: &str, status: &str) -> Value {
    let read = async || app.client.get(format!("/disputes/{id}")).await.expect(200);
    until(status, async || read().await["status"] == status).await;
    read().await
}

async fn a_dispute_takes_what_is_not_there_and_gives_it_back(app: &TestApp) {
    let (client, wallet) = (&app.client, app.client.wallet("USD").await);
    let elsewhere = client.wallet("USD").await;
    webhooks(app, true);
    let payment = disputed(app, "card", &wallet).await;
    client.transfer(&wallet, &elsewhere, 450).await.expect(201);
    webhooks(app, false);
    let id = dispute_of(app, &payment).await;
    let dispute = comes_to(app, &id, "needs_response").await;
    assert_eq!((&dispute["amount"], &dispute["reason"]), (&json!(500), &json!("fraudulent")));
    assert_eq!(client.balance(&wallet).await, (-450, 0, -450));
    let shown = client.get(format!("/payments/{payment}")).await.expect(200);
    assert_eq!((&shown["status"], &shown["amount_disputed"]), (&json!("succeeded"), &json!(500)));
    // In arrears nothing is taken, and nothing is left to refund.
    client.transfer(&wallet, &elsewhere, 1).await.refused(402, "insufficient_funds");
    let refund = client.post(format!("/payments/{payment}/refunds"), json!({"amount": 1})).await;
    refund.refused(422, "amount_exceeds_refundable");

    let evidence = json!({"text": "winning_evidence"});
    let path = format!("/disputes/{id}/evidence");
    let answered = client.post_as("once", &path, evidence.clone()).await.expect(200);
    assert_eq!(answered["status"], "under_review");
    comes_to(app, &id, "won").await;
    assert!(client.post_as("once", &path, evidence.clone()).await.is_replay());
    client.post(&path, evidence).await.refused(409, "dispute_state");
    assert_eq!(client.balance(&wallet).await, (50, 0, 50));
    let shown = client.get(format!("/payments/{payment}")).await.expect(200);
    assert_eq!(shown["amount_disputed"], 0);
}

async fn a_dispute_ends_as_it_is_answered(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let first = dispute_of(app, &disputed(app, "card", &wallet).await).await;
    let losing = json!({"text": "losing_evidence"});
    client.post(format!("/disputes/{first}/evidence"), losing).await.expect(200);
    let lost = comes_to(app, &first, "lost").await;
    assert_eq!(lost["evidence"], "losing_evidence");
    let second = dispute_of(app, &disputed(app, "card", &wallet).await).await;
    let path = format!("/disputes/{second}/accept");
    let accepted = client.post(&path, json!({})).await.expect(200);
    assert_eq!(accepted["status"], "lost");
    client.post(&path, json!({})).await.refused(409, "dispute_state");
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    let empty = client.post(format!("/disputes/{second}/evidence"), json!({"text": ""})).await;
    assert_eq!(empty.refused(400, "invalid_request").json["param"], "text");
    assert_eq!(client.all("/disputes?status=lost").await.len(), 2);
    let acts = client.all(&format!("/audit?object={second}")).await;
    assert_eq!(acts[0]["action"], "dispute.accepted");
}

async fn the_tenant_bears_what_its_type_says(app: &TestApp) {
    let client = &app.client;
    let account = client.all("/gateway-accounts").await[0]["id"].clone();
    let kind = json!({"name": "insured", "via": "gateway", "loss_bearer": "tenant",
        "other_currencies": {"gateway_accounts": [account]}});
    client.post("/payment-types", kind).await.expect(201);
    let wallet = client.wallet("USD").await;
    let id = dispute_of(app, &disputed(app, "insured", &wallet).await).await;
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    client.post(format!("/disputes/{id}/accept"), json!({})).await.expect(200);
    assert_eq!(client.balance(&wallet).await, (500, 0, 500));
}

/// How it stands at the gateway.
async fn at_the_gateway(app: &TestApp, dispute: &Value) -> Value {
    let reference = dispute["gateway_reference"].as_str().expect("a reference");
    let path = format!("//v1/disputes/{reference}");
    at_the_simulator(app, API_KEY).get(path).await.expect(200)["status"].clone()
}

/// A dispute of 500 at an account whose side of it can be seen.
async fn own_dispute(app: &TestApp) -> (String, Value) {
    own_accounts(app, "own", &[API_KEY]).await;
    let wallet = app.client.wallet("USD").await;
    let id = dispute_of(app, &disputed(app, "own", &wallet).await).await;
    let dispute = app.client.get(format!("/disputes/{id}")).await.expect(200);
    assert_eq!(at_the_gateway(app, &dispute).await, "open");
    (wallet, dispute)
}

async fn what_is_given_up_is_given_up_at_the_gateway(app: &TestApp) {
    let client = &app.client;
    let (wallet, dispute) = own_dispute(app).await;
    let path = format!("/disputes/{}/accept", dispute["id"].as_str().expect("an id"));
    let accepted = client.post_as("once", &path, json!({})).await.expect(200);
    assert_eq!(accepted["status"], "lost");
    assert_eq!(at_the_gateway(app, &dispute).await, "lost");
    assert!(client.post_as("once", &path, json!({})).await.is_replay());
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
}

async fn an_unclear_answer_gives_nothing_up(app: &TestApp) {
    let client = &app.client;
    let (_, dispute) = own_dispute(app).await;
    let path = format!("/disputes/{}", dispute["id"].as_str().expect("an id"));
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    let webhooks = WebhookSettings { hold: true, ..WebhookSettings::default() };
    let quiet = Settings { webhooks, ..Settings::default() };
    // First it is not heard there, then its answer is not heard here.
    let troubles = [
        (Settings { p_error: 1.0, ..quiet }, "open"),
        (Settings { p_error_after: 1.0, ..quiet }, "lost"),
    ];
    for (trouble, there) in troubles {
        simulator.set(trouble);
        let answer = client.post_as("once", format!("{path}/accept"), json!({})).await;
        answer.refused(503, "unavailable");
        simulator.set(quiet);
        // Its breaker may have opened; half a minute later it is tried again.
        app.clock.advance(31);
        assert_eq!(client.get(&path).await.expect(200)["status"], "needs_response");
        assert_eq!(at_the_gateway(app, &dispute).await, there);
    }
    // The same again is heard.
    let accepted = client.post_as("once", format!("{path}/accept"), json!({})).await.expect(200);
    assert_eq!(accepted["status"], "lost");
    assert_eq!(at_the_gateway(app, &dispute).await, "lost");
}

async fn what_was_told_meanwhile_is_answered(app: &TestApp) {
    let client = &app.client;
    let (wallet, dispute) = own_dispute(app).await;
    let id = dispute["id"].as_str().expect("an id");
    let path = format!("/disputes/{id}/accept");
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    let webhooks = WebhookSettings { hold: true, ..WebhookSettings::default() };
    simulator.set(Settings { p_error_after: 1.0, webhooks, ..Settings::default() });
    let unclear = client.post_as("once", &path, json!({})).await;
    unclear.refused(503, "unavailable");
    simulator.set(Settings::default());
    app.clock.advance(31);
    comes_to(app, id, "lost").await;
    // Whoever asks again hears that it was done, and who did it is kept.
    let accepted = client.post_as("once", &path, json!({})).await;
    assert_eq!((accepted.is_replay(), accepted.status), (false, 200));
    assert_eq!(accepted.json["status"], "lost");
    assert!(client.post_as("once", &path, json!({})).await.is_replay());
    let acts = client.all(&format!("/audit?object={id}")).await;
    assert_eq!(acts[0]["action"], "dispute.accepted");
    client.post(&path, json!({})).await.refused(409, "dispute_state");
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
}

async fn what_the_bank_has_decided_is_not_given_up(app: &TestApp) {
    let client = &app.client;
    let (wallet, dispute) = own_dispute(app).await;
    webhooks(app, true);
    let reference = dispute["gateway_reference"].as_str().expect("a reference");
    let close = format!("//v1/disputes/{reference}/close");
    let bank = at_the_simulator(app, API_KEY);
    bank.post(close, json!({"won": true})).await.expect(200);
    let id = dispute["id"].as_str().expect("an id");
    let late = client.post_as("late", format!("/disputes/{id}/accept"), json!({})).await;
    late.refused(409, "dispute_state");
    comes_to(app, id, "won").await;
    assert_eq!(client.balance(&wallet).await, (500, 0, 500));
    let again = client.post_as("late", format!("/disputes/{id}/accept"), json!({})).await;
    again.refused(409, "dispute_state");
}

async fn disputes_of_others_are_not_seen(app: &TestApp) {
    let wallet = app.client.wallet("USD").await;
    // Told of it before its payment is booked, we would ask again later.
    webhooks(app, true);
    let payment = disputed(app, "card", &wallet).await;
    webhooks(app, false);
    let id = dispute_of(app, &payment).await;
    let other = app.tenant("test").await;
    other.get(format!("/disputes/{id}")).await.refused(404, "dispute_not_found");
    let accept = other.post(format!("/disputes/{id}/accept"), json!({})).await;
    accept.refused(404, "dispute_not_found");
    assert_eq!(other.all("/disputes").await.len(), 0);
    app.client.get("/disputes/dsp_1").await.refused(404, "dispute_not_found");
}
