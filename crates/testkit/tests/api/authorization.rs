//! Who may what: every route of the API document, tried by everybody there is.
//!
//! `docs/permissions.md` says what each route asks for and what each role has, and is held against
//! the document: whoever loosens a route changes that file too. To write it anew, run the test
//! `the_tables_of_permissions_are_true` with `CAUDAL_WRITE_DOCS=1`.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use caudal_domain::{SystemRole, access::Scope};
use caudal_testkit::{Answer, Call, Client, TestApp, both_databases};
use serde_json::json;

both_databases! {
    every_operation_declares_its_access the_tables_of_permissions_are_true
    nobody_and_keys_without_scopes_are_kept_out each_route_opens_to_its_scope_alone
    keys_may_what_their_roles_may users_may_what_their_roles_may
    a_wallet_holder_reaches_their_own_alone events_of_others_are_not_heard
}

/// A line of the API document.
struct Route {
    method: String,
    path: String,
    access: String,
}

impl Route {
    /// Without key and body, so that whoever is let in does nothing.
    fn call(&self) -> Call {
        Call::absolute(&self.method, &self.path.replace("{id}", "none"))
    }

    fn scope(&self) -> Option<Scope> {
        Scope::from_name(self.access.strip_prefix("open|").unwrap_or(&self.access))
    }

    fn name(&self) -> String {
        format!("{} {}", self.method.to_uppercase(), self.path)
    }
}

async fn routes(client: &Client) -> Vec<Route> {
    let document = client.get("//openapi.json").await.expect(200);
    let mut routes = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("operations") {
            let access = operation["x-caudal-access"].as_str();
            let access = access.unwrap_or_else(|| panic!("{method} {path} declares no access"));
            let is_secured = operation["security"].is_array();
            assert_eq!(is_secured, access != "open", "{method} {path}");
            let (method, path, access) = (method.clone(), path.clone(), access.to_owned());
            let route = Route { method, path, access };
            let is_known = ["open", "signed_in"].contains(&&*route.access);
            assert!(is_known || route.scope().is_some(), "{}: {}", route.name(), route.access);
            routes.push(route);
        }
    }
    assert!(routes.len() > 40, "the document has all routes");
    routes
}

/// Those behind the public door that ask who comes.
async fn guarded(client: &Client) -> Vec<Route> {
    let mut routes = routes(client).await;
    routes.retain(|route| route.access != "open");
    routes
}

async fn every_operation_declares_its_access(app: &TestApp) {
    let all = routes(&app.client).await;
    let asked: Vec<_> = all.iter().filter_map(Route::scope).collect();
    for scope in Scope::ALL {
        // These are asked for inside: of a floor, and of a reversal by force.
        let is_inside = matches!(scope, Scope::WalletsCredit | Scope::TransfersForce);
        assert_eq!(asked.contains(scope), !is_inside, "{scope} opens no route");
    }
}

async fn the_tables_of_permissions_are_true(app: &TestApp) {
    let wanted = permissions(&routes(&app.client).await);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/permissions.md");
    if std::env::var_os("CAUDAL_WRITE_DOCS").is_some() {
        fs::write(&path, &wanted).expect("the file is written");
    }
    let said = fs::read_to_string(&path).expect("docs/permissions.md");
    for (said, wanted) in said.lines().zip(wanted.lines()) {
        assert_eq!(said, wanted, "docs/permissions.md is not what the routes and roles are");
    }
    assert_eq!(said.len(), wanted.len(), "docs/permissions.md is cut");
}

/// The file as the code has it.
fn permissions(routes: &[Route]) -> String {
    let mut text = String::from(include_str!("permissions_head.md"));
    text.push_str("\n## Roles\n\n| scope |");
    for role in SystemRole::ALL {
        write!(text, " {} |", role.name()).expect("a string");
    }
    text.push_str("\n|---|---|---|---|---|---|\n");
    for scope in Scope::ALL {
        write!(text, "| `{scope}` |").expect("a string");
        for role in SystemRole::ALL {
            let mark = match (role.grants(*scope), role) {
                (false, _) => "–",
                (true, SystemRole::WalletHolder) => "own",
                (true, _) => "yes",
            };
            write!(text, " {mark} |").expect("a string");
        }
        text.push('\n');
    }
    text.push_str("\n## Routes\n\n| route | asks for |\n|---|---|\n");
    let rows: BTreeMap<_, _> =
        routes.iter().map(|route| ((&route.path, &route.method), route)).collect();
    for route in rows.values() {
        let asks = match route.access.as_str() {
            "open" => "nothing".to_owned(),
            "signed_in" => "a user".to_owned(),
            other => match other.strip_prefix("open|") {
                Some(scope) => format!("nothing; with credentials `{scope}`"),
                None => format!("`{other}`"),
            },
        };
        writeln!(text, "| `{}` | {asks} |", route.name()).expect("a string");
    }
    text
}

async fn nobody_and_keys_without_scopes_are_kept_out(app: &TestApp) {
    let nobody = app.client.without_key();
    let unknown = app.client.with_key("sk_test_00000000000000000000000000000000");
    let empty = app.key_without_scopes().await;
    for route in guarded(&app.client).await {
        let row = route.name();
        if !route.access.starts_with("open|") {
            nobody.send(route.call()).await.refused_as(&row, 401, "unauthorized");
        }
        unknown.send(route.call()).await.refused_as(&row, 401, "unauthorized");
        let code = if route.scope().is_some() { "forbidden" } else { "not_a_user" };
        empty.send(route.call()).await.refused_as(&row, 403, code);
    }
}

/// Whether the door let it in: `None`, or why not.
async fn kept_out(client: &Client, route: &Route) -> Option<Answer> {
    // The status alone first: some answers have no end.
    match client.status(route.call()).await {
        401 | 403 => Some(client.send(route.call()).await),
        _ => None,
    }
}

async fn each_route_opens_to_its_scope_alone(app: &TestApp) {
    let mut keys = BTreeMap::new();
    for scope in Scope::ALL {
        let others: Vec<_> =
            Scope::ALL.iter().filter(|other| *other != scope).map(|it| it.name()).collect();
        let pair = (app.client_with(&[scope.name()]).await, app.client_with(&others).await);
        keys.insert(*scope, pair);
    }
    for route in guarded(&app.client).await {
        let Some(scope) = route.scope() else { continue };
        let (alone, others) = &keys[&scope];
        let row = route.name();
        if let Some(answer) = kept_out(alone, &route).await {
            assert_ne!(answer.json["code"], "forbidden", "{row} does not open to {scope}");
        }
        others.send(route.call()).await.refused_as(&row, 403, "forbidden");
    }
}

/// What somebody of the role is told at the door.
fn assert_told(row: &str, is_allowed: bool, told: Option<&Answer>) {
    let told = told.and_then(|answer| answer.json["code"].as_str());
    let is_refused = matches!(told, Some("forbidden" | "not_a_user" | "unauthorized"));
    assert_eq!(is_refused, !is_allowed, "{row}: {told:?}");
}

async fn keys_may_what_their_roles_may(app: &TestApp) {
    let routes = guarded(&app.client).await;
    for role in SystemRole::ALL {
        let scopes: Vec<_> = role.scopes().iter().map(|scope| scope.name()).collect();
        let key = app.client_with(&scopes).await;
        for route in &routes {
            let row = format!("{} by a key with the scopes of {}", route.name(), role.name());
            let told = kept_out(&key, route).await;
            assert_told(&row, route.scope().is_some_and(|it| role.grants(it)), told.as_ref());
        }
    }
}

async fn users_may_what_their_roles_may(app: &TestApp) {
    let routes = guarded(&app.client).await;
    for role in SystemRole::ALL {
        let (_, user) = app.user(&[*role]).await;
        for route in &routes {
            let row = format!("{} by a user who is {}", route.name(), role.name());
            match route.scope() {
                Some(scope) => {
                    let told = kept_out(&user, route).await;
                    assert_told(&row, role.grants(scope), told.as_ref());
                }
                None => {
                    // Some end the session, or the account.
                    let (_, user) = app.user(&[*role]).await;
                    let status = user.status(route.call()).await;
                    assert_ne!(status, 401, "{row}");
                }
            }
        }
    }
}

/// A wallet of the user's, or of nobody's, with 1,000.
async fn wallet_of(app: &TestApp, user: Option<&str>) -> String {
    let body = json!({"currency": "USD", "user_id": user});
    let wallet = app.client.post("/wallets", body).await.expect(201);
    let id = wallet["id"].as_str().expect("an id").to_owned();
    app.client.fund(&id, 1000).await.expect(201);
    id
}

struct Stage {
    ada: Client,
    ada_id: String,
    bob_id: String,
    own: String,
    foreign: String,
    nobodys: String,
}

async fn stage(app: &TestApp) -> Stage {
    let (ada_id, ada) = app.user(&[SystemRole::WalletHolder]).await;
    let (bob_id, _) = app.user(&[SystemRole::WalletHolder]).await;
    let (ada_id, bob_id) = (ada_id.to_string(), bob_id.to_string());
    let own = wallet_of(app, Some(&ada_id)).await;
    let foreign = wallet_of(app, Some(&bob_id)).await;
    let nobodys = wallet_of(app, None).await;
    Stage { ada, ada_id, bob_id, own, foreign, nobodys }
}

async fn a_wallet_holder_reaches_their_own_alone(app: &TestApp) {
    let stage = stage(app).await;
    let Stage { ada, ada_id, bob_id, own, foreign, nobodys } = &stage;
    let id_of = |object: serde_json::Value| object["id"].as_str().expect("an id").to_owned();
    let theirs = id_of(app.client.transfer(foreign, nobodys, 5).await.expect(201));
    let to_ada = id_of(app.client.transfer(foreign, own, 5).await.expect(201));
    let held = app.client.hold(&(own.clone(), foreign.clone()), 5, 600).await;
    let before = (app.client.balance(foreign).await, app.client.balance(nobodys).await);
    let leg = |from: &str, to: &str| json!({"from": from, "to": to, "amount": 1});
    let one =
        |from: &str, to: &str| json!({"from": from, "to": to, "amount": 1, "currency": "USD"});
    let money = json!({"amount": 1, "currency": "USD"});
    let none = json!({});
    let wallet = json!({"currency": "USD"});
    let with = |name: &str, value: serde_json::Value| {
        let mut body = wallet.clone();
        body[name] = value;
        body
    };
    let table = [
        ("GET", format!("/wallets/{own}"), &none, 200, ""),
        ("GET", format!("/wallets/{foreign}"), &none, 404, "wallet_not_found"),
        ("GET", format!("/wallets/{nobodys}"), &none, 404, "wallet_not_found"),
        ("GET", format!("/wallets/{foreign}/entries"), &none, 404, "wallet_not_found"),
        ("GET", format!("/wallets/{foreign}/balance"), &none, 404, "wallet_not_found"),
        ("PATCH", format!("/wallets/{own}"), &json!({"name": "mine"}), 200, ""),
        ("PATCH", format!("/wallets/{own}"), &json!({"floor": -5}), 403, "forbidden"),
        ("PATCH", format!("/wallets/{foreign}"), &json!({"name": "x"}), 404, "wallet_not_found"),
        ("POST", "/wallets".into(), &with("user_id", json!(bob_id)), 403, "forbidden"),
        ("POST", "/wallets".into(), &with("floor", json!(-1)), 403, "forbidden"),
        ("POST", "/wallets".into(), &with("user_id", json!(ada_id)), 201, ""),
        ("POST", format!("/wallets/{own}/withdraw"), &money, 201, ""),
        ("POST", format!("/wallets/{foreign}/withdraw"), &money, 404, "wallet_not_found"),
        ("POST", format!("/wallets/{own}/freeze"), &none, 403, "forbidden"),
        (
            "POST",
            format!("/wallets/{own}/fund"),
            &json!({"amount": 1, "source": "treasury"}),
            403,
            "forbidden",
        ),
        ("POST", "/transfers".into(), &one(own, foreign), 201, ""),
        ("POST", "/transfers".into(), &one(foreign, own), 404, "wallet_not_found"),
        ("POST", "/transfers".into(), &one(nobodys, own), 404, "wallet_not_found"),
        (
            "POST",
            "/transfers".into(),
            &json!({"currency": "USD", "legs": [leg(own, foreign), leg(foreign, own)]}),
            404,
            "wallet_not_found",
        ),
        ("POST", "/transfers?dry_run=true".into(), &one(foreign, own), 404, "wallet_not_found"),
        (
            "POST",
            "/transfers/batch".into(),
            &json!({"atomic": true, "transfers": [{"from": foreign,
            "to": own, "amount": 1, "currency": "USD", "idempotency_key": "stolen"}]}),
            404,
            "wallet_not_found",
        ),
        ("GET", "/transfers".into(), &none, 400, "invalid_request"),
        ("GET", format!("/transfers?wallet={own}"), &none, 200, ""),
        ("GET", format!("/transfers?wallet={foreign}"), &none, 404, "wallet_not_found"),
        ("GET", format!("/transfers/{to_ada}"), &none, 200, ""),
        ("GET", format!("/transfers/{theirs}"), &none, 404, "transfer_not_found"),
        ("POST", format!("/transfers/{held}/capture"), &none, 403, "forbidden"),
        ("POST", format!("/transfers/{held}/void"), &none, 403, "forbidden"),
        ("POST", format!("/transfers/{to_ada}/reverse"), &none, 403, "forbidden"),
    ];
    for (number, (method, path, body, status, code)) in table.into_iter().enumerate() {
        let row = format!("{method} {path}");
        let mut call = Call::new(method, path);
        if method != "GET" {
            call = call.key(format!("row-{number}")).json(body);
        }
        let answer = ada.send(call).await;
        match code {
            "" => assert_eq!(answer.status, status, "{row}: {}", answer.json),
            code => answer.refused_as(&row, status, code),
        }
    }
    // One went to Bob by Ada's will, and nothing else moved.
    let (foreign_now, nobodys_now) =
        (app.client.balance(foreign).await, app.client.balance(nobodys).await);
    assert_eq!(((foreign_now.0 - 1, foreign_now.1, foreign_now.2 - 1), nobodys_now), before);
    let made = ada.post("/wallets", wallet.clone()).await.expect(201);
    assert_eq!(made["user_id"], json!(ada_id));
    let listed = ada.all("/wallets").await;
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|wallet| wallet["user_id"] == json!(ada_id)));
    assert_eq!(ada.all(&format!("/wallets?user={bob_id}")).await.len(), 0);
}

async fn events_of_others_are_not_heard(app: &TestApp) {
    let Stage { ada, own, foreign, nobodys, bob_id, .. } = stage(app).await;
    let mut all = app.client.events(None).await;
    let mut heard = ada.events(None).await;
    // What comes first is not hers: a wallet, a transfer, a key.
    wallet_of(app, Some(&bob_id)).await;
    app.client.transfer(&foreign, &nobodys, 7).await.expect(201);
    app.client_with(&["wallets:read"]).await;
    for _ in 0..4 {
        all.next().await;
    }
    app.client.transfer(&foreign, &own, 3).await.expect(201);
    let message = heard.next().await;
    assert_eq!(message.event, "transfer.completed");
    let data = &message.data["data"];
    assert_eq!(data["amount"], 3);
    let entries = data["entries"].as_array().expect("entries");
    // Whose balance is whose: she sees hers alone.
    assert_eq!(entries.len(), 1, "{data}");
    assert_eq!(entries[0]["wallet_id"], json!(own));
    app.client.act(&foreign, "freeze", json!({})).await.expect(200);
    app.client.act(&own, "freeze", json!({})).await.expect(200);
    let message = heard.next().await;
    assert_eq!(
        (message.event.as_str(), &message.data["data"]["wallet_id"]),
        ("wallet.frozen", &json!(own))
    );
    // From the start: what was before is told the same way.
    let mut again = ada.events(Some(&"0".repeat(0))).await;
    app.client.act(&own, "unfreeze", json!({})).await.expect(200);
    assert_eq!(again.next().await.event, "wallet.unfrozen");
}
