//! Types of payments: who has which from the start, how they are made, changed and deleted.

use caudal_testkit::{Call, Client, TestApp, both_databases};
use serde_json::{Value, json};

both_databases! {
    tenants_for_tests_can_pay_at_once types_are_made_changed_and_deleted
    types_are_the_tenants_own settings_that_cannot_be_meant_are_refused
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

fn wallet_type(name: &str) -> Value {
    json!({"name": name, "via": "wallet", "currencies": {
        "USD": {"min_amount": 100, "max_amount": 5000, "fee": {"fixed": 10, "basis_points": 50}}
    }})
}

async fn names(client: &Client) -> Vec<String> {
    let all = client.all("/payment-types").await;
    all.iter().map(|kind| kind["name"].as_str().expect("a name").to_owned()).collect()
}

async fn tenants_for_tests_can_pay_at_once(app: &TestApp) {
    assert_eq!(names(&app.client).await, ["bank_transfer", "card", "wallet"]);
    let accounts = app.client.all("/gateway-accounts").await;
    assert_eq!(accounts.len(), 1);
    assert_eq!(accounts[0]["kind"], "simulator");
    let card = &app.client.all("/payment-types").await[1];
    assert_eq!(card["other_currencies"]["gateway_accounts"], json!([accounts[0]["id"]]));
    let (test, live) = (app.tenant("test").await, app.tenant("live").await);
    assert_eq!(names(&test).await, ["wallet"]);
    assert_eq!(names(&live).await, [""; 0]);
}

async fn types_are_made_changed_and_deleted(app: &TestApp) {
    let client = &app.client;
    let made = client.post("/payment-types", wallet_type("tips")).await.expect(201);
    let terms = json!({"min_amount": 100, "max_amount": 5000,
        "fee": {"fixed": 10, "basis_points": 50}, "gateway_accounts": []});
    assert_eq!(made["currencies"], json!({"USD": terms}));
    for (field, value) in [
        ("active", json!(true)),
        ("capture", json!("automatic")),
        ("fee_bearer", json!("payee")),
        ("fee_return", json!("kept")),
        ("loss_bearer", json!("payee")),
        ("available_after_s", json!(0)),
        ("other_currencies", Value::Null),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    let taken = client.post_as("again", "/payment-types", wallet_type("tips")).await;
    taken.refused(409, "name_taken");
    assert!(client.post_as("again", "/payment-types", wallet_type("tips")).await.is_replay());

    let path = format!("/payment-types/{}", id_of(&made));
    let tag = client.get(&path).await.header("etag").expect("a tag").to_owned();
    let patch = |body: Value| Call::new("PATCH", &path).json(&body);
    let stale = patch(json!({"active": false})).header("if-match", "\"7\"");
    client.send(stale).await.refused(412, "precondition_failed");
    let change = json!({"active": false, "fee_bearer": "payer", "other_currencies": {}});
    let changed = client.send(patch(change).header("if-match", &tag)).await.expect(200);
    assert_eq!((&changed["active"], &changed["fee_bearer"]), (&json!(false), &json!("payer")));
    assert_eq!(changed["currencies"], made["currencies"]);
    let fee = &changed["other_currencies"]["fee"];
    assert_eq!(fee, &json!({"fixed": 0, "basis_points": 0}));
    client.patch(&path, json!({"other_currencies": null})).await.expect(200);
    // Nothing would be left to pay in.
    let none = client.patch(&path, json!({"currencies": {}})).await;
    assert_eq!(none.refused(400, "invalid_request").json["param"], "currencies");

    let picked = client.get("/payment-types?fields=name&limit=1").await.expect(200);
    assert_eq!(picked["data"], json!([{"name": "tips"}]));
    assert_eq!(picked["has_more"], true);
    assert_eq!(client.delete(&path).await.status, 204);
    client.get(&path).await.refused(404, "payment_type_not_found");
    client.delete(&path).await.refused(404, "payment_type_not_found");
    // The name is free again.
    client.post("/payment-types", wallet_type("tips")).await.expect(201);

    let records = client.all(&format!("/audit?object={}", id_of(&made))).await;
    let acts: Vec<_> = records.iter().map(|it| (&it["action"], &it["fields"])).collect();
    let (deleted, updated) = (json!("payment_type.deleted"), json!("payment_type.updated"));
    let first = json!(["active", "fee_bearer", "other_currencies"]);
    assert_eq!(
        acts,
        [
            (&deleted, &json!([])),
            (&updated, &json!(["other_currencies"])),
            (&updated, &first),
            (&json!("payment_type.created"), &json!([])),
        ]
    );
}

async fn types_are_the_tenants_own(app: &TestApp) {
    let other = app.tenant("test").await;
    let made = app.client.post("/payment-types", wallet_type("tips")).await.expect(201);
    let path = format!("/payment-types/{}", id_of(&made));
    other.get(&path).await.refused(404, "payment_type_not_found");
    other.patch(&path, json!({"active": false})).await.refused(404, "payment_type_not_found");
    other.delete(&path).await.refused(404, "payment_type_not_found");
    app.client.get("/payment-types/none").await.refused(404, "payment_type_not_found");
    // The same name, and the account of somebody else.
    other.post("/payment-types", wallet_type("tips")).await.expect(201);
    let account = id_of(&app.client.all("/gateway-accounts").await[0]);
    let foreign = json!({"name": "card", "via": "gateway", "other_currencies":
        {"gateway_accounts": [account]}});
    let refused = other.post("/payment-types", foreign.clone()).await;
    assert_eq!(refused.refused(400, "invalid_request").json["param"], "gateway_accounts");
    let own = json!({"name": "card_2", "via": "gateway", "other_currencies":
        {"gateway_accounts": [account]}});
    app.client.post("/payment-types", own).await.expect(201);
}

async fn settings_that_cannot_be_meant_are_refused(app: &TestApp) {
    let usd = |terms: Value| json!({"name": "x", "via": "wallet", "currencies": {"USD": terms}});
    for (body, param) in [
        (json!({"via": "wallet", "other_currencies": {}}), "name"),
        (json!({"name": "Card", "via": "wallet", "other_currencies": {}}), "name"),
        (json!({"name": "x\u{0}", "via": "wallet", "other_currencies": {}}), "name"),
        (json!({"name": "x", "via": "barter", "other_currencies": {}}), "via"),
        (json!({"name": "x", "via": "wallet"}), "currencies"),
        (json!({"name": "x", "via": "wallet", "currencies": {"usd": {}}}), "currencies.usd"),
        (
            json!({"name": "x", "via": "wallet", "other_currencies": {"min_amount": 5}}),
            "other_currencies",
        ),
        (
            json!({"name": "x", "via": "gateway", "currencies": {"USD": {}}}),
            "currencies.USD.gateway_accounts",
        ),
        (
            json!({"name": "x", "via": "wallet", "other_currencies": {}, "available_after_s": 1.5}),
            "available_after_s",
        ),
        (
            json!({"name": "x", "via": "gateway", "other_currencies": {},
            "available_after_s": 15_552_001}),
            "available_after_s",
        ),
        (usd(json!({"min_amount": 0})), "currencies.USD.min_amount"),
        (usd(json!({"min_amount": 6, "max_amount": 5})), "currencies.USD.min_amount"),
        (usd(json!({"max_amount": "5"})), "currencies.USD.max_amount"),
        (usd(json!({"fee": {"basis_points": 10_001}})), "currencies.USD.fee.basis_points"),
        (usd(json!({"fee": {"fixed": -1}})), "currencies.USD.fee.fixed"),
        (usd(json!({"fee": {"percent": 1}})), "currencies.USD.fee.percent"),
        (usd(json!({"gateway_accounts": ["nobody"]})), "currencies.USD.gateway_accounts[0]"),
        (json!({"name": "x", "via": "wallet", "colour": "red"}), "colour"),
    ] {
        let answer = app.client.post("/payment-types", body.clone()).await;
        answer.refused_as(&body.to_string(), 400, "invalid_request");
        assert_eq!(answer.json["param"], param, "{body}");
    }
}
