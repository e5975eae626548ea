//! A wallet's life: made, labelled, frozen, closed; who may change it meanwhile.

use caudal_testkit::{Call, TestApp, both_databases};
use serde_json::{Value, json};

both_databases! {
    a_wallet_has_all_its_fields frozen_wallets_pay_nothing closed_wallets_are_empty
    changes_meet_the_version_they_name writes_tell_their_position
    what_lies_in_them_is_measured
}

async fn a_wallet_has_all_its_fields(app: &TestApp) {
    let metadata = json!({"shop": "caf\u{e9} \u{1f980}", "quote": "\"'\\\u{2028}"});
    let body = json!({"currency": "USD", "name": "Ada", "metadata": metadata});
    let made = app.client.post("/wallets", body).await.expect(201);
    let id = made["id"].as_str().expect("an id");
    assert!(id.starts_with("wal_"), "{id}");
    let balance = json!({"available": 0, "held": 0, "pending": 0, "total": 0});
    for (field, value) in [
        ("object", json!("wallet")),
        ("user_id", Value::Null),
        ("currency", json!("USD")),
        ("status", json!("active")),
        ("floor", json!(0)),
        ("balance", balance),
        ("metadata", metadata),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    assert_eq!(app.client.get(format_args!("/wallets/{id}")).await.expect(200), made);
}

async fn frozen_wallets_pay_nothing(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let (from, to) = &pair;
    let hold = client.hold(&pair, 100, 3600).await;
    let moved = client.transfer(to, from, 0).await;
    moved.refused(400, "invalid_request");
    let paid = client.transfer(from, to, 50).await.expect(201);
    let frozen = client.act(from, "freeze", json!({})).await.expect(200);
    assert_eq!(frozen["status"], "frozen");
    client.act(from, "freeze", json!({})).await.expect(200);
    client.transfer(from, to, 1).await.refused(409, "wallet_frozen");
    client.act(from, "withdraw", json!({"amount": 1})).await.refused(409, "wallet_frozen");
    let held = json!({"from": from, "to": to, "amount": 1, "currency": "USD", "hold": true});
    client.post("/transfers", held).await.refused(409, "wallet_frozen");
    // Credits go on, and so does what was promised before.
    client.transfer(to, from, 10).await.expect(201);
    client.fund(from, 10).await.expect(201);
    client.act(&hold, "capture", json!({})).await.expect(200);
    client.act(paid["id"].as_str().expect("an id"), "reverse", json!({})).await.expect(201);
    client.act(to, "freeze", json!({})).await.expect(200);
    client.act(to, "unfreeze", json!({})).await.expect(200);
    assert_eq!(client.act(from, "unfreeze", json!({})).await.expect(200)["status"], "active");
    client.transfer(from, to, 1).await.expect(201);
    assert_eq!(client.balance(from).await, (919, 0, 919));
}

async fn closed_wallets_are_empty(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(100).await;
    let (from, to) = &pair;
    client.act(from, "close", json!({})).await.refused(409, "wallet_state");
    let hold = client.hold(&pair, 100, 3600).await;
    client.act(from, "close", json!({})).await.refused(409, "wallet_state");
    // Whoever is promised something may close; then it can't be paid any more.
    client.act(to, "close", json!({})).await.expect(200);
    client.act(&hold, "capture", json!({})).await.refused(409, "wallet_closed");
    client.act(&hold, "void", json!({})).await.expect(200);
    client.act(from, "withdraw", json!({"amount": 100})).await.expect(201);
    let closed = client.act(from, "close", json!({})).await.expect(200);
    assert_eq!(closed["status"], "closed");
    let rich = client.funded(10).await;
    client.transfer(&rich, from, 1).await.refused(409, "wallet_closed");
    client.transfer(from, &rich, 1).await.refused(409, "wallet_closed");
    client.fund(from, 1).await.refused(409, "wallet_closed");
    for verb in ["freeze", "unfreeze", "close"] {
        client.act(from, verb, json!({})).await.refused(409, "wallet_closed");
    }
    let floor = client.patch(format_args!("/wallets/{from}"), json!({"floor": -1})).await;
    floor.refused(409, "wallet_closed");
    assert_eq!(client.balance(from).await, (0, 0, 0));
}

async fn changes_meet_the_version_they_name(app: &TestApp) {
    let client = &app.client;
    let wallet = client.funded(100).await;
    let path = format!("/wallets/{wallet}");
    let etag =
        |answer: &caudal_testkit::Answer| answer.header("etag").expect("an entity tag").to_owned();
    let patch = |tag: &str, name: &str| {
        Call::new("PATCH", &path).header("if-match", tag).json(&json!({"name": name}))
    };
    let first = etag(&client.get(&path).await);
    // Money that moves is no change of what is patched.
    client.fund(&wallet, 1).await.expect(201);
    assert_eq!(etag(&client.get(&path).await), first);
    let one = client.send(patch(&first, "one")).await;
    let second = etag(&one);
    assert_eq!(one.expect(200)["name"], "one");
    assert_ne!(first, second);
    client.send(patch(&first, "two")).await.refused(412, "precondition_failed");
    client.send(patch("\"other\"", "two")).await.refused(412, "precondition_failed");
    let floor = Call::new("PATCH", &path).header("if-match", &first).json(&json!({"floor": -5}));
    client.send(floor).await.refused(412, "precondition_failed");
    client.send(patch(&format!("\"x\", {second}"), "three")).await.expect(200);
    client.send(patch("*", "four")).await.expect(200);
    let both = json!({"name": null, "metadata": {"a": "b"}, "floor": -5});
    let changed = client.patch(&path, both).await.expect(200);
    assert_eq!((&changed["name"], &changed["floor"]), (&Value::Null, &json!(-5)));
    let shown = client.get(&path).await.expect(200);
    assert_eq!((&shown["metadata"], &shown["floor"]), (&json!({"a": "b"}), &json!(-5)));
    assert_eq!(shown["balance"]["total"], 101);

    let tenant = client.get("/tenants/me").await;
    let tag = etag(&tenant);
    let rename = |tag: &str| {
        Call::new("PATCH", "/tenants/me").header("if-match", tag).json(&json!({"name": "new"}))
    };
    client.send(rename("\"0\"")).await.refused(412, "precondition_failed");
    client.send(rename(&tag)).await.expect(200);
    client.send(rename(&tag)).await.refused(412, "precondition_failed");
}

/// `stream:seq,stream:seq` of an answer.
fn position(answer: &caudal_testkit::Answer) -> Vec<(usize, i64)> {
    let text = answer.header("caudal-position").expect("a position");
    let pair = |text: &str| {
        let (stream, seq) = text.split_once(':').expect("a pair");
        (stream.parse().expect("a stream"), seq.parse().expect("a number"))
    };
    text.split(',').map(pair).collect()
}

async fn writes_tell_their_position(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let store = app.instance.store.as_ref();
    let path = format!("/wallets/{}", pair.0);
    let hold = client.hold(&pair, 10, 60).await;
    let capture = format!("/transfers/{hold}/capture");
    let calls = [
        Call::new("POST", "/wallets").key("a").text("{\"currency\":\"USD\"}"),
        Call::new("POST", capture).key("b"),
        Call::new("POST", format!("{path}/fund"))
            .key("c")
            .text("{\"amount\":1,\"source\":\"treasury\"}"),
        Call::new("POST", format!("{path}/freeze")).key("d"),
        Call::new("PATCH", &path).text("{\"name\":\"n\"}"),
        Call::new("PATCH", &path).text("{\"floor\":-1}"),
        Call::new("POST", "/api-keys").key("e").text("{\"name\":\"n\",\"scopes\":[\"platform\"]}"),
    ];
    for call in calls {
        let before = caudal_store::events::heads(store).await.expect("the heads");
        let answer = client.send(call.clone()).await;
        assert!(matches!(answer.status, 200 | 201), "{call}: {answer:?}");
        let after = caudal_store::events::heads(store).await.expect("the heads");
        let position = position(&answer);
        assert!(!position.is_empty(), "{call}");
        for (stream, seq) in position {
            assert!(before[stream] < seq && seq <= after[stream], "{call}");
        }
        let read = Call::new("GET", &path)
            .header("caudal-position", answer.header("caudal-position").expect("a position"));
        client.send(read).await.expect(200);
    }
}

async fn what_lies_in_them_is_measured(app: &TestApp) {
    // Measures are the process', so in a currency that no other test has.
    for amount in [1000, 234] {
        let wallet = app.client.wallet("KMF").await;
        app.client.fund(&wallet, amount).await.expect(201);
    }
    caudal_workers::measure_wallets(&app.instance.store).await.expect("sums");
    let told = app.client.send(Call::absolute("GET", "/metrics")).await;
    let told = String::from_utf8_lossy(&told.bytes);
    assert!(told.contains("\nwallet_balance_total{currency=\"KMF\"} 1234\n"), "{told}");
}
