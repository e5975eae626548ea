//! Fraud rules at work on payments: what they block, let through and set aside, and what they see.

use caudal_testkit::{Call, Client, TestApp, both_databases};
use serde_json::{Value, json};

use super::payments::body;

both_databases! {
    a_rule_that_holds_blocks_and_nothing_moves the_order_of_rules_decides
    a_rule_that_fails_sends_to_review velocity_counts_what_was_asked_for
    amounts_are_worth_what_rates_say wallets_and_payers_are_looked_at a_trial_sees_what_was_paid
    the_suspected_are_not_told
}

pub async fn rule(client: &Client, expression: &str, action: &str) -> String {
    let rule = json!({"name": expression, "expression": expression, "action": action});
    let rule = client.post("/fraud-rules", rule).await.expect(201);
    rule["id"].as_str().expect("an id").to_owned()
}

async fn drop_rule(client: &Client, rule: &str) {
    assert_eq!(client.delete(format!("/fraud-rules/{rule}")).await.status, 204);
}

/// The status that a payment of so much comes to.
async fn pay(client: &Client, pair: &(String, String), amount: i64) -> String {
    let answer = client.post("/payments", body(pair, amount)).await;
    let status = match answer.status {
        402 => &answer.json["payment"]["status"],
        _ => &answer.json["status"],
    };
    status.as_str().unwrap_or_else(|| panic!("{}", answer.json)).to_owned()
}

async fn a_rule_that_holds_blocks_and_nothing_moves(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    assert_eq!(pay(client, &pair, 600).await, "succeeded");
    let rule = rule(client, "payment.amount > 100", "block").await;
    let mut events = client.events(None).await;
    let blocked = client.post_as("order", "/payments", body(&pair, 300)).await;
    blocked.refused(402, "blocked");
    assert_eq!(blocked.json["payment"]["status"], "blocked");
    let payment = blocked.json["payment"]["id"].as_str().expect("an id").to_owned();
    let (mut told, mut suspicion) = (false, Value::Null);
    while !told || suspicion.is_null() {
        let event = events.next().await;
        told |= event.event == "payment.blocked";
        if event.event == "activity.suspicious" {
            suspicion = event.data["data"].clone();
        }
    }
    let wanted = json!({"payment_id": payment, "rule_id": rule, "outcome": "block",
        "reason": "rule", "amount": 300, "currency": "USD"});
    assert_eq!(suspicion, wanted);
    assert_eq!(client.balance(&pair.0).await, (400, 0, 400));
    let shown = client.get(format!("/payments/{payment}?expand[]=events")).await.expect(200);
    assert_eq!((&shown["status"], &shown["failure"]), (&json!("blocked"), &json!("blocked")));
    // Said again, though no rule would say so now.
    drop_rule(client, &rule).await;
    let again = client.post_as("order", "/payments", body(&pair, 300)).await;
    assert_eq!((again.status, again.is_replay()), (402, true));
    assert_eq!(again.json["payment"]["id"], json!(payment));
    assert_eq!(pay(client, &pair, 300).await, "succeeded");
    // What can't be paid at all is nobody's suspicion.
    let unknown = (pair.0.clone(), "wal_00000000000000000000000007".to_owned());
    self::rule(client, "true", "review").await;
    client.post("/payments", body(&unknown, 5)).await.refused(404, "wallet_not_found");
}

async fn the_order_of_rules_decides(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let review = rule(client, "payment.amount > 10", "review").await;
    rule(client, "payment.amount > 100", "block").await;
    assert_eq!(pay(client, &pair, 5).await, "succeeded");
    assert_eq!(pay(client, &pair, 50).await, "in_review");
    assert_eq!(pay(client, &pair, 500).await, "blocked");
    let allow = json!({"name": "friends", "expression": "payment.metadata.friend == 'yes'",
        "action": "allow", "position": 1});
    client.post("/fraud-rules", allow).await.expect(201);
    let mut friendly = body(&pair, 500);
    friendly["metadata"] = json!({"friend": "yes"});
    client.post("/payments", friendly).await.expect(201);
    // A change counts for the next payment.
    let path = format!("/fraud-rules/{review}");
    client.patch(&path, json!({"active": false})).await.expect(200);
    let mut stranger = body(&pair, 50);
    stranger["metadata"] = json!({"friend": "no"});
    client.post("/payments", stranger).await.expect(201);
}

async fn a_rule_that_fails_sends_to_review(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    rule(client, "int(payment.metadata.orders) > 3", "allow").await;
    assert_eq!(pay(client, &pair, 5).await, "in_review");
    let reviews = client.all("/reviews").await;
    assert_eq!(reviews[0]["reason"], "rule_failed");
    let mut known = body(&pair, 5);
    known["metadata"] = json!({"orders": "4"});
    client.post("/payments", known).await.expect(201);
    let config = json!({"config": {"fraud": {"on_failure": "block"}}});
    client.patch("/tenants/me", config).await.expect(200);
    assert_eq!(pay(client, &pair, 5).await, "blocked");
    client.patch("/tenants/me", json!({"config": {"fraud": null}})).await.expect(200);
    assert_eq!(pay(client, &pair, 5).await, "in_review");
}

async fn velocity_counts_what_was_asked_for(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    rule(client, "velocity.wallet.count_1h >= 3", "block").await;
    rule(client, "velocity.payer.sum_24h + payment.amount > 500", "block").await;
    for _ in 0..3 {
        assert_eq!(pay(client, &pair, 10).await, "succeeded");
    }
    assert_eq!(pay(client, &pair, 10).await, "blocked");
    // What was blocked counts too: whoever tries often is what a rule of counts is for.
    app.clock.advance(3601);
    assert_eq!(pay(client, &pair, 470).await, "blocked");
    assert_eq!(pay(client, &pair, 400).await, "blocked");
    app.clock.advance(24 * 3600 + 1);
    assert_eq!(pay(client, &pair, 500).await, "succeeded");
}

async fn amounts_are_worth_what_rates_say(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10_000).await;
    rule(client, "payment.amount_in('EUR') > 1000", "block").await;
    // No rate: nobody can tell.
    assert_eq!(pay(client, &pair, 5).await, "in_review");
    let rates = json!({"rates": {"EUR": "0.5"}, "source": "desk"});
    client.send(Call::new("PUT", "/rates/USD").json(&rates)).await.expect(200);
    assert_eq!(pay(client, &pair, 2000).await, "succeeded");
    assert_eq!(pay(client, &pair, 2002).await, "blocked");
}

async fn wallets_and_payers_are_looked_at(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let id = &pair.0;
    rule(client, &format!("wallet.id == '{id}' && wallet.available < 500"), "block").await;
    rule(client, "user.is_known && user.age_h > 1000", "block").await;
    assert_eq!(pay(client, &pair, 501).await, "succeeded");
    assert_eq!(pay(client, &pair, 1).await, "blocked");
    let other = client.pair(1000).await;
    assert_eq!(pay(client, &other, 1).await, "succeeded");
    rule(client, "wallet.age_h >= 2", "block").await;
    assert_eq!(pay(client, &other, 1).await, "succeeded");
    app.clock.advance(2 * 3600);
    assert_eq!(pay(client, &other, 1).await, "blocked");
}

async fn a_trial_sees_what_was_paid(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    for amount in [10, 20, 30] {
        assert_eq!(pay(client, &pair, amount).await, "succeeded");
        app.clock.advance(1);
    }
    let tried = async |expression: &str| {
        let body = json!({"expression": expression, "limit": 10});
        let tried = client.post("/fraud-rules/test", body).await.expect(200);
        let outcomes = tried["payments"].as_array().expect("a list").iter();
        let letters = outcomes.map(|it| it["outcome"].as_str().expect("text")[..1].to_owned());
        (letters.collect::<String>(), tried["held"].clone(), tried["failed"].clone())
    };
    let of =
        |letters: &str, held: i64, failed: i64| (letters.to_owned(), json!(held), json!(failed));
    // Newest first, each as things stood when it was made.
    assert_eq!(tried("payment.amount > 15").await, of("hhd", 2, 0));
    assert_eq!(tried("velocity.wallet.count_1h == 1").await, of("dhd", 1, 0));
    assert_eq!(tried("velocity.payer.sum_1h == 30").await, of("hdd", 1, 0));
    assert_eq!(tried("payment.metadata.x == 'y'").await, of("fff", 0, 3));
    let newest = client.all("/payments").await.remove(0);
    let body = json!({"expression": "payment.amount == 30", "payment_id": newest["id"]});
    let one = client.post("/fraud-rules/test", body.clone()).await.expect(200);
    assert_eq!((&one["tried"], &one["held"]), (&json!(1), &json!(1)));
    let other = app.tenant("test").await;
    other.post("/fraud-rules/test", body).await.refused(404, "payment_not_found");
    assert_eq!(client.all("/payments").await.len(), 3, "a trial leaves nothing behind");
}

async fn the_suspected_are_not_told(app: &TestApp) {
    let client = &app.client;
    let (id, holder) = app.user(&[caudal_domain::SystemRole::WalletHolder]).await;
    let wallet = json!({"currency": "USD", "user_id": id.to_string()});
    let own = client.post("/wallets", wallet).await.expect(201);
    let own = own["id"].as_str().expect("an id").to_owned();
    client.fund(&own, 100).await.expect(201);
    let shop = client.wallet("USD").await;
    rule(client, "payment.amount > 5", "review").await;
    let mut events = holder.events(None).await;
    let pair = (own, shop);
    let asked = holder.post("/payments", body(&pair, 6)).await.expect(201);
    assert_eq!(asked["status"], "in_review");
    holder.post("/payments", body(&pair, 5)).await.expect(201);
    loop {
        let event = events.next().await;
        assert_ne!(event.event, "activity.suspicious");
        if event.event == "payment.processed" {
            break;
        }
    }
    holder.get("/reviews").await.refused(403, "forbidden");
}
