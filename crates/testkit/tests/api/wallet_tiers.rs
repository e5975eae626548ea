//! Limits of tiers: what may lie in a wallet and what may be taken from it, also when many try at
//! once.

use caudal_domain::{Clock, SystemRole};
use caudal_testkit::{Answer, Call, Client, TestApp, at_once, both_databases};
use serde_json::{Value, json};

use super::{
    payments::{body, id, with},
    payments_at_gateways::card,
};

both_databases! {
    a_day_and_a_month_have_their_limits balances_have_their_limit tiers_are_set_by_staff
    of_a_hundred_at_once_none_passes_the_limit batches_count_item_by_item
    a_tier_in_use_stays wrong_limits_are_refused payouts_count_like_any_taking
    exchanges_count_and_fill captures_fill_what_they_pay what_comes_back_lands_above
}

async fn tiers(client: &Client, limits: Value) {
    let config = json!({"config": {"limits": {"tiers": {"basic": {"USD": limits}}}}});
    client.patch("/tenants/me", config).await.expect(200);
}

async fn set_tier(client: &Client, wallet: &str, tier: Value) -> Answer {
    let call = Call::new("PUT", format!("/wallets/{wallet}/tier"));
    client.send(call.json(&json!({"tier": tier}))).await
}

/// A payer of the tier and a payee of none.
async fn limited(client: &Client, limits: Value) -> (String, String) {
    tiers(client, limits).await;
    let pair = client.pair(100_000).await;
    set_tier(client, &pair.0, json!("basic")).await.expect(200);
    pair
}

async fn used(client: &Client, wallet: &str) -> (i64, i64) {
    let tier = client.get(format!("/wallets/{wallet}/tier")).await.expect(200);
    let part = |name: &str| tier[name].as_i64().expect("a number");
    (part("day_used"), part("month_used"))
}

async fn a_day_and_a_month_have_their_limits(app: &TestApp) {
    let client = &app.client;
    // The days of the test lie in one month.
    to_the_first(app);
    let pair = limited(client, json!({"day": 100, "month": 250})).await;
    client.transfer(&pair.0, &pair.1, 60).await.expect(201);
    client.post("/payments", body(&pair, 40)).await.expect(201);
    assert_eq!(used(client, &pair.0).await, (100, 100));
    let over = client.transfer(&pair.0, &pair.1, 1).await;
    over.refused(422, "limit_reached");
    client.post("/payments", body(&pair, 1)).await.refused(422, "limit_reached");
    let withdrawn = json!({"amount": 1});
    client.act(&pair.0, "withdraw", withdrawn).await.refused(422, "limit_reached");
    // The other side has no tier, and pays as it likes.
    client.transfer(&pair.1, &pair.0, 50).await.expect(201);
    app.clock.advance(86_400);
    client.hold(&pair, 100, 60).await;
    assert_eq!(used(client, &pair.0).await, (100, 200));
    app.clock.advance(86_400);
    client.transfer(&pair.0, &pair.1, 51).await.refused(422, "limit_reached");
    client.transfer(&pair.0, &pair.1, 50).await.expect(201);
    to_the_first(app);
    assert_eq!(used(client, &pair.0).await, (0, 0));
    client.transfer(&pair.0, &pair.1, 100).await.expect(201);
}

/// Goes on, day by day, to the next first of a month.
fn to_the_first(app: &TestApp) {
    loop {
        app.clock.advance(86_400);
        if app.clock.now().to_string().contains("-01T") {
            return;
        }
    }
}

async fn balances_have_their_limit(app: &TestApp) {
    let client = &app.client;
    tiers(client, json!({"balance": 500})).await;
    let pair = client.pair(10_000).await;
    set_tier(client, &pair.1, json!("basic")).await.expect(200);
    client.transfer(&pair.0, &pair.1, 500).await.expect(201);
    client.transfer(&pair.0, &pair.1, 1).await.refused(422, "limit_reached");
    client.fund(&pair.1, 1).await.refused(422, "limit_reached");
    client.transfer(&pair.1, &pair.0, 100).await.expect(201);
    client.post("/payments", body(&pair, 101)).await.refused(422, "limit_reached");
    client.post("/payments", body(&pair, 100)).await.expect(201);
}

async fn tiers_are_set_by_staff(app: &TestApp) {
    let client = &app.client;
    let (id, holder) = app.user(&[SystemRole::WalletHolder]).await;
    let wallet = json!({"currency": "USD", "user_id": id.to_string()});
    let own = client.post("/wallets", wallet).await.expect(201);
    let own = own["id"].as_str().expect("an id");
    tiers(client, json!({"day": 100})).await;
    set_tier(&holder, own, json!("basic")).await.refused(403, "forbidden");
    set_tier(client, own, json!("gold")).await.refused(400, "invalid_request");
    set_tier(client, own, json!("basic")).await.expect(200);
    let path = format!("/wallets/{own}/tier");
    let seen = holder.get(&path).await.expect(200);
    assert_eq!((&seen["tier"], &seen["limits"]["day"]), (&json!("basic"), &json!(100)));
    let (_, other) = app.user(&[SystemRole::WalletHolder]).await;
    other.get(&path).await.refused(404, "wallet_not_found");
    app.tenant("test").await.get(&path).await.refused(404, "wallet_not_found");
    assert_eq!(set_tier(client, own, Value::Null).await.expect(200)["tier"], Value::Null);
    let audit = client.get(format!("/audit?object={own}")).await.expect(200);
    assert_eq!(audit["data"][0]["action"], "wallet_tier.changed");
}

async fn of_a_hundred_at_once_none_passes_the_limit(app: &TestApp) {
    let client = &app.client;
    let pair = limited(client, json!({"day": 1000})).await;
    let answers = at_once(100, |number| {
        let (client, pair) = (app.client.clone(), pair.clone());
        async move {
            let answer = match number % 2 {
                0 => client.transfer(&pair.0, &pair.1, 30).await,
                _ => client.post("/payments", body(&pair, 30)).await,
            };
            (answer.status, answer.json["code"].as_str().unwrap_or_default().to_owned())
        }
    })
    .await;
    let paid = answers.iter().filter(|(status, _)| *status == 201).count();
    let others: Vec<_> = answers.iter().filter(|(status, _)| *status != 201).collect();
    assert!(others.iter().all(|(status, code)| *status == 422 && code == "limit_reached"));
    assert_eq!(paid, 33, "as many as fit, and no more");
    assert_eq!(client.balance(&pair.1).await, (990, 0, 990));
    assert_eq!(used(client, &pair.0).await, (990, 990));
}

async fn batches_count_item_by_item(app: &TestApp) {
    let client = &app.client;
    let pair = limited(client, json!({"day": 100})).await;
    let items = |amounts: &[i64]| {
        let item = |(place, amount): (usize, &i64)| {
            json!({"from": pair.0, "to": pair.1, "amount": amount, "currency": "USD",
                "idempotency_key": format!("{amounts:?}-{place}")})
        };
        amounts.iter().enumerate().map(item).collect::<Vec<_>>()
    };
    let all = json!({"transfers": items(&[60, 60, 40, 1]), "atomic": false});
    let batch = client.post("/transfers/batch", all).await.expect(200);
    let results = batch["results"].as_array().expect("a list").iter();
    let statuses: Vec<_> = results.map(|it| it["status"].as_i64().expect("a number")).collect();
    assert_eq!(statuses, [201, 422, 201, 422]);
    let path = "/transfers/batch";
    let few = json!({"transfers": items(&[1])});
    client.post_as("outer", path, few.clone()).await.expect(200);
    let others = json!({"transfers": items(&[2])});
    client.post_as("outer", path, others).await.refused(422, "idempotency_mismatch");
    assert!(client.post_as("outer", path, few.clone()).await.is_replay());
    assert_eq!(used(client, &pair.0).await.0, 100);
    app.clock.advance(86_400);
    let whole = json!({"transfers": items(&[50, 51]), "atomic": true});
    client.post("/transfers/batch", whole).await.refused(422, "limit_reached");
    let (before, _) = used(client, &pair.0).await;
    assert_eq!(before, 0);
    let whole = json!({"transfers": items(&[50, 50]), "atomic": true});
    client.post("/transfers/batch", whole).await.expect(200);
    assert_eq!(used(client, &pair.0).await.0, 100);
    let dry = json!({"from": pair.0, "to": pair.1, "amount": 1, "currency": "USD"});
    client.post("/transfers?dry_run=true", dry).await.refused(422, "limit_reached");
}

async fn a_tier_in_use_stays(app: &TestApp) {
    let client = &app.client;
    let pair = limited(client, json!({"day": 100})).await;
    let none = json!({"config": {"limits": null}});
    let refused = client.patch("/tenants/me", none.clone()).await;
    let param = &refused.refused(400, "invalid_request").json["param"];
    assert_eq!(param, "config.limits.tiers");
    let item = json!({"from": pair.0, "to": pair.1, "amount": 1, "currency": "USD",
        "idempotency_key": "item"});
    let batch = json!({"transfers": [item]});
    let first = client.post_as("outer", "/transfers/batch", batch.clone()).await.expect(200);
    set_tier(client, &pair.0, Value::Null).await.expect(200);
    let again = client.post_as("outer", "/transfers/batch", batch).await;
    assert!(again.is_replay());
    assert_eq!(again.expect(200), first);
    let read = client.patch("/tenants/me", none).await.expect(200);
    assert_eq!(read["config"]["limits"], Value::Null);
    client.transfer(&pair.0, &pair.1, 1000).await.expect(201);
}

async fn wrong_limits_are_refused(app: &TestApp) {
    for (limits, param) in [
        (json!({"tiers": {"a": {"USD": {"day": -1}}}}), "config.limits.tiers.a.USD.day"),
        (json!({"tiers": {"a b": {}}}), "config.limits.tiers"),
        (json!({"tiers": {"a": {"XXQ": {}}}}), ""),
        (json!({"tiers": {"a": {"USD": {"week": 1}}}}), ""),
        (json!({"tiers": {"a": {"USD": {"day": 1.5}}}}), ""),
        (json!({}), ""),
    ] {
        let answer = app.client.patch("/tenants/me", json!({"config": {"limits": limits}})).await;
        answer.refused(400, "invalid_request");
        let said = answer.json["param"].as_str().unwrap_or_default();
        assert!(param.is_empty() || said == param, "{limits}: {said}");
    }
    let (_, support) = app.user(&[SystemRole::Support]).await;
    let config = json!({"config": {"limits": {"tiers": {}}}});
    support.patch("/tenants/me", config).await.refused(403, "forbidden");
}

async fn payouts_count_like_any_taking(app: &TestApp) {
    let client = &app.client;
    let pair = limited(client, json!({"day": 500, "balance": 1000})).await;
    let answers = at_once(10, |_| {
        let (client, wallet) = (app.client.clone(), pair.0.clone());
        async move {
            let body = json!({"wallet": wallet, "amount": 90, "destination": "ba_ok"});
            client.post("/payouts", body).await
        }
    })
    .await;
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        answer.refused(422, "limit_reached");
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 5);
    assert_eq!(used(client, &pair.0).await, (450, 450));
    client.transfer(&pair.0, &pair.1, 51).await.refused(422, "limit_reached");
    client.transfer(&pair.0, &pair.1, 50).await.expect(201);
}

async fn exchanged(client: &Client, pair: (&str, &str), amount: i64) -> Answer {
    let asked = json!({"from_currency": "USD", "to_currency": "EUR", "amount": amount});
    let quote = id(&client.post("/quotes", asked).await.expect(201));
    let asked = json!({"quote": quote, "from": pair.0, "to": pair.1});
    client.post("/exchanges", asked).await
}

async fn exchanges_count_and_fill(app: &TestApp) {
    let client = &app.client;
    let rates = json!({"rates": {"EUR": "1"}, "source": "desk"});
    client.send(Call::new("PUT", "/rates/USD").json(&rates)).await.expect(200);
    let config = json!({"config": {"limits": {"tiers": {"basic": {"USD": {"day": 500},
        "EUR": {"balance": 1000}}}}}});
    client.patch("/tenants/me", config).await.expect(200);
    let (payer, rich) = (client.funded(900).await, client.funded(9000).await);
    let (elsewhere, full) = (client.wallet("EUR").await, client.wallet("EUR").await);
    for wallet in [&payer, &full] {
        set_tier(client, wallet, json!("basic")).await.expect(200);
    }
    exchanged(client, (&payer, &elsewhere), 300).await.expect(201);
    exchanged(client, (&payer, &elsewhere), 201).await.refused(422, "limit_reached");
    assert_eq!(used(client, &payer).await, (300, 300));
    exchanged(client, (&payer, &elsewhere), 200).await.expect(201);
    exchanged(client, (&rich, &full), 900).await.expect(201);
    exchanged(client, (&rich, &full), 101).await.refused(422, "limit_reached");
    assert_eq!(client.balance(&full).await.2, 900);
    assert_eq!(client.balance(&rich).await.2, 8100);
    app.clock.advance(86_400);
    let answers = at_once(8, |_| {
        let (client, pair) = (app.client.clone(), (payer.clone(), elsewhere.clone()));
        async move { exchanged(&client, (&pair.0, &pair.1), 90).await.status }
    })
    .await;
    // No more than it has.
    assert!(answers.iter().filter(|status| **status == 201).count() <= 4, "{answers:?}");
    assert_eq!(client.balance(&payer).await.2 % 90, 400 % 90);
}

async fn captures_fill_what_they_pay(app: &TestApp) {
    let client = &app.client;
    tiers(client, json!({"balance": 1000, "day": 900})).await;
    let pair = client.pair(10_000).await;
    set_tier(client, &pair.1, json!("basic")).await.expect(200);
    let manual = with(body(&pair, 900), "capture", "manual");
    let [first, second] = [
        id(&client.post("/payments", manual.clone()).await.expect(201)),
        id(&client.post("/payments", manual).await.expect(201)),
    ];
    client.post(format!("/payments/{first}/capture"), json!({})).await.expect(200);
    let path = format!("/payments/{second}/capture");
    let refused = client.post_as("over", &path, json!({})).await;
    assert!(!refused.is_replay(), "it was asked once");
    refused.refused(422, "limit_reached");
    assert!(client.post_as("over", &path, json!({})).await.is_replay());
    assert_eq!(client.balance(&pair.1).await.2, 900);
    client.post(&path, json!({"amount": 100})).await.expect(200);
    client.transfer(&pair.1, &pair.0, 900).await.expect(201);
    let [first, second] = [client.hold(&pair, 600, 60).await, client.hold(&pair, 600, 60).await];
    client.act(&first, "capture", json!({})).await.expect(200);
    client.act(&second, "capture", json!({})).await.refused(422, "limit_reached");
    client.act(&second, "capture", json!({"amount": 301})).await.refused(422, "limit_reached");
    client.act(&second, "capture", json!({"amount": 300})).await.expect(200);
    assert_eq!(client.balance(&pair.1).await.2, 1000);
    // What was held counted then, and does not count again.
    set_tier(client, &pair.0, json!("basic")).await.expect(200);
    set_tier(client, &pair.1, Value::Null).await.expect(200);
    let held = client.hold(&pair, 500, 60).await;
    assert_eq!(used(client, &pair.0).await.0, 500);
    client.act(&held, "capture", json!({})).await.expect(200);
    assert_eq!(used(client, &pair.0).await.0, 500);
}

async fn what_comes_back_lands_above(app: &TestApp) {
    let client = &app.client;
    let pair = limited(client, json!({"balance": 1000})).await;
    // The gateway has taken it.
    let wallet = client.wallet("USD").await;
    set_tier(client, &wallet, json!("basic")).await.expect(200);
    client.post("/payments", card(&wallet, 5000, "pm_card_visa")).await.expect(201);
    assert_eq!(client.balance(&wallet).await.2, 5000);
    let paid = id(&client.post("/payments", body(&pair, 300)).await.expect(201));
    client.post(format!("/payments/{paid}/refunds"), json!({})).await.expect(201);
    assert_eq!(client.balance(&pair.0).await.2, 100_000);
}
