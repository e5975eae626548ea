//! Rules that count payments hold also when many come at once: what is counted together takes
//! turns.

use caudal_domain::SystemRole;
use caudal_testkit::{Answer, Client, TestApp, at_once, both_databases, until};
use serde_json::{Value, json};

use super::{payments::body, payments_at_gateways::card, screening::rule};

both_databases! {
    of_many_at_once_as_many_go_on_as_the_rule_says cards_are_counted_at_once_too
    what_is_set_aside_counts_at_once what_nobody_counts_is_forgotten
}

fn went_on(answers: &[Answer]) -> usize {
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(402, "blocked");
    }
    answers.iter().filter(|answer| answer.status == 201).count()
}

/// Sends it so often at once, by turns to the one and the other.
async fn race(clients: [&Client; 2], count: usize, asked: &Value) -> Vec<Answer> {
    let clients = clients.map(Client::clone);
    let asked = asked.clone();
    at_once(count, move |number| {
        let (client, asked) = (clients[number % 2].clone(), asked.clone());
        async move { client.post("/payments", asked).await }
    })
    .await
}

async fn of_many_at_once_as_many_go_on_as_the_rule_says(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10_000).await;
    rule(client, "velocity.payer.count_1h >= 3", "block").await;
    let answers = race([client, client], 40, &body(&pair, 100)).await;
    assert_eq!(went_on(&answers), 3);
    assert_eq!(client.balance(&pair.1).await.0, 300);
    assert_eq!(client.all("/payments").await.len(), 40);
    // The payer's user, whichever of their wallets pays; a batch is no way around it.
    let (user, holder) = app.user(&[SystemRole::WalletHolder]).await;
    let mut items = Vec::new();
    for number in 0..4 {
        let own = json!({"currency": "USD", "user_id": user.to_string()});
        let own = client.post("/wallets", own).await.expect(201);
        let own = own["id"].as_str().expect("an id").to_owned();
        client.fund(&own, 1000).await.expect(201);
        for item in 0..3 {
            let mut payment = body(&(own.clone(), pair.1.clone()), 10);
            payment["idempotency_key"] = json!(format!("{number} {item}"));
            items.push(payment);
        }
    }
    let batch = holder.post("/payments/batch", json!({"payments": items})).await.expect(200);
    let results = batch["results"].as_array().expect("a list").iter();
    assert_eq!(results.filter(|result| result["status"] == 201).count(), 3, "{batch}");
    // Who has no money is counted all the same.
    let poor = (client.wallet("USD").await, pair.1.clone());
    let answers = race([client, client], 10, &body(&poor, 1)).await;
    let of = |code: &str| answers.iter().filter(|answer| answer.json["code"] == code).count();
    assert_eq!((of("insufficient_funds"), of("blocked")), (3, 7));
}

async fn cards_are_counted_at_once_too(app: &TestApp) {
    let client = &app.client;
    let wallet = client.wallet("USD").await;
    rule(client, "velocity.method.count_1h >= 3", "block").await;
    rule(client, "velocity.wallet.count_1h >= 5", "block").await;
    let answers = race([client, client], 20, &card(&wallet, 100, "pm_card_visa")).await;
    assert_eq!(went_on(&answers), 3);
    assert_eq!(client.balance(&wallet).await.0, 300);
}

async fn what_is_set_aside_counts_at_once(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10_000).await;
    rule(client, "velocity.payer.count_1h >= 3", "block").await;
    rule(client, "true", "review").await;
    let answers = race([client, client], 20, &body(&pair, 100)).await;
    assert_eq!(went_on(&answers), 3);
    assert_eq!(client.all("/reviews").await.len(), 3);
}

async fn what_nobody_counts_is_forgotten(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let rows = async || {
        let store = app.instance.store.as_ref();
        let sql = "select 1 from velocity_turns";
        store.query("velocity_turns", sql, &[]).await.expect("a look").len()
    };
    client.post("/payments", body(&pair, 1)).await.expect(201);
    assert_eq!(rows().await, 0, "without a rule of velocity nothing is written");
    let rule = rule(client, "velocity.wallet.count_1h >= 2", "block").await;
    client.post("/payments", body(&pair, 1)).await.expect(201);
    client.post("/payments", body(&pair, 1)).await.refused(402, "blocked");
    assert_eq!(rows().await, 1);
    client.delete(format!("/fraud-rules/{rule}")).await.expect(204);
    app.clock.advance(2 * 86_400 + 1);
    app.instance.service.purge().await.expect("a purge");
    assert_eq!(rows().await, 0);
}

/// Two processes on one database: who counted too early decides again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_count_together() {
    TestApp::run_on_postgres(async |app| {
        let other = app.beside().await;
        let (here, there) = (&app.client, &other.client);
        let wallet = here.wallet("USD").await;
        rule(here, "velocity.payer.count_1h >= 3", "block").await;
        rule(here, "velocity.method.count_1h >= 3", "block").await;
        let pair = here.pair(10_000).await;
        // Known there, too.
        until("the rules to be known there", async || {
            let probe = there.pair(10).await;
            let mut answers = Vec::new();
            for _ in 0..4 {
                answers.push(there.post("/payments", body(&probe, 1)).await.status);
            }
            answers.contains(&402)
        })
        .await;
        let answers = race([here, there], 40, &body(&pair, 100)).await;
        assert_eq!(went_on(&answers), 3);
        let answers = race([here, there], 20, &card(&wallet, 100, "pm_card_visa")).await;
        assert_eq!(went_on(&answers), 3);
        other.close().await;
    })
    .await;
}
