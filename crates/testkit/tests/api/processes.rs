//! Several processes on one database: what changes in one is heeded by the others, long before what
//! they remember is over.

use caudal_domain::SystemRole;
use caudal_testkit::{Call, Client, TestApp, until};
use serde_json::json;

use super::{
    payments::{body, id},
    payments_at_gateways::card,
    people::person,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_in_one_process_is_heeded_in_the_other() {
    // SQLite serves one process at a time.
    TestApp::run_on_postgres(async |app| a_change_is_heeded(app).await).await;
}

async fn a_change_is_heeded(app: &TestApp) {
    let other = app.beside().await;
    let there = |client: &Client| other.client.as_somebody_of(client);
    let ada = person(app, "ada", SystemRole::Support).await;
    let made = json!({"name": "till", "scopes": ["wallets:read"]});
    let made = app.client.post("/api-keys", made).await.expect(201);
    let till = other.client.with_key(made["key"].as_str().expect("the key"));
    let ada_there = there(&ada.client);
    // Remembered there for the next half a minute, by a clock that stands still.
    ada_there.get("/api-keys").await.expect(200);
    till.get("/wallets").await.expect(200);

    let call = Call::new("PUT", format!("/users/{}/roles", ada.id));
    app.client.send(call.json(&json!({"roles": ["wallet_holder"]}))).await.expect(200);
    until("the role is gone there", async || ada_there.get("/api-keys").await.status == 403).await;
    let limits = json!({"config": {"rate_limits": {"view_per_hour": 77}}});
    app.client.patch("/tenants/me", limits).await.expect(200);
    until("the limit is new there", async || {
        ada_there.get("/wallets").await.header("ratelimit-limit") == Some("77")
    })
    .await;
    let key = format!("/api-keys/{}", made["id"].as_str().expect("an id"));
    assert!(app.client.delete(&key).await.status < 300);
    until("the key is gone there", async || till.get("/wallets").await.status == 401).await;
    app.client.delete(format!("/users/{}/sessions", ada.id)).await.expect(204);
    until("she is out there", async || ada_there.get("/wallets").await.status == 401).await;

    let eve = person(app, "eve", SystemRole::WalletHolder).await;
    let eve_there = there(&eve.client);
    eve_there.get("/wallets").await.expect(200);
    let distrust = json!({"distrust": true});
    app.client.post("/signing-keys/rotate", distrust).await.expect(200);
    until("its key is distrusted there", async || eve_there.get("/wallets").await.status == 401)
        .await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_payments_are_made_by_is_heeded_in_the_other() {
    TestApp::run_on_postgres(async |app| what_payments_are_made_by(app).await).await;
}

async fn what_payments_are_made_by(app: &TestApp) {
    let other = app.beside().await;
    let pair = app.client.pair(10_000).await;
    let tips = json!({"name": "tips", "via": "wallet", "currencies": {"USD": {}}});
    let tips = id(&app.client.post("/payment-types", tips).await.expect(201));
    let mut tip = body(&pair, 10);
    tip["type"] = json!("tips");
    let by_card = card(&pair.1, 10, "pm_card_visa");
    let becomes = async |body: &serde_json::Value, status: u16| {
        until(&format!("a payment there to be answered with {status}"), async || {
            other.client.post("/payments", body.clone()).await.status == status
        })
        .await;
    };
    // Remembered there from now on.
    becomes(&tip, 201).await;
    becomes(&by_card, 201).await;

    let kind = format!("/payment-types/{tips}");
    for (is_active, status) in [(false, 400), (true, 201)] {
        app.client.patch(&kind, json!({"active": is_active})).await.expect(200);
        becomes(&tip, status).await;
    }
    let account = id(&app.client.all("/gateway-accounts").await[0]);
    let account = format!("/gateway-accounts/{account}");
    for (is_active, status) in [(false, 400), (true, 201)] {
        app.client.patch(&account, json!({"active": is_active})).await.expect(200);
        becomes(&by_card, status).await;
    }
    let small = json!({"name": "small", "expression": "payment.amount < 100", "action": "block"});
    let rule = id(&app.client.post("/fraud-rules", small).await.expect(201));
    becomes(&tip, 402).await;
    let path = format!("/fraud-rules/{rule}");
    let dear = json!({"expression": "payment.amount > 100"});
    app.client.patch(&path, dear).await.expect(200);
    becomes(&tip, 201).await;
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_makes_none_after_its_end_was_brought_forward() {
    TestApp::run_on_postgres(async |app| no_key_after_the_end(app).await).await;
}

async fn no_key_after_the_end(app: &TestApp) {
    let other = app.beside().await;
    let scopes = ["api_keys:write", "wallets:read"];
    let new = json!({"name": "new", "scopes": scopes});
    for _ in 0..5 {
        let old = app.client.post("/api-keys", new.clone()).await.expect(201);
        let there = other.client.with_key(old["key"].as_str().expect("a key"));
        there.get("/wallets").await.expect(200);
        let path = format!("/api-keys/{}/rotate", old["id"].as_str().expect("an id"));
        app.client.post(path, json!({"overlap_s": 0})).await.expect(201);
        // Known there until the event comes, and without an end.
        let answer = there.post("/api-keys", new.clone()).await;
        assert!([401, 409].contains(&answer.status), "{}", answer.json);
    }
    other.close().await;
}
