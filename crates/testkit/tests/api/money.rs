//! Where money may go and where not: holds, reversals, legs, batches, funding, limits.

use caudal_testkit::{Call, TestApp, both_databases, until};
use serde_json::{Value, json};

both_databases! {
    captures_take_what_is_held voids_let_go holds_end_at_their_instant holds_count_until_swept
    holds_and_credit reversals_give_back_no_more_than_was_moved legs_are_all_or_none
    atomic_batches one_bad_item_harms_no_neighbour dry_runs_change_nothing
    treasuries_and_withdrawals currencies_without_cents balances_stay_exact
}

const MAX: i64 = (1 << 53) - 1;

fn body(from: &str, to: &str, amount: i64) -> Value {
    json!({"from": from, "to": to, "amount": amount, "currency": "USD"})
}

fn id(transfer: &Value) -> String {
    transfer["id"].as_str().expect("an id").to_owned()
}

async fn captures_take_what_is_held(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let hold = client.hold(&pair, 600, 3600).await;
    assert_eq!(client.balance(&pair.0).await, (400, 600, 1000));
    assert_eq!(client.balance(&pair.1).await, (0, 0, 0));
    client.transfer(&pair.0, &pair.1, 401).await.refused(402, "insufficient_funds");

    for (amount, captured, balance) in [(100, 100, (400, 500, 900)), (150, 250, (400, 350, 750))] {
        let part = json!({"amount": amount, "final": false});
        let transfer = client.act(&hold, "capture", part).await.expect(200);
        assert_eq!(transfer["status"], "held");
        assert_eq!(transfer["amount_captured"], captured);
        assert_eq!(client.balance(&pair.0).await, balance);
    }
    let much = json!({"amount": 351, "final": false});
    client.act(&hold, "capture", much).await.refused(422, "amount_exceeds_held");
    let last = client.act(&hold, "capture", json!({"amount": 50})).await.expect(200);
    assert_eq!(last["status"], "captured");
    assert_eq!(last["amount_captured"], 300);
    assert_eq!(client.balance(&pair.0).await, (700, 0, 700));
    assert_eq!(client.balance(&pair.1).await, (300, 0, 300));
    client.act(&hold, "capture", json!({})).await.refused(409, "transfer_state");
    client.act(&hold, "void", json!({})).await.refused(409, "transfer_state");

    // Nothing said takes all; all taken in parts is final by itself.
    let whole = client.hold(&pair, 70, 3600).await;
    let call = Call::new("POST", format!("/transfers/{whole}/capture")).key("no body");
    assert_eq!(client.send(call).await.expect(200)["amount_captured"], 70);
    let parts = client.hold(&pair, 30, 3600).await;
    let all = json!({"amount": 30, "final": false});
    assert_eq!(client.act(&parts, "capture", all).await.expect(200)["status"], "captured");
    assert_eq!(client.balance(&pair.0).await, (600, 0, 600));
    let posted = client.transfer(&pair.0, &pair.1, 1).await.expect(201);
    client.act(&id(&posted), "capture", json!({})).await.refused(409, "transfer_state");
}

async fn voids_let_go(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let hold = client.hold(&pair, 1000, 3600).await;
    client.act(&hold, "capture", json!({"amount": 300, "final": false})).await.expect(200);
    let voided = client.act(&hold, "void", json!({})).await.expect(200);
    // What was taken stays taken, and can be given back.
    assert_eq!((&voided["status"], &voided["amount_captured"]), (&json!("captured"), &json!(300)));
    assert_eq!(client.balance(&pair.0).await, (700, 0, 700));
    for verb in ["void", "capture"] {
        client.act(&hold, verb, json!({})).await.refused(409, "transfer_state");
    }
    assert_eq!(client.act(&hold, "reverse", json!({})).await.expect(201)["amount"], 300);
    let untouched = client.hold(&pair, 1000, 3600).await;
    assert_eq!(client.act(&untouched, "void", json!({})).await.expect(200)["status"], "voided");
    assert_eq!(client.balance(&pair.0).await, (1000, 0, 1000));
    let posted = client.transfer(&pair.0, &pair.1, 1).await.expect(201);
    client.act(&id(&posted), "void", json!({})).await.refused(409, "transfer_state");
}

async fn holds_end_at_their_instant(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let early = client.hold(&pair, 100, 60).await;
    let late = client.hold(&pair, 200, 60).await;
    app.clock.advance_micros(59_999_999);
    client.act(&early, "capture", json!({})).await.expect(200);
    app.clock.advance_micros(1);
    // Whether the sweep was here or not.
    client.act(&late, "capture", json!({})).await.refused(409, "transfer_state");
    client.act(&late, "reverse", json!({})).await.refused(409, "transfer_state");
    until("the sweep", async || client.read_transfer(&late).await["status"] == "expired").await;
    assert_eq!(client.balance(&pair.0).await, (900, 0, 900));
    assert_eq!(client.balance(&pair.1).await, (100, 0, 100));
    client.act(&late, "void", json!({})).await.refused(409, "transfer_state");
    let partly = client.hold(&pair, 300, 60).await;
    client.act(&partly, "capture", json!({"amount": 100, "final": false})).await.expect(200);
    app.clock.advance(60);
    until("the sweep", async || client.read_transfer(&partly).await["status"] != "held").await;
    assert_eq!(client.read_transfer(&partly).await["status"], "captured");
    assert_eq!(client.balance(&pair.0).await, (800, 0, 800));
    assert_eq!(client.read_transfer(&partly).await["amount_captured"], 100);
}

async fn holds_count_until_swept(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(700 * 3).await;
    let items: Vec<_> = (0..700)
        .map(|number| {
            let mut item = body(&pair.0, &pair.1, 3);
            item["hold"] = true.into();
            item["expires_in"] = 10.into();
            item["idempotency_key"] = format!("hold-{number}").into();
            item
        })
        .collect();
    // More than one sweep takes.
    client.post("/transfers/batch", json!({"transfers": items})).await.expect(200);
    assert_eq!(client.balance(&pair.0).await, (0, 2100, 2100));
    app.clock.advance(11);
    until("all sweeps", async || client.balance(&pair.0).await == (2100, 0, 2100)).await;
    assert_eq!(client.all("/transfers?status=expired&limit=100").await.len(), 700);
    client.transfer(&pair.0, &pair.1, 2100).await.expect(201);
}

async fn holds_and_credit(app: &TestApp) {
    let client = &app.client;
    let to = client.wallet("USD").await;
    let credit = json!({"currency": "USD", "floor": -500});
    let from = id(&client.post("/wallets", credit).await.expect(201));
    let pair = (from.clone(), to.clone());
    // What is held counts against the credit too.
    let hold = client.hold(&pair, 300, 60).await;
    assert_eq!(client.balance(&from).await, (-300, 300, 0));
    client.transfer(&from, &to, 201).await.refused(402, "insufficient_funds");
    client.transfer(&from, &to, 200).await.expect(201);
    client.transfer(&from, &to, 1).await.refused(402, "insufficient_funds");
    client.act(&hold, "capture", json!({})).await.expect(200);
    assert_eq!(client.balance(&from).await, (-500, 0, -500));
    let path = format!("/wallets/{from}");
    client.patch(&path, json!({"floor": -600})).await.expect(200);
    client.transfer(&from, &to, 100).await.expect(201);
    // A floor above the balance stops debits, and takes nothing away.
    client.patch(&path, json!({"floor": 100})).await.expect(200);
    client.transfer(&from, &to, 1).await.refused(402, "insufficient_funds");
    client.fund(&from, 701).await.expect(201);
    client.transfer(&from, &to, 2).await.refused(402, "insufficient_funds");
    client.transfer(&from, &to, 1).await.expect(201);
    assert_eq!(client.balance(&from).await, (100, 0, 100));
}

async fn reversals_give_back_no_more_than_was_moved(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let moved = id(&client.transfer(&pair.0, &pair.1, 500).await.expect(201));
    let part = client.act(&moved, "reverse", json!({"amount": 200})).await.expect(201);
    assert_eq!((&part["reverses"], &part["amount"]), (&json!(moved), &json!(200)));
    assert_eq!((&part["from"], &part["to"]), (&json!(pair.1), &json!(pair.0)));
    let original = client.read_transfer(&moved).await;
    assert_eq!(original["status"], "partially_reversed");
    assert_eq!(original["amount_reversed"], 200);
    let much = json!({"amount": 301});
    client.act(&moved, "reverse", much).await.refused(422, "amount_exceeds_reversible");
    // The payee must have it; nothing is lent.
    client.transfer(&pair.1, &pair.0, 100).await.expect(201);
    client.act(&moved, "reverse", json!({})).await.refused(402, "insufficient_funds");
    client.fund(&pair.1, 100).await.expect(201);
    client.act(&moved, "reverse", json!({})).await.expect(201);
    assert_eq!(client.read_transfer(&moved).await["status"], "reversed");
    client.act(&moved, "reverse", json!({})).await.refused(409, "transfer_state");
    let again = json!({"amount": 1});
    client.act(&moved, "reverse", again).await.refused(422, "amount_exceeds_reversible");
    client.act(&id(&part), "reverse", json!({})).await.refused(409, "transfer_state");
    assert_eq!(client.balance(&pair.1).await, (0, 0, 0));

    let hold = client.hold(&pair, 100, 60).await;
    client.act(&hold, "reverse", json!({})).await.refused(409, "transfer_state");
    client.act(&hold, "capture", json!({"amount": 40})).await.expect(200);
    let much = json!({"amount": 41});
    client.act(&hold, "reverse", much).await.refused(422, "amount_exceeds_reversible");
    assert_eq!(client.act(&hold, "reverse", json!({})).await.expect(201)["amount"], 40);
}

async fn legs_are_all_or_none(app: &TestApp) {
    let client = &app.client;
    let (a, b) = client.pair(100).await;
    let c = client.wallet("USD").await;
    let leg = |from: &str, to: &str, amount: i64| json!({"from": from, "to": to, "amount": amount});
    let post = async |legs: Value| {
        client.post("/transfers", json!({"legs": legs, "currency": "USD"})).await
    };
    // A later leg spends what an earlier one brought.
    let done = post(json!([leg(&a, &b, 100), leg(&b, &c, 60)])).await.expect(201);
    assert_eq!((&done["amount"], &done["from"]), (&json!(160), &Value::Null));
    assert_eq!(client.balance(&b).await, (40, 0, 40));
    post(json!([leg(&b, &a, 40), leg(&c, &a, 61)])).await.refused(402, "insufficient_funds");
    assert_eq!(client.balance(&b).await, (40, 0, 40));
    assert_eq!(client.balance(&a).await, (0, 0, 0));
    let back = client.act(&id(&done), "reverse", json!({})).await.expect(201);
    assert_eq!(back["amount"], 160);
    assert_eq!(client.balance(&a).await, (100, 0, 100));
    assert_eq!(client.balance(&c).await, (0, 0, 0));
    let many: Vec<_> = (0..1001).map(|_| leg(&a, &b, 1)).collect();
    post(json!(many)).await.refused(400, "invalid_request");
}

async fn atomic_batches(app: &TestApp) {
    let client = &app.client;
    let (a, b) = client.pair(100).await;
    let item = |number: usize, amount: i64| {
        let mut item = body(&a, &b, amount);
        item["idempotency_key"] = format!("item-{number}").into();
        item
    };
    let bad = json!({"atomic": true, "transfers": [item(0, 60), item(1, 30), item(2, 11)]});
    let refused = client.post("/transfers/batch", bad).await;
    refused.refused(402, "insufficient_funds");
    assert_eq!(refused.json["index"], 2);
    assert_eq!(client.balance(&a).await, (100, 0, 100));
    assert_eq!(client.all("/transfers").await.len(), 1);
    let good = json!({"atomic": true, "transfers": [item(0, 60), item(1, 30), item(2, 10)]});
    let done = client.post("/transfers/batch", good).await.expect(200);
    let results = done["results"].as_array().expect("results");
    assert!(results.iter().all(|result| result["status"] == 201), "{done}");
    assert_eq!(client.balance(&b).await, (100, 0, 100));
}

async fn one_bad_item_harms_no_neighbour(app: &TestApp) {
    let client = &app.client;
    let (a, b) = client.pair(499).await;
    let poor = client.wallet("USD").await;
    for bad in [0, 250, 499] {
        let items: Vec<_> = (0..500)
            .map(|number| {
                let mut item = body(if number == bad { &poor } else { &a }, &b, 1);
                item["idempotency_key"] = format!("{bad}-{number}").into();
                item
            })
            .collect();
        let done = client.post("/transfers/batch", json!({"transfers": items})).await.expect(200);
        for (number, result) in done["results"].as_array().expect("results").iter().enumerate() {
            let wanted = if number == bad { 402 } else { 201 };
            assert_eq!(result["status"], wanted, "{number}");
            assert_eq!(result["transfer"].is_object(), number != bad);
        }
        assert_eq!(client.balance(&a).await, (0, 0, 0));
        client.transfer(&b, &a, 499).await.expect(201);
    }
}

async fn dry_runs_change_nothing(app: &TestApp) {
    let client = &app.client;
    let (a, b) = client.pair(100).await;
    let heads = async || {
        let heads = caudal_store::events::heads(app.instance.store.as_ref()).await;
        heads.expect("the heads")
    };
    let before = heads().await;
    // No key is needed, and one that is given is not used up.
    let call = |amount: i64| {
        Call::new("POST", "/transfers?dry_run=true").key("dry").json(&body(&a, &b, amount))
    };
    let tried = client.send(call(100)).await;
    assert!(tried.header("caudal-position").is_none());
    assert_eq!(tried.expect(201)["status"], "posted");
    client.send(call(101)).await.refused(402, "insufficient_funds");
    let keyless = Call::new("POST", "/transfers?dry_run=true").json(&body(&a, &b, 1));
    let keyless = client.send(keyless).await.expect(201);
    client
        .get(format_args!("/transfers/{}", id(&keyless)))
        .await
        .refused(404, "transfer_not_found");
    assert_eq!(heads().await, before);
    assert_eq!(client.balance(&a).await, (100, 0, 100));
    assert_eq!(client.all("/transfers").await.len(), 1);
    let done = client.post_as("dry", "/transfers", body(&a, &b, 100)).await;
    assert!(!done.is_replay());
    done.expect(201);
}

async fn treasuries_and_withdrawals(app: &TestApp) {
    let client = &app.client;
    let wallet = client.funded(1_000_000).await;
    let out = json!({"amount": 400_000, "currency": "USD"});
    let withdrawn = client.act(&wallet, "withdraw", out).await.expect(201);
    assert_eq!(withdrawn["kind"], "withdrawal");
    assert_eq!(client.balance(&wallet).await, (600_000, 0, 600_000));
    let much = json!({"amount": 600_001});
    client.act(&wallet, "withdraw", much).await.refused(402, "insufficient_funds");
    // A tenant's own accounts are no wallets: nobody reads or uses them as such.
    for system in [&withdrawn["to"], &withdrawn["legs"][0]["to"]] {
        let system = system.as_str().expect("an id");
        client.get(format_args!("/wallets/{system}")).await.refused(404, "wallet_not_found");
        client.transfer(system, &wallet, 1).await.refused(404, "wallet_not_found");
        client.transfer(&wallet, system, 1).await.refused(404, "wallet_not_found");
        client.fund(system, 1).await.refused(404, "wallet_not_found");
        client.act(system, "freeze", json!({})).await.refused(404, "wallet_not_found");
    }
    let live = app.tenant("live").await;
    let wallet = live.wallet("USD").await;
    live.fund(&wallet, 1).await.refused(402, "insufficient_funds");
    assert_eq!(live.balance(&wallet).await, (0, 0, 0));
}

async fn currencies_without_cents(app: &TestApp) {
    let client = &app.client;
    for (currency, amount) in [("JPY", 1050), ("KWD", 1_234_567), ("CLF", 12_345)] {
        let (a, b) = (client.wallet(currency).await, client.wallet(currency).await);
        client.fund(&a, amount).await.expect(201);
        let mut transfer = body(&a, &b, amount - 1);
        transfer["currency"] = currency.into();
        let done = client.post("/transfers", transfer).await.expect(201);
        // Minor units in and out, whatever their number.
        assert_eq!((&done["amount"], &done["currency"]), (&json!(amount - 1), &json!(currency)));
        assert_eq!(client.balance(&a).await, (1, 0, 1));
        client.transfer(&a, &b, 1).await.refused(422, "currency_mismatch");
    }
}

async fn balances_stay_exact(app: &TestApp) {
    let client = &app.client;
    let rich = client.wallet("USD").await;
    client.fund(&rich, MAX).await.expect(201);
    assert_eq!(client.balance(&rich).await, (MAX, 0, MAX));
    let credit = json!({"currency": "USD", "floor": -10});
    let poor = id(&client.post("/wallets", credit).await.expect(201));
    client.transfer(&poor, &rich, 1).await.refused(422, "balance_limit");
    client.fund(&poor, 1).await.refused(422, "balance_limit");
    client.transfer(&rich, &poor, 1).await.expect(201);
    client.transfer(&poor, &rich, 1).await.expect(201);
    client.transfer(&poor, &rich, 1).await.refused(422, "balance_limit");
    let moved = client.transfer(&rich, &poor, MAX).await.expect(201);
    assert_eq!(moved["amount"], MAX);
    assert_eq!(client.balance(&poor).await, (MAX, 0, MAX));
    client.act(&id(&moved), "reverse", json!({})).await.expect(201);
    // Legs that add up to more than a number can say exactly.
    let leg = |from: &str, to: &str| json!({"from": from, "to": to, "amount": MAX});
    let legs = json!([leg(&rich, &poor), leg(&poor, &rich)]);
    let over = client.post("/transfers", json!({"legs": legs, "currency": "USD"})).await;
    assert!(matches!(over.status, 400 | 422), "{over:?}");
    assert_eq!(client.balance(&rich).await, (MAX, 0, MAX));
}
