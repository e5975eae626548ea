//! Payments through gateways, at the simulator: everything a gateway can say or leave unsaid, and a
//! crash between any two steps. Whatever happens, the money is booked once or not at all.

use std::net::SocketAddr;

use caudal_domain::{Clock, SystemRole};
use caudal_gateway::simulator::Settings;
use caudal_service::payment_saga::Point;
use caudal_store::{UnitOfWork, payments};
use caudal_testkit::{Call, Client, TestApp, both_databases, until};
use serde_json::{Value, json};

use super::{
    gateway_accounts::own_accounts,
    payments::{id, read, with},
};

both_databases! {
    what_the_gateway_says_is_what_becomes_of_it replays_say_what_was_said_first
    the_payer_confirms_or_refuses nobody_comes_back_from_the_gateway
    promises_are_captured_or_let_go_at_the_gateway what_is_slow_is_asked_after
    what_is_unclear_is_never_sent_again a_closed_breaker_lets_the_queue_through
    what_follows_a_payment_waits_for_its_gateway
    a_gateway_that_stops_answering_holds_up_nobody_else
    what_stays_in_the_queue_fails_in_the_end what_follows_a_payment_runs_out_of_time
    another_account_is_tried_where_that_helps
    a_crash_between_any_two_steps_ends_well a_crash_while_calling_off_ends_well
    a_crash_when_time_is_up_ends_well a_crash_on_the_way_out_of_the_queue_ends_well
    a_call_that_was_left_waits_for_its_gateway
    a_call_that_nobody_knows_of_is_unknown
    a_person_decides_what_nobody_knows
    a_person_decides_on_a_refund
    what_has_ended_is_thrown_away_after_a_month
    a_lost_lease_writes_nothing
    a_closed_wallets_money_is_unapplied pending_money_waits_for_its_day
    bad_card_payments_say_what_is_wrong
}

pub fn card(wallet: &str, amount: i64, method: &str) -> Value {
    json!({"type": "card", "to": wallet, "amount": amount, "currency": "USD",
        "payment_method": method})
}

fn simulate(app: &TestApp, change: impl FnOnce(&mut Settings)) {
    let simulator = &app.instance.simulator.as_ref().expect("one of its own").simulator;
    let mut settings = simulator.settings();
    change(&mut settings);
    simulator.set(settings);
}

/// Moves the clock on until the payment has the status.
pub async fn until_status(app: &TestApp, payment: &str, status: &str, seconds: i64) {
    app.until_later(status, seconds, async || read(&app.client, payment).await["status"] == status)
        .await;
}

/// Looks again and again; time leaps only while nobody is at a step: one whose lease ends meanwhile
/// counts as sent.
pub async fn leap_until(
    app: &TestApp,
    what: &str,
    seconds: i64,
    mut is_so: impl AsyncFnMut() -> bool,
) {
    let under_way = "select count(*) from sagas
         where finished_at is null and (lease_until > $1 or next_at <= $1)";
    app.until_later(what, 0, async || {
        let now = app.clock.now().into();
        let rows = app.instance.store.query("sagas", under_way, &[now]).await;
        if rows.expect("a database")[0].int(0).expect("a number") == 0 {
            app.clock.advance(seconds);
        }
        is_so().await
    })
    .await;
}

/// Its calls to gateways: operation and outcome.
pub async fn attempts(client: &Client, payment: &str) -> Vec<String> {
    let path = format!("/payments/{payment}?expand[]=attempts");
    let shown = client.get(path).await.expect(200);
    let of = |it: &Value| format!("{} {}", it["operation"].as_str().expect("text"), it["outcome"]);
    shown["attempts"].as_array().expect("a list").iter().map(of).collect()
}

async fn what_the_gateway_says_is_what_becomes_of_it(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let paid = client.post("/payments", card(&wallet, 1000, "pm_card_visa")).await.expect(201);
    assert_eq!((&paid["status"], &paid["amount_captured"]), (&json!("succeeded"), &json!(1000)));
    assert!(paid["gateway_reference"].is_string() && paid["transfer_id"].is_string());
    assert_eq!(read(client, &id(&paid)).await, paid);
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
    for (method, code) in [
        ("pm_card_chargeDeclined", "do_not_honor"),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error"),
        ("pm_card_unheard_of", "not_found"),
    ] {
        let answer = client.post("/payments", card(&wallet, 10, method)).await;
        answer.refused_as(method, 402, "card_declined");
        assert_eq!(answer.json["decline_code"], code, "{method}");
        assert_eq!(answer.json["payment"]["status"], "failed", "{method}");
        let payment = answer.json["payment"]["id"].as_str().expect("an id");
        let failed = read(client, payment).await;
        assert_eq!(failed["failure"], "card_declined", "{method}");
        assert_eq!(attempts(client, payment).await, ["charge \"declined\""], "{method}");
    }
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
}

async fn replays_say_what_was_said_first(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    for method in [
        "pm_card_visa",
        "pm_card_chargeDeclined",
        "pm_card_threeDSecure2Required",
        "pm_error_500",
        "pm_bank_transfer",
    ] {
        let asked = card(&wallet, 100, method);
        let first = client.post_as(method, "/payments", asked.clone()).await;
        if let Some(payment) = first.json["id"].as_str()
            && first.json["status"] == "succeeded"
        {
            let path = format!("/payments/{payment}/refunds");
            client.post(path, json!({"amount": 1})).await.expect(201);
        }
        app.clock.advance(15);
        let again = client.post_as(method, "/payments", asked).await;
        assert!(again.is_replay(), "{method}");
        assert_eq!(again.status, first.status, "{method}");
        for member in ["id", "status", "amount_refunded", "next_action", "payment", "decline_code"]
        {
            assert_eq!(again.json[member], first.json[member], "{method}: {member}");
        }
    }
}

/// What the payer's browser does at the gateway.
async fn at_the_page(payment: &Value, verdict: &str) {
    let url = payment["next_action"]["url"].as_str().expect("a page");
    let rest = url.strip_prefix("http://").expect("of this machine");
    let (addr, path) = rest.split_once('/').expect("a path");
    let addr: SocketAddr = addr.parse().expect("an address");
    let call = Call::new("POST", format!("//{path}/{verdict}"));
    let answer = Client::new(addr, None).send(call).await;
    assert!(answer.status < 400, "{}", answer.status);
}

async fn the_payer_confirms_or_refuses(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    for (verdict, status, total) in [("confirm", "succeeded", 500), ("fail", "failed", 500)] {
        let asked = card(&wallet, 500, "pm_card_threeDSecure2Required");
        let waiting = client.post("/payments", asked).await.expect(201);
        assert_eq!(waiting["status"], "requires_action");
        assert_eq!(waiting["next_action"]["type"], "redirect");
        at_the_page(&waiting, verdict).await;
        until_status(app, &id(&waiting), status, 30).await;
        let ended = read(client, &id(&waiting)).await;
        assert_eq!(ended["next_action"], Value::Null);
        assert_eq!(client.balance(&wallet).await.2, total, "{verdict}");
    }
}

async fn nobody_comes_back_from_the_gateway(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let asked = || card(&wallet, 500, "pm_card_threeDSecure2Required");
    let left = id(&client.post("/payments", asked()).await.expect(201));
    let off = id(&client.post("/payments", asked()).await.expect(201));
    let called = client.post(format!("/payments/{off}/cancel"), json!({})).await.expect(200);
    assert_eq!(called["status"], "canceled");
    until_status(app, &left, "failed", 3600).await;
    assert_eq!(read(client, &left).await["failure"], "timed_out");
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
}

async fn promises_are_captured_or_let_go_at_the_gateway(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let asked = || with(card(&wallet, 1000, "pm_card_visa"), "capture", "manual");
    let held = client.post("/payments", asked()).await.expect(201);
    assert_eq!(
        (&held["status"], &held["amount_captured"]),
        (&json!("requires_capture"), &json!(0))
    );
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    let path = |payment: &str, verb: &str| format!("/payments/{payment}/{verb}");
    let capture = path(&id(&held), "capture");
    client.post(&capture, json!({"amount": 1001})).await.refused(422, "amount_exceeds_authorized");
    let taken = client.post_as("take", &capture, json!({"amount": 600})).await.expect(200);
    assert_eq!((&taken["status"], &taken["amount_captured"]), (&json!("succeeded"), &json!(600)));
    assert_eq!(client.balance(&wallet).await, (600, 0, 600));
    let again = client.post_as("take", &capture, json!({"amount": 600})).await;
    assert!(again.is_replay());
    assert_eq!(again.json["amount_captured"], 600);
    client.post(&capture, json!({})).await.refused(409, "payment_state");
    let let_go = id(&client.post("/payments", asked()).await.expect(201));
    let off = client.post(path(&let_go, "cancel"), json!({})).await.expect(200);
    assert_eq!(off["status"], "canceled");
    client.post(path(&let_go, "capture"), json!({})).await.refused(409, "payment_state");
    let forgotten = id(&client.post("/payments", asked()).await.expect(201));
    app.clock.advance(7 * 86_400);
    until_status(app, &forgotten, "canceled", 1).await;
    // So it is with one of which something else was tried in the meantime.
    let touched = id(&client.post("/payments", asked()).await.expect(201));
    app.clock.advance(6 * 86_400);
    touch(app, &touched).await;
    app.clock.advance(86_400);
    until_status(app, &touched, "canceled", 1).await;
    assert_eq!(client.balance(&wallet).await, (600, 0, 600));
}

async fn touch(app: &TestApp, payment: &str) {
    let (db, tenant) = (app.instance.store.as_ref(), app.tenant_id().await);
    let found = payments::find(db, tenant, payment.parse().expect("an id")).await;
    let row = found.expect("an answer").expect("a payment");
    let at = app.clock.now();
    let next = payments::PaymentRow { updated_at: at, version: row.version + 1, ..row };
    let steps = vec![payments::update(&next)];
    let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a commit");
}

async fn what_is_slow_is_asked_after(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    for (method, status, total) in
        [("pm_bank_transfer", "succeeded", 700), ("pm_bank_transferFails", "failed", 700)]
    {
        let asked = with(card(&wallet, 700, method), "type", "bank_transfer");
        let begun = client.post("/payments", asked).await;
        // The simulator decides it a moment later; whichever comes first.
        if begun.status == 201 {
            let payment = id(&begun.json);
            let cancel = client.post(format!("/payments/{payment}/cancel"), json!({})).await;
            cancel.refused(409, "payment_state");
            until_status(app, &payment, status, 30).await;
        }
        assert_eq!(client.balance(&wallet).await.2, total, "{method}");
    }
}

async fn what_is_unclear_is_never_sent_again(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    // Nothing happened there; nobody can know.
    let unknown = client.post("/payments", card(&wallet, 100, "pm_error_500")).await.expect(201);
    assert_eq!(unknown["status"], "unknown");
    let lost = id(&unknown);
    for verb in ["capture", "cancel"] {
        let refused = client.post(format!("/payments/{lost}/{verb}"), json!({})).await;
        refused.refused(409, "payment_state");
        assert!(refused.json["detail"].as_str().is_some_and(|it| it.contains("unknown")));
    }
    // It happened, and the answer was lost: the janitor hears of it.
    simulate(app, |settings| settings.p_error_after = 1.0);
    let heard = client.post("/payments", card(&wallet, 250, "pm_card_visa")).await.expect(201);
    simulate(app, |settings| settings.p_error_after = 0.0);
    assert_eq!(heard["status"], "unknown");
    until_status(app, &id(&heard), "succeeded", 300).await;
    assert_eq!(client.balance(&wallet).await, (250, 0, 250));
    for _ in 0..3 {
        app.clock.advance(5 * 86_400);
        let asked = async || {
            let row = caudal_store_sagas(app).await;
            row > 1
        };
        until("the janitor", asked).await;
    }
    assert_eq!(read(client, &lost).await["status"], "unknown");
    assert_eq!(attempts(client, &lost).await, ["charge \"unclear\""]);
    assert_eq!(client.balance(&wallet).await, (250, 0, 250));
}

/// Leases of the sagas that have not ended.
async fn caudal_store_sagas(app: &TestApp) -> i64 {
    let sql = "select coalesce(max(token), 0) from sagas where finished_at is null";
    let rows = app.instance.store.query("sagas", sql, &[]).await.expect("rows");
    rows[0].int(0).expect("a number")
}

/// Fails calls until the breaker opens; what was queued then is called off.
async fn break_the_circuit(app: &TestApp, wallet: &str) {
    let mut last = Value::Null;
    until("the breaker", async || {
        let asked = card(wallet, 1, "pm_error_500");
        last = app.client.post("/payments", asked).await.expect(201);
        last["status"] == "queued"
    })
    .await;
    let path = format!("/payments/{}/cancel", id(&last));
    assert_eq!(app.client.post(path, json!({})).await.expect(200)["status"], "canceled");
}

async fn a_closed_breaker_lets_the_queue_through(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    break_the_circuit(app, &wallet).await;
    let mut queued = Vec::new();
    for _ in 0..3 {
        let one = client.post("/payments", card(&wallet, 100, "pm_card_visa")).await.expect(201);
        assert_eq!(one["status"], "queued");
        queued.push(id(&one));
    }
    let off = client.post(format!("/payments/{}/cancel", queued[0]), json!({})).await.expect(200);
    assert_eq!(off["status"], "canceled");
    for payment in &queued[1..] {
        until_status(app, payment, "succeeded", 10).await;
    }
    assert_eq!(read(client, &queued[0]).await["status"], "canceled");
    assert_eq!(client.balance(&wallet).await, (200, 0, 200));
}

async fn what_follows_a_payment_waits_for_its_gateway(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let manual = |amount| with(card(&wallet, amount, "pm_card_visa"), "capture", "manual");
    let taken = id(&client.post("/payments", manual(1000)).await.expect(201));
    let let_go = id(&client.post("/payments", manual(400)).await.expect(201));
    let paid = card(&wallet, 300, "pm_card_visa");
    let paid = id(&client.post("/payments", paid).await.expect(201));
    break_the_circuit(app, &wallet).await;
    let part = json!({"amount": 600});
    let capture = client.post(format!("/payments/{taken}/capture"), part).await.expect(200);
    assert_eq!(capture["status"], "processing");
    client.post(format!("/payments/{let_go}/cancel"), json!({})).await.expect(200);
    let part = json!({"amount": 100});
    let refund = client.post(format!("/payments/{paid}/refunds"), part).await.expect(201);
    assert_eq!(refund["status"], "pending");
    assert_eq!(client.balance(&wallet).await, (200, 0, 200), "it is away meanwhile");
    until_status(app, &taken, "succeeded", 10).await;
    until_status(app, &let_go, "canceled", 10).await;
    let refund = format!("/refunds/{}", id(&refund));
    let is_back = async || client.get(&refund).await.expect(200)["status"] == "succeeded";
    app.until_later("the refund", 10, is_back).await;
    assert_eq!(client.balance(&wallet).await, (800, 0, 800));
}

async fn a_gateway_that_stops_answering_holds_up_nobody_else(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    own_accounts(app, "ill", &["sim_test_ill"]).await;
    let ill = |method| with(card(&wallet, 100, method), "type", "ill");
    // What its calls usually take is known by one that went well.
    client.post("/payments", ill("pm_card_visa")).await.expect(201);
    // More than there are workers.
    let waiting: Vec<_> = (0..130)
        .map(|_| {
            let (client, asked) = (client.clone(), ill("pm_timeout"));
            tokio::spawn(async move { client.post("/payments", asked).await.expect(201) })
        })
        .collect();
    let ended = || waiting.iter().filter(|payment| payment.is_finished()).count();
    until("some are not sent any more", async || ended() > 0).await;
    let next = client.post("/payments", ill("pm_card_visa")).await.expect(201);
    assert_eq!(next["status"], "queued");
    let elsewhere = client.post("/payments", card(&wallet, 100, "pm_card_visa")).await.expect(201);
    assert_eq!(elsewhere["status"], "succeeded");
    assert!(ended() <= 30, "those that were sent are waited for");
    let mut counts = std::collections::BTreeMap::new();
    for payment in waiting {
        let status = payment.await.expect("an answer")["status"].to_string();
        *counts.entry(status).or_insert(0) += 1;
    }
    let unknown = counts.get("\"unknown\"").copied().unwrap_or(0);
    let queued = counts.get("\"queued\"").copied().unwrap_or(0);
    assert!(unknown == 100 && queued == 30, "{counts:?}");
}

async fn what_stays_in_the_queue_fails_in_the_end(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    break_the_circuit(app, &wallet).await;
    let queued = client.post("/payments", card(&wallet, 100, "pm_card_visa")).await.expect(201);
    assert_eq!(queued["status"], "queued");
    app.clock.advance(3600);
    until_status(app, &id(&queued), "failed", 0).await;
    assert_eq!(read(client, &id(&queued)).await["failure"], "timed_out");
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
}

async fn what_follows_a_payment_runs_out_of_time(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let paid = id(&client.post("/payments", card(&wallet, 300, "pm_card_visa")).await.expect(201));
    let manual = || with(card(&wallet, 500, "pm_card_visa"), "capture", "manual");
    let taken = id(&client.post("/payments", manual()).await.expect(201));
    let let_go = id(&client.post("/payments", manual()).await.expect(201));
    let asked = card(&wallet, 700, "pm_card_threeDSecure2Required");
    let confirmed = client.post("/payments", asked).await.expect(201);
    break_the_circuit(app, &wallet).await;
    let part = json!({"amount": 100});
    let refund = client.post(format!("/payments/{paid}/refunds"), part.clone()).await.expect(201);
    client.post(format!("/payments/{taken}/capture"), part).await.expect(200);
    for payment in [&let_go, &id(&confirmed)] {
        client.post(format!("/payments/{payment}/cancel"), json!({})).await.expect(200);
    }
    assert_eq!(client.balance(&wallet).await.2, 200);
    // A call-off is tried for an hour, a refund for a day, a capture until its promise ends.
    app.clock.advance(7 * 86_400);
    let refund = format!("/refunds/{}", id(&refund));
    let is_over = async || client.get(&refund).await.expect(200)["status"] == "failed";
    until("the refund to be given up", is_over).await;
    assert_eq!(client.get(&refund).await.expect(200)["failure"], "timed_out");
    for payment in [&taken, &let_go] {
        until_status(app, payment, "canceled", 10).await;
    }
    let captures = attempts(client, &taken).await;
    assert!(captures.contains(&"capture \"not_sent\"".to_owned()), "{captures:?}");
    // The call-off came to nothing: its payer may still come back.
    assert_eq!(read(client, &id(&confirmed)).await["status"], "requires_action");
    at_the_page(&confirmed, "confirm").await;
    until_status(app, &id(&confirmed), "succeeded", 30).await;
    assert_eq!(client.balance(&wallet).await.2, 1000);
}

async fn another_account_is_tried_where_that_helps(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let mut accounts = Vec::new();
    for name in ["first", "second"] {
        let account = json!({"kind": "simulator", "name": name});
        accounts.push(id(&client.post("/gateway-accounts", account).await.expect(201)));
    }
    let kind = json!({"name": "two", "via": "gateway",
        "other_currencies": {"gateway_accounts": accounts}});
    client.post("/payment-types", kind).await.expect(201);
    for (method, calls) in [
        ("pm_card_chargeDeclinedProcessingError", 2),
        ("pm_card_chargeDeclinedInsufficientFunds", 1),
    ] {
        let asked = with(card(&wallet, 100, method), "type", "two");
        let answer = client.post("/payments", asked).await;
        answer.refused(402, "card_declined");
        let payment = answer.json["payment"]["id"].as_str().expect("an id");
        assert_eq!(attempts(client, payment).await, vec!["charge \"declined\""; calls], "{method}");
    }
}

async fn a_crash_between_any_two_steps_ends_well(app: &TestApp) {
    let client = &app.client;
    for (method, status, total) in
        [("pm_card_visa", "succeeded", 300), ("pm_card_chargeDeclined", "failed", 0)]
    {
        for point in Point::ALL {
            let wallet = client.wallet("USD").await;
            drop(app.instance.service.hold_saga_at(point));
            let answer = client.post("/payments", card(&wallet, 300, method)).await;
            let payment = answer.json["id"].as_str().or(answer.json["payment"]["id"].as_str());
            let payment = payment.unwrap_or_else(|| panic!("{point:?}: {}", answer.json));
            // The lease ends, and a worker takes over.
            app.clock.advance(61);
            until_status(app, payment, status, 0).await;
            assert_eq!(client.balance(&wallet).await.2, total, "{method} {point:?}");
        }
    }
    // Captures and refunds alike.
    for point in Point::ALL {
        let wallet = client.wallet("USD").await;
        let asked = with(card(&wallet, 300, "pm_card_visa"), "capture", "manual");
        let held = id(&client.post("/payments", asked).await.expect(201));
        drop(app.instance.service.hold_saga_at(point));
        client.post(format!("/payments/{held}/capture"), json!({"amount": 200})).await;
        app.clock.advance(61);
        until_status(app, &held, "succeeded", 0).await;
        assert_eq!(client.balance(&wallet).await.2, 200, "{point:?}");
        drop(app.instance.service.hold_saga_at(point));
        let refund = client.post(format!("/payments/{held}/refunds"), json!({"amount": 50})).await;
        let refund = id(&refund.expect(201));
        app.clock.advance(61);
        let path = format!("/refunds/{refund}");
        until("the refund", async || client.get(&path).await.expect(200)["status"] == "succeeded")
            .await;
        assert_eq!(client.balance(&wallet).await.2, 150, "{point:?}");
    }
}

async fn a_crash_while_calling_off_ends_well(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    for (method, capture) in
        [("pm_card_visa", "manual"), ("pm_card_threeDSecure2Required", "automatic")]
    {
        for point in Point::ALL {
            let asked = with(card(&wallet, 300, method), "capture", capture);
            let held = id(&client.post("/payments", asked).await.expect(201));
            drop(app.instance.service.hold_saga_at(point));
            client.post(format!("/payments/{held}/cancel"), json!({})).await.expect(200);
            assert!(app.instance.service.is_saga_held(), "{method} {point:?}");
            app.clock.advance(61);
            until_status(app, &held, "canceled", 0).await;
        }
    }
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
}

/// The next worker on the saga ends at each of these, one after the other. A lease's time passes
/// between them, no more: else two would be at work on it.
pub async fn ends_at(app: &TestApp, points: &[Point]) {
    for point in points {
        drop(app.instance.service.hold_saga_at(*point));
        app.clock.advance(61);
        let has_ended = async || app.instance.service.is_saga_held();
        until(&format!("the worker at {point:?}"), has_ended).await;
    }
}

async fn a_crash_when_time_is_up_ends_well(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let asked = card(&wallet, 500, "pm_card_threeDSecure2Required");
    let left = id(&client.post("/payments", asked).await.expect(201));
    app.clock.advance(86_400);
    // Asked after, written down that it is called off, called off, written.
    ends_at(app, &[Point::Called, Point::Booked, Point::Accepted, Point::Called]).await;
    until_status(app, &left, "failed", 61).await;
    assert_eq!(read(client, &left).await["failure"], "timed_out");
    assert_eq!(
        attempts(client, &left).await,
        ["charge \"requires_action\"", "cancel \"canceled\""]
    );
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
}

async fn a_crash_on_the_way_out_of_the_queue_ends_well(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    break_the_circuit(app, &wallet).await;
    let queued = client.post("/payments", card(&wallet, 100, "pm_card_visa")).await.expect(201);
    assert_eq!(queued["status"], "queued");
    ends_at(app, &[Point::Accepted, Point::Booked, Point::Called]).await;
    until_status(app, &id(&queued), "succeeded", 61).await;
    assert_eq!(client.balance(&wallet).await, (100, 0, 100));
}

/// A payment is written down, its process ends, and its gateway is gone when another takes over.
async fn left_before_its_call(app: &TestApp, wallet: &str, amount: i64) -> String {
    drop(app.instance.service.hold_saga_at(Point::Accepted));
    let made = app.client.post("/payments", card(wallet, amount, "pm_card_visa")).await;
    let payment = id(&made.expect(201));
    simulate(app, |settings| settings.p_error = 1.0);
    let leases = caudal_store_sagas(app).await;
    app.clock.advance(61);
    until("a worker", async || caudal_store_sagas(app).await > leases).await;
    payment
}

async fn a_call_that_was_left_waits_for_its_gateway(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let payment = left_before_its_call(app, &wallet, 300).await;
    assert_eq!(read(client, &payment).await["status"], "processing");
    simulate(app, |settings| settings.p_error = 0.0);
    until_status(app, &payment, "succeeded", 60).await;
    assert_eq!(client.balance(&wallet).await, (300, 0, 300));
}

async fn a_call_that_nobody_knows_of_is_unknown(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let payment = left_before_its_call(app, &wallet, 300).await;
    // Past the day for which gateways keep keys, it is not made again.
    until_status(app, &payment, "unknown", 6 * 3600).await;
    simulate(app, |settings| settings.p_error = 0.0);
    let leases = caudal_store_sagas(app).await;
    app.clock.advance(2 * 86_400);
    until("the janitor", async || caudal_store_sagas(app).await > leases).await;
    assert_eq!(read(client, &payment).await["status"], "unknown");
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
}

/// Makes a payment of which nobody ever hears, and lets a week pass.
async fn undecided(app: &TestApp, wallet: &str) -> String {
    let lost = app.client.post("/payments", card(wallet, 100, "pm_error_500")).await.expect(201);
    let path = format!("/payments/{}/resolve", id(&lost));
    let early = app.client.post(path, json!({"outcome": "failed"})).await;
    early.refused(409, "payment_state");
    app.until_later("a call for a person", 86_400, async || {
        read(&app.client, &id(&lost)).await["needs_decision"] == true
    })
    .await;
    id(&lost)
}

async fn a_person_decides_what_nobody_knows(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let (owner, _) = app.user(&[SystemRole::Owner]).await;
    let [taken, lost] = [undecided(app, &wallet).await, undecided(app, &wallet).await];
    until("the owner to be told", async || {
        let sql = "select count(*) from notifications
             where user_id = $1 and kind = 'payment.needs_decision'";
        let rows = app.instance.store.query("notifications", sql, &[owner.0.into()]).await;
        rows.expect("rows")[0].int(0).expect("a number") == 2
    })
    .await;
    let resolve = format!("/payments/{taken}/resolve");
    for (case, body) in [
        ("no outcome", json!({})),
        ("no such outcome", json!({"outcome": "maybe"})),
        ("no name", json!({"outcome": "succeeded"})),
        ("a name of nothing", json!({"outcome": "failed", "gateway_reference": "ch_1"})),
    ] {
        client.post(&resolve, body).await.refused_as(case, 400, "invalid_request");
    }
    let asked = json!({"outcome": "succeeded", "gateway_reference": "ch_1"});
    // The gateway can't be asked whether it knows the name.
    simulate(app, |settings| settings.p_error = 1.0);
    let said = client.post_as("it was", &resolve, asked.clone()).await.expect(200);
    simulate(app, |settings| settings.p_error = 0.0);
    assert_eq!((&said["status"], &said["needs_decision"]), (&json!("succeeded"), &json!(false)));
    assert_eq!(
        (&said["amount_captured"], &said["gateway_reference"]),
        (&json!(100), &json!("ch_1"))
    );
    assert_eq!(read(client, &taken).await, said);
    assert_eq!(client.balance(&wallet).await, (100, 0, 100));
    let again = client.post_as("it was", &resolve, asked.clone()).await;
    assert!(again.is_replay() && again.json["id"] == said["id"], "{}", again.json);
    client.post(&resolve, asked).await.refused(409, "payment_state");

    let path = format!("/payments/{lost}/resolve");
    let said = client.post(path, json!({"outcome": "failed"})).await.expect(200);
    assert_eq!(said["status"], "failed");
    assert_eq!(read(client, &lost).await["failure"], "resolved");
    assert_eq!(client.balance(&wallet).await, (100, 0, 100));
    let audit = client.all("/audit").await;
    let decided = audit.iter().filter(|it| it["action"] == "payment.resolved").count();
    assert_eq!(decided, 2);
}

async fn a_person_decides_on_a_refund(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let paid = id(&client.post("/payments", card(&wallet, 300, "pm_card_visa")).await.expect(201));
    let mut refunds = Vec::new();
    for amount in [100, 50] {
        simulate(app, |settings| settings.p_error = 1.0);
        let asked = json!({"amount": amount});
        let refund = client.post(format!("/payments/{paid}/refunds"), asked).await.expect(201);
        assert_eq!(refund["status"], "pending");
        simulate(app, |settings| settings.p_error = 0.0);
        refunds.push(id(&refund));
    }
    app.until_later("a call for a person", 86_400, async || {
        read(client, &paid).await["needs_decision"] == true
    })
    .await;
    assert_eq!(client.balance(&wallet).await.2, 150);
    let (moved, not_moved) = (
        json!({"outcome": "succeeded", "gateway_reference": "re_1"}),
        json!({"outcome": "failed"}),
    );
    let of_payment = format!("/payments/{paid}/resolve");
    client.post(of_payment, not_moved.clone()).await.refused(409, "payment_state");
    let path = format!("/refunds/{}/resolve", refunds[0]);
    client.post(&path, moved.clone()).await.refused(400, "invalid_request");
    simulate(app, |settings| settings.p_error = 1.0);
    assert_eq!(client.post(path, moved).await.expect(200)["status"], "succeeded");
    simulate(app, |settings| settings.p_error = 0.0);
    // The other one calls by itself, at its next question.
    app.until_later("its own call", 86_400, async || {
        read(client, &paid).await["needs_decision"] == true
    })
    .await;
    let path = format!("/refunds/{}/resolve", refunds[1]);
    assert_eq!(client.post(&path, not_moved.clone()).await.expect(200)["status"], "failed");
    client.post(&path, not_moved).await.refused(409, "refund_state");
    let paid = read(client, &paid).await;
    assert_eq!((&paid["amount_refunded"], &paid["needs_decision"]), (&json!(100), &json!(false)));
    assert_eq!(client.balance(&wallet).await.2, 200);
}

async fn what_has_ended_is_thrown_away_after_a_month(app: &TestApp) {
    let wallet = app.client.wallet("USD").await;
    app.client.post("/payments", card(&wallet, 300, "pm_card_visa")).await.expect(201);
    let sagas = async || {
        let sql = "select count(*) from sagas";
        let rows = app.instance.store.query("sagas", sql, &[]).await.expect("rows");
        rows[0].int(0).expect("a number")
    };
    for (days, left) in [(29, 1), (2, 0)] {
        app.clock.advance(days * 86_400);
        app.instance.service.purge().await.expect("a purge");
        assert_eq!(sagas().await, left);
    }
}

async fn a_lost_lease_writes_nothing(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let held = app.instance.service.hold_saga_at(Point::Called);
    let (paying, asked) = (client.clone(), card(&wallet, 300, "pm_card_visa"));
    let paying = tokio::spawn(async move { paying.post("/payments", asked).await });
    until("the call", async || app.instance.service.is_saga_held()).await;
    let payment = id(&client.all("/payments").await[0]);
    app.clock.advance(61);
    until_status(app, &payment, "succeeded", 0).await;
    // The first holder comes back, and finds that it is over.
    held.send(()).expect("it waits");
    let answer = paying.await.expect("an answer").expect(201);
    assert_eq!((&answer["id"], &answer["status"]), (&json!(payment), &json!("succeeded")));
    assert_eq!(client.balance(&wallet).await, (300, 0, 300));
    assert_eq!(attempts(client, &payment).await, ["charge \"succeeded\""]);
}

async fn a_closed_wallets_money_is_unapplied(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let held = app.instance.service.hold_saga_at(Point::Called);
    let (paying, asked) = (client.clone(), card(&wallet, 300, "pm_card_visa"));
    let paying = tokio::spawn(async move { paying.post("/payments", asked).await });
    until("the call", async || app.instance.service.is_saga_held()).await;
    client.act(&wallet, "close", json!({})).await.expect(200);
    held.send(()).expect("it waits");
    assert_eq!(paying.await.expect("an answer").expect(201)["status"], "succeeded");
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    let late = client.post("/payments", card(&wallet, 300, "pm_card_visa")).await;
    late.refused(409, "wallet_closed");
}

async fn pending_money_waits_for_its_day(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let accounts = client.all("/gateway-accounts").await;
    let kind = json!({"name": "later", "via": "gateway", "available_after_s": 86_400,
        "currencies": {"USD": {"fee": {"fixed": 30, "basis_points": 290},
            "gateway_accounts": [id(&accounts[0])]}}});
    client.post("/payment-types", kind).await.expect(201);
    let asked = with(card(&wallet, 1000, "pm_card_visa"), "type", "later");
    let paid = client.post("/payments", asked).await.expect(201);
    assert_eq!(paid["fee"], 59);
    assert!(paid["available_at"].is_string());
    assert_eq!(client.balance(&wallet).await, (0, 0, 941));
    app.clock.advance(86_400);
    until("its day", async || client.balance(&wallet).await == (941, 0, 941)).await;
}

async fn bad_card_payments_say_what_is_wrong(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    let euros = client.wallet("EUR").await;
    let good = || card(&wallet, 100, "pm_card_visa");
    for (asked, param, code) in [
        (with(good(), "payment_method", Value::Null), "payment_method", "invalid_request"),
        (
            with(good(), "payment_method", "4242424242424242"),
            "payment_method",
            "card_number_in_text",
        ),
        (with(good(), "from", wallet.clone()), "to", "invalid_request"),
        (with(good(), "from", euros.clone()), "from", "invalid_request"),
    ] {
        let answer = client.post("/payments", asked.clone()).await;
        answer.refused_as(&asked.to_string(), 400, code);
        assert_eq!(answer.json["param"], param, "{asked}");
    }
    let nowhere = with(good(), "to", "wal_nowhere");
    client.post("/payments", nowhere).await.refused(404, "wallet_not_found");
    let mixed = with(good(), "to", euros);
    client.post("/payments", mixed).await.refused(422, "currency_mismatch");
    assert_eq!(client.all("/payments").await.len(), 0);
}
