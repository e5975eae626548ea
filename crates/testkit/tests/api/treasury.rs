//! The tenant's own money: what comes from the bank and goes there, what is pending until its
//! time, what is owed and written off, what came too late.

use caudal_domain::{
    AccountId, Chart, Clock, Currency, GatewayAccountId, MAX_AMOUNT, Refusal, TransferId,
    fee::FeeBearer,
};
use caudal_engine::{Command, Given, Job};
use caudal_ledger::{
    Movement,
    movements::{
        HoldUntil,
        card::{self, CardCapture},
        dispute::{self, Taken},
    },
};
use caudal_store::{UnitOfWork, wallets};
use caudal_testkit::{Answer, Client, TestApp, both_databases};
use serde_json::json;

use super::{
    payments::{id, read},
    payments_at_gateways::card,
};

both_databases! {
    a_live_treasury_spends_what_came_from_the_bank what_is_pending_becomes_available_by_itself
    what_a_wallet_owes_is_written_off what_must_not_stay_is_taken_back
    what_came_too_late_is_applied privileged_acts_refuse_nonsense
    what_does_not_fit_a_wallet_is_unapplied
}

const GATEWAY: GatewayAccountId = GatewayAccountId(7);

async fn bank(client: &Client, direction: &str, amount: i64) -> Answer {
    let body = json!({"direction": direction, "amount": amount, "currency": "USD",
        "reference": "statement 1"});
    client.post("/bank-movements", body).await
}

async fn a_live_treasury_spends_what_came_from_the_bank(app: &TestApp) {
    let live = app.tenant("live").await;
    let wallet = live.wallet("USD").await;
    live.fund(&wallet, 1).await.refused(402, "insufficient_funds");
    let came = bank(&live, "in", 500).await.expect(201);
    let said = (&came["amount"], &came["status"], &came["reference"]);
    assert_eq!(said, (&json!(500), &json!("posted"), &json!("statement 1")));
    bank(&live, "out", 501).await.refused(402, "insufficient_funds");
    live.fund(&wallet, 400).await.expect(201);
    bank(&live, "out", 101).await.refused(402, "insufficient_funds");
    bank(&live, "out", 100).await.expect(201);
    assert_eq!(live.balance(&wallet).await, (400, 0, 400));
    let found = live.all("/transfers?reference=statement%201").await;
    assert_eq!(found.len(), 2);
    let acts = live.all("/audit").await;
    let acts = acts.iter().map(|it| it["action"].as_str().expect("a word"));
    let acts: Vec<_> = acts.filter(|act| act.starts_with("bank.")).collect();
    assert_eq!(acts, ["bank.money_out", "bank.money_in"]);
    // Again under the same key moves nothing again.
    let body = json!({"direction": "in", "amount": 5, "currency": "USD"});
    live.post_as("once", "/bank-movements", body.clone()).await.expect(201);
    assert!(live.post_as("once", "/bank-movements", body).await.is_replay());
}

/// The demo tenant's accounts for payments in USD.
async fn chart(app: &TestApp) -> Chart {
    let chart = Chart { tenant: app.tenant_id().await, currency: Currency::USD };
    let at = app.clock.now();
    let steps = wallets::insert_payment_accounts(chart, &[GATEWAY], true, at);
    let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("the accounts");
    chart
}

async fn moved(app: &TestApp, movement: Movement, accounts: &[AccountId]) -> TransferId {
    let mut command = Command::new(movement);
    command.accounts = accounts.to_vec();
    let job = Job::one(app.tenant_id().await, command);
    let mut reply = app.instance.engine.submit(job).await.expect("a reply");
    match reply.replies.pop().map(|reply| reply.given) {
        Some(Given::Transfer(transfer)) => transfer.id,
        other => panic!("no transfer: {other:?} {:?}", reply.refused_at),
    }
}

/// Money that a gateway has taken for the wallet.
async fn taken(
    app: &TestApp,
    wallet: &str,
    amount: i64,
    available: Option<HoldUntil>,
) -> TransferId {
    let wallet = wallet.parse().expect("a wallet");
    let bearer = FeeBearer::Payee;
    let card = CardCapture { gateway: GATEWAY, wallet, amount, fee: 0, bearer, available };
    moved(app, Movement::Post(card::capture(chart(app).await, &card)), &[]).await
}

async fn charge_back(app: &TestApp, wallet: &str, payment: TransferId) {
    let chart = chart(app).await;
    let accounts = [wallet.parse().expect("a wallet"), chart.receivable(GATEWAY)];
    moved(app, dispute::chargeback(chart, payment, Taken::default()), &accounts).await;
}

async fn what_is_pending_becomes_available_by_itself(app: &TestApp) {
    let wallet = app.client.wallet("USD").await;
    taken(app, &wallet, 300, Some(HoldUntil::Seconds(3600))).await;
    assert_eq!(app.client.balance(&wallet).await, (0, 0, 300));
    let mut heard = app.client.events(None).await;
    app.clock.advance(3599);
    app.client.fund(&wallet, 1).await.expect(201);
    assert_eq!(heard.next().await.event, "wallet.funded");
    assert_eq!(app.client.balance(&wallet).await, (1, 0, 301));
    app.clock.advance(2);
    assert_eq!(heard.next().await.event, "transfer.available");
    assert_eq!(app.client.balance(&wallet).await, (301, 0, 301));
}

async fn act(client: &Client, wallet: &str, verb: &str, amount: i64) -> Answer {
    client.post(format!("/wallets/{wallet}/{verb}"), json!({"amount": amount})).await
}

async fn what_a_wallet_owes_is_written_off(app: &TestApp) {
    let (client, wallet) = (&app.client, app.client.wallet("USD").await);
    let payment = taken(app, &wallet, 300, None).await;
    let elsewhere = client.wallet("USD").await;
    client.transfer(&wallet, &elsewhere, 250).await.expect(201);
    act(client, &wallet, "write-off", 1).await.refused(422, "amount_exceeds_arrears");
    charge_back(app, &wallet, payment).await;
    assert_eq!(client.balance(&wallet).await, (-250, 0, -250));
    // In arrears, nothing is taken, and what comes in repays first.
    client.transfer(&wallet, &elsewhere, 1).await.refused(402, "insufficient_funds");
    client.transfer(&elsewhere, &wallet, 50).await.expect(201);
    act(client, &wallet, "write-off", 201).await.refused(422, "amount_exceeds_arrears");
    act(client, &wallet, "write-off", 150).await.expect(201);
    act(client, &wallet, "write-off", 50).await.expect(201);
    assert_eq!(client.balance(&wallet).await, (0, 0, 0));
    let acts = client.all(&format!("/audit?object={wallet}")).await;
    let acts: Vec<_> = acts.iter().map(|it| &it["action"]).collect();
    assert_eq!(acts, [&json!("wallet.arrears_written_off"); 2]);
}

async fn what_must_not_stay_is_taken_back(app: &TestApp) {
    let client = &app.client;
    let (from, to) = client.pair(500).await;
    let elsewhere = client.wallet("USD").await;
    let moved = client.transfer(&from, &to, 300).await.expect(201);
    client.transfer(&to, &elsewhere, 200).await.expect(201);
    client.act(&to, "freeze", json!({})).await.expect(200);
    let path = format!("/transfers/{}/reverse", moved["id"].as_str().expect("an id"));
    client.post(&path, json!({"amount": 250})).await.refused(409, "wallet_frozen");
    let asked = json!({"amount": 250, "reason": "paid to the wrong wallet"});
    let clerk = app.client_with(&["transfers:write"]).await;
    clerk.post(&path, asked.clone()).await.refused(403, "forbidden");
    for reason in ["", " ", "4242424242424242", "a\nb"] {
        client.post(&path, json!({"reason": reason})).await.refused_as(
            reason,
            400,
            match reason {
                "4242424242424242" => "card_number_in_text",
                _ => "invalid_request",
            },
        );
    }
    let back = client.post_as("back", &path, asked.clone()).await.expect(201);
    assert_eq!(back["metadata"], json!({"reason": "paid to the wrong wallet"}));
    assert_eq!(back["reverses"], moved["id"]);
    let again = client.post_as("back", &path, asked).await;
    assert!(again.is_replay() && again.json == back, "{again:?}");
    assert_eq!(client.balance(&to).await, (-150, 0, -150));
    assert_eq!(client.balance(&from).await, (450, 0, 450));
    let wallet = client.get(format!("/wallets/{to}")).await.expect(200);
    assert_eq!(wallet["in_arrears"], true);
    let more = json!({"amount": 51, "reason": "more than there was"});
    client.post(&path, more).await.refused(422, "amount_exceeds_reversible");
    client.transfer(&elsewhere, &to, 150).await.expect(201);
    let wallet = client.get(format!("/wallets/{to}")).await.expect(200);
    assert_eq!(wallet["in_arrears"], false);
    let id = moved["id"].as_str().expect("an id");
    let acts = client.all(&format!("/audit?object={id}")).await;
    assert_eq!((acts.len(), &acts[0]["action"]), (1, &json!("transfer.reversed_by_force")));
}

async fn what_came_too_late_is_applied(app: &TestApp) {
    let client = &app.client;
    let (closed, other) = (client.wallet("USD").await, client.wallet("USD").await);
    client.act(&closed, "close", json!({})).await.expect(200);
    act(client, &other, "apply", 1).await.refused(402, "insufficient_funds");
    taken(app, &closed, 300, None).await;
    assert_eq!(client.balance(&closed).await, (0, 0, 0));
    act(client, &closed, "apply", 300).await.refused(409, "wallet_closed");
    act(client, &other, "apply", 301).await.refused(402, "insufficient_funds");
    act(client, &other, "apply", 200).await.expect(201);
    act(client, &other, "apply", 101).await.refused(402, "insufficient_funds");
    assert_eq!(client.balance(&other).await, (200, 0, 200));
    let acts = client.all(&format!("/audit?object={other}")).await;
    assert_eq!(acts[0]["action"], "wallet.unapplied_applied");
}

async fn what_does_not_fit_a_wallet_is_unapplied(app: &TestApp) {
    let client = &app.client;
    let full = client.funded(MAX_AMOUNT - 100).await;
    // The gateway has the money: it can't be refused.
    let paid = client.post("/payments", card(&full, 300, "pm_card_visa")).await.expect(201);
    assert_eq!((&paid["status"], &paid["amount_captured"]), (&json!("succeeded"), &json!(300)));
    assert_eq!(client.balance(&full).await.2, MAX_AMOUNT - 100);
    // What fits is the wallet's as ever.
    client.post("/payments", card(&full, 100, "pm_card_visa")).await.expect(201);
    assert_eq!(client.balance(&full).await.2, MAX_AMOUNT);
    // Given back, it comes from where it went.
    let path = format!("/payments/{}/refunds", id(&paid));
    let refund = client.post(&path, json!({"amount": 120})).await.expect(201);
    assert_eq!(refund["status"], "succeeded");
    assert_eq!(read(client, &id(&paid)).await["amount_refunded"], 120);
    assert_eq!(client.balance(&full).await.2, MAX_AMOUNT);
    act(client, &full, "apply", 1).await.refused(422, "balance_limit");
    let other = client.wallet("USD").await;
    client.transfer(&full, &other, 1000).await.expect(201);
    act(client, &full, "apply", 181).await.refused(402, "insufficient_funds");
    act(client, &full, "apply", 180).await.expect(201);
    assert_eq!(client.balance(&full).await.2, MAX_AMOUNT - 820);
}

async fn privileged_acts_refuse_nonsense(app: &TestApp) {
    let (client, wallet) = (&app.client, app.client.wallet("USD").await);
    let foreign = app.tenant("test").await.wallet("USD").await;
    for (path, body, param) in [
        ("/bank-movements".to_owned(), json!({"amount": 5, "currency": "USD"}), "direction"),
        (
            "/bank-movements".to_owned(),
            json!({"direction": "up", "amount": 5, "currency": "USD"}),
            "direction",
        ),
        (
            "/bank-movements".to_owned(),
            json!({"direction": "in", "amount": 0, "currency": "USD"}),
            "amount",
        ),
        (
            "/bank-movements".to_owned(),
            json!({"direction": "in", "amount": 5, "currency": "XXY"}),
            "currency",
        ),
        (
            "/bank-movements".to_owned(),
            json!({"direction": "in", "amount": 5, "currency": "USD", "reference": ""}),
            "reference",
        ),
        (format!("/wallets/{wallet}/write-off"), json!({}), "amount"),
        (format!("/wallets/{wallet}/apply"), json!({"amount": -5}), "amount"),
    ] {
        let answer = client.post(&path, body.clone()).await;
        answer.refused_as(&format!("{path} {body}"), 400, "invalid_request");
        assert_eq!(answer.json["param"], param, "{path} {body}");
    }
    for verb in ["write-off", "apply"] {
        act(client, &foreign, verb, 5).await.refused(404, "wallet_not_found");
        let euros = json!({"amount": 5, "currency": "EUR"});
        let refused = client.post(format!("/wallets/{wallet}/{verb}"), euros).await;
        refused.refused(422, Refusal::CurrencyMismatch { account: AccountId(0) }.code());
    }
    let narrow = app.client_with(&["treasury:fund", "wallets:write", "transfers:write"]).await;
    bank(&narrow, "in", 5).await.refused(403, "forbidden");
    act(&narrow, &wallet, "write-off", 5).await.refused(403, "forbidden");
    act(&narrow, &wallet, "apply", 5).await.refused(403, "forbidden");
}
