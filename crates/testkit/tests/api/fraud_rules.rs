//! Fraud rules: written, put in order, changed and deleted; what is no rule is told with its place.

use caudal_domain::SystemRole;
use caudal_testkit::{Call, TestApp, both_databases};
use serde_json::{Value, json};

both_databases! {
    rules_are_made_changed_and_deleted rules_stand_in_their_order what_is_no_rule_is_refused
    rules_are_their_tenants_own a_hundred_rules_are_active_at_most
    a_trial_without_payments_finds_none a_payment_that_nobody_made_is_tried
}

fn rule(name: &str, expression: &str, action: &str) -> Value {
    json!({"name": name, "expression": expression, "action": action})
}

fn id_of(object: &Value) -> &str {
    object["id"].as_str().expect("an id")
}

async fn rules_are_made_changed_and_deleted(app: &TestApp) {
    let client = &app.client;
    let new = rule("large", "payment.amount > 500000", "review");
    let made = client.post_as("first", "/fraud-rules", new.clone()).await.expect(201);
    for (field, wanted) in [
        ("object", json!("fraud_rule")),
        ("action", json!("review")),
        ("position", json!(100)),
        ("active", json!(true)),
        ("expression", json!("payment.amount > 500000")),
    ] {
        assert_eq!(made[field], wanted, "{field}");
    }
    assert!(client.post_as("first", "/fraud-rules", new).await.is_replay());
    let path = format!("/fraud-rules/{}", id_of(&made));
    let read = client.get(&path).await;
    let tag = read.header("etag").expect("a tag").to_owned();
    assert_eq!(read.expect(200), made);

    let patch = |body: Value| Call::new("PATCH", &path).json(&body);
    let stale = patch(json!({"active": false})).header("if-match", "\"9\"");
    client.send(stale).await.refused(412, "precondition_failed");
    let change = json!({"expression": "payment.amount > 7", "action": "block", "position": 3});
    let changed = client.send(patch(change).header("if-match", &tag)).await.expect(200);
    assert_eq!((&changed["action"], &changed["position"]), (&json!("block"), &json!(3)));
    assert_eq!((&changed["name"], &changed["active"]), (&json!("large"), &json!(true)));

    assert_eq!(client.delete(&path).await.status, 204);
    client.get(&path).await.refused(404, "fraud_rule_not_found");
    client.delete(&path).await.refused(404, "fraud_rule_not_found");
    let audit = client.get(format!("/audit?object={}", id_of(&made))).await.expect(200);
    let acts: Vec<_> = audit["data"].as_array().expect("a list").iter().collect();
    let actions: Vec<_> = acts.iter().map(|act| act["action"].as_str().expect("text")).collect();
    assert_eq!(actions, ["fraud_rule.deleted", "fraud_rule.updated", "fraud_rule.created"]);
    assert_eq!(acts[1]["fields"], json!(["expression", "action", "position"]));
}

async fn rules_stand_in_their_order(app: &TestApp) {
    let client = &app.client;
    for (name, position) in [("d", 200), ("b", 100), ("a", 5), ("c", 100)] {
        let mut new = rule(name, "true", "allow");
        new["position"] = position.into();
        client.post("/fraud-rules", new).await.expect(201);
    }
    let names = async |path: &str| {
        let all = client.all(path).await;
        all.iter().map(|rule| rule["name"].as_str().expect("a name").to_owned()).collect::<String>()
    };
    assert_eq!(names("/fraud-rules").await, "abcd");
    assert_eq!(names("/fraud-rules?limit=1").await, "abcd");
    let last = client.all("/fraud-rules").await.pop().expect("four");
    let path = format!("/fraud-rules/{}", id_of(&last));
    client.patch(&path, json!({"position": 0})).await.expect(200);
    assert_eq!(names("/fraud-rules?limit=3&fields=name").await, "dabc");
}

async fn what_is_no_rule_is_refused(app: &TestApp) {
    let client = &app.client;
    let long = "true || ".repeat(400) + "true";
    let table: &[(Value, &str, &str)] = &[
        (rule("x", "payment.amount >", "block"), "expression", "line 1, column 17: "),
        (rule("x", "true &&\npayment.amout > 5", "block"), "expression", "line 2, column 8: "),
        (rule("x", "payment.amount > 'x'", "block"), "expression", "can't be used here"),
        (rule("x", "", "block"), "expression", "line 1, column 1"),
        (rule("x", "payment.amount", "block"), "expression", "true or false"),
        (rule("x", "[1].all(x, x > 0)", "block"), "expression", "can't loop"),
        (rule("x", &long, "block"), "expression", "2000 bytes"),
        (rule("x", "payment.description.matches('(a')", "block"), "expression", "pattern"),
        (rule("x", "payment.description == '4242424242424242'", "block"), "expression", "card"),
        (rule("x", "true", "burn"), "action", ""),
        (rule("", "true", "block"), "name", ""),
        (json!({"name": "x", "action": "block"}), "expression", ""),
        (
            json!({"name": "x", "expression": "true", "action": "block", "position": -1}),
            "position",
            "",
        ),
        (json!({"name": "x", "expression": "true", "action": "block", "rank": 1}), "rank", ""),
    ];
    for (body, param, said) in table {
        let answer = client.post("/fraud-rules", body.clone()).await;
        assert_eq!((answer.status, &answer.json["param"]), (400, &json!(param)), "{body}");
        let detail = answer.json["detail"].as_str().expect("text");
        assert!(detail.contains(said), "{body}: {detail}");
    }
    let made = client.post("/fraud-rules", rule("x", "true", "allow")).await.expect(201);
    let path = format!("/fraud-rules/{}", id_of(&made));
    let wrong = client.patch(&path, json!({"expression": "payment.amount >"})).await;
    assert_eq!(wrong.refused(400, "invalid_request").json["param"], "expression");
}

async fn rules_are_their_tenants_own(app: &TestApp) {
    let made = app.client.post("/fraud-rules", rule("x", "true", "block")).await.expect(201);
    let path = format!("/fraud-rules/{}", id_of(&made));
    let other = app.tenant("test").await;
    other.get(&path).await.refused(404, "fraud_rule_not_found");
    other.patch(&path, json!({"active": false})).await.refused(404, "fraud_rule_not_found");
    other.delete(&path).await.refused(404, "fraud_rule_not_found");
    assert_eq!(other.all("/fraud-rules").await, Vec::<Value>::new());
    let (_, operator) = app.user(&[SystemRole::Operator]).await;
    operator.get(&path).await.expect(200);
    operator.delete(&path).await.refused(403, "forbidden");
    let (_, holder) = app.user(&[SystemRole::WalletHolder]).await;
    holder.get("/fraud-rules").await.refused(403, "forbidden");
}

async fn a_hundred_rules_are_active_at_most(app: &TestApp) {
    let client = app.tenant("test").await;
    for number in 0..100 {
        client.post("/fraud-rules", rule(&number.to_string(), "false", "block")).await.expect(201);
    }
    let mut more = rule("more", "false", "block");
    let answer = client.post("/fraud-rules", more.clone()).await;
    assert_eq!(answer.refused(400, "invalid_request").json["param"], "active");
    more["active"] = false.into();
    let more = client.post("/fraud-rules", more).await.expect(201);
    let path = format!("/fraud-rules/{}", id_of(&more));
    let answer = client.patch(&path, json!({"active": true})).await;
    assert_eq!(answer.refused(400, "invalid_request").json["param"], "active");
    let first = client.get("/fraud-rules?limit=1").await.expect(200);
    let first = format!("/fraud-rules/{}", id_of(&first["data"][0]));
    client.patch(&first, json!({"name": "still one of a hundred"})).await.expect(200);
}

async fn a_trial_without_payments_finds_none(app: &TestApp) {
    let client = &app.client;
    let path = "/fraud-rules/test";
    let tried = client.post(path, json!({"expression": "payment.amount > 5"})).await.expect(200);
    assert_eq!((&tried["tried"], &tried["payments"]), (&json!(0), &json!([])));
    let unknown = json!({"expression": "true", "payment_id": "pay_00000000000000000000000007"});
    client.post(path, unknown).await.refused(404, "payment_not_found");
    for (body, param) in [
        (json!({"expression": "payment.amount >"}), "expression"),
        (json!({"expression": "true", "limit": 0}), "limit"),
        (json!({"expression": "true", "limit": 101}), "limit"),
        (json!({"expression": "true", "created_before": "today"}), "created_before"),
        (json!({"expression": "true", "limit": 5, "payment_id": "pay_1"}), "payment_id"),
    ] {
        let answer = client.post(path, body).await;
        assert_eq!(answer.refused(400, "invalid_request").json["param"], param);
    }
}

async fn a_payment_that_nobody_made_is_tried(app: &TestApp) {
    let client = &app.client;
    let path = "/fraud-rules/test";
    let (user, _) = app.user(&[SystemRole::WalletHolder]).await;
    let wallet = json!({"currency": "USD", "user_id": user.to_string()});
    let wallet = client.post("/wallets", wallet).await.expect(201);
    let wallet = id_of(&wallet);
    client.fund(wallet, 700).await.expect(201);
    let bare = json!({"amount": 600, "currency": "USD"});
    let full = json!({"amount": 5, "currency": "USD", "type": "card", "from": wallet,
        "payment_method": "pm_card_visa", "description": "two", "metadata": {"country": "PT"}});
    for (expression, payment, outcome) in [
        ("payment.amount > 500", &bare, "holds"),
        ("payment.amount > 600", &bare, "does_not_hold"),
        ("payment.type == '' && wallet.id == ''", &bare, "holds"),
        ("user.is_known || velocity.payer.count_24h > 0", &bare, "does_not_hold"),
        ("payment.metadata.country == 'PT'", &bare, "failed"),
        ("payment.metadata.country == 'PT' && payment.type == 'card'", &full, "holds"),
        ("wallet.available == 700 && user.is_known", &full, "holds"),
        ("payment.amount_in('EUR') > 1", &full, "failed"),
    ] {
        let body = json!({"expression": expression, "payment": payment});
        let tried = client.post(path, body).await.expect(200);
        let found = &tried["payments"][0];
        assert_eq!(found["outcome"], outcome, "{expression} {payment}: {tried}");
        assert_eq!((&tried["tried"], &found["payment_id"]), (&json!(1), &Value::Null));
    }
    let with = |field: &str, value: Value| {
        let mut payment = bare.clone();
        payment[field] = value;
        json!({"expression": "true", "payment": payment})
    };
    for (body, param, said) in [
        (
            json!({"expression": "true &&\n payment.amout > 5", "payment": bare}),
            "expression",
            "line 2, column 9",
        ),
        (json!({"expression": "true", "payment": {"amount": 5}}), "payment.currency", ""),
        (with("amount", json!(0)), "payment.amount", ""),
        (with("colour", json!("red")), "payment.colour", ""),
        (with("description", json!("4242 4242 4242 4242")), "payment.description", "card"),
        (json!({"expression": "true", "payment": bare, "limit": 5}), "payment", "either"),
        (json!({"expression": "true", "payment": bare, "payment_id": "x"}), "payment", "either"),
    ] {
        let answer = client.post(path, body.clone()).await;
        assert_eq!((answer.status, &answer.json["param"]), (400, &json!(param)), "{body}");
        let detail = answer.json["detail"].as_str().expect("text");
        assert!(detail.contains(said), "{body}: {detail}");
    }
    let unknown = "wal_00000000000000000000000007";
    client.post(path, with("from", json!(unknown))).await.refused(404, "wallet_not_found");
    client.post(path, with("user_id", json!("usr_1"))).await.refused(404, "user_not_found");
    let foreign = app.tenant("test").await;
    let body = json!({"expression": "true", "payment": full});
    foreign.post(path, body).await.refused(404, "wallet_not_found");
    assert_eq!(client.all("/payments").await.len(), 0, "a trial leaves nothing behind");
}
