//! Foreign exchange: rates on record, quotes, and money that changes its currency.

use caudal_domain::SystemRole;
use caudal_testkit::{Call, Client, TestApp, at_once, both_databases};
use serde_json::{Value, json};

both_databases! {
    rates_are_public_and_kept bad_rates_are_refused quotes_promise_the_rate_on_record
    an_exchange_is_both_or_neither what_the_rate_did_meanwhile_is_the_tenants
    quotes_end fifty_at_once_use_a_quote_once quotes_are_their_holders_own
}

async fn rate(app: &TestApp, base: &str, rates: Value) {
    // Rates on record do not change: another instant.
    app.clock.advance_micros(1);
    let body = json!({"rates": rates, "source": "desk"});
    app.client.send(Call::new("PUT", format!("/rates/{base}")).json(&body)).await.expect(200);
}

fn quote_body(from: &str, to: &str, amount: i64) -> Value {
    json!({"from_currency": from, "to_currency": to, "amount": amount})
}

async fn quote(client: &Client, pair: (&str, &str), amount: i64) -> String {
    let quote = client.post("/quotes", quote_body(pair.0, pair.1, amount)).await.expect(201);
    quote["id"].as_str().expect("an id").to_owned()
}

fn exchange_body(quote: &str, from: &str, to: &str) -> Value {
    json!({"quote": quote, "from": from, "to": to})
}

/// What an account of the tenants' own has come to, over all of them.
async fn total(app: &TestApp, currency: &str, kind: &str) -> i64 {
    let report = app.instance.service.reconcile(None).await.expect("a report");
    let mut lines = report.trial_balance.iter();
    let line = lines.find(|line| line.currency == currency && line.kind == kind);
    line.map_or(0, |line| line.total.parse().expect("a number"))
}

async fn rates_are_public_and_kept(app: &TestApp) {
    let anybody = app.client.without_key();
    anybody.get("/rates/USD").await.refused(404, "rate_not_found");
    rate(app, "USD", json!({"EUR": "0.90", "JPY": "151.239"})).await;
    rate(app, "USD", json!({"EUR": "0.9231"})).await;
    rate(app, "EUR", json!({"USD": "1.08"})).await;
    let read = anybody.get("/rates/USD").await;
    assert_eq!(read.header("cache-control"), Some("public, max-age=300"));
    let tag = read.header("etag").expect("a tag").to_owned();
    let shape = read.expect(200);
    assert_eq!(shape["rates"], json!({"EUR": "0.9231", "JPY": "151.239"}));
    assert_eq!((&shape["base"], &shape["object"]), (&json!("USD"), &json!("rates")));
    let again = Call::new("GET", "/rates/USD").header("if-none-match", &tag);
    let again = anybody.send(again).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    assert_eq!(again.header("etag"), Some(&*tag));
    rate(app, "USD", json!({"EUR": "0.9232"})).await;
    let changed = Call::new("GET", "/rates/USD").header("if-none-match", &tag);
    assert_eq!(anybody.send(changed).await.expect(200)["rates"]["EUR"], "0.9232");
    let done = app.client.all("/audit?action=rate.updated").await;
    assert_eq!(done.len(), 4);
    assert_eq!(done[0]["target"], json!({"kind": "rate", "id": "USD"}));
    assert_eq!(done[3]["fields"], json!(["EUR", "JPY"]));
}

async fn bad_rates_are_refused(app: &TestApp) {
    let put = |base: &str, body: Value| Call::new("PUT", format!("/rates/{base}")).json(&body);
    let with = |rates: Value| json!({"rates": rates, "source": "desk"});
    for (body, param) in [
        (with(json!({})), "rates"),
        (with(json!({"USD": "1"})), "rates.USD"),
        (with(json!({"EUR": "0"})), "rates.EUR"),
        (with(json!({"EUR": "-1"})), "rates.EUR"),
        (with(json!({"EUR": "1e3"})), "rates.EUR"),
        (with(json!({"EUR": 0.9})), "rates.EUR"),
        (with(json!({"EUR": "0.1234567890123"})), "rates.EUR"),
        (with(json!({"EUR": "1,5"})), "rates.EUR"),
        (json!({"rates": {"EUR": "1"}}), "source"),
        (json!({"rates": {"EUR": "1"}, "source": ""}), "source"),
    ] {
        let answer = app.client.send(put("USD", body.clone())).await;
        let said = answer.refused(400, "invalid_request").json["param"].clone();
        assert_eq!(said, param, "{body}");
    }
    let unknown = app.client.send(put("USD", with(json!({"EEE": "1"})))).await;
    unknown.refused(400, "invalid_request");
    for base in ["EEE", "usd", "US", "%00"] {
        app.client.send(put(base, with(json!({"EUR": "1"})))).await.refused(404, "rate_not_found");
    }
    // A rate is every tenant's: the owner of one does not write it.
    let owner = app.tenant("live").await;
    owner.send(put("USD", with(json!({"EUR": "1"})))).await.refused(403, "forbidden");
    app.client.without_key().get("/rates/USD").await.refused(404, "rate_not_found");
}

async fn quotes_promise_the_rate_on_record(app: &TestApp) {
    let client = &app.client;
    rate(app, "USD", json!({"EUR": "0.9231", "JPY": "151.239", "KWD": "0.3075"})).await;
    rate(app, "JPY", json!({"USD": "0.0066"})).await;
    for (from, to, amount, credit) in [
        ("USD", "EUR", 1050, 969),
        ("USD", "JPY", 1000, 1512),
        ("USD", "KWD", 1000, 3075),
        ("JPY", "USD", 100, 66),
        ("USD", "EUR", 2, 1),
    ] {
        let made = client.post("/quotes", quote_body(from, to, amount)).await.expect(201);
        assert_eq!(made["from"], json!({"amount": amount, "currency": from}));
        assert_eq!(made["to"], json!({"amount": credit, "currency": to}), "{from} {to}");
        assert_eq!((&made["status"], &made["used_at"]), (&json!("open"), &Value::Null));
        let path = format!("/quotes/{}", made["id"].as_str().expect("an id"));
        assert_eq!(client.get(path).await.expect(200), made);
    }
    let refused = [
        (quote_body("USD", "EUR", 1), 422, "exchange_too_small"),
        (quote_body("EUR", "USD", 100), 404, "rate_not_found"),
        (quote_body("USD", "USD", 100), 400, "invalid_request"),
        (quote_body("USD", "XXY", 100), 400, "invalid_request"),
        (quote_body("USD", "EUR", 0), 400, "invalid_request"),
        (quote_body("USD", "JPY", (1 << 53) - 1), 400, "invalid_request"),
    ];
    for (number, (body, status, code)) in refused.into_iter().enumerate() {
        let key = format!("refused-{number}");
        client.post_as(&key, "/quotes", body.clone()).await.refused(status, code);
        let again = client.post_as(&key, "/quotes", body).await;
        again.refused(status, code);
        assert_eq!(again.is_replay(), status != 400, "{code}");
    }
    let body = quote_body("USD", "EUR", 1050);
    let first = client.post_as("promise", "/quotes", body.clone()).await.expect(201);
    app.clock.advance(61);
    let again = client.post_as("promise", "/quotes", body).await;
    assert!(again.is_replay());
    assert_eq!(again.expect(201), first);
    let listed = client.all("/quotes?limit=2&fields=id,status").await;
    assert_eq!(listed.len(), 6);
    assert_eq!(listed[0], json!({"id": first["id"], "status": "expired"}));
    client.get("/quotes/quo_1").await.refused(404, "quote_not_found");
    // Those that expired unused go after a day.
    app.instance.service.purge().await.expect("a purge");
    assert_eq!(client.all("/quotes").await.len(), 6);
    app.clock.advance(24 * 3600);
    app.instance.service.purge().await.expect("a purge");
    assert_eq!(client.all("/quotes").await.len(), 0);
}

async fn an_exchange_is_both_or_neither(app: &TestApp) {
    let client = &app.client;
    rate(app, "USD", json!({"EUR": "0.9231"})).await;
    let (payer, payee) = (client.funded(1500).await, client.wallet("EUR").await);
    let id = quote(client, ("USD", "EUR"), 1050).await;
    let mut body = exchange_body(&id, &payer, &payee);
    body["reference"] = "order 17".into();
    body["metadata"] = json!({"shop": "7"});
    let done = client.post_as("once", "/exchanges", body.clone()).await.expect(201);
    assert_eq!(client.balance(&payer).await, (450, 0, 450));
    assert_eq!(client.balance(&payee).await, (969, 0, 969));
    // 10.50 × 0.9231 is 9.69255: worth 969, of which nothing is left over.
    assert_eq!(total(app, "EUR", "fx_result").await, 0);
    assert_eq!(total(app, "USD", "fx").await, 1050);
    assert_eq!(total(app, "EUR", "fx").await, -969);
    assert_eq!((&done["rate"], &done["market_rate"]), (&json!("0.9231"), &json!("0.9231")));
    let used = client.get(format!("/quotes/{id}")).await.expect(200);
    let [from, to] = [&done["from"], &done["to"]];
    assert_eq!((&used["status"], &used["market_rate"]), (&json!("used"), &json!("0.9231")));
    assert_eq!(used["transfers"], json!([from["transfer_id"], to["transfer_id"]]));
    for (side, wallet, amount, currency) in [(from, &payer, 1050, "USD"), (to, &payee, 969, "EUR")]
    {
        assert_eq!(side["wallet_id"], json!(wallet));
        let transfer = client.read_transfer(side["transfer_id"].as_str().expect("an id")).await;
        assert_eq!(
            (&transfer["amount"], &transfer["currency"]),
            (&json!(amount), &json!(currency))
        );
        assert_eq!(
            (&transfer["kind"], &transfer["reference"]),
            (&json!("exchange"), &json!("order 17"))
        );
        assert_eq!(transfer["metadata"], json!({"shop": "7"}));
    }
    // The same key says the same, whatever became of the quote; another one finds it used.
    app.clock.advance(600);
    let again = client.post_as("once", "/exchanges", body.clone()).await;
    assert!(again.is_replay());
    assert_eq!(again.expect(201), done);
    for is_again in [false, true] {
        let answer = client.post_as("twice", "/exchanges", body.clone()).await;
        answer.refused(409, "quote_used");
        assert_eq!(answer.is_replay(), is_again);
    }
    body["reference"] = "order 18".into();
    client.post_as("once", "/exchanges", body).await.refused(422, "idempotency_mismatch");

    // Refused by either side, nothing moves and the quote stays open.
    let id = quote(client, ("USD", "EUR"), 451).await;
    let other = client.funded(1000).await;
    let dollars = client.wallet("USD").await;
    let nobody = "wal_00000000000000000000000001";
    for (from, to, status, code) in [
        (&*payer, &*payee, 402, "insufficient_funds"),
        (&other, &dollars, 422, "currency_mismatch"),
        (&payee, &dollars, 422, "currency_mismatch"),
        (&other, nobody, 404, "wallet_not_found"),
        (nobody, &payee, 404, "wallet_not_found"),
        ("me", "you", 404, "wallet_not_found"),
    ] {
        let key = format!("{from}-{to}");
        for is_again in [false, true] {
            let answer = client.post_as(&key, "/exchanges", exchange_body(&id, from, to)).await;
            answer.refused(status, code);
            assert_eq!(answer.is_replay(), is_again, "{code}");
        }
    }
    client.act(&payee, "freeze", json!({})).await.expect(200);
    client.post("/exchanges", exchange_body(&id, &other, &payee)).await.expect(201);
    assert_eq!(client.balance(&payer).await, (450, 0, 450));
    assert_eq!(client.balance(&other).await, (549, 0, 549));
    assert_eq!(client.balance(&payee).await, (969 + 416, 0, 969 + 416));
}

async fn what_the_rate_did_meanwhile_is_the_tenants(app: &TestApp) {
    let client = &app.client;
    let (payer, payee) = (client.funded(100_000).await, client.wallet("EUR").await);
    // The customer's credit is rounded down; what the money is worth, to the nearest.
    let table = [
        ("0.9", "0.9", 1001, 900, 901),
        ("0.9", "0.95", 1000, 900, 950),
        ("0.9", "0.8", 1000, 900, 800),
    ];
    let (mut result, mut got) = (0, 0);
    for (promised, later, amount, credit, worth) in table {
        rate(app, "USD", json!({"EUR": promised})).await;
        let id = quote(client, ("USD", "EUR"), amount).await;
        rate(app, "USD", json!({"EUR": later})).await;
        let done = client.post("/exchanges", exchange_body(&id, &payer, &payee)).await.expect(201);
        assert_eq!((&done["rate"], &done["market_rate"]), (&json!(promised), &json!(later)));
        assert_eq!(done["to"]["amount"], credit);
        result += worth - credit;
        got += credit;
        assert_eq!(total(app, "EUR", "fx_result").await, result, "{promised} {later}");
        assert_eq!(client.balance(&payee).await.0, got);
    }
}

async fn quotes_end(app: &TestApp) {
    let client = &app.client;
    rate(app, "USD", json!({"EUR": "0.9"})).await;
    let (payer, payee) = (client.funded(1000).await, client.wallet("EUR").await);
    let (early, late) =
        (quote(client, ("USD", "EUR"), 10).await, quote(client, ("USD", "EUR"), 20).await);
    app.clock.advance_micros(59_999_999);
    client.post("/exchanges", exchange_body(&early, &payer, &payee)).await.expect(201);
    app.clock.advance_micros(1);
    for is_again in [false, true] {
        let body = exchange_body(&late, &payer, &payee);
        let answer = client.post_as("late", "/exchanges", body).await;
        answer.refused(422, "quote_expired");
        assert_eq!(answer.is_replay(), is_again);
    }
    assert_eq!(client.balance(&payer).await.0, 990);
    let unknown = exchange_body("quo_00000000000000000000000001", &payer, &payee);
    client.post("/exchanges", unknown).await.refused(404, "quote_not_found");
    client
        .post("/exchanges", exchange_body("?", &payer, &payee))
        .await
        .refused(404, "quote_not_found");
}

async fn fifty_at_once_use_a_quote_once(app: &TestApp) {
    let client = &app.client;
    rate(app, "USD", json!({"EUR": "0.9"})).await;
    let (payer, payee) = (client.funded(10_000).await, client.wallet("EUR").await);
    let id = quote(client, ("USD", "EUR"), 100).await;
    let answers = at_once(50, |_| {
        let (client, body) = (client.clone(), exchange_body(&id, &payer, &payee));
        async move { client.post("/exchanges", body).await }
    })
    .await;
    let done = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(done, 1);
    let others = answers.iter().filter(|answer| answer.status != 201);
    others.for_each(|answer| answer.refused_as("a late one", 409, "quote_used"));
    assert_eq!(client.balance(&payer).await.0, 9900);
    assert_eq!(client.balance(&payee).await.0, 90);
    // The same key fifty times is one exchange, told fifty times.
    let id = quote(client, ("USD", "EUR"), 100).await;
    let answers = at_once(50, |_| {
        let (client, body) = (client.clone(), exchange_body(&id, &payer, &payee));
        async move { client.post_as("fifty", "/exchanges", body).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| !answer.is_replay()).count(), 1);
    assert!(answers.iter().all(|answer| answer.status == 201));
    assert_eq!(client.balance(&payer).await.0, 9800);
}

async fn quotes_are_their_holders_own(app: &TestApp) {
    let client = &app.client;
    rate(app, "USD", json!({"EUR": "0.9"})).await;
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (_, bob) = app.user(&[SystemRole::WalletHolder]).await;
    let wallet = async |currency: &str| {
        let body = json!({"currency": currency, "user_id": ada_id.to_string()});
        let wallet = client.post("/wallets", body).await.expect(201);
        wallet["id"].as_str().expect("an id").to_owned()
    };
    let (dollars, euros) = (wallet("USD").await, wallet("EUR").await);
    client.fund(&dollars, 1000).await.expect(201);
    let rich = client.funded(1000).await;
    let (hers, ours) =
        (quote(&ada, ("USD", "EUR"), 100).await, quote(client, ("USD", "EUR"), 100).await);
    let stranger = app.tenant("test").await;
    for (who, id) in [(&bob, &hers), (&ada, &ours), (&stranger, &hers), (&stranger, &ours)] {
        who.get(format!("/quotes/{id}")).await.refused(404, "quote_not_found");
        let body = exchange_body(id, &dollars, &euros);
        who.post("/exchanges", body).await.refused(404, "quote_not_found");
    }
    // Her quote does not open another's wallet.
    let body = exchange_body(&hers, &rich, &euros);
    ada.post("/exchanges", body).await.refused(404, "wallet_not_found");
    assert_eq!(ada.all("/quotes").await.len(), 1);
    assert_eq!(bob.all("/quotes").await.len(), 0);
    assert_eq!(client.all("/quotes").await.len(), 2);
    assert_eq!(stranger.all("/quotes").await.len(), 0);
    ada.post("/exchanges", exchange_body(&hers, &dollars, &euros)).await.expect(201);
    assert_eq!(ada.balance(&euros).await, (90, 0, 90));
    assert_eq!(client.balance(&rich).await, (1000, 0, 1000));
}
