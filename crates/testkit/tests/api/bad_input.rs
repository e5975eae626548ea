//! Whatever is wrong with a request is said by its status, its code and the name of the field; it
//! never is a 500, and nothing has changed afterwards.

use caudal_domain::id::STREAMS;
use caudal_testkit::{Call, Client, Database, TestApp, both_databases};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

both_databases! {
    bodies_that_are_no_json amounts_that_are_none texts_with_nul fields_that_are_wrong
    currencies_and_parties ids_that_name_nothing idempotency_keys batches limits_of_bodies
    queries routes_and_methods api_keys
}

/// Wallets and transfers to be wrong about.
struct Ground {
    /// With 10,000 cents, 400 of them held.
    from: String,
    to: String,
    euro: String,
    held: String,
    posted: String,
    other_wallet: String,
    other_transfer: String,
}

/// A call, and the status, code and param of its answer; `""`: null.
type Row = (Call, u16, &'static str, String);

impl Ground {
    async fn new(app: &TestApp) -> Self {
        let client = &app.client;
        let pair = client.pair(10_000).await;
        let held = client.hold(&pair, 400, 3600).await;
        let posted = client.transfer(&pair.0, &pair.1, 100).await.expect(201);
        let other = app.tenant("test").await;
        let (other_wallet, payee) = other.pair(500).await;
        let moved = other.transfer(&other_wallet, &payee, 5).await.expect(201);
        let id = |transfer: &Value| transfer["id"].as_str().expect("an id").to_owned();
        Self {
            from: pair.0,
            to: pair.1,
            euro: client.wallet("EUR").await,
            held,
            posted: id(&posted),
            other_wallet,
            other_transfer: id(&moved),
        }
    }

    /// A good transfer, to be spoilt.
    fn body(&self) -> Value {
        json!({"from": self.from, "to": self.to, "amount": 10, "currency": "USD"})
    }

    /// The good transfer with one field replaced.
    fn with(&self, field: &str, value: Value) -> Value {
        let mut body = self.body();
        body[field] = value;
        body
    }
}

fn post(path: impl Into<String>, body: impl ToString) -> Call {
    Call::new("POST", path).key("bad").text(body.to_string())
}

fn get(path: impl Into<String>) -> Call {
    Call::new("GET", path)
}

fn invalid(call: Call, param: impl Into<String>) -> Row {
    (call, 400, "invalid_request", param.into())
}

fn refused(call: Call, status: u16, code: &'static str) -> Row {
    (call, status, code, String::new())
}

/// All that a request could have changed.
async fn state(app: &TestApp) -> Vec<Value> {
    let store = app.instance.store.as_ref();
    let heads = caudal_store::events::heads(store).await.expect("the heads");
    assert_eq!(heads.len(), usize::from(STREAMS));
    let mut state = app.client.all("/wallets?limit=100").await;
    state.extend(app.client.all("/transfers?limit=100").await);
    state.push(json!(heads));
    state
}

async fn check(app: &TestApp, rows: Vec<Row>) {
    check_as(app, &app.client, rows).await;
}

async fn check_as(app: &TestApp, client: &Client, rows: Vec<Row>) {
    let before = state(app).await;
    for (call, status, code, param) in rows {
        let row = call.to_string();
        let answer = client.send(call).await;
        answer.refused_as(&row, status, code);
        assert_eq!(answer.json["param"].as_str().unwrap_or_default(), param, "{row}");
    }
    assert_eq!(state(app).await, before, "a refused request changed something");
}

async fn bodies_that_are_no_json(app: &TestApp) {
    let ground = Ground::new(app).await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let deep_inside = ground.body().to_string().replace("10,", &format!("{deep},"));
    let mut rows = Vec::new();
    for body in ["", " ", "{", "nonsense", "{\"amount\": 1,}", "\"", "{'a': 1}", "\u{0}"] {
        rows.push(invalid(post("/transfers", body), ""));
    }
    for body in [&deep, &deep_object, &deep_inside] {
        let answer = app.client.send(post("/transfers", body)).await;
        answer.refused(400, "invalid_request");
    }
    for body in ["5", "null", "\"text\"", "true"] {
        rows.push(invalid(post("/transfers", body), ""));
    }
    // Fields by their place: nobody means that.
    let Ground { from, to, .. } = &ground;
    let placed = json!([from, to, 1, null, "USD", null, null, null, null]);
    rows.push(invalid(post("/transfers", &placed), ""));
    rows.push(invalid(post(format!("/wallets/{from}/withdraw"), "[5,null]"), ""));
    rows.push(invalid(post(format!("/wallets/{from}/freeze"), "[]"), ""));
    let legs = json!({"legs": [[from, to, 1]], "currency": "USD"});
    rows.push(invalid(post("/transfers", legs), "legs[0]"));
    let batch = json!({"transfers": [placed]});
    rows.push(invalid(post("/transfers/batch", batch), "transfers[0]"));
    let not_utf8 =
        Call::new("POST", "/transfers").key("bad").text(b"{\"from\": \"\xff\"}".to_vec());
    rows.push(invalid(not_utf8, ""));
    check(app, rows).await;
}

/// As JSON would write them.
const NO_AMOUNTS: [&str; 14] = [
    "0",
    "-1",
    "1.5",
    "10.0",
    "1e3",
    "9007199254740992",
    "99999999999999999999",
    "-0",
    "\"10\"",
    "true",
    "[1]",
    "{}",
    "1e400",
    "NaN",
];

async fn amounts_that_are_none(app: &TestApp) {
    let ground = Ground::new(app).await;
    let Ground { from, to, held, posted, .. } = &ground;
    let mut rows = Vec::new();
    for amount in NO_AMOUNTS {
        let usd = "\"currency\":\"USD\"";
        let leg = format!("\"from\":\"{from}\",\"to\":\"{to}\",\"amount\":{amount}");
        let table = [
            ("/transfers".into(), format!("{{{leg},{usd}}}"), "amount"),
            ("/transfers".into(), format!("{{\"legs\":[{{{leg}}}],{usd}}}"), "legs[0].amount"),
            (
                "/transfers/batch".into(),
                format!("{{\"transfers\":[{{{leg},{usd},\"idempotency_key\":\"k\"}}]}}"),
                "transfers[0].amount",
            ),
            (
                format!("/wallets/{from}/fund"),
                format!("{{\"source\":\"treasury\",\"amount\":{amount}}}"),
                "amount",
            ),
            (format!("/wallets/{from}/withdraw"), format!("{{\"amount\":{amount}}}"), "amount"),
            (format!("/transfers/{held}/capture"), format!("{{\"amount\":{amount}}}"), "amount"),
            (format!("/transfers/{posted}/reverse"), format!("{{\"amount\":{amount}}}"), "amount"),
        ];
        // These are no JSON at all, or no number that any reader holds.
        let is_json = !matches!(amount, "NaN" | "1e400");
        for (path, body, param) in table {
            rows.push(invalid(post(path, body), if is_json { param } else { "" }));
        }
    }
    rows.push(invalid(post("/transfers", ground.with("amount", Value::Null)), "amount"));
    let fund = json!({"amount": null, "source": "treasury"});
    rows.push(invalid(post(format!("/wallets/{from}/fund"), fund), "amount"));
    check(app, rows).await;
}

async fn texts_with_nul(app: &TestApp) {
    let ground = Ground::new(app).await;
    let from = &ground.from;
    let nul = || json!("a\0b");
    let mut rows = Vec::new();
    for field in ["from", "to", "currency", "reference"] {
        rows.push(invalid(post("/transfers", ground.with(field, nul())), field));
    }
    let metadata = ground.with("metadata", json!({"k": "\0"}));
    rows.push(invalid(post("/transfers", metadata), "metadata.k"));
    let metadata = ground.with("metadata", json!({"\0": "v"}));
    rows.push(invalid(post("/transfers", metadata), "metadata"));
    // Card numbers are kept nowhere.
    let card = |call, param: &str| (call, 400, "card_number_in_text", param.to_owned());
    let in_reference = ground.with("reference", json!("card 4242 4242 4242 4242"));
    rows.push(card(post("/transfers", in_reference), "reference"));
    let in_metadata = ground.with("metadata", json!({"note": "5555555555554444"}));
    rows.push(card(post("/transfers", in_metadata), "metadata"));
    let item = ground.with("idempotency_key", nul());
    let batch = json!({"transfers": [item]});
    rows.push(invalid(post("/transfers/batch", batch), "transfers[0].idempotency_key"));
    for (field, param) in [("name", "name"), ("user_id", "user_id"), ("currency", "currency")] {
        let mut body = json!({"currency": "USD"});
        body[field] = nul();
        rows.push(invalid(post("/wallets", body), param));
    }
    let patch = Call::new("PATCH", format!("/wallets/{from}")).json(&json!({"name": "\0"}));
    rows.push(invalid(patch, "name"));
    let patch = Call::new("PATCH", "/tenants/me").json(&json!({"name": "\0"}));
    rows.push(invalid(patch, "name"));
    let key = json!({"name": "\0", "scopes": ["wallets:read"]});
    rows.push(invalid(post("/api-keys", key), "name"));
    let key = json!({"name": "n", "scopes": ["\0"]});
    rows.push(invalid(post("/api-keys", key), "scopes[0]"));
    for field in ["name", "region", "timezone"] {
        let mut body = json!({"name": "n", "mode": "test"});
        body[field] = nul();
        rows.push(invalid(post("/tenants", body), field));
    }
    rows.push(invalid(get("/transfers?reference=a%00"), "reference"));
    rows.push(invalid(get("/transfers?%00=a"), "?"));
    rows.push(refused(get("/wallets/%00"), 404, "wallet_not_found"));
    rows.push(refused(get("/transfers/%ff"), 404, "transfer_not_found"));
    check(app, rows).await;
}

async fn fields_that_are_wrong(app: &TestApp) {
    let ground = Ground::new(app).await;
    let mut rows = Vec::new();
    let long = "x".repeat(201);
    let pairs: serde_json::Map<_, _> = (0..51).map(|n| (n.to_string(), json!("v"))).collect();
    let table = [
        ("colour", json!("red"), "colour"),
        ("from", json!(5), "from"),
        ("to", json!(null), "to"),
        ("currency", json!(null), "currency"),
        ("reference", json!(5), "reference"),
        ("reference", json!(""), "reference"),
        ("reference", json!(long), "reference"),
        ("metadata", json!("text"), "metadata"),
        ("metadata", json!({"k": 5}), "metadata.k"),
        ("metadata", json!({"k": "x".repeat(501)}), "metadata"),
        ("metadata", json!({"x".repeat(41): "v"}), "metadata"),
        ("metadata", json!(pairs), "metadata"),
        ("hold", json!("yes"), "hold"),
        ("expires_in", json!(60), "expires_in"),
        ("legs", json!([]), "legs"),
        ("legs", json!("none"), "legs"),
    ];
    for (field, value, param) in table {
        rows.push(invalid(post("/transfers", ground.with(field, value)), param));
    }
    for (field, seconds) in [("expires_in", json!(0)), ("expires_in", json!(-1))] {
        let mut body = ground.with("hold", json!(true));
        body[field] = seconds;
        rows.push(invalid(post("/transfers", body), "expires_in"));
    }
    for field in ["from", "to", "amount", "currency"] {
        let mut body = ground.body();
        body.as_object_mut().expect("an object").remove(field);
        rows.push(invalid(post("/transfers", body), field));
    }
    let twice = ground.body().to_string().replacen('{', "{\"amount\":1,", 1);
    rows.push(invalid(post("/transfers", twice), "amount"));
    let held = &ground.held;
    rows.push(invalid(post(format!("/transfers/{held}/void"), "{\"a\":1}"), "a"));
    rows.push(invalid(post(format!("/transfers/{held}/capture"), "{\"final\":1}"), "final"));
    let from = &ground.from;
    let gift = json!({"amount": 1, "source": "thin air"});
    rows.push(invalid(post(format!("/wallets/{from}/fund"), gift), "source"));
    rows.push(invalid(post(format!("/wallets/{from}/fund"), "{\"amount\":1}"), "source"));
    rows.push(invalid(post("/wallets", json!({"currency": "USD", "floor": i64::MIN})), "floor"));
    rows.push(invalid(post("/tenants", json!({"name": "n", "mode": "real"})), "mode"));
    rows.push(invalid(post("/api-keys", json!({"name": "n", "scopes": []})), "scopes"));
    rows.push(invalid(post("/api-keys", json!({"name": "n", "scopes": ["x"]})), "scopes[0]"));
    check(app, rows).await;
}

async fn currencies_and_parties(app: &TestApp) {
    let ground = Ground::new(app).await;
    let Ground { from, to, euro, .. } = &ground;
    let mut rows = Vec::new();
    for code in ["usd", "Usd", "US", "USDX", "", "ZZZ", "€€€", " USD"] {
        rows.push(invalid(post("/transfers", ground.with("currency", json!(code))), "currency"));
        rows.push(invalid(post("/wallets", json!({"currency": code})), "currency"));
    }
    let mismatch = |path: &str, body: Value, number: u32| {
        let key = format!("mixed-{number}");
        let call = Call::new("POST", path).key(key).json(&body);
        refused(call, 422, "currency_mismatch")
    };
    rows.push(mismatch("/transfers", ground.with("to", json!(euro)), 1));
    rows.push(mismatch("/transfers", ground.with("from", json!(euro)), 2));
    rows.push(mismatch("/transfers", ground.with("currency", json!("EUR")), 3));
    let legs =
        json!([{"from": from, "to": to, "amount": 1}, {"from": from, "to": euro, "amount": 1}]);
    rows.push(mismatch("/transfers", json!({"legs": legs, "currency": "USD"}), 4));
    let fund = json!({"amount": 1, "currency": "EUR", "source": "treasury"});
    rows.push(mismatch(&format!("/wallets/{from}/fund"), fund, 5));
    let withdraw = json!({"amount": 1, "currency": "EUR"});
    rows.push(mismatch(&format!("/wallets/{from}/withdraw"), withdraw, 6));
    rows.push(invalid(post("/transfers", ground.with("to", json!(from))), "to"));
    let legs = json!([{"from": from, "to": to, "amount": 1}, {"from": to, "to": to, "amount": 1}]);
    rows.push(invalid(post("/transfers", json!({"legs": legs, "currency": "USD"})), "legs[1].to"));
    check(app, rows).await;
}

async fn ids_that_name_nothing(app: &TestApp) {
    let ground = Ground::new(app).await;
    let Ground { posted, other_wallet, other_transfer, .. } = &ground;
    // Malformed, of another kind, never given, another tenant's.
    let absent = format!("wal_{}", "0".repeat(26));
    let wallets = ["x", "wal_", "wal_1", posted, &absent, other_wallet];
    let absent = format!("trf_{}", "0".repeat(26));
    let transfers = ["x", "trf_", "trf_1", &ground.from, &absent, other_transfer];
    let mut rows = Vec::new();
    for (number, id) in wallets.into_iter().enumerate() {
        let no_wallet = |call: Call| refused(call, 404, "wallet_not_found");
        for path in ["", "/entries", "/balance"] {
            rows.push(no_wallet(get(format!("/wallets/{id}{path}"))));
        }
        rows.push(no_wallet(get(format!("/transfers?wallet={id}"))));
        rows.push(no_wallet(Call::new("PATCH", format!("/wallets/{id}")).text("{\"name\":\"n\"}")));
        let write = |path: String, body: &Value| {
            let key = format!("{number}-{path}-{body}").replace(|c: char| !c.is_ascii(), "");
            let key = key[..key.len().min(255)].to_owned();
            no_wallet(Call::new("POST", path).key(key).json(body))
        };
        let fund = json!({"amount": 1, "source": "treasury"});
        rows.push(write(format!("/wallets/{id}/fund"), &fund));
        rows.push(write(format!("/wallets/{id}/withdraw"), &json!({"amount": 1})));
        for verb in ["freeze", "unfreeze", "close"] {
            rows.push(write(format!("/wallets/{id}/{verb}"), &json!({})));
        }
        rows.push(write("/transfers".into(), &ground.with("from", json!(id))));
        rows.push(write("/transfers".into(), &ground.with("to", json!(id))));
    }
    for (number, id) in transfers.into_iter().enumerate() {
        let no_transfer = |call: Call| refused(call, 404, "transfer_not_found");
        rows.push(no_transfer(get(format!("/transfers/{id}"))));
        for verb in ["capture", "void", "reverse"] {
            let call = Call::new("POST", format!("/transfers/{id}/{verb}"));
            rows.push(no_transfer(call.key(format!("{number}-{verb}"))));
        }
    }
    rows.push(refused(get("/api-keys/key_1"), 404, "api_key_not_found"));
    rows.push(refused(Call::new("DELETE", "/api-keys/x"), 404, "api_key_not_found"));
    rows.push(refused(get("/wallets?user=me"), 404, "user_not_found"));
    check(app, rows).await;
}

async fn idempotency_keys(app: &TestApp) {
    let ground = Ground::new(app).await;
    let Ground { from, held, posted, .. } = &ground;
    let long = "k".repeat(256);
    let mut rows = Vec::new();
    for key in ["", &long, "tab\there", "caf\u{e9}", "\u{80}"] {
        let call = Call::new("POST", "/transfers").key(key).json(&ground.body());
        rows.push(invalid(call, "Idempotency-Key"));
    }
    let twice = Call::new("POST", "/transfers").key("a").key("b").json(&ground.body());
    rows.push(invalid(twice, "Idempotency-Key"));
    let table = [
        ("/transfers".into(), ground.body()),
        (format!("/transfers/{held}/capture"), json!({})),
        (format!("/transfers/{held}/void"), json!({})),
        (format!("/transfers/{posted}/reverse"), json!({})),
        ("/wallets".into(), json!({"currency": "USD"})),
        (format!("/wallets/{from}/fund"), json!({"amount": 1, "source": "treasury"})),
        (format!("/wallets/{from}/withdraw"), json!({"amount": 1})),
        (format!("/wallets/{from}/freeze"), json!({})),
        (format!("/wallets/{from}/unfreeze"), json!({})),
        (format!("/wallets/{from}/close"), json!({})),
        ("/api-keys".into(), json!({"name": "n", "scopes": ["wallets:read"]})),
        ("/tenants".into(), json!({"name": "n", "mode": "test"})),
    ];
    for (path, body) in table {
        let keyless: String = path;
        rows.push(invalid(Call::new("POST", keyless).json(&body), "Idempotency-Key"));
    }
    check(app, rows).await;
}

async fn batches(app: &TestApp) {
    let ground = Ground::new(app).await;
    let item = |number: usize| ground.with("idempotency_key", json!(format!("item-{number}")));
    let batch = |items: Vec<Value>| post("/transfers/batch", json!({"transfers": items}));
    let second = |field: &str, value: Value| {
        let mut bad = item(1);
        bad[field] = value;
        batch(vec![item(0), bad])
    };
    let rows = vec![
        invalid(batch(vec![]), "transfers"),
        invalid(batch((0..1001).map(item).collect()), "transfers"),
        invalid(batch(vec![item(0), ground.body()]), "transfers[1].idempotency_key"),
        invalid(second("idempotency_key", json!("")), "transfers[1].idempotency_key"),
        invalid(second("idempotency_key", json!("k".repeat(256))), "transfers[1].idempotency_key"),
        invalid(second("idempotency_key", json!("\t")), "transfers[1].idempotency_key"),
        invalid(second("to", json!(ground.from)), "transfers[1].to"),
        invalid(second("colour", json!(1)), "transfers[1].colour"),
        invalid(second("currency", json!("usd")), "transfers[1].currency"),
        invalid(second("reference", json!("")), "transfers[1].reference"),
        invalid(post("/transfers/batch", json!({"transfers": {}})), "transfers"),
        invalid(post("/transfers/batch", json!({})), "transfers"),
        invalid(post("/transfers/batch", json!({"transfers": [5]})), "transfers[0]"),
    ];
    check(app, rows).await;
}

async fn limits_of_bodies(app: &TestApp) {
    let ground = Ground::new(app).await;
    let large = ground.with("reference", json!("x".repeat(1 << 20))).to_string();
    let huge = " ".repeat((4 << 20) + 1);
    let typed = |kind: &str| {
        let call = Call::new("POST", "/transfers").key("bad").body(ground.body().to_string());
        let call = if kind.is_empty() { call } else { call.header("content-type", kind) };
        (call, 415, "unsupported_media_type", "Content-Type".into())
    };
    let rows = vec![
        refused(post("/transfers", large), 413, "payload_too_large"),
        refused(post("/transfers/batch", huge), 413, "payload_too_large"),
        typed(""),
        typed("text/plain"),
        typed("application/x-www-form-urlencoded"),
        typed("application/json2"),
    ];
    check(app, rows).await;
}

async fn queries(app: &TestApp) {
    let ground = Ground::new(app).await;
    let from = &ground.from;
    let cursor = |page: Value| page["next_cursor"].as_str().expect("a cursor").to_owned();
    let wallets = cursor(app.client.get("/wallets?limit=1").await.expect(200));
    let broken = format!("{}0", &wallets[..wallets.len() - 1]);
    let broken = if broken == wallets { format!("{broken}0") } else { broken };
    let entries = format!("/wallets/{from}/entries");
    let mut rows = Vec::new();
    for list in ["/wallets", "/transfers", "/api-keys", &entries] {
        for limit in ["0", "101", "x", "", "-1", "1.0", "99999999999999999999"] {
            rows.push(invalid(get(format!("{list}?limit={limit}")), "limit"));
        }
        for text in ["x", "", "%00%01", &broken, &"f".repeat(5000)] {
            rows.push(invalid(get(format!("{list}?cursor={text}")), "cursor"));
        }
        for fields in ["colour", "id,colour", "", "id,,object"] {
            rows.push(invalid(get(format!("{list}?fields={fields}")), "fields"));
        }
        for time in ["created[gte]", "created[lt]"] {
            rows.push(invalid(get(format!("{list}?{time}=yesterday")), time));
        }
        rows.push(invalid(get(format!("{list}?colour=red")), "colour"));
        rows.push(invalid(get(format!("{list}?limit=5&limit=5")), "limit"));
    }
    // A nul in a cursor is said to be one before the cursor is looked at, under the same name.
    rows.push(invalid(get(format!("/transfers?cursor={wallets}")), "cursor"));
    rows.push(invalid(get("/transfers?status=lost"), "status"));
    rows.push(invalid(get("/wallets?status=lost"), "status"));
    rows.push(invalid(get("/wallets?currency=usd"), "currency"));
    rows.push(invalid(get(format!("/wallets/{from}/balance?at=now")), "at"));
    rows.push(invalid(get(format!("/wallets/{from}?at=now")), "at"));
    let post_query = |query: &str| post(format!("/transfers?{query}"), ground.body());
    rows.push(invalid(post_query("dry_run=maybe"), "dry_run"));
    rows.push(invalid(post_query("dry=true"), "dry"));
    check(app, rows).await;
}

async fn routes_and_methods(app: &TestApp) {
    let id = Ground::new(app).await.from;
    let mut rows = Vec::new();
    for path in ["/", "/nothing", "/wallets/a/b/c", "/transfers/", "//api/v2/wallets", "//nothing"]
    {
        rows.push(refused(get(path), 404, "not_found"));
        rows.push(refused(post(path, "{}"), 404, "not_found"));
    }
    for (method, path) in [
        ("PUT", "/wallets".to_owned()),
        ("DELETE", format!("/wallets/{id}")),
        ("GET", format!("/wallets/{id}/fund")),
        ("POST", format!("/wallets/{id}/balance")),
        ("PATCH", "/transfers".to_owned()),
        ("DELETE", "/transfers/batch".to_owned()),
        ("POST", "/events".to_owned()),
        ("PROPFIND", "/tenants/me".to_owned()),
    ] {
        let answer = app.client.send(Call::new(method, &path)).await;
        answer.refused(405, "method_not_allowed");
        assert!(answer.header("allow").is_some(), "{method} {path}");
        rows.push(refused(Call::new(method, path), 405, "method_not_allowed"));
    }
    check(app, rows).await;
}

async fn api_keys(app: &TestApp) {
    let ground = Ground::new(app).await;
    let expires_at = {
        use caudal_domain::Clock as _;
        app.clock.now().plus_seconds(60).to_string()
    };
    let short = json!({"name": "n", "scopes": ["wallets:read"], "expires_at": expires_at});
    let short = app.client.post("/api-keys", short).await.expect(201);
    let short = app.client.with_key(short["key"].as_str().expect("a key"));
    short.get("/wallets").await.expect(200);
    let lost = json!({"name": "n", "scopes": ["wallets:read"]});
    let lost = app.client.post("/api-keys", lost).await.expect(201);
    let revoked = app.client.with_key(lost["key"].as_str().expect("a key"));
    revoked.get("/wallets").await.expect(200);
    let id = lost["id"].as_str().expect("an id");
    app.client.delete(format_args!("/api-keys/{id}")).await.expect(204);
    app.clock.advance(60);

    let call = |header: &str| {
        let call = Call::new("POST", "/transfers").key("bad").json(&ground.body());
        refused(call.header("authorization", header), 401, "unauthorized")
    };
    let secret = "sk_test_0123456789abcdef0123456789abcdef";
    let rows = vec![
        call(""),
        call("Bearer"),
        call("Bearer "),
        call("Basic dXNlcjpwYXNz"),
        call(&format!("Bearer {secret}")),
        call(secret),
        call("Bearer \u{fffd}"),
        call(&format!("Bearer {}", "x".repeat(4000))),
    ];
    check(app, rows).await;
    let unauthorized = || vec![refused(get("/wallets"), 401, "unauthorized")];
    check_as(app, &app.client.without_key(), unauthorized()).await;
    check_as(app, &short, unauthorized()).await;
    check_as(app, &revoked, unauthorized()).await;
    let reader = app.client_with(&["transfers:read"]).await;
    let forbidden = vec![
        refused(post("/transfers", ground.body()), 403, "forbidden"),
        refused(get("/wallets"), 403, "forbidden"),
        refused(get("/events"), 403, "forbidden"),
    ];
    check_as(app, &reader, forbidden).await;
    let owner = app.client_with(&["wallets:write", "api_keys:write"]).await;
    let forbidden = vec![
        refused(post("/wallets", json!({"currency": "USD", "floor": -1})), 403, "forbidden"),
        refused(post("/wallets", json!({"currency": "USD", "floor": 1})), 403, "forbidden"),
        refused(post("/api-keys", json!({"name": "n", "scopes": ["platform"]})), 403, "forbidden"),
    ];
    check_as(app, &owner, forbidden).await;
}

/// Whoever announces a body and sends no more of it holds nothing up for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = TestApp::start_with(Database::sqlite(), |_| {}).await;
    let (wallet, _) = app.client.pair(100).await;
    let key = json!({"name": "till", "scopes": ["treasury:fund"]});
    let key = app.client.post("/api-keys", key).await.expect(201);
    let mut stream = TcpStream::connect(app.addr).await.expect("a connection");
    let head = format!(
        "POST /api/v1/wallets/{wallet}/fund HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {}\r\nIdempotency-Key: slow\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"amount\": ",
        key["key"].as_str().expect("a key")
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer, and the end");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    assert_eq!(app.client.balance(&wallet).await, (100, 0, 100));
    app.finish().await;
}
