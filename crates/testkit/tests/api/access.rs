//! Walls: every route of the API document tried with another tenant's ids. Nothing that is somebody
//! else's comes out. Who may what inside a tenant: see `authorization.rs`.

use std::collections::HashSet;

use caudal_domain::{Clock, SystemRole};
use caudal_testkit::{Call, Client, TestApp, both_databases, until};
use serde_json::{Value, json};

both_databases! {
    another_tenants_ids_name_nothing
}

/// A line of the API document.
struct Route {
    method: String,
    path: String,
    /// The example of its body.
    body: Option<Value>,
}

async fn routes(client: &Client) -> Vec<Route> {
    let document = client.get("//openapi.json").await.expect(200);
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("operations") {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = schema["$ref"].as_str().map(|name| {
                let name = name.rsplit('/').next().unwrap_or_default();
                document["components"]["schemas"][name]["example"].clone()
            });
            routes.push(Route { method: method.clone(), path: path.clone(), body });
        }
    }
    assert!(routes.len() > 20, "the document has all routes");
    routes.retain(|route| route.path.starts_with("/api/"));
    routes
}

/// The example with the other tenant's ids.
fn with_ids(value: &mut Value, wallet: &str) {
    match value {
        Value::String(text) if text.starts_with("wal_") => *text = wallet.to_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| with_ids(item, wallet)),
        Value::Object(members) => members.values_mut().for_each(|value| with_ids(value, wallet)),
        _ => {}
    }
}

/// What is tried with somebody else's id: every path that begins so.
struct Thing {
    path: &'static str,
    id: String,
    /// The code of the answer.
    unknown: &'static str,
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

/// One of everything that has an id, the longer paths before those that they begin with.
async fn everything(app: &TestApp, pair: &(String, String)) -> Vec<Thing> {
    let ours = &app.client;
    let made = async |list: &str, body: Value| id_of(&ours.post(list, body).await.expect(201));
    let first = async |list: &str| id_of(&ours.all(list).await[0]);
    let user = app.user(&[SystemRole::Support]).await.0.to_string();
    let moved = id_of(&ours.transfer(&pair.0, &pair.1, 10).await.expect(201));
    let hold = ours.hold(pair, 100, 3600).await;
    let role = json!({"name": "cashier", "scopes": ["wallets:read"]});
    let rule = json!({"name": "large", "expression": "payment.amount > 900", "action": "review"});
    let rule = made("/fraud-rules", rule).await;
    let card = |amount: i64, method: &str| {
        json!({"type": "card", "to": pair.1, "amount": amount, "currency": "USD",
            "payment_method": method})
    };
    let reviewed = made("/payments", card(1000, "pm_card_visa")).await;
    let mut manual = card(500, "pm_card_visa");
    manual["capture"] = json!("manual");
    let held = made("/payments", manual).await;
    made("/payments", card(300, "pm_card_createDispute")).await;
    let paid = made("/payments", card(200, "pm_card_visa")).await;
    let refund = made(&format!("/payments/{paid}/refunds"), json!({"amount": 10})).await;
    app.until_later("the dispute", 1, async || !ours.all("/disputes").await.is_empty()).await;
    let rates = json!({"rates": {"EUR": "0.9"}, "source": "desk"});
    ours.send(Call::new("PUT", "/rates/USD").json(&rates)).await.expect(200);
    let quote = json!({"from_currency": "USD", "to_currency": "EUR", "amount": 100});
    let payout = json!({"wallet": pair.0, "amount": 50, "destination": "ba_ok"});
    let planned = json!({"type": "wallet", "amount": 5, "currency": "USD", "from": pair.0,
        "to": pair.1});
    let at = app.clock.now().plus_seconds(7 * 86_400).to_string();
    let schedule = json!({"payment": planned, "every": "day", "start_at": at, "timezone": "UTC"});
    let endpoint = json!({"url": "http://127.0.0.1:65000/", "events": ["*"]});
    let endpoint = made("/webhook-endpoints", endpoint).await;
    let line = format!("{planned}\n");
    let upload = Call::new("POST", "/payments/uploads").key("file").body(line.into_bytes());
    let upload = ours.send(upload.header("content-type", "application/x-ndjson")).await;
    let upload = id_of(&upload.expect(201));
    let payout = made("/payouts", payout).await;
    for (path, status) in [
        (format!("/payouts/{payout}"), "paid"),
        (format!("/payments/uploads/{upload}"), "completed"),
    ] {
        until(status, async || {
            // What was told too late is asked after.
            app.clock.advance(5);
            ours.get(&path).await.expect(200)["status"] == status
        })
        .await;
    }
    [
        ("/transfers/{id}/reverse", moved, "transfer_not_found"),
        ("/transfers/", hold, "transfer_not_found"),
        ("/wallets/", pair.0.clone(), "wallet_not_found"),
        ("/roles/", made("/roles", role).await, "role_not_found"),
        (
            "/service-accounts/",
            made("/service-accounts", json!({"name": "billing"})).await,
            "service_account_not_found",
        ),
        ("/fraud-rules/", rule, "fraud_rule_not_found"),
        ("/payment-types/", first("/payment-types").await, "payment_type_not_found"),
        ("/gateway-accounts/", first("/gateway-accounts").await, "gateway_account_not_found"),
        ("/payments/uploads/", upload, "upload_not_found"),
        ("/payments/{id}/refunds", paid, "payment_not_found"),
        ("/payments/", held, "payment_not_found"),
        ("/reviews/", reviewed, "payment_not_found"),
        ("/quotes/", made("/quotes", quote).await, "quote_not_found"),
        ("/users/", user, "user_not_found"),
        ("/disputes/", first("/disputes").await, "dispute_not_found"),
        ("/payouts/", payout, "payout_not_found"),
        ("/refunds/", refund, "refund_not_found"),
        ("/schedules/", made("/schedules", schedule).await, "schedule_not_found"),
        ("/webhook-endpoints/", endpoint, "webhook_endpoint_not_found"),
        ("/api-keys/", first("/api-keys").await, "api_key_not_found"),
    ]
    .map(|(path, id, unknown)| Thing { path, id, unknown })
    .into()
}

/// What would tell that somebody had changed something; not what goes on by itself.
async fn state(client: &Client) -> Vec<Value> {
    let mut state = Vec::new();
    for list in [
        "/wallets?fields=id,name,status,floor",
        "/transfers?fields=id,status&limit=50",
        "/roles",
        "/service-accounts",
        "/fraud-rules",
        "/payment-types",
        "/gateway-accounts",
        "/payments?fields=id,status,amount_refunded",
        "/refunds?fields=id",
        "/disputes?fields=id",
        "/payouts?fields=id",
        "/schedules",
        "/webhook-endpoints",
        // A key is used meanwhile, which is written behind the requests.
        "/api-keys?fields=id,name,scopes,expires_at,revoked_at,rotated_to",
    ] {
        state.extend(client.all(list).await);
    }
    state
}

async fn another_tenants_ids_name_nothing(app: &TestApp) {
    let ours = &app.client;
    let pair = ours.pair(1000).await;
    let things = everything(app, &pair).await;
    let endpoint = &things.iter().find(|it| it.path == "/webhook-endpoints/").expect("one").id;
    ours.wallet("USD").await;
    let deliveries = format!("/webhook-endpoints/{endpoint}/deliveries");
    until("a delivery", async || !ours.all(&deliveries).await.is_empty()).await;
    let delivery = id_of(&ours.all(&deliveries).await[0]);
    let before = state(ours).await;
    let thief = app.tenant("test").await;
    let mut tried = HashSet::new();
    for Route { method, path, body } in routes(ours).await {
        // A gateway proves who it is by its signature, before anything is looked for; a key is
        // nobody who gets notifications, or could have a profile or a session.
        let is_for_others = ["/events", "{id}/webhooks"].iter().any(|end| path.ends_with(end))
            || path.contains("/notifications")
            || path.contains("/users/me");
        if is_for_others {
            continue;
        }
        let thing = things.iter().find(|thing| path.contains(thing.path));
        let id = thing.map_or("", |thing| &thing.id);
        let tried_path = path.replace("{id}", id).replace("{delivery_id}", &delivery);
        let mut call = Call::absolute(&method, &tried_path).key(&path);
        if let Some(mut body) = body {
            with_ids(&mut body, &pair.0);
            if path.ends_with("/transfers") {
                body["to"] = json!(pair.1);
            }
            let body = if body.is_null() { json!({}) } else { body };
            call = call.json(&body);
        }
        let answer = thief.send(call).await;
        let row = format!("{method} {path}");
        if path.contains("{id}") {
            let thing = thing.unwrap_or_else(|| panic!("{row}: nothing to try it with"));
            tried.insert(thing.path);
            answer.refused_as(&row, 404, thing.unknown);
        } else if answer.status < 400 {
            let text = String::from_utf8_lossy(&answer.bytes).into_owned();
            for thing in &things {
                assert!(!text.contains(thing.id.as_str()), "{row}: {text}");
            }
        } else {
            assert!(
                matches!(answer.status, 400 | 401 | 403 | 404 | 415 | 422),
                "{row}: {}",
                answer.json
            );
        }
    }
    for thing in &things {
        assert!(tried.contains(thing.path), "{} was never tried", thing.path);
    }
    let items = json!([{"from": pair.0, "to": pair.1, "amount": 5, "currency": "USD",
        "idempotency_key": "k"}]);
    let batch = thief.post("/transfers/batch", json!({"transfers": items})).await.expect(200);
    assert_eq!(batch["results"][0]["error"]["code"], "wallet_not_found");
    // From or to one's own is no better.
    let own = thief.funded(100).await;
    thief.transfer(&own, &pair.1, 1).await.refused(404, "wallet_not_found");
    thief.transfer(&pair.0, &own, 1).await.refused(404, "wallet_not_found");
    assert_eq!(state(ours).await, before, "somebody else changed our things");
}
