//! Access tokens: forged ones, rotation of what signs them, foreign issuers, and what a change of
//! permissions does. Verified, too, by a library that Caudal does not use.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use caudal::settings::TrustedIssuer;
use caudal_domain::{Clock, SystemRole, UserId};
use caudal_store::{UnitOfWork, roles};
use caudal_testkit::{Client, Database, TestApp, both_databases};
use jwt_compact::{Algorithm, AlgorithmExt, UntrustedToken, alg::Ed25519, jwk::JsonWebKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use super::people::{PASSWORD, Person, login, person, with_token};

both_databases! {
    forged_tokens_are_refused a_token_expires a_rotation_keeps_what_was_signed
    distrust_ends_every_token the_schedule_announces_the_next_key
    what_a_role_may_changes_at_once
}

const MINE: &str = "/users/me/sessions";

async fn access_token(app: &TestApp, person: &Person) -> String {
    let tokens = login(app, &person.email, PASSWORD).await.expect(200);
    tokens["access_token"].as_str().expect("a token").to_owned()
}

async fn jwks(client: &Client) -> Vec<Value> {
    let answer = client.get("//.well-known/jwks.json").await;
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    answer.expect(200)["keys"].as_array().expect("keys").clone()
}

fn part(token: &str, number: usize) -> Value {
    let text = token.split('.').nth(number).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

async fn refused(app: &TestApp, row: &str, token: &str) {
    let answer = app.client.with_key(token).get(MINE).await;
    answer.refused_as(row, 401, "unauthorized");
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("error=\"invalid_token\""), "{row}: {challenge}");
}

async fn forged_tokens_are_refused(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let token = access_token(app, &ada).await;
    app.client.with_key(&token).get(MINE).await.expect(200);
    let (header, claims) = (part(&token, 0), part(&token, 1));
    let parts: Vec<&str> = token.split('.').collect();
    let with_header = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        format!("{}.{}.{}", encoded(&header), parts[1], parts[2])
    };
    let with_claim = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        format!("{}.{}.{}", parts[0], encoded(&claims), parts[2])
    };
    let none = encoded(&json!({"alg": "none", "typ": "at+jwt", "kid": header["kid"]}));
    let table = [
        ("alg=none, unsigned", format!("{none}.{}.", parts[1])),
        ("alg=none, signed", with_header("alg", json!("none"))),
        ("HS256", hs256(app, &header, parts[1]).await),
        ("unknown key", with_header("kid", json!("unknown"))),
        ("own key", with_header("jwk", json!({"kty": "OKP"}))),
        ("another type", with_header("typ", json!("JWT"))),
        ("another user", with_claim("sub", json!(UserId(7).to_string()))),
        ("later", with_claim("exp", json!(claims["exp"].as_i64().expect("a time") + 60))),
        ("another issuer", with_claim("iss", json!("https://elsewhere.example"))),
        ("another audience", with_claim("aud", json!("elsewhere"))),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("another signature", format!("{}.{}.{}", parts[0], parts[1], "A".repeat(86))),
        ("no token", "a.b.c".into()),
        ("long", format!("{}.{}.{}", "a".repeat(6000), "b".repeat(6000), "c".repeat(6000))),
    ];
    for (row, forged) in table {
        refused(app, row, &forged).await;
    }
    app.client.with_key(&token).get(MINE).await.expect(200);
    // Nothing at all is another matter.
    let answer = app.client.without_key().get(MINE).await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"caudal\""));
}

/// Signed with our public key as if it were a shared secret.
async fn hs256(app: &TestApp, header: &Value, claims: &str) -> String {
    use jwt_compact::alg::{Hs256, Hs256Key};
    let key = jwks(&app.client).await[0]["x"].as_str().expect("x").to_owned();
    let secret = Hs256Key::new(URL_SAFE_NO_PAD.decode(key).expect("base64url"));
    let mut header = header.clone();
    header["alg"] = json!("HS256");
    let message = format!("{}.{claims}", encoded(&header));
    let signature = Hs256.sign(&secret, message.as_bytes());
    let signature = jwt_compact::AlgorithmSignature::as_bytes(&signature).into_owned();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn a_token_expires(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let token = access_token(app, &ada).await;
    let unseen = access_token(app, &ada).await;
    app.clock.advance(599);
    app.client.with_key(&token).get(MINE).await.expect(200);
    app.clock.advance(6);
    refused(app, "remembered", &token).await;
    refused(app, "never seen", &unseen).await;
}

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    iss: String,
    aud: String,
    sub: String,
}

/// What another library makes of a token, knowing the document alone.
async fn verified_elsewhere(app: &TestApp, token: &str) -> Option<Told> {
    let kid = part(token, 0)["kid"].clone();
    let key = jwks(&app.client).await.into_iter().find(|key| key["kid"] == kid)?;
    let text = key.to_string();
    let jwk: JsonWebKey<'_> = serde_json::from_str(&text).expect("a JWK");
    let key = <Ed25519 as Algorithm>::VerifyingKey::try_from(&jwk).expect("an Ed25519 key");
    let token = UntrustedToken::new(token).expect("a JWT");
    let token = Ed25519.validator::<Told>(&key).validate(&token).ok()?;
    Some(token.claims().custom.clone_told())
}

impl Told {
    fn clone_told(&self) -> Self {
        Self { iss: self.iss.clone(), aud: self.aud.clone(), sub: self.sub.clone() }
    }
}

async fn a_rotation_keeps_what_was_signed(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let old = access_token(app, &ada).await;
    let told = verified_elsewhere(app, &old).await.expect("good elsewhere");
    assert_eq!((told.sub, &*told.aud), (ada.id.to_string(), "caudal"));
    assert_eq!(told.iss, "http://127.0.0.1:8080");
    assert_eq!(jwks(&app.client).await.len(), 1);

    let body = json!({});
    ada.client.post("/signing-keys/rotate", body.clone()).await.refused(403, "forbidden");
    let rotated = app.client.post_as("one", "/signing-keys/rotate", body.clone()).await;
    let rotated = rotated.expect(200);
    let again = app.client.post_as("one", "/signing-keys/rotate", body).await;
    assert!(again.is_replay());
    let new = access_token(app, &ada).await;
    assert_eq!(part(&new, 0)["kid"], rotated["kid"]);
    assert_ne!(part(&old, 0)["kid"], rotated["kid"]);
    assert_eq!(jwks(&app.client).await.len(), 2);
    for token in [&old, &new] {
        app.client.with_key(token).get(MINE).await.expect(200);
        assert!(verified_elsewhere(app, token).await.is_some());
    }
    // A token's lifetime later nothing needs the old key.
    app.clock.advance(800);
    assert_eq!(jwks(&app.client).await.len(), 1);
    assert!(verified_elsewhere(app, &old).await.is_none());
    refused(app, "old", &old).await;
    let new = access_token(app, &ada).await;
    assert!(verified_elsewhere(app, &new).await.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn es256_by_setting() {
    use jwt_compact::alg::Es256;
    let app = TestApp::start_with(Database::sqlite(), |settings| {
        settings.token_algorithm = "ES256".into();
    })
    .await;
    let ada = person(&app, "ada", SystemRole::WalletHolder).await;
    let token = access_token(&app, &ada).await;
    app.client.with_key(&token).get(MINE).await.expect(200);
    let keys = jwks(&app.client).await;
    assert_eq!((&keys[0]["alg"], &keys[0]["crv"]), (&json!("ES256"), &json!("P-256")));
    assert!(keys[0].get("d").is_none(), "the private part is nobody's");
    let text = keys[0].to_string();
    let jwk: JsonWebKey<'_> = serde_json::from_str(&text).expect("a JWK");
    let key = <Es256 as Algorithm>::VerifyingKey::try_from(&jwk).expect("a P-256 key");
    let read = UntrustedToken::new(&token).expect("a JWT");
    let told = Es256.validator::<Told>(&key).validate(&read).expect("good elsewhere");
    assert_eq!(told.claims().custom.sub, ada.id.to_string());
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    refused(&app, "another signature", &format!("{head}.{}", "A".repeat(signature.len()))).await;
    app.finish().await;
}

async fn distrust_ends_every_token(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let old = access_token(app, &ada).await;
    app.client.with_key(&old).get(MINE).await.expect(200);
    let body = json!({"distrust": true});
    app.client.post("/signing-keys/rotate", body).await.expect(200);
    refused(app, "distrusted", &old).await;
    assert_eq!(jwks(&app.client).await.len(), 1);
    let new = access_token(app, &ada).await;
    app.client.with_key(&new).get(MINE).await.expect(200);
}

async fn the_schedule_announces_the_next_key(app: &TestApp) {
    const DAY: i64 = 24 * 3600;
    let first = jwks(&app.client).await[0]["kid"].clone();
    let service = &app.instance.service;
    assert_eq!(service.rotate_due_signing_key().await.expect("no fault"), None);
    app.clock.advance(30 * DAY - 700);
    let next = service.rotate_due_signing_key().await.expect("no fault").expect("a key");
    assert_eq!(service.rotate_due_signing_key().await.expect("no fault"), None, "once");
    assert_eq!(jwks(&app.client).await.len(), 2, "both are published");
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    assert_eq!(part(&access_token(app, &ada).await, 0)["kid"], first, "not yet");
    app.clock.advance(720);
    let token = access_token(app, &ada).await;
    assert_eq!(part(&token, 0)["kid"], json!(next.kid));
    app.clock.advance(700);
    assert_eq!(jwks(&app.client).await.len(), 1);
}

async fn what_a_role_may_changes_at_once(app: &TestApp) {
    let support = person(app, "ada", SystemRole::Support).await;
    support.client.get("/api-keys").await.expect(200);
    // API keys go on as they were.
    app.client.get("/api-keys").await.expect(200);
    let path = format!("/users/{}/roles", support.id);
    let body = json!({"roles": ["wallet_holder"]});
    let call = caudal_testkit::Call::new("PUT", path).json(&body);
    assert!(app.client.send(call).await.status < 300);
    support.client.get("/api-keys").await.refused(403, "forbidden");
    // What changed behind every process' back is found in time.
    let tenant = app.tenant_id().await;
    let role = caudal_domain::RoleRef::System(SystemRole::Support);
    let steps = vec![roles::give(tenant, support.id, role)];
    let unit = UnitOfWork { at: app.clock.now(), steps, ..UnitOfWork::default() };
    app.instance.store.commit(unit).await.expect("a commit");
    app.clock.advance(31);
    support.client.get("/api-keys").await.expect(200);
}

const ISSUER_KEY: [u8; 32] = [7; 32];

/// A token as an issuer elsewhere would make it.
fn foreign_token(claims: Value) -> String {
    let key = <Ed25519 as Algorithm>::SigningKey::from_bytes(&ISSUER_KEY);
    let header = jwt_compact::Header::empty().with_key_id("theirs");
    Ed25519.token(&header, &jwt_compact::Claims::new(claims), &key).expect("a token")
}

async fn issuer_server() -> MockServer {
    let server = MockServer::start().await;
    let key = <Ed25519 as Algorithm>::SigningKey::from_bytes(&ISSUER_KEY).verifying_key();
    let x = URL_SAFE_NO_PAD.encode(key.as_bytes());
    let document =
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "theirs", "use": "sig"}]});
    Mock::given(method("GET"))
        .and(path("/keys"))
        .respond_with(ResponseTemplate::new(200).set_body_json(document))
        .mount(&server)
        .await;
    server
}

/// The block of `docs/tokens.md`, in a file as operators write it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_is_trusted_by_the_file_of_settings() {
    let server = issuer_server().await;
    let app = TestApp::start(Database::sqlite()).await;
    let (tenant, issuer) = (app.tenant_id().await, server.uri());
    let docs = include_str!("../../../../docs/tokens.md");
    let (_, block) = docs.split_once("```toml\n").expect("the block");
    let (block, _) = block.split_once("```").expect("its end");
    let block = block
        .replace("https://id.example/realms/shop", &issuer)
        .replace("ten_…", &tenant.to_string())
        .replace("# jwks_uri = \"https://…\" ", &format!("jwks_uri = \"{issuer}/keys\" #"))
        .replace("# algorithms = [\"RS256\"] ", "algorithms = [\"EdDSA\"] #");
    let file = std::env::temp_dir().join(format!("caudal-issuers-{}.toml", std::process::id()));
    std::fs::write(&file, block).expect("a file");
    let loaded = caudal::Settings::load(Some(&file)).expect("good settings");
    std::fs::remove_file(file).expect("the file goes");
    assert_eq!(loaded.issuers.len(), 1);
    let app = app.restart_with(|settings| settings.issuers = loaded.issuers).await;
    let now = app.clock.now().micros() / 1_000_000;
    let token = |roles: Value| {
        foreign_token(json!({"iss": issuer, "aud": "caudal", "sub": "f3b1", "iat": now,
            "exp": now + 300, "realm_access": {"roles": roles}}))
    };
    app.client.with_key(&token(json!(["clerk"]))).get("/api-keys").await.expect(200);
    let none = app.client.with_key(&token(json!([])));
    none.get("/api-keys").await.refused(403, "forbidden");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_of_a_trusted_issuer_are_users_here() {
    let server = issuer_server().await;
    let app = TestApp::start(Database::sqlite()).await;
    let tenant = app.tenant_id().await;
    let issuer = server.uri();
    let trusted = TrustedIssuer {
        issuer: issuer.clone(),
        jwks_uri: Some(format!("{issuer}/keys")),
        audience: "shop".into(),
        algorithms: Vec::new(),
        tenant: tenant.to_string(),
        roles_claim: Some("realm_access.roles".into()),
        roles: [("clerk", "support"), ("boss", "owner")]
            .map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned()))
            .into(),
    };
    let app = app.restart_with(|settings| settings.issuers = vec![trusted]).await;
    let now = app.clock.now().micros() / 1_000_000;
    let good = json!({
        "iss": issuer, "aud": ["shop", "account"], "sub": "f3b1", "iat": now, "exp": now + 300,
        "email": "ada@example.org", "email_verified": true,
        "realm_access": {"roles": ["clerk", "offline_access"]}
    });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        foreign_token(claims)
    };
    let clerk = app.client.with_key(&foreign_token(good.clone()));
    clerk.get("/api-keys").await.expect(200);
    clerk.get(MINE).await.expect(200);
    // The same person again, whose issuer took the role away.
    let less = app.client.with_key(&with("realm_access", json!({"roles": []})));
    less.get("/api-keys").await.refused(403, "forbidden");
    let table = [
        ("another audience", with("aud", json!("elsewhere"))),
        ("expired", with("exp", json!(now - 60))),
        ("another issuer", with("iss", json!("https://elsewhere.example"))),
        ("no subject", with("sub", json!(""))),
    ];
    for (row, token) in table {
        refused(&app, row, &token).await;
    }
    // A boss is an owner, but the tenant keeps the last one it has.
    let boss = |roles: &[&str]| with("realm_access", json!({"roles": roles}));
    app.client.with_key(&boss(&["clerk", "boss"])).get("/audit").await.expect(200);
    let owners = app.client.get("/users?email=admin%40demo.local").await.expect(200);
    let owner = format!("/users/{}", owners["data"][0]["id"].as_str().expect("an id"));
    app.client.delete(&owner).await.expect(204);
    let fallen = app.client.with_key(&boss(&["clerk"]));
    fallen.get("/audit").await.refused(409, "last_owner");
    let heir = person(&app, "heir", SystemRole::Owner).await;
    fallen.get("/audit").await.expect(200);
    fallen.post("/signing-keys/rotate", json!({})).await.refused(403, "forbidden");
    heir.client.get("/audit").await.expect(200);
    // Their own users log in here as before, and keys work.
    let ada = person(&app, "ada", SystemRole::WalletHolder).await;
    let tokens = login(&app, &ada.email, PASSWORD).await.expect(200);
    with_token(&app, &tokens).get(MINE).await.expect(200);
    app.finish().await;
}
