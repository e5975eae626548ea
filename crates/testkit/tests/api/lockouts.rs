//! Guesses: they are counted, written down and locked out, and shut nobody out but the guesser.

use caudal_domain::SystemRole;
use caudal_testkit::{Answer, Call, Client, TestApp, both_databases};
use serde_json::{Value, json};

use super::{
    people,
    second_factor::{code, enrol},
    users::{PASSWORD, code_in, login, mails, member, try_login},
};

both_databases! {
    strangers_shut_nobody_out_of_their_session a_recovery_lets_in_at_once
    the_count_begins_anew_after_a_lock guesses_in_a_session_lock_its_proofs
    failed_proofs_are_written_down wrong_codes_are_counted_apart_from_logins
}

const ADA: &str = "ada@example.org";
const WRONG: &str = "not the password";
const NEW: &str = "another good password 1";
const LOCK_S: i64 = 15 * 60;

async fn guess(app: &TestApp, count: usize) {
    for _ in 0..count {
        try_login(app, ADA, WRONG).await.refused(401, "invalid_credentials");
    }
}

async fn step_up(client: &Client, proof: Value) -> Answer {
    client.send(Call::new("POST", "/auth/step-up").json(&proof)).await
}

async fn change(client: &Client, current: &str) -> Answer {
    client.post("/users/me/password", json!({"current": current, "new": NEW})).await
}

async fn strangers_shut_nobody_out_of_their_session(app: &TestApp) {
    let (_, ada) = member(app, ADA).await;
    guess(app, 10).await;
    try_login(app, ADA, PASSWORD).await.refused(429, "rate_limited");
    step_up(&ada, json!({"password": PASSWORD})).await.expect(200);
    app.clock.advance(61);
    try_login(app, ADA, PASSWORD).await.refused(401, "invalid_credentials");
    step_up(&ada, json!({"password": PASSWORD})).await.expect(200);
    change(&ada, PASSWORD).await.expect(204);
}

async fn a_recovery_lets_in_at_once(app: &TestApp) {
    member(app, ADA).await;
    guess(app, 10).await;
    let nobody = app.client.without_key();
    nobody.send(Call::new("POST", "/auth/recover").json(&json!({"email": ADA}))).await.expect(202);
    // Beside the one that tells of the lock.
    let told = mails(app, ADA, 2).await;
    let text = told.iter().find(|text| text.contains("cod_")).expect("a mail with a code");
    let body = json!({"code": code_in(text), "password": NEW});
    nobody.post("/auth/recover/confirm", body).await.expect(204);
    login(app, ADA, NEW).await;
}

async fn the_count_begins_anew_after_a_lock(app: &TestApp) {
    member(app, ADA).await;
    guess(app, 10).await;
    app.clock.advance(LOCK_S);
    guess(app, 9).await;
    app.clock.advance(61);
    login(app, ADA, PASSWORD).await;
    guess(app, 10).await;
    app.clock.advance(LOCK_S);
    guess(app, 10).await;
    app.clock.advance(61);
    try_login(app, ADA, PASSWORD).await.refused(401, "invalid_credentials");
    let told = mails(app, ADA, 3).await;
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told.iter().all(|text| text.contains("locked for a while")), "{told:#?}");
}

async fn guesses_in_a_session_lock_its_proofs(app: &TestApp) {
    let (_, ada) = member(app, ADA).await;
    let (wrong, right) = (json!({"password": WRONG}), json!({"password": PASSWORD}));
    for _ in 0..10 {
        step_up(&ada, wrong.clone()).await.refused(403, "wrong_password");
    }
    step_up(&ada, right.clone()).await.refused(429, "rate_limited");
    app.clock.advance(61);
    step_up(&ada, right.clone()).await.refused(403, "wrong_password");
    change(&ada, PASSWORD).await.refused(403, "wrong_password");
    // Elsewhere, where nobody guessed, the owner logs in.
    login(app, ADA, PASSWORD).await;
    app.clock.advance(LOCK_S - 61);
    let elsewhere = login(app, ADA, PASSWORD).await;
    step_up(&elsewhere, right.clone()).await.expect(200);
    // A right one forgets the wrong ones before it.
    for _ in 0..9 {
        step_up(&elsewhere, wrong.clone()).await.refused(403, "wrong_password");
    }
    step_up(&elsewhere, right.clone()).await.expect(200);
    app.clock.advance(61);
    for _ in 0..9 {
        step_up(&elsewhere, wrong.clone()).await.refused(403, "wrong_password");
    }
    step_up(&elsewhere, right).await.expect(200);
}

async fn failures(app: &TestApp) -> Vec<Value> {
    let rows = app.client.get("/audit?action=proof.failed").await.expect(200);
    rows["data"].as_array().expect("rows").clone()
}

async fn failed_proofs_are_written_down(app: &TestApp) {
    let (id, ada) = member(app, ADA).await;
    let wrong = json!({"password": WRONG});
    step_up(&ada, wrong.clone()).await.refused(403, "wrong_password");
    change(&ada, WRONG).await.refused(403, "wrong_password");
    let erase = Call::new("DELETE", "/users/me").json(&wrong);
    ada.send(erase).await.refused(403, "wrong_password");
    let rows = failures(app).await;
    assert_eq!(rows.len(), 3, "{rows:#?}");
    for row in &rows {
        assert_eq!(row["actor"]["id"], json!(id), "{row}");
        assert_eq!((&row["target"]["kind"], &row["target"]["id"]), (&json!("user"), &json!(id)));
        assert_eq!(row["fields"], json!(["password"]));
        assert!(row["address"].is_string() && row["request_id"].is_string(), "{row}");
    }
    for _ in 0..7 {
        step_up(&ada, wrong.clone()).await.refused(403, "wrong_password");
    }
    let rows = failures(app).await;
    assert_eq!(rows[0]["fields"], json!(["password", "proofs_locked_until"]));
    assert!(rows[1..].iter().all(|row| row["fields"] == json!(["password"])), "{rows:#?}");
    // What is turned away is no failure, so the table does not grow with it.
    step_up(&ada, wrong).await.refused(429, "rate_limited");
    assert_eq!(failures(app).await.len(), 10);
}

async fn wrong_codes_are_counted_apart_from_logins(app: &TestApp) {
    let ada = people::person(app, "ada", SystemRole::WalletHolder).await;
    let (secret, _) = enrol(app, &ada).await;
    guess(app, 10).await;
    app.clock.advance(61);
    step_up(&ada.client, json!({"code": "000000"})).await.refused(403, "wrong_proof");
    assert_eq!(failures(app).await[0]["fields"], json!(["second_factor"]));
    // The logins are locked, the session is not.
    step_up(&ada.client, json!({"code": code(app, &secret)})).await.expect(200);
}
