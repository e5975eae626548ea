//! What somebody may does not grow by a way round: by a second role, by a role that is being
//! deleted, by a key, by ending what those above them have.

use caudal_domain::{Clock, SystemRole};
use caudal_testkit::{Answer, Call, Client, TestApp, both_databases, until};
use serde_json::{Value, json};
use tokio_postgres::NoTls;

both_databases! {
    a_second_role_widens_no_wallet what_is_only_ones_own_is_given_to_nobody
    a_role_being_deleted_is_given_to_nobody power_asks_for_a_fresh_proof
    whoever_may_more_is_left_alone no_key_outlives_the_key_that_made_it
    a_revoked_key_takes_along_what_it_made no_key_is_made_while_its_maker_is_revoked
    credit_at_creation_is_in_the_audit what_was_refused_is_in_the_audit_once_a_minute
    a_wallet_is_of_a_user_of_the_tenant a_schedule_is_of_known_wallets
}

fn id_of(object: &Value) -> String {
    object["id"].as_str().expect("an id").to_owned()
}

/// A busy machine may find the gate closed for longer than a unit waits: asked again, as a caller
/// would.
async fn served(client: Client, call: impl Fn() -> Call) -> u16 {
    for _ in 0..5 {
        match client.send(call()).await.status {
            503 => {}
            status => return status,
        }
    }
    503
}

async fn put_roles(client: &Client, user: &str, roles: &[&str]) -> Answer {
    let call = Call::new("PUT", format!("/users/{user}/roles"));
    client.send(call.json(&json!({"roles": roles}))).await
}

async fn role(client: &Client, name: &str, scopes: &[&str]) -> String {
    id_of(&client.post("/roles", json!({"name": name, "scopes": scopes})).await.expect(201))
}

/// A wallet of the user's with this much USD.
async fn wallet_of(app: &TestApp, user: &str, amount: i64) -> String {
    let body = json!({"currency": "USD", "user_id": user});
    let wallet = id_of(&app.client.post("/wallets", body).await.expect(201));
    app.client.fund(&wallet, amount).await.expect(201);
    wallet
}

async fn a_second_role_widens_no_wallet(app: &TestApp) {
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (bob_id, _) = app.user(&[SystemRole::WalletHolder]).await;
    let (sue_id, sue) = app.user(&[SystemRole::WalletHolder, SystemRole::Support]).await;
    let own = wallet_of(app, &ada_id.to_string(), 100).await;
    let hers = wallet_of(app, &sue_id.to_string(), 100).await;
    let foreign = wallet_of(app, &bob_id.to_string(), 100).await;
    // Whoever may only write roles gives one that reads roles.
    let clerk = app.client_with(&["roles:read", "roles:write"]).await;
    let reader = role(&clerk, "reader", &["roles:read"]).await;
    let roles = ["wallet_holder", reader.as_str()];
    put_roles(&clerk, &ada_id.to_string(), &roles).await.expect(200);
    ada.get(format!("/roles/{reader}")).await.expect(200);
    for (somebody, wallet) in [(&ada, &own), (&sue, &hers)] {
        somebody.transfer(&foreign, wallet, 50).await.refused(404, "wallet_not_found");
        let out = somebody.act(&foreign, "withdraw", json!({"amount": 5})).await;
        out.refused(404, "wallet_not_found");
        let paid = json!({"type": "wallet", "from": foreign, "to": wallet, "amount": 5,
            "currency": "USD"});
        somebody.post("/payments", paid).await.refused(404, "wallet_not_found");
        let named = somebody.patch(format!("/wallets/{foreign}"), json!({"name": "mine"})).await;
        named.refused(404, "wallet_not_found");
        somebody.transfer(wallet, &foreign, 1).await.expect(201);
    }
    ada.get(format!("/wallets/{foreign}")).await.refused(404, "wallet_not_found");
    // Support reads the tenant, as before.
    sue.get(format!("/wallets/{foreign}")).await.expect(200);
    assert_eq!(app.client.balance(&foreign).await.0, 102);
    // Who is given the scope itself has it of the whole tenant.
    let teller = role(&app.client, "teller", &["transfers:write"]).await;
    let roles = ["wallet_holder", teller.as_str()];
    put_roles(&app.client, &ada_id.to_string(), &roles).await.expect(200);
    ada.transfer(&foreign, &own, 2).await.expect(201);
}

async fn what_is_only_ones_own_is_given_to_nobody(app: &TestApp) {
    let (id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (other, _) = app.user(&[]).await;
    let scopes = ["roles:write", "roles:read", "api_keys:write"];
    let clerk = role(&app.client, "clerk", &scopes).await;
    let roles = ["wallet_holder", clerk.as_str()];
    put_roles(&app.client, &id.to_string(), &roles).await.expect(200);
    let own = json!({"name": "mine", "scopes": ["transfers:write"]});
    ada.post("/roles", own.clone()).await.refused(403, "forbidden");
    ada.post("/api-keys", own).await.refused(403, "forbidden");
    let teller = role(&app.client, "teller", &["transfers:write"]).await;
    put_roles(&ada, &other.to_string(), &[&teller]).await.refused(403, "forbidden");
    put_roles(&ada, &other.to_string(), &["wallet_holder"]).await.expect(200);
    put_roles(&ada, &other.to_string(), &["wallet_holder", &clerk]).await.expect(200);
}

/// Keeps every commit that tells of something waiting, on PostgreSQL.
struct Gate(tokio_postgres::Client);

impl Gate {
    async fn close(url: &str) -> Option<Self> {
        if !url.starts_with("postgres") {
            return None;
        }
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL");
        tokio::spawn(connection);
        client.batch_execute("begin; select * from stream_heads for update").await.expect("locks");
        Some(Self(client))
    }

    /// Until so many others wait for a lock. A transaction sees the connections there were when it
    /// first looked, unless it clears that.
    async fn until_waiting(&self, most: i64) {
        let sql = "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'";
        until("others to wait", async || {
            let clear = "select pg_stat_clear_snapshot()";
            self.0.batch_execute(clear).await.expect("another look");
            let waiting: i64 = self.0.query_one(sql, &[]).await.expect("a count").get(0);
            waiting >= most
        })
        .await;
    }

    async fn open(self) {
        self.0.batch_execute("rollback").await.expect("the end");
    }
}

async fn a_role_being_deleted_is_given_to_nobody(app: &TestApp) {
    let (user, theirs) = app.user(&[SystemRole::WalletHolder]).await;
    let user = user.to_string();
    let role = role(&app.client, "teller", &["wallets:read"]).await;
    let gate = Gate::close(&app.database_url()).await;
    let (body, path) = (json!({"roles": [role]}), format!("/users/{user}/roles"));
    let give = move || Call::new("PUT", &path).json(&body);
    let giving = tokio::spawn(served(app.client.clone(), give));
    if let Some(gate) = &gate {
        gate.until_waiting(1).await;
    }
    let path = format!("/roles/{role}");
    let delete = move || Call::new("DELETE", &path);
    let deleting = tokio::spawn(served(app.client.clone(), delete));
    if let Some(gate) = gate {
        gate.until_waiting(2).await;
        gate.open().await;
    }
    let gave = giving.await.expect("an answer");
    assert_eq!(deleting.await.expect("an answer"), 204);
    assert!([200, 404, 409].contains(&gave), "{gave}");
    app.client.get(format!("/roles/{role}")).await.refused(404, "role_not_found");
    let roles = app.client.get(format!("/users/{user}")).await.expect(200)["roles"].clone();
    assert!(!roles.to_string().contains(&role), "{roles}");
    theirs.get("/wallets").await;
    theirs.get("/users").await.refused(403, "forbidden");
}

async fn power_asks_for_a_fresh_proof(app: &TestApp) {
    let ada = json!({"email": "ada@example.org", "password": "not in any list 7"});
    let user = id_of(&app.client.post("/users", ada).await.expect(201));
    let made = json!({"name": "shop", "scopes": ["wallets:read"]});
    let key = id_of(&app.client.post("/api-keys", made.clone()).await.expect(201));
    let role = role(&app.client, "clerk", &["wallets:read"]).await;
    let gateway = json!({"kind": "simulator", "name": "another"});
    let account = id_of(&app.client.post("/gateway-accounts", gateway).await.expect(201));
    let hook = json!({"url": "http://127.0.0.1:65000/", "events": ["*"]});
    let endpoint = id_of(&app.client.post("/webhook-endpoints", hook.clone()).await.expect(201));
    let rule = json!({"name": "dear", "expression": "payment.amount > 100", "action": "review"});
    let ruled = id_of(&app.client.post("/fraud-rules", rule.clone()).await.expect(201));
    let kind = |name| json!({"name": name, "via": "wallet", "currencies": {"USD": {}}});
    let kinded = id_of(&app.client.post("/payment-types", kind("tips")).await.expect(201));
    let wallet = app.client.wallet("USD").await;
    let none = json!({});
    let name = json!({"name": "other"});
    let credit = json!({"currency": "USD", "floor": -100});
    let table = [
        ("POST", "/wallets".to_owned(), &credit),
        ("PATCH", format!("/wallets/{wallet}"), &json!({"floor": -100})),
        ("PUT", format!("/wallets/{wallet}/tier"), &json!({"tier": null})),
        ("POST", "/api-keys".to_owned(), &made),
        ("POST", format!("/api-keys/{key}/rotate"), &none),
        ("POST", "/roles".into(), &made),
        ("PATCH", format!("/roles/{role}"), &name),
        ("DELETE", format!("/roles/{role}"), &none),
        ("POST", "/gateway-accounts".into(), &json!({"kind": "simulator", "name": "third"})),
        ("PATCH", format!("/gateway-accounts/{account}"), &name),
        ("POST", "/webhook-endpoints".into(), &hook),
        ("PATCH", format!("/webhook-endpoints/{endpoint}"), &json!({"events": ["*"]})),
        ("POST", format!("/webhook-endpoints/{endpoint}/rotate"), &none),
        ("POST", "/fraud-rules".into(), &rule),
        ("PATCH", format!("/fraud-rules/{ruled}"), &name),
        ("DELETE", format!("/fraud-rules/{ruled}"), &none),
        ("POST", "/payment-types".into(), &kind("gifts")),
        ("PATCH", format!("/payment-types/{kinded}"), &json!({"active": false})),
        ("DELETE", format!("/payment-types/{kinded}"), &none),
        ("PATCH", "/tenants/me".into(), &name),
        ("POST", format!("/users/{user}/deactivate"), &none),
        ("DELETE", format!("/users/{user}"), &none),
    ];
    let (_, stale) = app.user(&[SystemRole::Owner]).await;
    app.clock.advance(6 * 60);
    let (_, fresh) = app.user(&[SystemRole::Owner]).await;
    let call = |row: usize, who: &str| {
        let (method, path, body) = &table[row];
        Call::new(method, path).key(format!("{who}-{row}")).json(body)
    };
    for (row, (method, path, _)) in table.iter().enumerate() {
        let name = format!("{method} {path}");
        stale.send(call(row, "stale")).await.refused_as(&name, 403, "step_up_required");
    }
    for (row, (method, path, _)) in table.iter().enumerate() {
        let answer = fresh.send(call(row, "fresh")).await;
        assert!(answer.status < 300, "{method} {path}: {}", answer.json);
    }
}

async fn whoever_may_more_is_left_alone(app: &TestApp) {
    let (owner_id, owner) = app.user(&[SystemRole::Owner]).await;
    let (holder_id, holder) = app.user(&[SystemRole::WalletHolder]).await;
    let (_, admin) = app.user(&[SystemRole::Admin]).await;
    let ender = app.client_with(&["sessions:write"]).await;
    let account = app.client.post("/service-accounts", json!({"name": "bank"})).await.expect(201);
    let rich = json!({"name": "rich", "scopes": ["treasury:fund"],
        "service_account_id": id_of(&account)});
    let rich =
        format!("/api-keys/{}", id_of(&app.client.post("/api-keys", rich).await.expect(201)));
    let poor = json!({"name": "poor", "scopes": ["wallets:read"]});
    let poor =
        format!("/api-keys/{}", id_of(&app.client.post("/api-keys", poor).await.expect(201)));
    for lesser in [&admin, &ender] {
        let sessions = format!("/users/{owner_id}/sessions");
        lesser.delete(sessions).await.refused(403, "forbidden");
    }
    admin.delete(&rich).await.refused(403, "forbidden");
    admin.patch(&rich, json!({"name": "x"})).await.refused(403, "forbidden");
    let path = format!("/service-accounts/{}", id_of(&account));
    admin.delete(&path).await.refused(403, "forbidden");
    admin.patch(&path, json!({"name": "x"})).await.refused(403, "forbidden");
    // A key of its own would act as the account, and share its idempotency keys.
    let joined = json!({"name": "joined", "scopes": ["wallets:read"],
        "service_account_id": id_of(&account)});
    admin.post("/api-keys", joined).await.refused(403, "forbidden");
    owner.get("/wallets").await.expect(200);
    assert!(app.client.get(&rich).await.expect(200)["revoked_at"].is_null());
    // A wallet holder's scope goes further in another role: it reaches every wallet.
    let (clerk_id, _) = app.user(&[SystemRole::WalletHolder]).await;
    let clerk = role(&app.client, "clerk", &["transfers:write"]).await;
    let roles = json!({"roles": ["wallet_holder", clerk]});
    let give = Call::new("PUT", format!("/users/{clerk_id}/roles")).json(&roles);
    app.client.send(give).await.expect(200);
    let sessions = format!("/users/{clerk_id}/sessions");
    ender.delete(&sessions).await.refused(403, "forbidden");
    admin.delete(&sessions).await.expect(204);
    // What is below them they end as before.
    ender.delete(format!("/users/{holder_id}/sessions")).await.expect(204);
    holder.get("/wallets").await.refused(401, "unauthorized");
    admin.patch(&poor, json!({"name": "x"})).await.expect(200);
    assert!(admin.delete(&poor).await.status < 300);
    assert!(owner.delete(&path).await.status < 300);
}

async fn a_revoked_key_takes_along_what_it_made(app: &TestApp) {
    let scopes = ["api_keys:write", "api_keys:read", "wallets:read"];
    let make = async |with: &Client, name: &str| {
        let key = json!({"name": name, "scopes": scopes});
        let made = with.post("/api-keys", key).await.expect(201);
        (id_of(&made), app.client.with_key(made["key"].as_str().expect("a key")))
    };
    let (root, first) = make(&app.client, "root").await;
    let (child, second) = make(&first, "child").await;
    let (_, third) = make(&second, "grandchild").await;
    let (other, beside) = make(&app.client, "beside").await;
    let turned = second.post(format!("/api-keys/{other}/rotate"), json!({})).await.expect(201);
    let rotated = app.client.with_key(turned["key"].as_str().expect("a key"));
    let read = async |id: &str| app.client.get(format!("/api-keys/{id}")).await.expect(200);
    assert_eq!(read(&child).await["made_by"], json!({"kind": "api_key", "id": root}));
    assert_eq!(turned["made_by"], json!({"kind": "api_key", "id": child}));
    let made = app.client.all(&format!("/api-keys?made_by={child}&fields=name")).await;
    assert_eq!(made, [json!({"name": "beside"}), json!({"name": "grandchild"})]);
    app.client.get("/api-keys?made_by=key_1").await.refused(400, "invalid_request");
    assert_eq!(app.client.all("/api-keys?made_by=system").await, [] as [Value; 0]);
    let (_, admin) = app.user(&[SystemRole::Admin]).await;
    let (hers, _) = make(&admin, "by a person").await;
    assert_eq!(read(&hers).await["made_by"]["kind"], "user");

    let path = format!("/api-keys/{root}");
    app.client.delete(&path).await.expect(204);
    first.get("/wallets").await.refused(401, "unauthorized");
    second.get("/wallets").await.expect(200);
    // Nobody ends, in one go, what may more than they.
    let weak = app.client_with(&["api_keys:write"]).await;
    let with_all = format!("{path}?descendants=true");
    weak.delete(&with_all).await.refused(403, "forbidden");
    app.tenant("test").await.delete(&with_all).await.refused(404, "api_key_not_found");
    for _ in 0..2 {
        app.client.delete(&with_all).await.expect(204);
    }
    for ended in [&second, &third, &rotated] {
        ended.get("/wallets").await.refused(401, "unauthorized");
    }
    beside.get("/wallets").await.expect(200);
    for id in [&root, &child, &id_of(&turned)] {
        let acts = app.client.all(&format!("/audit?object={id}&action=api_key.revoked")).await;
        assert_eq!(acts.len(), 1, "{id}");
    }
}

/// A thief's key goes on making keys while it is revoked: none is left.
async fn no_key_is_made_while_its_maker_is_revoked(app: &TestApp) {
    let scopes = ["api_keys:write", "wallets:read"];
    for round in 0..5 {
        let key = json!({"name": "stolen", "scopes": scopes});
        let stolen = app.client.post("/api-keys", key).await.expect(201);
        let thief = app.client.with_key(stolen["key"].as_str().expect("a key"));
        let thefts: Vec<_> = (0..8)
            .map(|_| {
                let thief = thief.clone();
                let key = json!({"name": format!("round {round}"), "scopes": scopes});
                tokio::spawn(async move { thief.post("/api-keys", key).await })
            })
            .collect();
        let path = format!("/api-keys/{}?descendants=true", id_of(&stolen));
        app.client.delete(path).await.expect(204);
        for theft in thefts {
            let answer = theft.await.expect("an answer");
            assert!([201, 401, 409].contains(&answer.status), "{}", answer.json);
        }
    }
    for key in app.client.all("/api-keys?fields=name,revoked_at").await {
        let is_stolen = key["name"].as_str().is_some_and(|name| name.starts_with("round"));
        assert!(!is_stolen || key["revoked_at"].is_string(), "{key}");
    }
}

async fn no_key_outlives_the_key_that_made_it(app: &TestApp) {
    let end = app.clock.now().plus_seconds(60);
    let maker = json!({"name": "maker", "scopes": ["api_keys:write", "wallets:read"],
        "expires_at": end.to_string()});
    let maker = app.client.post("/api-keys", maker).await.expect(201);
    let maker = app.client.with_key(maker["key"].as_str().expect("the key"));
    let body = |until: Value| json!({"name": "x", "scopes": ["wallets:read"], "expires_at": until});
    let later = maker.post("/api-keys", body(json!(end.plus_seconds(1).to_string()))).await;
    assert_eq!(later.refused(400, "invalid_request").json["param"], "expires_at");
    let same = maker.post("/api-keys", body(Value::Null)).await.expect(201);
    assert_eq!(same["expires_at"], end.to_string());
    let sooner = app.clock.now().plus_seconds(30).to_string();
    let made = maker.post("/api-keys", body(json!(sooner))).await.expect(201);
    assert_eq!(made["expires_at"], sooner);
    // Nor does one that was there before, by rotation.
    let endless = json!({"name": "endless", "scopes": ["wallets:read"]});
    let endless = id_of(&app.client.post("/api-keys", endless).await.expect(201));
    let turned = maker.post(format!("/api-keys/{endless}/rotate"), json!({})).await.expect(201);
    assert_eq!(turned["expires_at"], end.to_string());
    // A person's key does not end with their token.
    let (_, owner) = app.user(&[SystemRole::Owner]).await;
    let made = owner.post("/api-keys", body(Value::Null)).await.expect(201);
    assert!(made["expires_at"].is_null());
}

async fn credit_at_creation_is_in_the_audit(app: &TestApp) {
    let body = |floor: i64| json!({"currency": "USD", "floor": floor});
    let acts = async |floor: i64| {
        let wallet = id_of(&app.client.post("/wallets", body(floor)).await.expect(201));
        app.client.all(&format!("/audit?object={wallet}")).await
    };
    let credit = acts(-500).await;
    assert_eq!(credit.len(), 1, "{credit:?}");
    assert_eq!(credit[0]["action"], "wallet.created");
    assert_eq!(credit[0]["fields"], json!(["floor"]));
    assert_eq!(acts(0).await, [] as [Value; 0]);
}

async fn what_was_refused_is_in_the_audit_once_a_minute(app: &TestApp) {
    let (id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let own = wallet_of(app, &id.to_string(), 100).await;
    let refused = async || app.client.all("/audit?action=access.refused").await;
    assert_eq!(refused().await, [] as [Value; 0]);
    let fund = json!({"amount": 5, "source": "treasury"});
    for _ in 0..3 {
        let out = ada.post(format!("/wallets/{own}/fund"), fund.clone()).await;
        out.refused(403, "forbidden");
    }
    let acts = refused().await;
    assert_eq!(acts.len(), 1, "{acts:?}");
    assert_eq!(acts[0]["actor"]["id"], json!(id.to_string()), "{}", acts[0]);
    assert_eq!(acts[0]["target"]["id"], "POST /api/v1/wallets/{id}/fund", "{}", acts[0]);
    // Another route is another row, and so is another minute.
    ada.post("/roles", json!({"name": "x", "scopes": ["wallets:read"]})).await;
    assert_eq!(refused().await.len(), 2);
    app.clock.advance(61);
    ada.post(format!("/wallets/{own}/fund"), fund).await.refused(403, "forbidden");
    assert_eq!(refused().await.len(), 3);
    // Nobody fills the table, whatever they try.
    let (_, eve) = app.user(&[SystemRole::WalletHolder]).await;
    for path in [
        "/users",
        "/roles",
        "/audit",
        "/api-keys",
        "/gateway-accounts",
        "/reports/daily",
        "/fraud-rules",
        "/reviews",
        "/webhook-endpoints",
        "/payment-types",
        "/service-accounts",
        "/disputes",
        "/tenants/me",
        "/payments/uploads",
    ] {
        eve.get(path).await.refused(403, "forbidden");
    }
    assert_eq!(refused().await.len(), 3 + 10);
}

async fn a_wallet_is_of_a_user_of_the_tenant(app: &TestApp) {
    let (id, _) = app.user(&[SystemRole::WalletHolder]).await;
    let body = |user: &str| json!({"currency": "USD", "user_id": user});
    app.client.post("/wallets", body(&id.to_string())).await.expect(201);
    let unknown = body("usr_00000000000000000000000007");
    app.client.post("/wallets", unknown).await.refused(404, "user_not_found");
    let thief = app.tenant("test").await;
    thief.post("/wallets", body(&id.to_string())).await.refused(404, "user_not_found");
}

async fn a_schedule_is_of_known_wallets(app: &TestApp) {
    let (from, to) = app.client.pair(100).await;
    let thief = app.tenant("test").await;
    let own = thief.pair(100).await;
    let at = app.clock.now().plus_seconds(86_400).to_string();
    let body = |from: &str, to: &str| {
        let payment = json!({"type": "wallet", "amount": 5, "currency": "USD", "from": from,
            "to": to});
        json!({"payment": payment, "every": "day", "start_at": at, "timezone": "UTC"})
    };
    let nobodys = "wal_00000000000000000000000007";
    for (from, to) in [(from.as_str(), own.1.as_str()), (&own.0, &to), (&own.0, nobodys)] {
        thief.post("/schedules", body(from, to)).await.refused(404, "wallet_not_found");
    }
    thief.post("/schedules", body(&own.0, &own.1)).await.expect(201);
    let (id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let hers = wallet_of(app, &id.to_string(), 10).await;
    ada.post("/schedules", body(&from, &hers)).await.refused(404, "wallet_not_found");
    ada.post("/schedules", body(&hers, &to)).await.expect(201);
}
