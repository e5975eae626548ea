//! People who can log in, for the tests of what they do.

use caudal::system::{SystemChance, ids};
use caudal_domain::{Clock, IdSource, RoleRef, SystemRole, TenantId, UserId, UserStatus};
use caudal_identity::{Email, HashSettings, Hasher, Password};
use caudal_store::{UnitOfWork, UnitOutcome, roles, users};
use caudal_testkit::{Answer, Call, Client, TestApp};
use serde_json::{Value, json};

pub const PASSWORD: &str = "four words in a row";

pub struct Person {
    pub id: UserId,
    pub email: String,
    /// With their access token.
    pub client: Client,
    pub refresh: String,
}

/// Somebody of the demo tenant with this role, logged in. Written into the database, so that
/// neither mail nor sign-up is part of the test.
pub async fn person(app: &TestApp, name: &str, role: SystemRole) -> Person {
    let tenant = app.client.get("/tenants/me").await.expect(200);
    let tenant: TenantId = tenant["id"].as_str().expect("an id").parse().expect("a tenant's");
    let at = app.clock.now();
    let id = UserId(ids().next(at, tenant.bucket()));
    let email = format!("{name}@example.org");
    let hash = app.instance.service.email_hash(tenant, &Email::parse(&email).expect("good")).await;
    let row = users::UserRow {
        id,
        tenant,
        email_hash: Some(hash.expect("a hash")),
        profile: None,
        password: Some(hashed().await),
        status: UserStatus::Active,
        email_verified_at: Some(at),
        failed_logins: 0,
        locked_until: None,
        failed_proofs: 0,
        proofs_locked_until: None,
        deactivated_from: None,
        foreign: None,
        version: 1,
        created_at: at,
        updated_at: at,
        person_key: None,
        roles: Vec::new(),
    };
    let steps = vec![users::insert(&row), roles::give(tenant, id, RoleRef::System(role))];
    let unit = UnitOfWork { at, steps, ..UnitOfWork::default() };
    let outcome = app.instance.store.commit(unit).await.expect("a commit").0;
    assert_eq!(outcome, UnitOutcome::Done);
    let tokens = login(app, &email, PASSWORD).await.expect(200);
    let refresh = tokens["refresh_token"].as_str().expect("a refresh token").to_owned();
    Person { id, email, client: with_token(app, &tokens), refresh }
}

async fn hashed() -> String {
    let small = HashSettings { memory_kib: 64, iterations: 1, ..HashSettings::for_cores(1) };
    let hasher = Hasher::start(&small, &SystemChance).expect("a pool");
    let turn = hasher.place().expect("a free line").turn().await.expect("a turn");
    hasher.hash(turn, &Password::parse(PASSWORD).expect("good"), [7; 16]).await.expect("a hash")
}

pub async fn login(app: &TestApp, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    app.client.without_key().send(Call::new("POST", "/auth/login").json(&body)).await
}

pub fn with_token(app: &TestApp, tokens: &Value) -> Client {
    app.client.with_key(tokens["access_token"].as_str().expect("an access token"))
}
