//! Payouts: held until the gateway tells, in transit, paid, returned; what is unclear stays held.

use caudal_domain::SystemRole;
use caudal_gateway::simulator::{Settings, WebhookSettings};
use caudal_service::payment_saga::Point;
use caudal_testkit::{Answer, Client, Database, TestApp, both_databases, until};
use serde_json::{Value, json};

use super::{
    gateway_accounts::at_the_simulator, incoming_webhooks::was_tried,
    payments_at_gateways::leap_until,
};

both_databases! {
    a_payout_ends_as_the_bank_says what_is_unclear_stays_held a_paid_payout_may_come_back
    a_payout_is_made_once payouts_of_others_are_not_seen payouts_that_cannot_be_are_refused
    a_crash_between_any_two_steps_pays_at_most_once what_has_failed_is_not_sent_again
    a_webhook_that_comes_early_is_heard_later what_may_have_been_sent_is_sent_again_for_a_day
}

const API_KEY: &str = "sim_test_of_payouts";

fn body(wallet: &str, amount: i64, destination: &str) -> Value {
    json!({"wallet": wallet, "amount": amount, "destination": destination})
}

async fn pay_out(client: &Client, wallet: &str, destination: &str) -> String {
    let made = client.post("/payouts", body(wallet, 400, destination)).await.expect(201);
    assert_eq!((&made["status"], &made["amount"]), (&json!("pending"), &json!(400)));
    made["id"].as_str().expect("an id").to_owned()
}

async fn read(client: &Client, id: &str) -> Value {
    client.get(format!("/payouts/{id}")).await.expect(200)
}

async fn comes_to(client: &Client, id: &str, status: &str) -> Value {
    until(status, async || read(client, id).await["status"] == status).await;
    read(client, id).await
}

/// The gateway tells the end, at times before what it is about has been written: then it is heeded
/// later.
async fn ends_as(app: &TestApp, id: &str, status: &str) -> Value {
    leap_until(app, status, 2, async || read(&app.client, id).await["status"] == status).await;
    read(&app.client, id).await
}

/// The only account that is active is one whose books at the simulator can be read.
async fn own_account(app: &TestApp) {
    let client = &app.client;
    for account in client.all("/gateway-accounts").await {
        let path = format!("/gateway-accounts/{}", account["id"].as_str().expect("an id"));
        client.patch(path, json!({"active": false})).await.expect(200);
    }
    let new = json!({"kind": "simulator", "name": "payouts", "credentials":
        {"api_key": API_KEY, "webhook_secrets": ["whsec_of_payouts"]}});
    client.post("/gateway-accounts", new).await.expect(201);
}

/// The keys of the payouts that the bank was told to pay, once for each time.
fn sent_to_the_bank(app: &TestApp) -> Vec<String> {
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    let file = simulator.settlement(API_KEY, None);
    let lines = file.lines().filter(|line| line.starts_with("payout,"));
    lines.map(|line| line.split(',').nth(3).expect("a key").to_owned()).collect()
}

/// How many sagas have not ended and fulfil this.
async fn sagas(app: &TestApp, which: &str) -> i64 {
    let sql = format!("select count(*) from sagas where finished_at is null and {which}");
    let rows = app.instance.store.query("sagas", &sql, &[]).await.expect("rows");
    rows[0].int(0).expect("a number")
}

async fn nobody_works(app: &TestApp) {
    until("the sagas to rest", async || sagas(app, "holder is not null").await == 0).await;
}

fn behave(app: &TestApp, settings: Settings) {
    app.instance.simulator.as_ref().expect("a simulator").simulator.set(settings);
}

async fn a_payout_ends_as_the_bank_says(app: &TestApp) {
    let client = &app.client;
    for (destination, status, failure, left) in [
        ("ba_ok", "paid", Value::Null, 600),
        ("ba_returned", "returned", json!("bank"), 1000),
        ("ba_refused", "failed", json!("bank"), 1000),
        ("ba_nobody", "failed", json!("?"), 1000),
    ] {
        let wallet = client.funded(1000).await;
        let id = pay_out(client, &wallet, destination).await;
        let payout = ends_as(app, &id, status).await;
        assert_eq!(payout["failure"].is_null(), failure.is_null(), "{destination}: {payout}");
        assert_eq!(client.balance(&wallet).await, (left, 0, left), "{destination}");
        client.act_payout(&id).await.refused(409, "payout_state");
    }
    let paid = client.get("/payouts?status=paid&fields=status").await.expect(200);
    assert_eq!(paid["data"], json!([{"status": "paid"}]));
    assert_eq!(client.all("/payouts").await.len(), 4);
}

async fn what_is_unclear_stays_held(app: &TestApp) {
    let (client, wallet) = (&app.client, app.client.funded(1000).await);
    // It happens, and nobody is told.
    behave(app, Settings { p_error_after: 1.0, ..Settings::default() });
    let id = pay_out(client, &wallet, "ba_ok").await;
    comes_to(client, &id, "unknown").await;
    assert_eq!(client.balance(&wallet).await, (600, 400, 1000));
    client.act_payout(&id).await.refused(409, "payout_state");
    // A question that is not answered says nothing.
    app.clock.advance(301);
    assert_eq!(read(client, &id).await["status"], "unknown");
    behave(app, Settings::default());
    app.clock.advance(86_401);
    ends_as(app, &id, "paid").await;
    assert_eq!(client.balance(&wallet).await, (600, 0, 600));
}

async fn a_paid_payout_may_come_back(app: &TestApp) {
    let client = &app.client;
    own_account(app).await;
    let wallet = client.funded(1000).await;
    let id = pay_out(client, &wallet, "ba_ok").await;
    let paid = ends_as(app, &id, "paid").await;
    assert_eq!(client.balance(&wallet).await, (600, 0, 600));
    let reference = paid["gateway_reference"].as_str().expect("a reference");
    // The bank sends it back, and the gateway tells by webhook.
    let path = format!("//v1/payouts/{reference}/return");
    at_the_simulator(app, API_KEY).post(path, json!({})).await.expect(200);
    let returned = ends_as(app, &id, "returned").await;
    assert!(returned["failure"].is_string(), "{returned}");
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
}

async fn a_payout_is_made_once(app: &TestApp) {
    let (client, wallet) = (&app.client, app.client.funded(1000).await);
    let first = client.post_as("once", "/payouts", body(&wallet, 400, "ba_ok")).await.expect(201);
    let id = first["id"].as_str().expect("an id");
    ends_as(app, id, "paid").await;
    let again = client.post_as("once", "/payouts", body(&wallet, 400, "ba_ok")).await;
    assert!(again.is_replay());
    assert_eq!(again.expect(201), first);
    let other = client.post_as("once", "/payouts", body(&wallet, 401, "ba_ok")).await;
    other.refused(422, "idempotency_mismatch");
    let poor = client.post_as("poor", "/payouts", body(&wallet, 601, "ba_ok")).await;
    poor.refused(402, "insufficient_funds");
    assert!(client.post_as("poor", "/payouts", body(&wallet, 601, "ba_ok")).await.is_replay());
    assert_eq!(client.balance(&wallet).await, (600, 0, 600));
}

async fn payouts_of_others_are_not_seen(app: &TestApp) {
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (_, bob) = app.user(&[SystemRole::WalletHolder]).await;
    let new = json!({"currency": "USD", "user_id": ada_id.to_string()});
    let wallet = app.client.post("/wallets", new).await.expect(201);
    let wallet = wallet["id"].as_str().expect("an id");
    app.client.fund(wallet, 1000).await.expect(201);
    let id = pay_out(&ada, wallet, "ba_ok").await;
    ends_as(app, &id, "paid").await;
    assert_eq!(ada.all("/payouts").await.len(), 1);
    let theirs = app.tenant("test").await;
    for stranger in [&bob, &theirs] {
        let path = format!("/payouts/{id}");
        stranger.get(&path).await.refused(404, "payout_not_found");
        stranger.act_payout(&id).await.refused(404, "payout_not_found");
        assert_eq!(stranger.all("/payouts").await.len(), 0);
    }
    bob.post("/payouts", body(wallet, 5, "ba_ok")).await.refused(404, "wallet_not_found");
}

async fn payouts_that_cannot_be_are_refused(app: &TestApp) {
    let (client, wallet) = (&app.client, app.client.funded(1000).await);
    let with = |name: &str, value: Value| {
        let mut body = body(&wallet, 400, "ba_ok");
        body[name] = value;
        body
    };
    for (body, status, code, param) in [
        (with("amount", json!(0)), 400, "invalid_request", "amount"),
        (with("destination", json!("")), 400, "invalid_request", "destination"),
        (with("destination", json!("4242424242424242")), 400, "card_number_in_text", "destination"),
        (with("gateway_account", json!("nobody")), 400, "invalid_request", "gateway_account"),
        (with("colour", json!("red")), 400, "invalid_request", "colour"),
        (with("currency", json!("EUR")), 422, "currency_mismatch", ""),
        (with("wallet", json!("wal_nobody")), 404, "wallet_not_found", ""),
        (
            with("gateway_account", json!("gwa_00000000000000000000000007")),
            404,
            "gateway_account_not_found",
            "",
        ),
    ] {
        let answer = client.post("/payouts", body.clone()).await;
        answer.refused_as(&body.to_string(), status, code);
        assert_eq!(answer.json["param"].as_str().unwrap_or_default(), param, "{body}");
    }
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
}

/// What a payout comes to when whoever works on it is gone at the point: while it is sent, or while
/// it is asked after.
async fn crashed(app: &TestApp, (destination, status): (&str, &str), at: (Point, bool)) -> String {
    let (client, service, (point, is_sent)) = (&app.client, &app.instance.service, at);
    let wallet = client.funded(1000).await;
    if !is_sent {
        drop(service.hold_saga_at(point));
    }
    let id = pay_out(client, &wallet, destination).await;
    if is_sent {
        comes_to(client, &id, "in_transit").await;
        nobody_works(app).await;
        drop(service.hold_saga_at(point));
        app.clock.advance(11);
    }
    until("the crash", async || service.is_saga_held()).await;
    // The lease ends, and a worker takes over.
    app.clock.advance(61);
    ends_as(app, &id, status).await;
    let left = if status == "paid" { 600 } else { 1000 };
    assert_eq!(client.balance(&wallet).await, (left, 0, left), "{destination} {at:?}");
    id
}

async fn a_crash_between_any_two_steps_pays_at_most_once(app: &TestApp) {
    own_account(app).await;
    // Nothing but its own questions tells how it stands.
    let webhooks = WebhookSettings { hold: true, ..WebhookSettings::default() };
    behave(app, Settings { webhooks, ..Settings::default() });
    let mut paid = Vec::new();
    for point in Point::ALL {
        for is_sent in [false, true] {
            paid.push(crashed(app, ("ba_ok", "paid"), (point, is_sent)).await);
        }
        crashed(app, ("ba_refused", "failed"), (point, false)).await;
    }
    assert_eq!(sent_to_the_bank(app), paid);
    let returned = crashed(app, ("ba_returned", "returned"), (Point::Booked, true)).await;
    assert_eq!(sent_to_the_bank(app).last(), Some(&returned));
    assert_eq!(sent_to_the_bank(app).len(), paid.len() + 1);
    until("their ends", async || {
        app.clock.advance(61);
        sagas(app, "true").await == 0
    })
    .await;
}

async fn what_has_failed_is_not_sent_again(app: &TestApp) {
    let (client, service) = (&app.client, &app.instance.service);
    let wallet = client.funded(1000).await;
    drop(service.hold_saga_at(Point::Booked));
    let id = pay_out(client, &wallet, "ba_nobody").await;
    until("the crash", async || service.is_saga_held()).await;
    ends_as(app, &id, "failed").await;
    let called = service.hold_saga_at(Point::Called);
    app.clock.advance(61);
    // The wallet has the money again: the gateway must not get another chance to take it.
    until("its end", async || sagas(app, "true").await == 0).await;
    assert!(!service.is_saga_held());
    drop(called);
}

/// Left before its call, found by the next worker so many seconds later.
async fn left_before_its_call(app: &TestApp, wallet: &str, seconds: i64) -> String {
    let service = &app.instance.service;
    drop(service.hold_saga_at(Point::Accepted));
    let id = pay_out(&app.client, wallet, "ba_ok").await;
    until("the crash", async || service.is_saga_held()).await;
    app.clock.advance(seconds);
    id
}

async fn what_may_have_been_sent_is_sent_again_for_a_day(app: &TestApp) {
    own_account(app).await;
    let (client, silent) = (&app.client, Settings { p_error: 1.0, ..Settings::default() });
    // Whoever had it may have sent it, and the gateway can't be asked: it stays to be sent.
    behave(app, silent);
    let wallet = client.funded(1000).await;
    let young = left_before_its_call(app, &wallet, 61).await;
    until("a question", async || {
        sagas(app, r#"cast(data as text) like '%"is_sent":true%'"#).await == 1
    })
    .await;
    nobody_works(app).await;
    assert_eq!(read(client, &young).await["status"], "pending");
    behave(app, Settings::default());
    ends_as(app, &young, "paid").await;
    assert_eq!(sent_to_the_bank(app), [young.as_str()]);
    // Near the end of the day for which gateways keep keys, it is asked after and no more.
    for settings in [silent, Settings::default()] {
        let wallet = client.funded(1000).await;
        behave(app, settings);
        let old = left_before_its_call(app, &wallet, 23 * 3600 + 1).await;
        comes_to(client, &old, "unknown").await;
        assert_eq!(client.balance(&wallet).await, (600, 400, 1000));
    }
    assert_eq!(sent_to_the_bank(app), [young.as_str()]);
}

async fn a_webhook_that_comes_early_is_heard_later(app: &TestApp) {
    let (client, service) = (&app.client, &app.instance.service);
    let wallet = client.funded(1000).await;
    let held = service.hold_saga_at(Point::Called);
    let id = pay_out(client, &wallet, "ba_ok").await;
    until("the call", async || service.is_saga_held()).await;
    // The bank is quick: it is told before the answer is written.
    was_tried(app).await;
    held.send(()).expect("it waits");
    comes_to(client, &id, "in_transit").await;
    nobody_works(app).await;
    // The next question comes later.
    app.clock.advance(3);
    ends_as(app, &id, "paid").await;
}

/// SQLite serves one process at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_lease_writes_nothing() {
    TestApp::run_on_postgres(async |app| a_worker_comes_back(app).await).await;
}

async fn a_worker_comes_back(app: &TestApp) {
    let (client, service) = (&app.client, &app.instance.service);
    own_account(app).await;
    let webhooks = WebhookSettings { hold: true, ..WebhookSettings::default() };
    // Its call is heard, and it is about to write that nobody knows.
    behave(app, Settings { p_error_after: 1.0, webhooks, ..Settings::default() });
    let wallet = client.funded(1000).await;
    let held = service.hold_saga_at(Point::Called);
    let id = pay_out(client, &wallet, "ba_ok").await;
    until("the call", async || service.is_saga_held()).await;
    behave(app, Settings { webhooks, ..Settings::default() });
    let other = app.beside().await;
    app.clock.advance(61);
    ends_as(app, &id, "paid").await;
    let paid = read(client, &id).await;
    other.close().await;
    // The first worker finds that it is over. It takes up nothing else before that.
    held.send(()).expect("it waits");
    let next = pay_out(client, &wallet, "ba_ok").await;
    comes_to(client, &next, "in_transit").await;
    assert_eq!(read(client, &id).await, paid);
    assert_eq!(client.balance(&wallet).await, (200, 0, 200));
    assert_eq!(sent_to_the_bank(app), [id, next]);
}

/// A gateway that cannot be reached: nothing was sent, so it can be called off, and ends by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_sent_is_called_off_or_runs_out() {
    let nowhere = "http://127.0.0.1:1/".to_owned();
    let app = TestApp::start_with(Database::sqlite(), |settings| {
        settings.simulator_url = Some(nowhere);
    })
    .await;
    let (client, wallet) = (&app.client, app.client.funded(1000).await);
    let (first, second) =
        (pay_out(client, &wallet, "ba_ok").await, pay_out(client, &wallet, "ba_ok").await);
    assert_eq!(client.balance(&wallet).await, (200, 800, 1000));
    let mut canceled = None;
    until("it to be free", async || {
        let answer = client.act_payout(&first).await;
        let is_canceled = answer.status == 200;
        canceled = Some(answer);
        is_canceled
    })
    .await;
    assert_eq!(canceled.expect("an answer").json["status"], "canceled");
    assert_eq!(client.balance(&wallet).await, (600, 400, 1000));
    app.clock.advance(86_400 + 60);
    let failed = ends_as(&app, &second, "failed").await;
    assert_eq!(failed["failure"], "gateway_unavailable");
    assert_eq!(client.balance(&wallet).await, (1000, 0, 1000));
    app.finish().await;
}

trait Payouts {
    async fn act_payout(&self, id: &str) -> Answer;
}

impl Payouts for Client {
    async fn act_payout(&self, id: &str) -> Answer {
        self.post(format!("/payouts/{id}/cancel"), json!({})).await
    }
}
