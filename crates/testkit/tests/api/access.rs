//! Walls: every route of the API document tried without a key, with every scope alone, and with
//! another tenant's ids. Nothing that is somebody else's comes out.

use std::collections::BTreeMap;

use caudal_testkit::{Call, Client, TestApp, both_databases};
use serde_json::{Value, json};

both_databases! {
    each_route_opens_to_its_scope_alone another_tenants_ids_name_nothing
}

const SCOPES: [&str; 13] = [
    "platform",
    "tenant:read",
    "tenant:write",
    "api_keys:read",
    "api_keys:write",
    "wallets:read",
    "wallets:write",
    "wallets:credit",
    "wallets:control",
    "treasury:fund",
    "transfers:read",
    "transfers:write",
    "events:read",
];

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

async fn each_route_opens_to_its_scope_alone(app: &TestApp) {
    let mut keys = BTreeMap::new();
    for scope in SCOPES {
        keys.insert(scope, app.client_with(&[scope]).await);
    }
    let nobody = app.client.without_key();
    for Route { method, path, .. } in routes(&app.client).await {
        let path = path.replace("{id}", "none");
        // Without key and body, so that whoever is let in does nothing.
        let call = Call::absolute(&method, &path);
        nobody.send(call.clone()).await.refused(401, "unauthorized");
        let mut open = Vec::new();
        for (scope, client) in &keys {
            if client.status(call.clone()).await == 403 {
                client.send(call.clone()).await.refused(403, "forbidden");
            } else {
                open.push(*scope);
            }
        }
        assert_eq!(open.len(), 1, "{method} {path} opens to {open:?}");
    }
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
    let state = async || {
        let mut state = ours.all("/wallets").await;
        state.extend(ours.all("/transfers").await);
        state.extend(ours.all("/api-keys").await);
        state
    };
    let before = state().await;
    let thief = app.tenant("test").await;
    let mut tried = 0;
    for Route { method, path, body } in routes(ours).await {
        if path.ends_with("/events") {
            continue;
        }
        let (id, noun) = match () {
            () if path.contains("/wallets/") => (&pair.0, "wallet_not_found"),
            () if path.contains("/transfers/") && path.ends_with("reverse") => {
                (&moved, "transfer_not_found")
            }
            () if path.contains("/transfers/") => (&hold, "transfer_not_found"),
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
            for id in [&pair.0, &pair.1, &moved, &hold, &key] {
                assert!(!text.contains(id.as_str()), "{row}: {text}");
            }
        } else {
            assert!(matches!(answer.status, 400 | 403 | 404), "{row}: {}", answer.json);
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
