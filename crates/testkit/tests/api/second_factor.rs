//! Second factors: TOTP, recovery codes, the other half of a login, step-up; and the master keys
//! that seal the seeds.

use caudal_domain::{Clock, SystemRole};
use caudal_testkit::{Answer, Call, Client, Database, TestApp, both_databases};
use serde_json::{Value, json};
use totp_rs::Builder;

use super::people::{PASSWORD, Person, login, person, with_token};

both_databases! {
    totp_is_proposed_confirmed_and_asked_for a_code_counts_once
    a_challenge_is_bounded a_challenge_ends_with_its_password
    wrong_codes_lock_the_account recovery_codes_work_once
    removal_asks_for_everything sensitive_operations_ask_for_a_step_up
}

/// The code of the app at this moment.
pub(super) fn code(app: &TestApp, secret: &str) -> String {
    let seconds = u64::try_from(app.clock.now().micros() / 1_000_000).expect("after 1970");
    let totp = Builder::new().with_secret(base32(secret)).build().expect("a seed");
    totp.generate(seconds).to_string()
}

fn base32(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for c in text.bytes() {
        let value = if c.is_ascii_digit() { c - b'2' + 26 } else { c - b'A' };
        (bits, held) = ((bits << 5 | u32::from(value)) & 0xfff, held + 5);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

async fn post(client: &Client, path: &str, body: Value) -> Answer {
    client.send(Call::new("POST", path).json(&body)).await
}

async fn a_challenge_ends_with_its_password(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let (secret, _) = enrol(app, &ada).await;
    let half = challenge(app, &ada).await;
    let change = json!({"current": PASSWORD, "new": "another good password 1"});
    ada.client.post("/users/me/password", change).await.expect(204);
    let answer = json!({"challenge": half, "code": code(app, &secret)});
    let nobody = app.client.without_key();
    post(&nobody, "/auth/mfa", answer).await.refused(401, "invalid_credentials");
}

/// TOTP in force: the seed and the recovery codes. The clock goes on past the code used.
pub(super) async fn enrol(app: &TestApp, person: &Person) -> (String, Vec<String>) {
    let body = json!({"password": PASSWORD});
    let proposal = post(&person.client, "/users/me/totp", body).await.expect(200);
    let secret = proposal["secret"].as_str().expect("a secret").to_owned();
    let body = json!({"code": code(app, &secret)});
    let confirmed = post(&person.client, "/users/me/totp/confirm", body).await.expect(200);
    app.clock.advance(30);
    let codes = confirmed["recovery_codes"].as_array().expect("codes");
    let codes = codes.iter().map(|code| code.as_str().expect("text").to_owned()).collect();
    (secret, codes)
}

pub(super) async fn challenge(app: &TestApp, person: &Person) -> String {
    let half = login(app, &person.email, PASSWORD).await.expect(200);
    assert_eq!(half["mfa_required"], true, "{half}");
    assert!(half.get("access_token").is_none(), "{half}");
    half["challenge"].as_str().expect("a challenge").to_owned()
}

pub(super) async fn answer(app: &TestApp, challenge: &str, code: &str) -> Answer {
    let body = json!({"challenge": challenge, "code": code});
    post(&app.client.without_key(), "/auth/mfa", body).await
}

async fn totp_is_proposed_confirmed_and_asked_for(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let elsewhere = login(app, &ada.email, PASSWORD).await.expect(200);
    let wrong = json!({"password": "not the password"});
    let refused = post(&ada.client, "/users/me/totp", wrong).await;
    assert_eq!(refused.status, 403, "{}", refused.json);
    // A proposal is not in force.
    let body = json!({"password": PASSWORD});
    let proposal = post(&ada.client, "/users/me/totp", body.clone()).await.expect(200);
    let uri = proposal["otpauth_uri"].as_str().expect("a URI");
    assert!(uri.starts_with("otpauth://totp/Caudal"), "{uri}");
    login(app, &ada.email, PASSWORD).await.expect(200)["access_token"].as_str().expect("whole");
    let body = json!({"code": "000000"});
    let refused = post(&ada.client, "/users/me/totp/confirm", body).await;
    refused.refused(403, "wrong_proof");

    let (secret, codes) = enrol(app, &ada).await;
    assert_eq!(codes.len(), 10);
    // The other sessions, which knew the password only, have ended.
    let other = with_token(app, &elsewhere);
    other.get("/wallets").await.refused(401, "unauthorized");
    ada.client.get("/wallets").await.expect(200);
    let body = json!({"password": PASSWORD});
    post(&ada.client, "/users/me/totp", body).await.refused(409, "second_factor_state");

    let challenge = challenge(app, &ada).await;
    let tokens = answer(app, &challenge, &code(app, &secret)).await.expect(200);
    with_token(app, &tokens).get("/wallets").await.expect(200);
    assert!(tokens["refresh_token"].is_string());
}

async fn a_code_counts_once(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let (secret, _) = enrol(app, &ada).await;
    let now = code(app, &secret);
    let (first, second) = (challenge(app, &ada).await, challenge(app, &ada).await);
    // Of many at once with the same code one gets in.
    let answers = futures::future::join_all([
        answer(app, &first, &now),
        answer(app, &second, &now),
        answer(app, &first, &now),
        answer(app, &second, &now),
    ]);
    let statuses: Vec<u16> = answers.await.iter().map(|answer| answer.status).collect();
    let let_in = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!(let_in, 1, "{statuses:?}");
    // Nor does it count later, for a challenge of its own.
    let third = challenge(app, &ada).await;
    assert_eq!(answer(app, &third, &now).await.status, 401);
    app.clock.advance(30);
    answer(app, &third, &code(app, &secret)).await.expect(200);
    // A challenge is used up.
    app.clock.advance(30);
    assert_eq!(answer(app, &third, &code(app, &secret)).await.status, 401);
}

async fn a_challenge_is_bounded(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let (secret, _) = enrol(app, &ada).await;
    let first = challenge(app, &ada).await;
    for _ in 0..5 {
        assert_eq!(answer(app, &first, "000000").await.status, 401);
    }
    assert_eq!(answer(app, &first, &code(app, &secret)).await.status, 401, "the sixth answer");
    let second = challenge(app, &ada).await;
    app.clock.advance(301);
    assert_eq!(answer(app, &second, &code(app, &secret)).await.status, 401, "five minutes later");
    for bad in ["", "cod_", &format!("cod_{}", "A".repeat(43)), "x\u{7f}"] {
        assert_eq!(answer(app, bad, &code(app, &secret)).await.status, 401, "{bad}");
    }
    let third = challenge(app, &ada).await;
    answer(app, &third, &code(app, &secret)).await.expect(200);
}

async fn wrong_codes_lock_the_account(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let (secret, _) = enrol(app, &ada).await;
    // A right password in between does not begin the count anew.
    for _ in 0..2 {
        let challenge = challenge(app, &ada).await;
        for _ in 0..5 {
            assert_eq!(answer(app, &challenge, "000000").await.status, 401);
        }
    }
    app.clock.advance(61);
    assert_eq!(login(app, &ada.email, PASSWORD).await.status, 401, "locked");
    app.clock.advance(15 * 60);
    let challenge = challenge(app, &ada).await;
    answer(app, &challenge, &code(app, &secret)).await.expect(200);
}

async fn recovery_codes_work_once(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let (_, codes) = enrol(app, &ada).await;
    let first = challenge(app, &ada).await;
    let typed = codes[0].to_uppercase().replace('-', " ");
    answer(app, &first, &typed).await.expect(200);
    let second = challenge(app, &ada).await;
    assert_eq!(answer(app, &second, &codes[0]).await.status, 401, "used");
    let tokens = answer(app, &second, &codes[1]).await.expect(200);
    // A new set takes the place of the old one.
    let fresh = with_token(app, &tokens);
    let replaced = post(&fresh, "/users/me/recovery-codes", json!({})).await.expect(200);
    let third = challenge(app, &ada).await;
    assert_eq!(answer(app, &third, &codes[2]).await.status, 401, "of the old set");
    let new = replaced["recovery_codes"][0].as_str().expect("a code");
    answer(app, &third, new).await.expect(200);
    app.clock.advance(301);
    let stale = post(&fresh, "/users/me/recovery-codes", json!({})).await;
    stale.refused(403, "step_up_required");
    let asked = stale.header("www-authenticate").unwrap_or_default();
    assert!(asked.contains("insufficient_user_authentication"), "{asked}");
    // The password alone does not take their account away, nor their address.
    let erase = Call::new("DELETE", "/users/me").json(&json!({"password": PASSWORD}));
    fresh.send(erase).await.refused(403, "step_up_required");
    let moved = json!({"email": "elsewhere@example.org", "password": PASSWORD});
    fresh.patch("/users/me", moved).await.refused(403, "step_up_required");
}

async fn removal_asks_for_everything(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let (secret, codes) = enrol(app, &ada).await;
    let remove = async |password: &str, code: &str| {
        let body = json!({"password": password, "code": code});
        ada.client.send(Call::new("DELETE", "/users/me/totp").json(&body)).await
    };
    assert_eq!(remove("not the password", &code(app, &secret)).await.status, 403);
    remove(PASSWORD, "000000").await.refused(403, "wrong_proof");
    remove(PASSWORD, &code(app, &secret)).await.expect(204);
    remove(PASSWORD, &codes[0]).await.refused(409, "second_factor_state");
    let tokens = login(app, &ada.email, PASSWORD).await.expect(200);
    assert!(tokens["access_token"].is_string(), "{tokens}");
}

async fn sensitive_operations_ask_for_a_step_up(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::Owner).await;
    let wallet = app.client.wallet("USD").await;
    // Just logged in.
    ada.client.fund(&wallet, 10).await.expect(201);
    app.clock.advance(301);
    ada.client.fund(&wallet, 10).await.refused(403, "step_up_required");
    ada.client.get("/wallets").await.expect(200);
    let refused = post(&ada.client, "/auth/step-up", json!({"password": "wrong, wrong"})).await;
    assert_eq!(refused.status, 403, "{}", refused.json);
    let stepped = post(&ada.client, "/auth/step-up", json!({"password": PASSWORD})).await;
    let ada = Person { client: with_token(app, &stepped.expect(200)), ..ada };
    ada.client.fund(&wallet, 10).await.expect(201);

    // With a second factor the password is not enough.
    let (secret, _) = enrol(app, &ada).await;
    app.clock.advance(301);
    let body = json!({"password": PASSWORD});
    post(&ada.client, "/auth/step-up", body).await.refused(409, "second_factor_state");
    let now = code(app, &secret);
    let stepped = post(&ada.client, "/auth/step-up", json!({"code": now})).await.expect(200);
    with_token(app, &stepped).fund(&wallet, 10).await.expect(201);
    let replayed = post(&ada.client, "/auth/step-up", json!({"code": now})).await;
    replayed.refused(403, "wrong_proof");
    let both = json!({"code": now, "password": PASSWORD});
    post(&ada.client, "/auth/step-up", both).await.refused(400, "invalid_request");
    let key = post(&app.client, "/auth/step-up", json!({"password": PASSWORD})).await;
    key.refused(403, "not_a_user");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_transfers_ask_for_a_step_up() {
    let app = TestApp::start_with(Database::sqlite(), |settings| {
        settings.step_up_amount_minor = Some(1000);
    })
    .await;
    let ada = person(&app, "ada", SystemRole::Operator).await;
    let (from, to) = app.client.pair(10_000).await;
    app.clock.advance(301);
    ada.client.transfer(&from, &to, 999).await.expect(201);
    ada.client.transfer(&from, &to, 1000).await.refused(403, "step_up_required");
    let withdrawal = json!({"amount": 1000});
    let withdrawn = ada.client.act(&from, "withdraw", withdrawal).await;
    withdrawn.refused(403, "step_up_required");
    // Neither is a batch the way around.
    let item = |key: &str| {
        json!({"from": from, "to": to, "amount": 500, "currency": "USD",
            "idempotency_key": key})
    };
    let batch = json!({"transfers": [item("a"), item("b")]});
    ada.client.post("/transfers/batch", batch).await.refused(403, "step_up_required");
    // An API key is its own proof.
    app.client.transfer(&from, &to, 1000).await.expect(201);
    let stepped = post(&ada.client, "/auth/step-up", json!({"password": PASSWORD})).await;
    with_token(&app, &stepped.expect(200)).transfer(&from, &to, 1000).await.expect(201);
    app.finish().await;
}

const KEY_A: &str = "a:QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
const KEY_B: &str = "b:QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_sealed_anew_on_sqlite() {
    secrets_are_sealed_under_another_master_key(Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_sealed_anew_on_postgres() {
    if let Some(database) = Database::postgres().await {
        secrets_are_sealed_under_another_master_key(database).await;
    }
}

async fn secrets_are_sealed_under_another_master_key(database: Database) {
    let with_a = |settings: &mut caudal::Settings| settings.master_keys = Some(KEY_A.into());
    let app = TestApp::start_with(database, with_a).await;
    let ada = person(&app, "ada", SystemRole::WalletHolder).await;
    let (secret, codes) = enrol(&app, &ada).await;

    let both = format!("{KEY_B},{KEY_A}");
    let app = app.restart_with(|settings| settings.master_keys = Some(both)).await;
    let done = app.instance.service.reseal(|_, _| {}).await.expect("a walk");
    assert!(done.resealed >= 3, "{done:?}");
    let again = app.instance.service.reseal(|_, _| {}).await.expect("a walk");
    assert_eq!((again.looked_at, again.resealed), (done.looked_at, 0));

    // The old key is gone, and none needs it: what a gateway account was sealed with neither.
    let app = app.restart_with(|settings| settings.master_keys = Some(KEY_B.into())).await;
    let account = &app.client.all("/gateway-accounts").await[0];
    let path = format!("/gateway-accounts/{}/webhooks", account["id"].as_str().expect("an id"));
    app.client.send(Call::new("POST", path)).await.refused(401, "bad_signature");
    let first = challenge(&app, &ada).await;
    let tokens = answer(&app, &first, &code(&app, &secret)).await.expect(200);
    with_token(&app, &tokens).get("/wallets").await.expect(200);
    let second = challenge(&app, &ada).await;
    answer(&app, &second, &codes[3]).await.expect(200);
    app.finish().await;
}
