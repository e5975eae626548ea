//! Payments from wallets: one commit for the money and the payment, declines, captures, lists.

use caudal_domain::{Clock, PaymentId, SystemRole};
use caudal_store::{Step, UnitOfWork};
use caudal_testkit::{Call, Client, TestApp, at_once, both_databases, until};
use serde_json::{Value, json};

both_databases! {
    a_payment_moves_money_at_once what_the_payer_has_not_got_is_declined replays_say_the_same
    fees_are_borne_as_the_type_says promises_are_captured_wholly_or_in_part
    promises_are_called_off_or_end_by_themselves captures_out_of_place_are_refused
    bad_payments_say_what_is_wrong lists_and_what_is_expanded holders_pay_from_their_own_wallets
    another_tenants_payment_is_unknown a_batch_is_many_payments
    captures_and_cancellations_at_once_tell_how_the_payment_is
}

pub fn id(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

pub fn body(pair: &(String, String), amount: i64) -> Value {
    json!({"type": "wallet", "from": pair.0, "to": pair.1, "amount": amount, "currency": "USD"})
}

pub fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

pub async fn read(client: &Client, payment: &str) -> Value {
    client.get(format!("/payments/{payment}")).await.expect(200)
}

async fn a_payment_moves_money_at_once(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let asked = with(with(body(&pair, 300), "reference", "order 7"), "metadata", json!({"a": "b"}));
    let mut events = client.events(None).await;
    let answer = client.post("/payments", asked).await;
    assert!(answer.header("caudal-position").is_some());
    let paid = answer.expect(201);
    for (field, value) in [
        ("object", json!("payment")),
        ("type", json!("wallet")),
        ("status", json!("succeeded")),
        ("amount", json!(300)),
        ("amount_captured", json!(300)),
        ("amount_refunded", json!(0)),
        ("amount_disputed", json!(0)),
        ("fee", json!(0)),
        ("to", json!(pair.1)),
        ("from", json!(pair.0)),
        ("reference", json!("order 7")),
        ("metadata", json!({"a": "b"})),
        ("failure", Value::Null),
    ] {
        assert_eq!(paid[field], value, "{field}");
    }
    assert_eq!(read(client, &id(&paid)).await, paid);
    assert_eq!(client.balance(&pair.0).await, (700, 0, 700));
    assert_eq!(client.balance(&pair.1).await, (300, 0, 300));
    let transfer = client.read_transfer(paid["transfer_id"].as_str().expect("an id")).await;
    assert_eq!((&transfer["kind"], &transfer["amount"]), (&json!("payment"), &json!(300)));
    let told = events.next().await;
    assert_eq!(told.event, "payment.processed");
    let data = &told.data["data"];
    assert_eq!((&data["payment_id"], &data["transfer_id"]), (&paid["id"], &paid["transfer_id"]));
    assert_eq!(data["entries"].as_array().map(Vec::len), Some(2));
}

async fn what_the_payer_has_not_got_is_declined(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(100).await;
    for capture in ["automatic", "manual"] {
        let asked = with(body(&pair, 101), "capture", capture);
        let first = client.post_as(capture, "/payments", asked.clone()).await;
        first.refused(402, "insufficient_funds");
        let payment = first.json["payment"]["id"].as_str().expect("a payment").to_owned();
        assert_eq!(first.json["payment"]["status"], "failed");
        let kept = read(client, &payment).await;
        assert_eq!(
            (&kept["status"], &kept["failure"]),
            (&json!("failed"), &json!("insufficient_funds"))
        );
        let again = client.post_as(capture, "/payments", asked).await;
        again.refused(402, "insufficient_funds");
        assert!(again.is_replay());
        assert_eq!(again.json["payment"], first.json["payment"]);
        assert_eq!(again.json["detail"], first.json["detail"]);
        let failed = client.post(format!("/payments/{payment}/capture"), json!({})).await;
        failed.refused(409, "payment_state");
    }
    assert_eq!(client.balance(&pair.0).await, (100, 0, 100));
    // What is not a matter of money makes no payment.
    client.act(&pair.0, "freeze", json!({})).await.expect(200);
    client.post("/payments", body(&pair, 1)).await.refused(409, "wallet_frozen");
    let other = client.wallet("EUR").await;
    let mixed = body(&(pair.1.clone(), other), 1);
    client.post("/payments", mixed).await.refused(422, "currency_mismatch");
    let nowhere = body(&(pair.1.clone(), "wal_nowhere".into()), 1);
    client.post("/payments", nowhere).await.refused(404, "wallet_not_found");
    assert_eq!(client.all("/payments").await.len(), 2);
}

async fn replays_say_the_same(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let first = client.post_as("one", "/payments", body(&pair, 300)).await.expect(201);
    let held = with(body(&pair, 200), "capture", "manual");
    let hold = client.post_as("two", "/payments", held.clone()).await.expect(201);
    let capture = format!("/payments/{}/capture", id(&hold));
    let part = json!({"amount": 50});
    let captured = client.post_as("three", &capture, part.clone()).await.expect(200);
    assert_eq!(captured["status"], "succeeded");
    for (key, path, asked, said) in [
        ("one", "/payments", body(&pair, 300), &first),
        ("two", "/payments", held, &hold),
        ("three", &capture, part, &captured),
    ] {
        let again = client.post_as(key, path, asked).await;
        assert!(again.is_replay(), "{key}");
        assert_eq!(&again.json, said, "{key}");
    }
    client.post_as("one", "/payments", body(&pair, 301)).await.refused(422, "idempotency_mismatch");
    client.post_as("one", &capture, json!({})).await.refused(422, "idempotency_mismatch");
    assert_eq!(client.balance(&pair.0).await, (650, 0, 650));
}

/// A type of payments from wallets with this fee.
pub async fn fee_type(client: &Client, name: &str, more: Value) {
    let fee = json!({"fixed": 10, "basis_points": 250});
    let mut kind = json!({"name": name, "via": "wallet", "currencies": {"USD": {"fee": fee}}});
    for (field, value) in more.as_object().expect("an object") {
        kind[field] = value.clone();
    }
    client.post("/payment-types", kind).await.expect(201);
}

async fn fees_are_borne_as_the_type_says(app: &TestApp) {
    let client = &app.client;
    fee_type(client, "payee", json!({})).await;
    fee_type(client, "payer", json!({"fee_bearer": "payer"})).await;
    // 2.5 % of 1000 and 10.
    for (kind, payer, payee) in [("payee", 4000, 965), ("payer", 3965, 1000)] {
        for capture in ["automatic", "manual"] {
            let pair = client.pair(5000).await;
            let asked = with(with(body(&pair, 1000), "type", kind), "capture", capture);
            let mut paid = client.post("/payments", asked).await.expect(201);
            if capture == "manual" {
                let held = if kind == "payer" { 1035 } else { 1000 };
                assert_eq!(client.balance(&pair.0).await, (5000 - held, held, 5000), "{kind}");
                let path = format!("/payments/{}/capture", id(&paid));
                paid = client.post(path, json!({})).await.expect(200);
            }
            assert_eq!((&paid["status"], &paid["fee"]), (&json!("succeeded"), &json!(35)));
            assert_eq!(client.balance(&pair.0).await.2, payer, "{kind} {capture}");
            assert_eq!(client.balance(&pair.1).await.2, payee, "{kind} {capture}");
        }
    }
}

async fn promises_are_captured_wholly_or_in_part(app: &TestApp) {
    let client = &app.client;
    fee_type(client, "payer", json!({"fee_bearer": "payer", "capture": "manual"})).await;
    let pair = client.pair(5000).await;
    let asked = with(body(&pair, 1000), "type", "payer");
    let held = client.post("/payments", asked).await.expect(201);
    assert_eq!(
        (&held["status"], &held["amount_captured"]),
        (&json!("requires_capture"), &json!(0))
    );
    let capture = format!("/payments/{}/capture", id(&held));
    let much = client.post(&capture, json!({"amount": 1001})).await;
    much.refused(422, "amount_exceeds_authorized");
    // The payer can't prevent it any more.
    client.act(&pair.0, "freeze", json!({})).await.expect(200);
    let taken = client.post(&capture, json!({"amount": 400})).await.expect(200);
    assert_eq!((&taken["amount_captured"], &taken["fee"]), (&json!(400), &json!(20)));
    assert_eq!(taken["status"], "succeeded");
    assert_eq!(client.balance(&pair.0).await, (4580, 0, 4580));
    assert_eq!(client.balance(&pair.1).await, (400, 0, 400));
    client.post(&capture, json!({})).await.refused(409, "payment_state");
}

async fn promises_are_called_off_or_end_by_themselves(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let asked = with(body(&pair, 400), "capture", "manual");
    let promise =
        async |asked: &Value| id(&client.post("/payments", asked.clone()).await.expect(201));
    let [first, second] = [promise(&asked).await, promise(&asked).await];
    assert_eq!(client.balance(&pair.0).await, (200, 800, 1000));
    let off = client.post(format!("/payments/{first}/cancel"), json!({})).await.expect(200);
    assert_eq!(off["status"], "canceled");
    assert_eq!(client.balance(&pair.0).await, (600, 400, 1000));
    let again = client.post(format!("/payments/{first}/cancel"), json!({})).await;
    again.refused(409, "payment_state");
    app.clock.advance(7 * 86_400 - 1);
    assert_eq!(read(client, &second).await["status"], "requires_capture");
    let third = promise(&with(asked, "amount", 300)).await;
    // What can't be read holds up nobody behind it.
    let data = set_data(app, &second, "\"unreadable\"").await;
    app.clock.advance(7 * 86_400);
    until("the sweep", async || read(client, &third).await["status"] == "canceled").await;
    set_data(app, &second, &data).await;
    let late = client.post(format!("/payments/{second}/capture"), json!({})).await;
    late.refused(409, "payment_state");
    until("the sweep", async || read(client, &second).await["status"] == "canceled").await;
    assert_eq!(client.balance(&pair.0).await, (1000, 0, 1000));
}

/// What it was before.
async fn set_data(app: &TestApp, payment: &str, data: &str) -> String {
    let payment: PaymentId = payment.parse().expect("an id");
    let mut params = vec![i64::from(payment.bucket().0).into(), payment.0.into()];
    let sql = "select data from payments where bucket = $1 and id = $2";
    let rows = app.instance.store.query("payments", sql, &params).await.expect("rows");
    let before = rows[0].text(0).expect("text").to_owned();
    params.push(data.into());
    let sql = "update payments set data = $3 where bucket = $1 and id = $2";
    let steps = vec![Step::new(sql, params)];
    let unit = UnitOfWork { at: app.clock.now(), steps, ..UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a commit");
    before
}

async fn captures_out_of_place_are_refused(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let paid = client.post("/payments", body(&pair, 100)).await.expect(201);
    let path = |verb: &str| format!("/payments/{}/{verb}", id(&paid));
    for verb in ["capture", "cancel"] {
        let refused = client.post_as(verb, path(verb), json!({})).await;
        refused.refused(409, "payment_state");
        assert!(refused.json["detail"].as_str().is_some_and(|it| it.contains("succeeded")));
        let again = client.post_as(verb, path(verb), json!({})).await;
        assert!(again.is_replay(), "{verb}");
        let unknown = client.post(format!("/payments/pay_none/{verb}"), json!({})).await;
        unknown.refused(404, "payment_not_found");
    }
}

async fn bad_payments_say_what_is_wrong(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let max = json!({"name": "small", "via": "wallet",
        "currencies": {"USD": {"min_amount": 10, "max_amount": 20}}});
    client.post("/payment-types", max).await.expect(201);
    let good = || body(&pair, 15);
    let small = |amount: i64| with(body(&pair, amount), "type", "small");
    let table = [
        (with(good(), "type", "unheard-of"), "type", "invalid_request"),
        (with(good(), "type", ""), "type", "invalid_request"),
        (with(good(), "amount", 0), "amount", "invalid_request"),
        (with(good(), "amount", 1.5), "amount", "invalid_request"),
        (with(good(), "from", pair.1.clone()), "to", "invalid_request"),
        (with(good(), "from", Value::Null), "from", "invalid_request"),
        (with(good(), "payment_method", "pm_card_visa"), "payment_method", "invalid_request"),
        (with(good(), "type", "card"), "from", "invalid_request"),
        (with(good(), "capture", "later"), "capture", "invalid_request"),
        (with(good(), "colour", "red"), "colour", "invalid_request"),
        (with(good(), "return_url", "javascript:x"), "return_url", "invalid_request"),
        (with(good(), "description", "4242 4242 4242 4242"), "description", "card_number_in_text"),
        (with(good(), "reference", "4242424242424242"), "reference", "card_number_in_text"),
        (
            with(good(), "metadata", json!({"a": "4242424242424242"})),
            "metadata",
            "card_number_in_text",
        ),
        (with(small(15), "currency", "EUR"), "currency", "invalid_request"),
        (small(9), "amount", "invalid_request"),
        (small(21), "amount", "invalid_request"),
    ];
    for (asked, param, code) in table {
        let answer = client.post("/payments", asked.clone()).await;
        answer.refused_as(&asked.to_string(), 400, code);
        assert_eq!(answer.json["param"], param, "{asked}");
    }
    client.post("/payments", small(20)).await.expect(201);
    assert_eq!(client.balance(&pair.1).await, (20, 0, 20));
}

async fn lists_and_what_is_expanded(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let back = (pair.1.clone(), pair.0.clone());
    let first = with(with(body(&pair, 100), "reference", "a"), "capture", "manual");
    let first = client.post("/payments", first).await.expect(201);
    let second = client.post("/payments", body(&pair, 200)).await.expect(201);
    let third = client.post("/payments", body(&back, 50)).await.expect(201);
    let listed = async |query: &str| -> Vec<String> {
        client.all(&format!("/payments?{query}")).await.iter().map(id).collect()
    };
    let [first, second, third] = [id(&first), id(&second), id(&third)];
    for (query, wanted) in [
        ("limit=1".to_owned(), vec![&third, &second, &first]),
        ("status=succeeded".into(), vec![&third, &second]),
        ("status=requires_capture".into(), vec![&first]),
        ("type=wallet".into(), vec![&third, &second, &first]),
        ("type=card".into(), vec![]),
        ("reference=a".into(), vec![&first]),
        (format!("wallet={}", pair.1), vec![&second, &first]),
        (format!("from={}", pair.1), vec![&third]),
    ] {
        assert_eq!(listed(&query).await.iter().collect::<Vec<_>>(), wanted, "{query}");
    }
    let fields = client.get("/payments?fields=id,status&limit=1").await.expect(200);
    assert_eq!(fields["data"][0], json!({"id": third, "status": "succeeded"}));
    client.get("/payments?status=paid").await.refused(400, "invalid_request");
    client.get("/payments?wallet=wal_none").await.refused(404, "wallet_not_found");
    client.post(format!("/payments/{first}/capture"), json!({})).await.expect(200);
    let path = format!("/payments/{first}?expand[]=events&expand[]=refunds&fields=id");
    let expanded = client.get(path).await.expect(200);
    let events: Vec<_> =
        expanded["events"].as_array().expect("a list").iter().map(|it| &it["status"]).collect();
    assert_eq!(events.last(), Some(&&json!("succeeded")), "{expanded}");
    assert_eq!(expanded["refunds"], json!([]));
    let wrong = client.get(format!("/payments/{first}?expand[]=colour")).await;
    wrong.refused(400, "invalid_request");
}

async fn holders_pay_from_their_own_wallets(app: &TestApp) {
    let client = &app.client;
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (_, bob) = app.user(&[SystemRole::WalletHolder]).await;
    let wallet = json!({"currency": "USD", "user_id": ada_id.to_string()});
    let own = id(&client.post("/wallets", wallet).await.expect(201));
    client.fund(&own, 1000).await.expect(201);
    let (foreign, shop) = client.pair(1000).await;
    let paid = ada.post("/payments", body(&(own.clone(), shop.clone()), 10)).await.expect(201);
    assert_eq!(paid["user_id"], json!(ada_id.to_string()));
    let stolen = ada.post("/payments", body(&(foreign.clone(), own.clone()), 10)).await;
    stolen.refused(404, "wallet_not_found");
    let got = client.post("/payments", body(&(foreign, own.clone()), 5)).await.expect(201);
    let theirs = format!("/payments/{}", id(&paid));
    assert_eq!(ada.get(&theirs).await.expect(200)["id"], paid["id"]);
    assert_eq!(ada.get(format!("/payments/{}", id(&got))).await.status, 200);
    bob.get(&theirs).await.refused(404, "payment_not_found");
    assert_eq!(ada.all("/payments").await.len(), 1);
    assert_eq!(ada.all(&format!("/payments?wallet={own}")).await.len(), 1);
    assert_eq!(bob.all("/payments").await.len(), 0);
    ada.get(format!("/payments?wallet={shop}")).await.refused(404, "wallet_not_found");
    for verb in ["capture", "cancel"] {
        ada.post(format!("{theirs}/{verb}"), json!({})).await.refused(403, "forbidden");
    }
}

async fn a_batch_is_many_payments(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(100).await;
    let item = |key: &str, amount: i64| with(body(&pair, amount), "idempotency_key", key);
    let items = json!({"payments": [item("a", 60), item("b", 60), item("a", 60), item("c", 10),
        with(item("d", 1), "type", "unheard-of")]});
    let call = Call::new("POST", "/payments/batch").json(&items);
    let results = client.send(call).await.expect(200)["results"].clone();
    let status = |at: usize| results[at]["status"].clone();
    assert_eq!([0, 1, 2, 3, 4].map(status), [201, 402, 201, 201, 400].map(|it| json!(it)));
    assert_eq!(results[0]["payment"], results[2]["payment"]);
    assert_eq!(results[1]["error"]["payment"]["status"], "failed");
    assert_eq!(client.balance(&pair.0).await, (30, 0, 30));
    let again = client.post_as("a", "/payments", body(&pair, 60)).await;
    assert!(again.is_replay());
    for (items, param) in [
        (json!({"payments": []}), "payments"),
        (json!({"payments": [body(&pair, 1)]}), "payments[0].idempotency_key"),
        (json!({"payments": [with(item("e", 1), "amount", 0)]}), "payments[0].amount"),
    ] {
        let call = Call::new("POST", "/payments/batch").json(&items);
        let answer = client.send(call).await;
        answer.refused(400, "invalid_request");
        assert_eq!(answer.json["param"], param);
    }
}

async fn another_tenants_payment_is_unknown(app: &TestApp) {
    let client = &app.client;
    let pair = client.pair(1000).await;
    let asked = with(body(&pair, 10), "capture", "manual");
    let held = id(&client.post("/payments", asked).await.expect(201));
    let thief = app.tenant("test").await;
    thief.get(format!("/payments/{held}")).await.refused(404, "payment_not_found");
    for verb in ["capture", "cancel"] {
        let tried = thief.post(format!("/payments/{held}/{verb}"), json!({})).await;
        tried.refused(404, "payment_not_found");
    }
    assert_eq!(thief.all("/payments").await.len(), 0);
    assert_eq!(client.balance(&pair.0).await, (990, 10, 1000));
}

async fn captures_and_cancellations_at_once_tell_how_the_payment_is(app: &TestApp) {
    let client = &app.client;
    for _ in 0..4 {
        let pair = client.pair(1000).await;
        let asked = with(body(&pair, 400), "capture", "manual");
        let payment = id(&client.post("/payments", asked).await.expect(201));
        let answers = at_once(16, |number| {
            let verb = if number % 2 == 0 { "capture" } else { "cancel" };
            let (client, path) = (client.clone(), format!("/payments/{payment}/{verb}"));
            async move { client.post(path, json!({})).await }
        })
        .await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            answer.refused(409, "payment_state");
        }
        let now = read(client, &payment).await;
        let paid = if now["status"] == "succeeded" { 400 } else { 0 };
        assert_eq!(client.balance(&pair.1).await, (paid, 0, paid));
        if let Some(transfer) = now["transfer_id"].as_str() {
            // The one that moved the money, not the hold.
            assert_eq!(client.read_transfer(transfer).await["status"], "posted");
        }
    }
}
