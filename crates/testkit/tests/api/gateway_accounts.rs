//! Accounts at gateways: how they are made and changed, and that nobody sees what opens them.

use caudal_testkit::{Call, Client, TestApp, both_databases};
use serde_json::{Value, json};

both_databases! {
    accounts_are_made_and_changed credentials_are_shown_nowhere
    accounts_are_the_tenants_own live_money_and_tests_are_kept_apart
    accounts_that_cannot_be_meant_are_refused
}

/// A payment type through accounts of its own at the simulator, which are found there under these
/// keys: the accounts' ids.
pub async fn own_accounts(app: &TestApp, kind: &str, api_keys: &[&str]) -> Vec<String> {
    let mut accounts = Vec::new();
    for api_key in api_keys {
        let new = json!({"kind": "simulator", "name": api_key, "credentials":
            {"api_key": api_key, "webhook_secrets": ["whsec_of_its_own"]}});
        let made = app.client.post("/gateway-accounts", new).await.expect(201);
        accounts.push(id_of(&made));
    }
    let kind = json!({"name": kind, "via": "gateway",
        "other_currencies": {"gateway_accounts": accounts}});
    app.client.post("/payment-types", kind).await.expect(201);
    accounts
}

/// A client of the simulator itself, which sees what the key's account has there.
pub fn at_the_simulator(app: &TestApp, api_key: &str) -> Client {
    let url = &app.instance.simulator.as_ref().expect("a simulator").url;
    let addr = format!("{}:{}", url.host_str().expect("a host"), url.port().expect("a port"));
    Client::new(addr.parse().expect("an address"), Some(api_key))
}

/// Words that must not be found again.
const SECRETS: [&str; 4] =
    ["rk_test_hunter2hunter2", "whsec_hunter2first", "whsec_hunter2second", "sk_test_hunter3"];

fn stripe(name: &str) -> Value {
    json!({"kind": "stripe", "name": name, "credentials":
        {"secret_key": SECRETS[0], "webhook_secrets": [SECRETS[1]]}})
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

async fn accounts_are_made_and_changed(app: &TestApp) {
    let client = &app.client;
    let made = client.post("/gateway-accounts", stripe("Stripe EU")).await.expect(201);
    let said = (&made["kind"], &made["name"], &made["active"]);
    assert_eq!(said, (&json!("stripe"), &json!("Stripe EU"), &json!(true)));
    let taken = client.post_as("again", "/gateway-accounts", stripe("Stripe EU")).await;
    taken.refused(409, "name_taken");
    let replay = client.post_as("again", "/gateway-accounts", stripe("Stripe EU")).await;
    assert!(replay.is_replay());
    let other_secret = json!({"kind": "stripe", "name": "Stripe EU", "credentials":
        {"secret_key": SECRETS[3]}});
    let other = client.post_as("again", "/gateway-accounts", other_secret).await;
    other.refused(422, "idempotency_mismatch");

    let path = format!("/gateway-accounts/{}", id_of(&made));
    let tag = client.get(&path).await.header("etag").expect("a tag").to_owned();
    let patch = |body: Value| Call::new("PATCH", &path).json(&body);
    let stale = patch(json!({"active": false})).header("if-match", "\"7\"");
    client.send(stale).await.refused(412, "precondition_failed");
    let change = json!({"name": "Stripe US", "active": false, "credentials":
        {"secret_key": SECRETS[3], "webhook_secrets": [SECRETS[1], SECRETS[2]]}});
    let changed = client.send(patch(change).header("if-match", &tag)).await.expect(200);
    assert_eq!((&changed["name"], &changed["active"]), (&json!("Stripe US"), &json!(false)));
    client.patch(&path, json!({"name": "simulator"})).await.refused(409, "name_taken");
    client.patch(&path, json!({"kind": "simulator"})).await.refused(400, "invalid_request");
    let listed = client.get("/gateway-accounts?fields=name,active").await.expect(200);
    let wanted = json!([{"name": "Stripe US", "active": false},
        {"name": "simulator", "active": true}]);
    assert_eq!(listed["data"], wanted);

    let records = client.all(&format!("/audit?object={}", id_of(&made))).await;
    let acts: Vec<_> = records.iter().map(|it| (&it["action"], &it["fields"])).collect();
    let (updated, created) = (json!("gateway_account.updated"), json!("gateway_account.created"));
    let fields = json!(["name", "active", "credentials"]);
    assert_eq!(acts, [(&updated, &fields), (&created, &json!([]))]);
}

async fn credentials_are_shown_nowhere(app: &TestApp) {
    let client = &app.client;
    let made = client.post_as("once", "/gateway-accounts", stripe("Stripe")).await;
    let path = format!("/gateway-accounts/{}", id_of(&made.json));
    let credentials = json!({"secret_key": SECRETS[3], "webhook_secrets": [SECRETS[2]]});
    let said = [
        made,
        client.post_as("once", "/gateway-accounts", stripe("Stripe")).await,
        client.patch(&path, json!({"credentials": credentials})).await,
        client.patch(&path, json!({"credentials": {"secret_key": [SECRETS[3]]}})).await,
        client.patch(&path, json!({"credentials": {SECRETS[3]: 1}, "name": 7})).await,
        client.get(&path).await,
        client.get("/gateway-accounts").await,
        client.get("/audit?limit=100").await,
    ];
    let mut texts: Vec<String> =
        said.iter().map(|it| String::from_utf8_lossy(&it.bytes).into_owned()).collect();
    // A name of a field that is not known is said again; nothing else is.
    texts.remove(4);
    let store = &app.instance.store;
    for (table, sql) in [
        ("gateway_accounts", "select sealed from gateway_accounts"),
        ("receipts", "select answer from receipts"),
        ("events", "select data from events"),
    ] {
        let rows = store.query(table, sql, &[]).await.expect("rows");
        assert!(!rows.is_empty(), "{table}");
        texts.extend(rows.iter().map(|row| format!("{row:?}")));
    }
    for text in texts {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(!text.contains("hunter"), "{text}");
    }
}

async fn accounts_are_the_tenants_own(app: &TestApp) {
    let other = app.tenant("test").await;
    let account = id_of(&app.client.all("/gateway-accounts").await[0]);
    let path = format!("/gateway-accounts/{account}");
    other.get(&path).await.refused(404, "gateway_account_not_found");
    let change = json!({"active": false});
    other.patch(&path, change).await.refused(404, "gateway_account_not_found");
    assert_eq!(other.all("/gateway-accounts").await.len(), 0);
    app.client.get("/gateway-accounts/gwa_1").await.refused(404, "gateway_account_not_found");
    // The same name.
    let simulator = json!({"kind": "simulator", "name": "simulator"});
    other.post("/gateway-accounts", simulator).await.expect(201);
}

async fn live_money_and_tests_are_kept_apart(app: &TestApp) {
    let live = app.tenant("live").await;
    let key = |key: &str| {
        json!({"kind": "stripe", "name": key, "credentials":
        {"secret_key": key}})
    };
    for (client, body, param) in [
        (&live, json!({"kind": "simulator", "name": "simulator"}), "kind"),
        (&live, key("sk_test_0123456789"), "credentials"),
        (&app.client, key("rk_live_0123456789"), "credentials"),
    ] {
        let answer = client.post("/gateway-accounts", body.clone()).await;
        answer.refused_as(&body.to_string(), 400, "invalid_request");
        assert_eq!(answer.json["param"], param, "{body}");
    }
    let made = live.post("/gateway-accounts", key("rk_live_0123456789")).await.expect(201);
    let change = json!({"credentials": {"secret_key": "sk_test_0123456789"}});
    let answer = live.patch(format!("/gateway-accounts/{}", id_of(&made)), change).await;
    assert_eq!(answer.refused(400, "invalid_request").json["param"], "credentials");
}

async fn accounts_that_cannot_be_meant_are_refused(app: &TestApp) {
    let with = |credentials: Value| {
        json!({"kind": "stripe", "name": "x",
        "credentials": credentials})
    };
    for (body, param) in [
        (json!({"kind": "paypal", "name": "x"}), "kind"),
        (json!({"kind": "stripe", "name": "x"}), "credentials"),
        (json!({"kind": "simulator", "name": ""}), "name"),
        (json!({"kind": "simulator", "name": "4242 4242 4242 4242"}), "name"),
        (with(json!({})), "credentials"),
        (with(json!({"secret_key": "pk_test_0123456789"})), "credentials"),
        (with(json!({"secret_key": "sk_test_\u{0}"})), "credentials.secret_key"),
        (with(json!({"secret_key": "é".repeat(10)})), "credentials.secret_key"),
        (with(json!({"secret_key": "k".repeat(501)})), "credentials.secret_key"),
        (with(json!({"secret_key": 12345678})), "credentials.secret_key"),
        (with(json!({"webhook_secrets": ["short"]})), "credentials.webhook_secrets[0]"),
        (
            with(json!({"webhook_secrets": ["aaaaaaaa", "bbbbbbbb", "cccccccc"]})),
            "credentials.webhook_secrets",
        ),
    ] {
        let answer = app.client.post("/gateway-accounts", body.clone()).await;
        let wanted = if param == "name" && body["name"] != "" {
            "card_number_in_text"
        } else {
            "invalid_request"
        };
        answer.refused_as(&body.to_string(), 400, wanted);
        assert_eq!(answer.json["param"], param, "{body}");
    }
}
