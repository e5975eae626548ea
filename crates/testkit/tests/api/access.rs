//! Walls: every route of the API document tried with another tenant's ids. Nothing that is somebody
//! else's comes out. Who may what inside a tenant: see `authorization.rs`.

use caudal_domain::SystemRole;
use caudal_testkit::{Call, Client, TestApp, both_databases};
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

async fn another_tenants_ids_name_nothing(app: &TestApp) {
    let ours = &app.client;
    let pair = ours.pair(1000).await;
    let moved = ours.transfer(&pair.0, &pair.1, 10).await.expect(201);
    let moved = moved["id"].as_str().expect("an id").to_owned();
    let hold = ours.hold(&pair, 100, 3600).await;
    let keys = ours.all("/api-keys").await;
    let key = keys[0]["id"].as_str().expect("an id").to_owned();
    let made = async |list: &str, body: Value| {
        let made = ours.post(list, body).await.expect(201);
        made["id"].as_str().expect("an id").to_owned()
    };
    let role = made("/roles", json!({"name": "cashier", "scopes": ["wallets:read"]})).await;
    let account = made("/service-accounts", json!({"name": "billing"})).await;
    let rule = json!({"name": "large", "expression": "true", "action": "allow"});
    let rule = made("/fraud-rules", rule).await;
    let first = async |list: &str| {
        let all = ours.all(list).await;
        all[0]["id"].as_str().expect("an id").to_owned()
    };
    let kind = first("/payment-types").await;
    let gateway = first("/gateway-accounts").await;
    let payment = "pay_00000000000000000000000007".to_owned();
    let quote = "quo_00000000000000000000000007".to_owned();
    let user = app.user(&[SystemRole::Support]).await.0.to_string();
    let state = async || {
        let mut state = ours.all("/wallets").await;
        state.extend(ours.all("/transfers").await);
        state.extend(ours.all("/roles").await);
        state.extend(ours.all("/service-accounts").await);
        state.extend(ours.all("/fraud-rules").await);
        // Ours is used meanwhile, which is written behind the requests.
        let fields = "/api-keys?fields=id,name,scopes,expires_at,revoked_at,rotated_to";
        state.extend(ours.all(fields).await);
        state
    };
    let before = state().await;
    let thief = app.tenant("test").await;
    let mut tried = 0;
    for Route { method, path, body } in routes(ours).await {
        if path.ends_with("/events") {
            continue;
        }
        // A gateway proves who it is by its signature, before anything is looked for; a key is
        // nobody who gets notifications.
        if path.ends_with("{id}/webhooks") || path.contains("/notifications") {
            continue;
        }
        // A key is nobody who could have a profile or a session.
        if path.contains("/users/me") {
            continue;
        }
        let (id, noun) = match () {
            () if path.contains("/wallets/") => (&pair.0, "wallet_not_found"),
            () if path.contains("/transfers/") && path.ends_with("reverse") => {
                (&moved, "transfer_not_found")
            }
            () if path.contains("/transfers/") => (&hold, "transfer_not_found"),
            () if path.contains("/roles/") => (&role, "role_not_found"),
            () if path.contains("/service-accounts/") => (&account, "service_account_not_found"),
            () if path.contains("/fraud-rules/") => (&rule, "fraud_rule_not_found"),
            () if path.contains("/payment-types/") => (&kind, "payment_type_not_found"),
            () if path.contains("/gateway-accounts/") => (&gateway, "gateway_account_not_found"),
            () if path.contains("/uploads/") => (&payment, "upload_not_found"),
            () if path.contains("/reviews/") || path.contains("/payments/") => {
                (&payment, "payment_not_found")
            }
            () if path.contains("/quotes/") => (&quote, "quote_not_found"),
            () if path.contains("/users/") => (&user, "user_not_found"),
            () if path.contains("/disputes/") => (&payment, "dispute_not_found"),
            () if path.contains("/payouts/") => (&payment, "payout_not_found"),
            () if path.contains("/refunds/") => (&payment, "refund_not_found"),
            () if path.contains("/schedules/") => (&payment, "schedule_not_found"),
            () if path.contains("/webhook-endpoints/") => (&key, "webhook_endpoint_not_found"),
            () if path.contains("/notifications/") => (&key, "notification_not_found"),
            () => (&key, "api_key_not_found"),
        };
        let mut call = Call::absolute(&method, &path.replace("{id}", id)).key(&path);
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
            tried += 1;
            answer.refused_as(&row, 404, noun);
        } else if answer.status < 400 {
            let text = String::from_utf8_lossy(&answer.bytes).into_owned();
            for id in [&pair.0, &pair.1, &moved, &hold, &key, &role, &account, &rule, &user] {
                assert!(!text.contains(id.as_str()), "{row}: {text}");
            }
        } else {
            assert!(
                matches!(answer.status, 400 | 401 | 403 | 404 | 415 | 422),
                "{row}: {}",
                answer.json
            );
        }
    }
    assert!(tried >= 13, "only {tried} routes have an id");
    let items = json!([{"from": pair.0, "to": pair.1, "amount": 5, "currency": "USD",
        "idempotency_key": "k"}]);
    let batch = thief.post("/transfers/batch", json!({"transfers": items})).await.expect(200);
    assert_eq!(batch["results"][0]["error"]["code"], "wallet_not_found");
    // From or to one's own is no better.
    let own = thief.funded(100).await;
    thief.transfer(&own, &pair.1, 1).await.refused(404, "wallet_not_found");
    thief.transfer(&pair.0, &own, 1).await.refused(404, "wallet_not_found");
    assert_eq!(state().await, before, "somebody else changed our things");
}
