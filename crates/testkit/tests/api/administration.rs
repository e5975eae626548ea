//! Administration: roles and who has them, service accounts, keys that are rotated, what tenants
//! set of their own, and that all of it is in the audit.

use caudal_domain::SystemRole;
use caudal_testkit::{Call, Client, TestApp, both_databases, until};
use serde_json::{Value, json};

both_databases! {
    roles_are_made_changed_and_deleted a_role_opens_and_closes_at_once
    nobody_gives_or_takes_what_they_lack an_owner_stays
    a_rotated_key_replays_what_the_one_before_it_did keys_are_rotated_once_and_by_equals
    a_key_is_renamed_as_it_was_read a_use_is_written_behind_the_requests
    service_accounts_own_their_keys
    a_deleted_account_takes_its_keys_along roles_are_given_to_the_user_that_was_read
    administrative_acts_are_in_the_audit tenants_set_their_limits permissions_are_listed
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

async fn put_roles(client: &Client, user: &str, roles: &[&str]) -> caudal_testkit::Answer {
    let call = Call::new("PUT", format!("/users/{user}/roles"));
    client.send(call.json(&json!({"roles": roles}))).await
}

async fn roles_are_made_changed_and_deleted(app: &TestApp) {
    let client = &app.client;
    let new = json!({"name": "cashier", "scopes": ["wallets:read", "wallets:read"]});
    let role = client.post("/roles", new.clone()).await.expect(201);
    assert_eq!(role["scopes"], json!(["wallets:read"]));
    client.post_as("again", "/roles", new.clone()).await.refused(409, "name_taken");
    assert!(client.post_as("again", "/roles", new).await.is_replay());
    let path = format!("/roles/{}", id_of(&role));
    let listed = client.all("/roles?limit=2").await;
    let names: Vec<_> = listed.iter().map(|role| role["name"].as_str().expect("a name")).collect();
    let wanted = ["cashier", "owner", "admin", "operator", "support", "wallet_holder"];
    assert_eq!(names, wanted);
    let system = client.get("/roles/owner").await.expect(200);
    assert_eq!((&system["is_system"], &system["created_at"]), (&json!(true), &Value::Null));

    let read = client.get(&path).await;
    let tag = read.header("etag").expect("a tag").to_owned();
    let patch = |body: Value| Call::new("PATCH", &path).json(&body);
    let stale = patch(json!({"name": "x"})).header("if-match", "\"7\"");
    client.send(stale).await.refused(412, "precondition_failed");
    let change = json!({"name": "till", "scopes": ["transfers:read"]});
    let changed = client.send(patch(change).header("if-match", &tag)).await.expect(200);
    let said = (&changed["name"], &changed["scopes"]);
    assert_eq!(said, (&json!("till"), &json!(["transfers:read"])));
    let other = json!({"name": "other", "scopes": ["wallets:read"]});
    client.post("/roles", other).await.expect(201);
    client.patch(&path, json!({"name": "other"})).await.refused(409, "name_taken");

    for (body, param) in [
        (json!({"name": "", "scopes": ["wallets:read"]}), "name"),
        (json!({"name": "Owner", "scopes": ["wallets:read"]}), "name"),
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "x", "scopes": ["platform"]}), "scopes"),
        (json!({"name": "x", "scopes": ["fly"]}), "scopes[0]"),
    ] {
        let answer = client.post("/roles", body).await;
        assert_eq!(answer.refused(400, "invalid_request").json["param"], param);
    }
    client.patch("/roles/owner", json!({"name": "x"})).await.refused(403, "forbidden");
    client.delete("/roles/owner").await.refused(403, "forbidden");
    assert_eq!(client.delete(&path).await.status, 204);
    client.get(&path).await.refused(404, "role_not_found");
    client.delete(&path).await.refused(404, "role_not_found");
}

async fn a_role_opens_and_closes_at_once(app: &TestApp) {
    let new = json!({"name": "auditor", "scopes": ["audit:read"]});
    let role = id_of(&app.client.post("/roles", new).await.expect(201));
    let (id, user) = app.user(&[SystemRole::WalletHolder]).await;
    user.get("/audit").await.refused(403, "forbidden");
    let given = put_roles(&app.client, &id.to_string(), &["wallet_holder", &role]).await;
    assert_eq!(given.expect(200)["roles"], json!(["wallet_holder", role]));
    user.get("/audit").await.expect(200);
    let path = format!("/roles/{role}");
    app.client.patch(&path, json!({"scopes": ["events:read"]})).await.expect(200);
    user.get("/audit").await.refused(403, "forbidden");
    app.client.patch(&path, json!({"scopes": ["audit:read"]})).await.expect(200);
    user.get("/audit").await.expect(200);
    assert_eq!(app.client.delete(&path).await.status, 204);
    user.get("/audit").await.refused(403, "forbidden");
    let unknown = put_roles(&app.client, &id.to_string(), &[&role]).await;
    unknown.refused(404, "role_not_found");
}

async fn nobody_gives_or_takes_what_they_lack(app: &TestApp) {
    let (owner, _) = app.user(&[SystemRole::Owner]).await;
    let (user, _) = app.user(&[]).await;
    let (_, admin) = app.user(&[SystemRole::Admin]).await;
    let (owner, user) = (owner.to_string(), user.to_string());
    put_roles(&admin, &user, &["owner"]).await.refused(403, "forbidden");
    put_roles(&admin, &owner, &["admin"]).await.refused(403, "forbidden");
    put_roles(&admin, &user, &["operator", "support"]).await.expect(200);
    let body = json!({"name": "treasurer", "scopes": ["treasury:fund"]});
    admin.post("/roles", body.clone()).await.refused(403, "forbidden");
    let role = format!("/roles/{}", id_of(&app.client.post("/roles", body).await.expect(201)));
    admin.delete(&role).await.refused(403, "forbidden");
    admin.patch(&role, json!({"name": "mine"})).await.refused(403, "forbidden");
    // An hour later the same admin has to prove again who they are.
    put_roles(&admin, "usr_00000000000000000000000007", &[]).await.refused(404, "user_not_found");
    app.clock.advance_micros(9 * 60 * 1_000_000);
    put_roles(&admin, &user, &["support"]).await.refused(403, "step_up_required");
}

async fn an_owner_stays(app: &TestApp) {
    let owners = app.client.get("/users?email=admin%40demo.local").await.expect(200);
    let owner = owners["data"][0]["id"].as_str().expect("the demo tenant's owner").to_owned();
    let (second, _) = app.user(&[]).await;
    let second = second.to_string();
    put_roles(&app.client, &owner, &["admin"]).await.refused(409, "last_owner");
    put_roles(&app.client, &owner, &["owner", "admin"]).await.expect(200);
    put_roles(&app.client, &second, &["owner"]).await.expect(200);
    put_roles(&app.client, &owner, &["admin"]).await.expect(200);
    put_roles(&app.client, &second, &[]).await.refused(409, "last_owner");
    // A tenant that has no owner yet gives roles freely, and keeps its first owner.
    let other = app.tenant("test").await;
    let only = json!({"email": "ada@example.org", "password": "not in any list 7"});
    let only = id_of(&other.post("/users", only).await.expect(201));
    put_roles(&other, &only, &["support"]).await.expect(200);
    put_roles(&other, &only, &["owner"]).await.expect(200);
    put_roles(&other, &only, &["support"]).await.refused(409, "last_owner");
}

async fn a_rotated_key_replays_what_the_one_before_it_did(app: &TestApp) {
    let made = json!({"name": "shop", "scopes": ["transfers:write", "wallets:read"]});
    let made = app.client.post("/api-keys", made).await.expect(201);
    let old = app.client.with_key(made["key"].as_str().expect("the key"));
    let (from, to) = app.client.pair(100).await;
    let body = json!({"from": from, "to": to, "amount": 10, "currency": "USD"});
    let paid = old.post_as("order-7", "/transfers", body.clone()).await.expect(201);

    let path = format!("/api-keys/{}/rotate", id_of(&made));
    let rotated = app.client.post_as("turn", &path, json!({"overlap_s": 60})).await.expect(201);
    let again = app.client.post_as("turn", &path, json!({"overlap_s": 60})).await;
    assert!(again.is_replay() && again.json["key"].is_null());
    let new = app.client.with_key(rotated["key"].as_str().expect("the new key"));
    for client in [&new, &old] {
        let answer = client.post_as("order-7", "/transfers", body.clone()).await;
        assert!(answer.is_replay());
        assert_eq!(answer.json["id"], paid["id"]);
    }
    let gone = app.client.get(format!("/api-keys/{}", id_of(&made))).await.expect(200);
    assert_eq!(gone["rotated_to"], rotated["id"]);
    let account = rotated["service_account_id"].as_str().expect("an account");
    assert_eq!(gone["service_account_id"], account);
    let its = app.client.get(format!("/service-accounts/{account}")).await.expect(200);
    assert_eq!(its["name"], "shop");
    // Turned once more: still the same account.
    let path = format!("/api-keys/{}/rotate", id_of(&rotated));
    let third = app.client.post(&path, json!({})).await.expect(201);
    let third = app.client.with_key(third["key"].as_str().expect("the third key"));
    assert!(third.post_as("order-7", "/transfers", body.clone()).await.is_replay());
    assert_eq!(app.client.balance(&to).await.0, 10);

    app.clock.advance_micros(60 * 1_000_000);
    old.get(format!("/wallets/{to}")).await.refused(401, "unauthorized");
    new.get(format!("/wallets/{to}")).await.expect(200);
    app.clock.advance_micros(24 * 3600 * 1_000_000);
    new.get(format!("/wallets/{to}")).await.refused(401, "unauthorized");
    third.get(format!("/wallets/{to}")).await.expect(200);
}

async fn keys_are_rotated_once_and_by_equals(app: &TestApp) {
    let made = json!({"name": "shop", "scopes": ["wallets:read", "api_keys:write"]});
    let made = app.client.post("/api-keys", made).await.expect(201);
    let path = format!("/api-keys/{}/rotate", id_of(&made));
    // Whoever may write keys but not read wallets would take over what may.
    let lesser = app.client_with(&["api_keys:write"]).await;
    lesser.post(&path, json!({})).await.refused(403, "forbidden");
    for overlap in [-1, 604_801] {
        let answer = app.client.post(&path, json!({"overlap_s": overlap})).await;
        assert_eq!(answer.refused(400, "invalid_request").json["param"], "overlap_s");
    }
    let own = app.client.with_key(made["key"].as_str().expect("the key"));
    own.post(&path, json!({"overlap_s": 0})).await.expect(201);
    own.get("/wallets").await.refused(401, "unauthorized");
    app.client.post_as("late", &path, json!({})).await.refused(409, "api_key_state");
    assert!(app.client.post_as("late", &path, json!({})).await.is_replay());
    let revoked = json!({"name": "old", "scopes": ["wallets:read"]});
    let revoked = id_of(&app.client.post("/api-keys", revoked).await.expect(201));
    app.client.delete(format!("/api-keys/{revoked}")).await;
    let path = format!("/api-keys/{revoked}/rotate");
    app.client.post(&path, json!({})).await.refused(409, "api_key_state");
}

async fn a_key_is_renamed_as_it_was_read(app: &TestApp) {
    let made = json!({"name": "till", "scopes": ["wallets:read"]});
    let made = app.client.post("/api-keys", made).await.expect(201);
    let path = format!("/api-keys/{}", id_of(&made));
    let read = app.client.get(&path).await;
    let tag = read.header("etag").expect("a tag").to_owned();
    let rename = |name: &str| {
        Call::new("PATCH", &path).json(&json!({"name": name})).header("if-match", &tag)
    };
    let renamed = app.client.send(rename("till 8")).await;
    assert_ne!(renamed.header("etag"), Some(&*tag));
    assert_eq!(renamed.expect(200)["name"], "till 8");
    app.client.send(rename("till 9")).await.refused(412, "precondition_failed");
    assert_eq!(app.client.get(&path).await.expect(200)["name"], "till 8");
}

async fn a_use_is_written_behind_the_requests(app: &TestApp) {
    let made = json!({"name": "till", "scopes": ["wallets:read"]});
    let made = app.client.post("/api-keys", made).await.expect(201);
    let path = format!("/api-keys/{}", id_of(&made));
    let last_use = async || app.client.get(&path).await.expect(200)["last_used_at"].clone();
    assert_eq!(last_use().await, Value::Null);
    let till = app.client.with_key(made["key"].as_str().expect("the key"));
    till.get("/wallets").await.expect(200);
    until("the first use is written", async || !last_use().await.is_null()).await;
    let first = last_use().await;
    app.clock.advance_micros(61 * 1_000_000);
    till.get("/wallets").await.expect(200);
    until("the next use is written", async || last_use().await != first).await;
}

async fn service_accounts_own_their_keys(app: &TestApp) {
    let client = &app.client;
    let account = client.post("/service-accounts", json!({"name": "billing"})).await.expect(201);
    let path = format!("/service-accounts/{}", id_of(&account));
    let renamed = client.patch(&path, json!({"name": "invoices"})).await.expect(200);
    assert_eq!(renamed["name"], "invoices");
    let stale = Call::new("PATCH", &path).json(&json!({"name": "x"})).header("if-match", "\"1\"");
    client.send(stale).await.refused(412, "precondition_failed");
    assert_eq!(client.all("/service-accounts?fields=id,name").await.len(), 1);

    let key = async |name: &str| {
        let body = json!({"name": name, "scopes": ["wallets:write", "wallets:read"],
            "service_account_id": id_of(&account)});
        let made = client.post("/api-keys", body).await.expect(201);
        assert_eq!(made["service_account_id"], account["id"]);
        client.with_key(made["key"].as_str().expect("the key"))
    };
    let (one, two) = (key("one").await, key("two").await);
    let wallet = json!({"currency": "USD"});
    let made = one.post_as("k", "/wallets", wallet.clone()).await.expect(201);
    let again = two.post_as("k", "/wallets", wallet).await;
    assert!(again.is_replay());
    assert_eq!(again.json["id"], made["id"]);
    for unknown in ["sva_00000000000000000000000007", "nobody"] {
        let body = json!({"name": "x", "scopes": ["wallets:read"], "service_account_id": unknown});
        client.post("/api-keys", body).await.refused(404, "service_account_not_found");
    }
}

async fn a_deleted_account_takes_its_keys_along(app: &TestApp) {
    let client = &app.client;
    let account = client.post("/service-accounts", json!({"name": "billing"})).await.expect(201);
    let path = format!("/service-accounts/{}", id_of(&account));
    let body = json!({"name": "one", "scopes": ["wallets:read"],
        "service_account_id": id_of(&account)});
    let made = client.post("/api-keys", body.clone()).await.expect(201);
    let key = client.with_key(made["key"].as_str().expect("the key"));
    key.get("/wallets").await.expect(200);
    let stale = Call::new("DELETE", &path).header("if-match", "\"7\"");
    client.send(stale).await.refused(412, "precondition_failed");
    key.delete(&path).await.refused(403, "forbidden");
    app.tenant("test").await.delete(&path).await.refused(404, "service_account_not_found");
    assert_eq!(client.delete(&path).await.status, 204);
    key.get("/wallets").await.refused(401, "unauthorized");
    client.get(&path).await.refused(404, "service_account_not_found");
    client.delete(&path).await.refused(404, "service_account_not_found");
    let one = format!("/api-keys/{}", id_of(&made));
    assert!(client.get(&one).await.expect(200)["revoked_at"].is_string());
    client.post("/api-keys", body).await.refused(404, "service_account_not_found");
    client.post(format!("{one}/rotate"), json!({})).await.refused(409, "api_key_state");
    let acts = client.all(&format!("/audit?object={}", id_of(&account))).await;
    assert_eq!(acts[0]["action"], "service_account.deleted");
    assert_eq!(acts[0]["fields"], json!(["api_keys"]));
}

async fn roles_are_given_to_the_user_that_was_read(app: &TestApp) {
    let (user, _) = super::users::member(app, "ada@example.org").await;
    let tag = async || {
        let answer = app.client.get(format!("/users/{user}")).await;
        answer.header("etag").expect("a tag").to_owned()
    };
    let put = async |tag: &str, role: &str| {
        let call = Call::new("PUT", format!("/users/{user}/roles")).header("if-match", tag);
        app.client.send(call.json(&json!({"roles": [role]}))).await
    };
    let first = tag().await;
    let given = put(&first, "support").await;
    let second = given.header("etag").expect("a tag").to_owned();
    given.expect(200);
    assert_eq!(tag().await, second, "a change of roles is one of the user");
    put(&first, "admin").await.refused(412, "precondition_failed");
    put(&second, "operator").await.expect(200);
    app.client.delete(format!("/users/{user}")).await.expect(204);
    put("*", "support").await.refused(409, "user_state");
}

async fn administrative_acts_are_in_the_audit(app: &TestApp) {
    let client = &app.client;
    let wallet = client.funded(500).await;
    client.act(&wallet, "freeze", json!({})).await.expect(200);
    // Refused, so there is nothing to record.
    client.act(&wallet, "close", json!({})).await.refused(409, "wallet_state");
    client.act(&wallet, "unfreeze", json!({})).await.expect(200);
    client.patch(format!("/wallets/{wallet}"), json!({"floor": -5})).await.expect(200);
    let acts = async |object: &str| {
        let records = client.all(&format!("/audit?object={object}")).await;
        records
            .iter()
            .map(|it| it["action"].as_str().expect("a word").to_owned())
            .collect::<Vec<_>>()
    };
    let wanted = ["wallet.updated", "wallet.unfrozen", "wallet.frozen", "wallet.funded"];
    assert_eq!(acts(&wallet).await, wanted);

    let tenant = app.tenant_id().await.to_string();
    client.patch("/tenants/me", json!({"name": "Acme"})).await.expect(200);
    assert_eq!(acts(&tenant).await, ["tenant.updated", "tenant.created"]);
    let key = json!({"name": "till", "scopes": ["wallets:read"]});
    let key = client.post("/api-keys", key).await.expect(201);
    let (id, secret) = (id_of(&key), key["key"].as_str().expect("the key").to_owned());
    client.patch(format!("/api-keys/{id}"), json!({"name": "till 2"})).await.expect(200);
    client.post(format!("/api-keys/{id}/rotate"), json!({})).await.expect(201);
    client.delete(format!("/api-keys/{id}")).await;
    let wanted = ["api_key.revoked", "api_key.rotated", "api_key.updated", "api_key.created"];
    assert_eq!(acts(&id).await, wanted);

    let all = client.get("/audit?limit=100").await;
    let text = String::from_utf8_lossy(&all.bytes).into_owned();
    assert!(!text.contains(&secret) && !text.contains("till 2") && !text.contains("Acme"));
    let record = &client.get("/audit?action=wallet.funded").await.expect(200)["data"][0];
    assert_eq!(record["target"], json!({"kind": "wallet", "id": wallet}));
    assert_eq!(
        (&record["actor"]["kind"], &record["fields"]),
        (&json!("api_key"), &json!(["balance"]))
    );
    assert!(record["request_id"].as_str().is_some_and(|id| !id.is_empty()));
    let by = record["actor"]["id"].as_str().expect("an id").to_owned();
    assert!(client.all(&format!("/audit?actor={by}")).await.len() > 5);
    assert_eq!(client.all("/audit?actor=anyone&limit=3").await.len(), 0);
    assert_eq!(client.get("/audit?actor=me").await.status, 400);
    assert_eq!(client.all("/audit?created[lt]=2000-01-01T00:00:00Z").await.len(), 0);
    let stranger = app.tenant("test").await;
    assert_eq!(stranger.all(&format!("/audit?object={wallet}")).await.len(), 0);
}

async fn tenants_set_their_limits(app: &TestApp) {
    let config = |limit: Value| json!({"config": {"rate_limits": limit}});
    let read = async || app.client.get("/tenants/me").await.expect(200)["config"].clone();
    assert_eq!(read().await["rate_limits"], Value::Null);
    let patch = config(json!({"transfer_per_hour": 500}));
    app.client.patch("/tenants/me", patch.clone()).await.expect(200);
    assert_eq!(read().await["rate_limits"]["transfer_per_hour"], 500);
    app.client.patch("/tenants/me", json!({"name": "Acme", "config": {}})).await.expect(200);
    assert_eq!(read().await["rate_limits"]["transfer_per_hour"], 500);
    for limit in [0, 1_000_001] {
        let patch = config(json!({"view_per_hour": limit}));
        let answer = app.client.patch("/tenants/me", patch).await;
        let param = "config.rate_limits.view_per_hour";
        assert_eq!(answer.refused(400, "invalid_request").json["param"], param);
    }
    let narrow = app.client_with(&["tenant:write"]).await;
    narrow.patch("/tenants/me", patch).await.refused(403, "forbidden");
    app.client.patch("/tenants/me", config(Value::Null)).await.expect(200);
    assert_eq!(read().await["rate_limits"], Value::Null);

    app.tenant("live").await;
    let tenants = app.client.all("/tenants?limit=1&fields=name,mode").await;
    assert_eq!(
        tenants,
        [json!({"name": "another", "mode": "live"}), json!({"name": "Acme", "mode": "test"})]
    );
}

async fn permissions_are_listed(app: &TestApp) {
    let all = app.client.get("/permissions").await.expect(200);
    let all = all["data"].as_array().expect("a list");
    let audit = all.iter().find(|it| it["scope"] == "audit:read").expect("the scope");
    assert_eq!(audit["routes"], json!(["GET /api/v1/audit"]));
    assert_eq!(audit["system_roles"], json!(["owner", "admin", "operator", "support"]));
    let short = app.client.get("/permissions?fields=scope").await.expect(200);
    assert_eq!(short["data"][0], json!({"scope": "platform"}));
    assert_eq!(app.client.get("/permissions?limit=1").await.status, 400);
}
