//! Disputes: a payer's bank takes money back, also below the floor; they are answered, won, lost.
//! Whatever the bank takes, and in whatever state the payment is, the books have of the gateway
//! what the gateway has.

use caudal_domain::{Amount, Currency};
use caudal_gateway::simulator::{NewDispute, Settings, WebhookSettings};
use caudal_testkit::{TestApp, both_databases, until};
use serde_json::{Value, json};

use super::{
    gateway_accounts::{at_the_simulator, own_accounts},
    payments_at_gateways::card,
};

both_databases! {
    a_dispute_takes_what_is_not_there_and_gives_it_back a_dispute_ends_as_it_is_answered
    the_tenant_bears_what_its_type_says disputes_of_others_are_not_seen
    what_is_given_up_is_given_up_at_the_gateway an_unclear_answer_gives_nothing_up
    what_the_bank_has_decided_is_not_given_up what_was_told_meanwhile_is_answered
    a_dispute_takes_all_though_a_refund_is_under_way what_was_refunded_is_the_tenants_loss
    the_payers_fee_goes_with_the_payment a_closed_wallet_is_paid_late
    what_was_applied_is_not_taken_from_others what_was_given_up_may_be_won
    told_of_at_once_there_is_one_chargeback another_currency_calls_for_a_person
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
    let card = json!({"text": "Paid with 4242 4242 4242 4242."});
    let path = format!("/disputes/{second}/evidence");
    client.post(path, card).await.refused(400, "card_number_in_text");
    assert_eq!(client.all("/disputes?status=lost").await.len(), 2);
    let acts = client.all(&format!("/audit?object={second}")).await;
    assert_eq!(acts[0]["action"], "dispute.accepted");
}

async fn the_tenant_bears_what_its_type_says(app: &TestApp) {
    let client = &app.client;
    let account = client.all("/gateway-accounts").await[0]["id"].clone();
    let kind = json!({"name": "insured", "via": "gateway", "loss_bearer": "tenant",
        "other_currencies": {"gateway_accounts": [account]}});
    let kind = client.post("/payment-types", kind).await.expect(201);
    let wallet = client.wallet("USD").await;
    let id = dispute_of(app, &disputed(app, "insured", &wallet).await).await;
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    // What was promised when it was paid holds, whatever the type says by now.
    let path = format!("/payment-types/{}", kind["id"].as_str().expect("an id"));
    client.patch(path, json!({"loss_bearer": "payee"})).await.expect(200);
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

/// A card payment of 1,000: its id, and the gateway's name for it.
async fn charged(app: &TestApp, kind: &str, wallet: &str) -> (String, String) {
    let mut body = card(wallet, 1000, "pm_card_visa");
    body["type"] = json!(kind);
    let payment = app.client.post("/payments", body).await.expect(201);
    let text = |name: &str| payment[name].as_str().expect("text").to_owned();
    (text("id"), text("gateway_reference"))
}

/// The payer's bank takes so much; the gateway's name for the dispute.
fn bank_takes(app: &TestApp, charge: &str, amount: i64) -> String {
    let new = NewDispute { amount: Amount::new(amount), currency: None };
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    simulator.dispute(charge, new).expect("a charge")
}

fn bank_decides(app: &TestApp, dispute: &str, won: bool) {
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    assert!(simulator.close(dispute, won));
}

/// The total of all accounts of a kind in dollars.
async fn total(app: &TestApp, kind: &str) -> i64 {
    let report = app.instance.service.reconcile(None).await.expect("a report");
    let lines = report.trial_balance.iter().filter(|line| line.kind == kind);
    let lines = lines.filter(|line| line.currency == "USD");
    lines.map(|line| line.total.parse::<i64>().expect("a number")).sum()
}

/// What the books have of the gateway is what the gateway has.
async fn gateway_agrees(app: &TestApp, charge: &str) {
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    let account = simulator.account_of(charge).expect("an account");
    let has = simulator.totals(&account).remove("USD").expect("charges in dollars");
    let owes = has.captured - has.refunded - has.disputed;
    assert_eq!(total(app, "gateway_receivable").await, -owes);
}

async fn a_dispute_takes_all_though_a_refund_is_under_way(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let (payment, charge) = charged(app, "card", &wallet).await;
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    // Nobody knows whether the gateway has the refund. It has not.
    simulator.set(Settings { p_error: 1.0, ..Settings::default() });
    let refund = client.post(format!("/payments/{payment}/refunds"), json!({"amount": 600})).await;
    let refund = refund.expect(201);
    assert_eq!(refund["status"], "pending");
    simulator.set(Settings::default());
    let told = bank_takes(app, &charge, 1000);
    let id = dispute_of(app, &payment).await;
    let dispute = client.get(format!("/disputes/{id}")).await.expect(200);
    assert_eq!((&dispute["amount"], &dispute["gateway_reference"]), (&json!(1000), &json!(told)));
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    assert_eq!(total(app, "dispute_loss").await, -600);
    let shown = client.get(format!("/payments/{payment}")).await.expect(200);
    let amounts = (&shown["amount_refunded"], &shown["amount_disputed"]);
    assert_eq!(amounts, (&json!(600), &json!(400)));
    app.books_agree().await;

    // What is unclear is never sent again: a person says that it came to nothing.
    app.until_later("a call for a person", 86_400, async || {
        client.get(format!("/payments/{payment}")).await.expect(200)["needs_decision"] == true
    })
    .await;
    let path = format!("/refunds/{}/resolve", refund["id"].as_str().expect("an id"));
    client.post(path, json!({"outcome": "failed"})).await.expect(200);
    assert_eq!(client.balance(&wallet).await, (600, 0, 600));
    gateway_agrees(app, &charge).await;
    assert_eq!(total(app, "gateway_receivable").await, 0);
    bank_decides(app, &told, true);
    comes_to(app, &id, "won").await;
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
    assert_eq!(total(app, "dispute_loss").await, 0);
    gateway_agrees(app, &charge).await;
}

async fn what_was_refunded_is_the_tenants_loss(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    for refunded in [1000, 700] {
        let (payment, charge) = charged(app, "card", &wallet).await;
        let part = json!({"amount": refunded});
        client.post(format!("/payments/{payment}/refunds"), part).await.expect(201);
        let told = bank_takes(app, &charge, 1000);
        let id = dispute_of(app, &payment).await;
        let dispute = client.get(format!("/disputes/{id}")).await.expect(200);
        assert_eq!(
            (&dispute["amount"], &dispute["status"]),
            (&json!(1000), &json!("needs_response"))
        );
        assert_eq!(client.balance(&wallet).await, (0, 0, 0));
        assert_eq!(total(app, "dispute_loss").await, -refunded);
        gateway_agrees(app, &charge).await;
        app.books_agree().await;
        // It is there to be answered.
        let evidence = json!({"text": "They have their money already."});
        client.post(format!("/disputes/{id}/evidence"), evidence).await.expect(200);
        bank_decides(app, &told, true);
        comes_to(app, &id, "won").await;
        assert_eq!(total(app, "dispute_loss").await, 0);
        gateway_agrees(app, &charge).await;
        let left = 1000 - refunded;
        assert_eq!(client.balance(&wallet).await, (left, 0, left));
        let more = json!({"amount": left + 1});
        let more = client.post(format!("/payments/{payment}/refunds"), more).await;
        more.refused(422, "amount_exceeds_refundable");
    }
}

/// A type of payments like `card`.
async fn kind(app: &TestApp, name: &str, more: Value) {
    let account = app.client.all("/gateway-accounts").await[0]["id"].clone();
    let mut kind = json!({"name": name, "via": "gateway",
        "currencies": {"USD": {"gateway_accounts": [account]}}});
    for (field, value) in more.as_object().expect("an object") {
        match field.as_str() {
            "fee" => kind["currencies"]["USD"]["fee"] = value.clone(),
            _ => kind[field] = value.clone(),
        }
    }
    app.client.post("/payment-types", kind).await.expect(201);
}

async fn the_payers_fee_goes_with_the_payment(app: &TestApp) {
    let client = &app.client;
    let fee = json!({"fixed": 0, "basis_points": 1000});
    kind(app, "on_top", json!({"fee_bearer": "payer", "fee": fee})).await;
    let wallet = client.wallet("USD").await;
    let (payment, charge) = charged(app, "on_top", &wallet).await;
    assert_eq!((total(app, "gateway_receivable").await, total(app, "fees").await), (-1100, 100));
    let told = bank_takes(app, &charge, 1100);
    let id = dispute_of(app, &payment).await;
    assert_eq!(client.get(format!("/disputes/{id}")).await.expect(200)["amount"], 1100);
    assert_eq!((total(app, "gateway_receivable").await, total(app, "fees").await), (0, 0));
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    bank_decides(app, &told, true);
    comes_to(app, &id, "won").await;
    assert_eq!((total(app, "gateway_receivable").await, total(app, "fees").await), (-1100, 100));
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
}

async fn a_closed_wallet_is_paid_late(app: &TestApp) {
    let client = &app.client;
    kind(app, "insured", json!({"loss_bearer": "tenant"})).await;
    let (wallet, elsewhere) = (client.wallet("USD").await, client.wallet("USD").await);
    let (payment, charge) = charged(app, "insured", &wallet).await;
    let told = bank_takes(app, &charge, 1000);
    let id = dispute_of(app, &payment).await;
    client.act(&wallet, "close", json!({})).await.expect(200);
    bank_decides(app, &told, false);
    comes_to(app, &id, "lost").await;
    assert_eq!((total(app, "unapplied").await, total(app, "dispute_loss").await), (1000, -1000));
    client.act(&elsewhere, "apply", json!({"amount": 1000})).await.expect(201);
    gateway_agrees(app, &charge).await;
}

/// A payment of 1,000 that was promised to a wallet, which is closed when it is taken.
async fn too_late(app: &TestApp) -> (String, String) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let mut body = card(&wallet, 1000, "pm_card_visa");
    body["capture"] = json!("manual");
    let promised = client.post("/payments", body).await.expect(201);
    let text = |name: &str| promised[name].as_str().expect("text").to_owned();
    client.act(&wallet, "close", json!({})).await.expect(200);
    let path = format!("/payments/{}/capture", text("id"));
    client.post(path, json!({})).await.expect(200);
    (text("id"), text("gateway_reference"))
}

async fn what_was_applied_is_not_taken_from_others(app: &TestApp) {
    let client = &app.client;
    let (first, charge) = too_late(app).await;
    let (second, others) = too_late(app).await;
    let wallet = client.wallet("USD").await;
    client.act(&wallet, "apply", json!({"amount": 900})).await.expect(201);
    let told = bank_takes(app, &charge, 1000);
    let id = dispute_of(app, &first).await;
    // Of the first 100 are left; the second's are another's.
    assert_eq!((total(app, "unapplied").await, total(app, "dispute_loss").await), (1000, -900));
    gateway_agrees(app, &charge).await;
    bank_decides(app, &told, true);
    comes_to(app, &id, "won").await;
    assert_eq!((total(app, "unapplied").await, total(app, "dispute_loss").await), (1100, 0));
    client.act(&wallet, "apply", json!({"amount": 1100})).await.expect(201);
    bank_takes(app, &others, 1000);
    dispute_of(app, &second).await;
    assert_eq!((total(app, "unapplied").await, total(app, "dispute_loss").await), (0, -1000));
    assert_eq!(client.balance(&wallet).await, (2000, 0, 2000));
    gateway_agrees(app, &charge).await;
}

async fn what_was_given_up_may_be_won(app: &TestApp) {
    let client = &app.client;
    kind(app, "insured", json!({"loss_bearer": "tenant"})).await;
    for kind in ["card", "insured"] {
        let wallet = client.wallet("USD").await;
        let (payment, charge) = charged(app, kind, &wallet).await;
        let told = bank_takes(app, &charge, 1000);
        let id = dispute_of(app, &payment).await;
        client.post(format!("/disputes/{id}/accept"), json!({})).await.expect(200);
        bank_decides(app, &told, true);
        comes_to(app, &id, "won").await;
        assert_eq!(client.balance(&wallet).await, (1000, 0, 1000), "{kind}");
        assert_eq!(total(app, "dispute_loss").await, 0, "{kind}");
        gateway_agrees(app, &charge).await;
        let shown = client.get(format!("/payments/{payment}")).await.expect(200);
        assert_eq!(shown["amount_disputed"], 0);
    }
}

async fn told_of_at_once_there_is_one_chargeback(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    webhooks(app, true);
    let mut disputes = Vec::new();
    for won in [true, false].repeat(8) {
        let (payment, charge) = charged(app, "card", &wallet).await;
        let told = bank_takes(app, &charge, 1000);
        bank_decides(app, &told, won);
        disputes.push((payment, charge, won));
    }
    // Opened and closed come together, and are worked on at once; no clock moves for a second try.
    webhooks(app, false);
    for (payment, _, won) in &disputes {
        let id = dispute_of(app, payment).await;
        comes_to(app, &id, if *won { "won" } else { "lost" }).await;
    }
    assert_eq!(client.balance(&wallet).await, (8000, 0, 8000));
    assert_eq!(client.all("/disputes").await.len(), disputes.len());
    gateway_agrees(app, &disputes[0].1).await;
}

async fn another_currency_calls_for_a_person(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let (payment, charge) = charged(app, "card", &wallet).await;
    let mut heard = client.events(None).await;
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    let new = NewDispute { amount: None, currency: Currency::from_code("JPY") };
    let told = simulator.dispute(&charge, new).expect("a charge");
    let message = loop {
        let message = heard.next().await;
        if message.event == "dispute.needs_decision" {
            break message;
        }
    };
    let data = message.data["data"].clone();
    assert_eq!((&data["payment_id"], &data["reason"]), (&json!(payment), &json!("other_currency")));
    assert_eq!((&data["gateway_reference"], &data["currency"]), (&json!(told), &json!("JPY")));
    assert_eq!(client.all("/disputes").await.len(), 0);
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
}
