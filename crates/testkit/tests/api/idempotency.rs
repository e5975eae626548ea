//! A key makes a request happen once: whatever is repeated, however often and however much at
//! once, is answered as it was first.

use caudal_domain::Clock as _;
use caudal_testkit::{Answer, Call, Client, TestApp, at_once, both_databases};
use serde_json::{Value, json};

use super::users::person;

both_databases! {
    successes_replay_byte_for_byte refusals_replay_after_their_reason_is_gone
    another_request_is_a_mismatch tenants_keep_their_keys_apart duplicates_at_once_happen_once
    duplicates_inside_a_batch batches_replay kept_for_a_day_then_forgotten
    what_was_not_decided_is_not_kept secrets_are_not_replayed
    a_batch_and_its_items_have_keys_of_their_own
    what_was_made_is_said_again_whatever_came_since
}

fn body(pair: &(String, String), amount: i64) -> Value {
    json!({"from": pair.0, "to": pair.1, "amount": amount, "currency": "USD"})
}

#[track_caller]
fn id(answer: &Answer) -> String {
    answer.json["id"].as_str().expect("an id").to_owned()
}

/// Sends it again and holds it against what came first.
async fn assert_replays(client: &Client, sent: (&str, String, &Value), first: &Answer) {
    let (key, path, body) = sent;
    let again = client.post_as(key, &path, body.clone()).await;
    assert_eq!(again.status, first.status, "{path}");
    assert!(again.is_replay() && !first.is_replay(), "{path}");
    if first.status < 400 {
        assert_eq!(again.bytes, first.bytes, "{path}");
    } else {
        // A problem names the request that it answers.
        let without_id = |answer: &Answer| {
            let mut json = answer.json.clone();
            json["request_id"] = Value::Null;
            json
        };
        assert_eq!(without_id(&again), without_id(first), "{path}");
    }
}

async fn successes_replay_byte_for_byte(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10_000).await;
    let wallet = json!({"currency": "USD", "name": "before", "metadata": {"a": "\u{e9}"}});
    let made = client.post_as("wallet", "/wallets", wallet.clone()).await;
    let wallet_path = format!("/wallets/{}", id(&made));
    let fund = json!({"amount": 70, "source": "treasury"});
    let fund_path = format!("{wallet_path}/fund");
    let funded = client.post_as("fund", &fund_path, fund.clone()).await;
    let transfer = body(&pair, 1000);
    let moved = client.post_as("transfer", "/transfers", transfer.clone()).await;
    let reverse_path = format!("/transfers/{}/reverse", id(&moved));
    let reverse = json!({"amount": 400});
    let reversed = client.post_as("reverse", &reverse_path, reverse.clone()).await;

    let mut hold = body(&pair, 500);
    hold["hold"] = true.into();
    let held = client.post_as("hold", "/transfers", hold.clone()).await;
    let capture_path = format!("/transfers/{}/capture", id(&held));
    let capture = json!({"amount": 100, "final": false});
    let captured = client.post_as("capture", &capture_path, capture.clone()).await;
    let void_path = format!("/transfers/{}/void", id(&held));
    let voided = client.post_as("void", &void_path, json!({})).await;
    let freeze_path = format!("{wallet_path}/freeze");
    let frozen = client.post_as("freeze", &freeze_path, json!({})).await;

    // All of them are something else by now.
    client.patch(&wallet_path, json!({"name": "after"})).await.expect(200);
    client
        .act(wallet_path.trim_start_matches("/wallets/"), "unfreeze", json!({}))
        .await
        .expect(200);
    client.act(&id(&moved), "reverse", json!({})).await.expect(201);
    app.clock.advance(3600);
    let state = (client.balance(&pair.0).await, client.balance(&pair.1).await);
    let nothing = json!({});
    for (sent, first, status) in [
        (("wallet", "/wallets".to_owned(), &wallet), &made, 201),
        (("fund", fund_path, &fund), &funded, 201),
        (("transfer", "/transfers".to_owned(), &transfer), &moved, 201),
        (("reverse", reverse_path, &reverse), &reversed, 201),
        (("hold", "/transfers".to_owned(), &hold), &held, 201),
        (("capture", capture_path, &capture), &captured, 200),
        (("void", void_path, &nothing), &voided, 200),
        (("freeze", freeze_path, &nothing), &frozen, 200),
    ] {
        first.clone().expect(status);
        assert_replays(client, sent, first).await;
    }
    assert_eq!((client.balance(&pair.0).await, client.balance(&pair.1).await), state);
}

async fn refusals_replay_after_their_reason_is_gone(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(10).await;
    let poor = body(&pair, 50);
    let no_money = client.post_as("402", "/transfers", poor.clone()).await;
    no_money.refused(402, "insufficient_funds");
    let absent = body(&(pair.0.clone(), format!("wal_{}", "1".repeat(26))), 5);
    let no_wallet = client.post_as("404", "/transfers", absent.clone()).await;
    no_wallet.refused(404, "wallet_not_found");
    client.act(&pair.0, "freeze", json!({})).await.expect(200);
    let small = body(&pair, 5);
    let frozen = client.post_as("409", "/transfers", small.clone()).await;
    frozen.refused(409, "wallet_frozen");
    client.act(&pair.0, "unfreeze", json!({})).await.expect(200);
    let moved = client.transfer(&pair.0, &pair.1, 2).await;
    let path = format!("/transfers/{}/reverse", id(&moved));
    let much = json!({"amount": 3});
    let too_much = client.post_as("422", &path, much.clone()).await;
    too_much.refused(422, "amount_exceeds_reversible");

    client.fund(&pair.0, 1000).await.expect(201);
    let state = client.balance(&pair.0).await;
    let transfers = || "/transfers".to_owned();
    for (sent, first) in [
        (("402", transfers(), &poor), &no_money),
        (("404", transfers(), &absent), &no_wallet),
        (("409", transfers(), &small), &frozen),
        (("422", path, &much), &too_much),
    ] {
        assert_replays(client, sent, first).await;
    }
    assert_eq!(client.balance(&pair.0).await, state);
}

async fn another_request_is_a_mismatch(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let moved = client.post_as("k", "/transfers", body(&pair, 10)).await;
    let id = id(&moved);
    let wallet = &pair.0;
    for (path, body) in [
        ("/transfers".to_owned(), body(&pair, 11)),
        ("/wallets".to_owned(), json!({"currency": "USD"})),
        (format!("/transfers/{id}/reverse"), json!({})),
        (format!("/wallets/{wallet}/fund"), json!({"amount": 1, "source": "treasury"})),
        (format!("/wallets/{wallet}/freeze"), json!({})),
        ("/api-keys".to_owned(), json!({"name": "n", "scopes": ["wallets:read"]})),
    ] {
        let answer = client.post_as("k", &path, body).await;
        answer.refused(422, "idempotency_mismatch");
    }
    // The order of fields and white space are no other request.
    let same = format!(
        "{{ \"currency\": \"USD\",\n\"amount\": 10, \"to\": \"{}\", \"from\": \"{}\" }}",
        pair.1, pair.0
    );
    let again = client.send(Call::new("POST", "/transfers").key("k").text(same)).await;
    assert!(again.is_replay());
    assert_eq!(again.bytes, moved.bytes);
    assert_eq!(client.balance(wallet).await, (990, 0, 990));
}

async fn tenants_keep_their_keys_apart(app: &TestApp) {
    let other = app.tenant("test").await;
    let (ours, theirs) = (app.client.pair(100).await, other.pair(100).await);
    let first = app.client.post_as("same", "/transfers", body(&ours, 10)).await;
    let second = other.post_as("same", "/transfers", body(&theirs, 20)).await;
    assert!(!second.is_replay());
    assert_ne!(first.clone().expect(201)["id"], second.clone().expect(201)["id"]);
    assert_replays(&other, ("same", "/transfers".into(), &body(&theirs, 20)), &second).await;
    assert_replays(&app.client, ("same", "/transfers".into(), &body(&ours, 10)), &first).await;
    // Not even the very same body gets the other's answer.
    let foreign = other.post_as("new", "/transfers", body(&ours, 10)).await;
    foreign.refused(404, "wallet_not_found");
    let foreign = app.client.post_as("new", "/transfers", body(&ours, 10)).await;
    assert!(!foreign.is_replay());
    foreign.expect(201);
}

async fn duplicates_at_once_happen_once(app: &TestApp) {
    let pair = app.client.pair(1000).await;
    for round in 0..3 {
        let (client, wanted) = (app.client.clone(), body(&pair, 10));
        let answers = at_once(200, move |_| {
            let (client, wanted) = (client.clone(), wanted.clone());
            async move {
                loop {
                    let key = format!("one-{round}");
                    let answer = client.post_as(&key, "/transfers", wanted.clone()).await;
                    // Whoever waited two seconds for the first is told so, and asks again.
                    if answer.json["code"] != "idempotency_in_flight" {
                        return answer;
                    }
                }
            }
        })
        .await;
        let first = answers[0].bytes.clone();
        for answer in &answers {
            assert_eq!((answer.status, &answer.bytes), (201, &first));
        }
        assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
    }
    assert_eq!(app.client.balance(&pair.0).await, (970, 0, 970));
    assert_eq!(app.client.balance(&pair.1).await, (30, 0, 30));
    assert_eq!(app.client.all("/transfers").await.len(), 4);
}

async fn what_was_made_is_said_again_whatever_came_since(app: &TestApp) {
    let client = &app.client;
    let until = app.clock.now().plus_seconds(60).to_string();
    let short = json!({"name": "short", "scopes": ["wallets:read"], "expires_at": until});
    let key = client.post_as("key", "/api-keys", short.clone()).await.expect(201);
    let user = client.post("/users", person("ada@example.org")).await.expect(201);
    let own = json!({"currency": "USD", "user_id": user["id"]});
    let wallet = client.post_as("wallet", "/wallets", own.clone()).await.expect(201);
    let close = format!("/wallets/{}/close", wallet["id"].as_str().expect("an id"));
    client.post(close, json!({})).await.expect(200);
    client.delete(format!("/users/{}", user["id"].as_str().expect("an id"))).await.expect(204);
    app.clock.advance(120);
    let again = client.post_as("key", "/api-keys", short.clone()).await;
    assert_eq!((again.is_replay(), &again.json["id"]), (true, &key["id"]));
    client.post("/api-keys", short).await.refused(400, "invalid_request");
    let again = client.post_as("wallet", "/wallets", own.clone()).await;
    assert_eq!((again.is_replay(), again.expect(201)), (true, wallet));
    client.post("/wallets", own).await.refused(404, "user_not_found");
}

fn item(pair: &(String, String), key: &str, amount: i64) -> Value {
    let mut item = body(pair, amount);
    item["idempotency_key"] = key.into();
    item
}

async fn duplicates_inside_a_batch(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let single = client.post_as("single", "/transfers", body(&pair, 1)).await;
    let items = [
        item(&pair, "a", 10),
        item(&pair, "a", 10),
        item(&pair, "b", 5000),
        item(&pair, "b", 5000),
        item(&pair, "a", 11),
        item(&pair, "single", 1),
        item(&pair, "c", 20),
    ];
    let answer = client.post("/transfers/batch", json!({"transfers": items})).await.expect(200);
    let results = answer["results"].as_array().expect("results");
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_i64()).collect();
    let wanted = [201, 201, 402, 402, 422, 201, 201];
    assert_eq!(statuses, wanted.map(Some).to_vec(), "{answer}");
    assert_eq!(results[0]["transfer"], results[1]["transfer"]);
    assert_eq!(results[2]["error"], results[3]["error"]);
    assert_eq!(results[4]["error"]["code"], "idempotency_mismatch");
    assert_eq!(results[5]["transfer"], single.json);
    assert_eq!(client.balance(&pair.0).await, (969, 0, 969));
    // And the other way round: an item's key is a single transfer's key.
    let again = client.post_as("c", "/transfers", body(&pair, 20)).await;
    assert!(again.is_replay());
    assert_eq!(again.json, results[6]["transfer"]);
    let broke = client.post_as("b", "/transfers", body(&pair, 5000)).await;
    assert!(broke.is_replay());
    broke.refused(402, "insufficient_funds");
}

async fn batches_replay(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(100).await;
    let batch = json!({"transfers": [item(&pair, "a", 10), item(&pair, "b", 500)]});
    let first = client.post_as("outer", "/transfers/batch", batch.clone()).await;
    first.clone().expect(200);
    client.fund(&pair.0, 1000).await.expect(201);
    let again = client.post_as("outer", "/transfers/batch", batch.clone()).await;
    let without_ids = |answer: &Answer| {
        let mut json = answer.json.clone();
        json["results"][1]["error"]["request_id"] = Value::Null;
        json
    };
    assert_eq!(without_ids(&again), without_ids(&first));
    assert!(again.is_replay());
    let keyless = Call::new("POST", "/transfers/batch").json(&batch);
    let by_items = client.send(keyless).await;
    assert_eq!(without_ids(&by_items), without_ids(&first));
    let other = json!({"transfers": [item(&pair, "c", 10)]});
    let mismatch = client.post_as("outer", "/transfers/batch", other).await;
    mismatch.refused(422, "idempotency_mismatch");

    let atomic =
        json!({"atomic": true, "transfers": [item(&pair, "d", 1), item(&pair, "e", 9999)]});
    let refused = client.post_as("atomic", "/transfers/batch", atomic.clone()).await;
    refused.refused(402, "insufficient_funds");
    let sent = ("atomic", "/transfers/batch".to_owned(), &atomic);
    client.fund(&pair.0, 100_000).await.expect(201);
    assert_replays(client, sent, &refused).await;
    assert_eq!(client.balance(&pair.1).await, (10, 0, 10));
}

async fn kept_for_a_day_then_forgotten(app: &TestApp) {
    let client = &app.client;
    // Receipts of the minutes around midnight are kept with both days.
    let day_seconds = 86_400;
    let of_day = app.clock.now().micros() / 1_000_000 % day_seconds;
    app.clock.advance(day_seconds + day_seconds / 2 - of_day);
    let pair = client.pair(1000).await;
    let sent = body(&pair, 10);
    let first = client.post_as("k", "/transfers", sent.clone()).await;
    let store = &app.instance.store;
    for hours in [12, 12] {
        app.clock.advance(hours * 3600);
        store.retire_receipts(app.clock.now()).await.expect("retired");
        assert_replays(client, ("k", "/transfers".into(), &sent), &first).await;
    }
    for _ in 0..2 {
        app.clock.advance(24 * 3600);
        store.retire_receipts(app.clock.now()).await.expect("retired");
    }
    let anew = client.post_as("k", "/transfers", sent).await;
    assert!(!anew.is_replay());
    assert_ne!(anew.expect(201)["id"], first.json["id"]);
    assert_eq!(client.balance(&pair.0).await, (980, 0, 980));
}

async fn what_was_not_decided_is_not_kept(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let good = body(&pair, 10);
    for (key, status) in [("400", 400), ("401", 401), ("413", 413), ("415", 415)] {
        let call = Call::new("POST", "/transfers").key(key);
        let call = match status {
            400 => call.json(&body(&pair, 0)),
            401 => call.json(&good).header("authorization", "Bearer sk_test_wrong"),
            413 => call.text(" ".repeat((1 << 20) + 1)),
            _ => call.body(good.to_string()),
        };
        client.send(call).await.expect(status);
        let answer = client.post_as(key, "/transfers", good.clone()).await;
        assert!(!answer.is_replay(), "{key}");
        answer.expect(201);
    }
    let writer = app.client_with(&["wallets:write"]).await;
    let credit = json!({"currency": "USD", "floor": -5});
    writer.post_as("403", "/wallets", credit).await.refused(403, "forbidden");
    let plain = json!({"currency": "USD"});
    writer.post_as("403", "/wallets", plain).await.expect(201);
    assert_eq!(client.balance(&pair.0).await, (960, 0, 960));
}

async fn secrets_are_not_replayed(app: &TestApp) {
    let body = json!({"name": "n", "scopes": ["wallets:read"]});
    let first = app.client.post_as("key", "/api-keys", body.clone()).await.expect(201);
    let again = app.client.post_as("key", "/api-keys", body).await;
    assert!(first["key"].is_string() && again.is_replay());
    let mut without = first.clone();
    without.as_object_mut().expect("an object").remove("key");
    assert_eq!(again.expect(201), without);
    let body = json!({"name": "n", "mode": "live"});
    let first = app.client.post_as("tenant", "/tenants", body.clone()).await.expect(201);
    let again = app.client.post_as("tenant", "/tenants", body).await.expect(201);
    assert!(first["api_key"]["key"].is_string());
    assert!(again["api_key"]["key"].is_null(), "{again}");
    assert_eq!(again["id"], first["id"]);
}

async fn a_batch_and_its_items_have_keys_of_their_own(app: &TestApp) {
    let pair = app.client.pair(1000).await;
    let mut item = body(&pair, 1);
    item["idempotency_key"] = json!("same");
    let batch = json!({"transfers": [item]});
    let answer = app.client.post_as("same", "/transfers/batch", batch.clone()).await;
    answer.refused(400, "invalid_request");
    // Nothing was kept under it.
    let answer = app.client.post_as("another", "/transfers/batch", batch).await;
    assert_eq!(answer.json["results"][0]["status"], 201);
}
