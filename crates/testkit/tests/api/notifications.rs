//! What users are told in the app: their own, once, until they have read it.

use caudal_domain::SystemRole;
use caudal_gateway::simulator::{Settings, WebhookSettings};
use caudal_service::notices::Looked;
use caudal_store::notifications::{self, Filter};
use caudal_testkit::{Client, TestApp, both_databases, until};
use serde_json::{Value, json};

use super::people::{PASSWORD, login, with_token};

both_databases! {
    holders_are_told_their_own what_is_read_stays_read only_users_have_notifications
    a_payment_is_told_to_both_and_mailed_to_its_payer
    disputes_and_payouts_are_told what_is_muted_is_not_told
    who_was_erased_is_told_nothing_more
}

async fn wallet_of(app: &TestApp, user: &str) -> String {
    let body = json!({"currency": "USD", "user_id": user});
    let wallet = app.client.post("/wallets", body).await.expect(201);
    wallet["id"].as_str().expect("an id").to_owned()
}

/// Somebody's notifications, once they are so many.
async fn told(client: &Client, count: usize) -> Vec<Value> {
    let mut all = Vec::new();
    until("notifications", async || {
        all = client.all("/notifications").await;
        all.len() >= count
    })
    .await;
    all
}

fn kinds(all: &[Value]) -> Vec<&str> {
    all.iter().map(|it| it["type"].as_str().expect("a type")).collect()
}

async fn holders_are_told_their_own(app: &TestApp) {
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (bob_id, bob) = app.user(&[SystemRole::WalletHolder]).await;
    let (_, owner) = app.user(&[SystemRole::Owner]).await;
    let adas = wallet_of(app, &ada_id.to_string()).await;
    let bobs = wallet_of(app, &bob_id.to_string()).await;
    app.client.fund(&adas, 1000).await.expect(201);
    app.client.act(&adas, "freeze", json!({})).await.expect(200);
    app.client.fund(&bobs, 7).await.expect(201);
    let to_ada = told(&ada, 2).await;
    let mut heard = kinds(&to_ada);
    heard.sort_unstable();
    assert_eq!(heard, ["wallet.frozen", "wallet.funded"]);
    let funded = to_ada.iter().find(|it| it["type"] == "wallet.funded").expect("told");
    assert_eq!(
        (&funded["data"]["amount"], &funded["object"]),
        (&json!(1000), &json!("notification"))
    );
    let entries = funded["data"]["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 1, "not the treasury's side: {funded}");
    assert_eq!(entries[0]["wallet_id"], json!(adas));
    let to_bob = told(&bob, 1).await;
    assert_eq!(kinds(&to_bob), ["wallet.funded"]);
    assert_eq!(to_bob[0]["data"]["amount"], 7);
    assert_eq!(owner.all("/notifications").await.len(), 0);
    // Another's is not there, whatever is asked.
    let path = format!("/notifications/{}", to_bob[0]["id"].as_str().expect("text"));
    let foreign = ada.patch(&path, json!({"read": true})).await;
    foreign.refused(404, "notification_not_found");
    ada.patch("/notifications", json!({"read": true})).await.expect(204);
    assert_eq!(bob.get("/notifications/unread").await.expect(200)["count"], 1);
}

async fn what_is_read_stays_read(app: &TestApp) {
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let wallet = wallet_of(app, &ada_id.to_string()).await;
    for amount in 1..=3 {
        app.client.fund(&wallet, amount).await.expect(201);
    }
    let all = told(&ada, 3).await;
    let unread = async || ada.get("/notifications/unread").await.expect(200)["count"].clone();
    assert_eq!(unread().await, 3);
    let path = format!("/notifications/{}", all[0]["id"].as_str().expect("text"));
    let read = ada.patch(&path, json!({"read": true})).await.expect(200);
    assert!(read["read_at"].is_string(), "{read}");
    app.clock.advance(5);
    assert_eq!(ada.patch(&path, json!({"read": true})).await.expect(200), read);
    assert_eq!(unread().await, 2);
    let new = ada.all("/notifications?unread=true&limit=1").await;
    assert_eq!(new, all[1..]);
    for bad in [json!({"read": false}), json!({}), json!({"read": true, "x": 1}), json!([true])] {
        ada.patch(&path, bad.clone()).await.refused_as(&bad.to_string(), 400, "invalid_request");
    }
    ada.get("/notifications?unread=yes").await.refused(400, "invalid_request");
    ada.patch("/notifications/ntf_1", json!({"read": true}))
        .await
        .refused(404, "notification_not_found");
    ada.patch("/notifications", json!({"read": true})).await.expect(204);
    assert_eq!(unread().await, 0);
}

async fn a_payment_is_told_to_both_and_mailed_to_its_payer(app: &TestApp) {
    let email = "ada@example.org";
    let new = json!({"email": email, "password": PASSWORD});
    let made = app.client.post("/users", new).await.expect(201);
    let ada = with_token(app, &login(app, email, PASSWORD).await.expect(200));
    let (bob_id, bob) = app.user(&[SystemRole::WalletHolder]).await;
    let adas = wallet_of(app, made["id"].as_str().expect("an id")).await;
    let bobs = wallet_of(app, &bob_id.to_string()).await;
    app.client.fund(&adas, 5000).await.expect(201);
    let body = json!({"type": "wallet", "amount": 1050, "currency": "USD", "from": adas,
        "to": bobs});
    let paid = ada.post("/payments", body).await.expect(201);
    assert_eq!(paid["status"], "succeeded");
    let to_bob = told(&bob, 1).await;
    assert_eq!(kinds(&to_bob), ["payment.processed"]);
    assert_eq!(to_bob[0]["data"]["payment_id"], paid["id"]);
    assert!(told(&ada, 2).await.iter().any(|it| it["subject"] == paid["id"]));
    let mut mails = Vec::new();
    until("the receipt", async || {
        let sent = app.client.get("/dev/mails").await.expect(200);
        mails = sent["data"].as_array().expect("mails").clone();
        mails.retain(|mail| mail["text"].as_str().is_some_and(|text| text.contains("receipt")));
        !mails.is_empty()
    })
    .await;
    let text = mails[0]["text"].as_str().expect("a text");
    assert_eq!((mails.len(), &mails[0]["to"]), (1, &json!(email)));
    assert!(text.contains("USD 10.50"), "{text}");
    assert!(text.contains(paid["id"].as_str().expect("an id")), "{text}");
}

async fn only_users_have_notifications(app: &TestApp) {
    app.client.get("/notifications").await.refused(403, "not_a_user");
    app.client.without_key().get("/notifications").await.refused(401, "unauthorized");
}

/// A payment to a user's wallet, and its dispute; told of this before the payment is booked, we
/// would ask again later.
async fn disputed(app: &TestApp, user: &str) {
    let wallet = wallet_of(app, user).await;
    let simulator = &app.instance.simulator.as_ref().expect("a simulator").simulator;
    let webhooks = WebhookSettings { hold: true, ..WebhookSettings::default() };
    simulator.set(Settings { webhooks, ..Settings::default() });
    let body = json!({"type": "card", "amount": 500, "currency": "USD", "to": wallet,
        "payment_method": "pm_card_createDispute"});
    app.client.post("/payments", body).await.expect(201);
    simulator.set(Settings::default());
}

async fn disputes_and_payouts_are_told(app: &TestApp) {
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (_, bob) = app.user(&[SystemRole::WalletHolder]).await;
    let (_, owner) = app.user(&[SystemRole::Owner]).await;
    disputed(app, &ada_id.to_string()).await;
    let to_ada = told(&ada, 2).await;
    let opened = to_ada.iter().find(|it| it["type"] == "dispute.opened").expect("told");
    assert_eq!(opened["data"]["amount"], 500, "{opened}");
    let to_owner = told(&owner, 1).await;
    assert_eq!(
        (kinds(&to_owner), &to_owner[0]["subject"]),
        (vec!["dispute.opened"], &opened["subject"])
    );
    let id = opened["subject"].as_str().expect("an id");
    app.client.post(format!("/disputes/{id}/accept"), json!({})).await.expect(200);
    assert_eq!(kinds(&told(&ada, 3).await)[0], "dispute.lost");
    assert_eq!(kinds(&told(&owner, 2).await)[0], "dispute.lost");

    let funded = wallet_of(app, &ada_id.to_string()).await;
    app.client.fund(&funded, 900).await.expect(201);
    told(&ada, 4).await;
    for (destination, kind, count, staff) in
        [("ba_ok", "payout.paid", 5, 2), ("ba_refused", "payout.failed", 6, 3)]
    {
        let body = json!({"wallet": funded, "amount": 100, "destination": destination});
        let payout = app.client.post("/payouts", body).await.expect(201);
        // What its gateway tells too early is heeded later.
        until(kind, async || {
            app.clock.advance(1);
            ada.get("/notifications").await.expect(200)["data"][0]["type"] == kind
        })
        .await;
        let to_ada = told(&ada, count).await;
        assert_eq!((&to_ada[0]["type"], &to_ada[0]["subject"]), (&json!(kind), &payout["id"]));
        told(&owner, staff).await;
    }
    assert_eq!(kinds(&told(&owner, 3).await)[0], "payout.failed");
    assert_eq!(bob.all("/notifications").await.len(), 0, "what is others' is not told");
}

async fn what_is_muted_is_not_told(app: &TestApp) {
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let wallet = wallet_of(app, &ada_id.to_string()).await;
    let set = async |config: Value| {
        app.client.patch("/tenants/me", json!({"config": {"notifications": config}})).await
    };
    let shown = set(json!({"receipts": false, "muted": ["wallet.funded"]})).await.expect(200);
    let kept = json!({"receipts": false, "muted": ["wallet.funded"]});
    assert_eq!(shown["config"]["notifications"], kept);
    app.client.fund(&wallet, 5).await.expect(201);
    app.client.act(&wallet, "freeze", json!({})).await.expect(200);
    assert_eq!(kinds(&told(&ada, 1).await), ["wallet.frozen"], "the first is not told");
    assert_eq!(set(json!({})).await.expect(200)["config"]["notifications"]["receipts"], true);
    app.client.fund(&wallet, 5).await.expect(201);
    assert_eq!(kinds(&told(&ada, 2).await)[0], "wallet.funded", "known at once");
    for (config, param) in [
        (json!({"muted": ["wallet.sold"]}), "config.notifications.muted[0]"),
        (json!({"muted": ["wallet.funded", "wallet.funded"]}), "config.notifications.muted[1]"),
        (json!({"muted": ["password.changed"]}), "config.notifications.muted[0]"),
        (json!({"muted": "wallet.funded"}), "config.notifications.muted"),
        (json!({"receipts": "no"}), "config.notifications.receipts"),
        (json!({"loud": true}), "config.notifications.loud"),
    ] {
        let answer = set(config.clone()).await;
        answer.refused_as(&config.to_string(), 400, "invalid_request");
        assert_eq!(answer.json["param"], param, "{config}");
    }
    let none = set(Value::Null).await.expect(200);
    assert_eq!(none["config"]["notifications"], Value::Null);
}

async fn who_was_erased_is_told_nothing_more(app: &TestApp) {
    let new = json!({"email": "ada@example.org", "password": PASSWORD});
    let made = app.client.post("/users", new).await.expect(201);
    let ada_id = made["id"].as_str().expect("an id");
    let ada = with_token(app, &login(app, "ada@example.org", PASSWORD).await.expect(200));
    let (bob_id, bob) = app.user(&[SystemRole::WalletHolder]).await;
    let adas = wallet_of(app, ada_id).await;
    let bobs = wallet_of(app, &bob_id.to_string()).await;
    app.client.fund(&adas, 5).await.expect(201);
    told(&ada, 1).await;
    assert_eq!(app.client.delete(format!("/users/{ada_id}")).await.status, 204);
    app.client.transfer(&adas, &bobs, 5).await.expect(201);
    app.client.fund(&adas, 5).await.expect(201);
    app.client.fund(&bobs, 5).await.expect(201);
    told(&bob, 1).await;
    let mut looked = Looked::default();
    while app.instance.service.make_notices(&mut looked).await.expect("a look") {}
    let (db, tenant) = (app.instance.store.as_ref(), app.tenant_id().await);
    let user = ada_id.parse().expect("an id");
    let filter = Filter { tenant, user, unread: false, before: u128::MAX, limit: 9 };
    let left = notifications::list(db, &filter).await.expect("a look");
    assert_eq!(left, [], "neither what was told before nor after");
}
