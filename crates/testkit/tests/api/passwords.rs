//! Passwords: changed by whoever knows them, recovered by whoever reads the mail.

use caudal_testkit::{Answer, Call, Database, TestApp, both_databases};
use futures::{StreamExt, stream::FuturesUnordered};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

use super::users::{PASSWORD, code_in, login, mails, member, person, try_login};

both_databases! {
    a_change_ends_other_sessions recovery_goes_by_mail_and_tells_nothing
    recovery_forgets_the_name_of_a_sign_up
    a_new_password_voids_what_the_old_one_asked_for
    one_address_gets_few_mails nobody_learns_which_tenants_there_are
}

/// Of the SHA-1 of [`PASSWORD`], without its first five digits.
const SUFFIX: &str = "93CAB50964910E51C1D926E6EDD933FF500";
const NEW: &str = "another good password 1";

async fn a_change_ends_other_sessions(app: &TestApp) {
    let (_, here) = member(app, "ada@example.org").await;
    let there = login(app, "ada@example.org", PASSWORD).await;
    let change = |current: &str, new: &str| json!({"current": current, "new": new});
    let path = "/users/me/password";
    here.post(path, change("not the password", NEW)).await.refused(403, "wrong_password");
    here.post(path, change(PASSWORD, "short")).await.refused(400, "invalid_request");
    here.post(path, change(PASSWORD, "password1")).await.refused(422, "password_compromised");
    app.client.post(path, change(PASSWORD, NEW)).await.refused(403, "not_a_user");
    here.post_as("once", path, change(PASSWORD, NEW)).await.expect(204);
    let again = here.post_as("once", path, change(PASSWORD, NEW)).await;
    assert!(again.is_replay(), "{again:?}");
    again.expect(204);
    here.get("/users/me").await.expect(200);
    there.get("/users/me").await.refused(401, "unauthorized");
    try_login(app, "ada@example.org", PASSWORD).await.refused(401, "invalid_credentials");
    login(app, "ada@example.org", NEW).await;
    assert!(mails(app, "ada@example.org", 1).await[0].contains("password was changed"));
}

async fn recovery_goes_by_mail_and_tells_nothing(app: &TestApp) {
    let (_, ada) = member(app, "ada@example.org").await;
    let nobody = app.client.without_key();
    let recover = |email: &str| Call::new("POST", "/auth/recover").json(&json!({"email": email}));
    let known = nobody.send(recover("Ada@example.org")).await;
    let unknown = nobody.send(recover("nobody@example.org")).await;
    assert_eq!((known.status, &known.bytes), (202, &unknown.bytes));
    assert_eq!(unknown.status, 202);
    let code = code_in(&mails(app, "ada@example.org", 1).await[0]);
    let set = |code: &str, password: &str| {
        Call::new("POST", "/auth/recover/confirm")
            .json(&json!({"code": code, "password": password}))
    };
    nobody.send(set("cod_wrong", NEW)).await.refused(400, "invalid_request");
    nobody.send(set(&code, "password1")).await.refused(422, "password_compromised");
    nobody.send(set(&code, NEW)).await.expect(204);
    nobody.send(set(&code, NEW)).await.refused(400, "invalid_request");
    ada.get("/users/me").await.refused(401, "unauthorized");
    login(app, "ada@example.org", NEW).await;
    mails(app, "ada@example.org", 2).await;
    nobody.send(recover("ada@example.org")).await.expect(202);
    let late = code_in(&mails(app, "ada@example.org", 3).await[0]);
    app.clock.advance(30 * 60);
    nobody.send(set(&late, PASSWORD)).await.refused(400, "invalid_request");
}

async fn recovery_forgets_the_name_of_a_sign_up(app: &TestApp) {
    let nobody = app.client.without_key();
    nobody.send(Call::new("POST", "/users").json(&person("ada@example.org"))).await.expect(202);
    mails(app, "ada@example.org", 1).await;
    let recover = Call::new("POST", "/auth/recover").json(&json!({"email": "ada@example.org"}));
    nobody.send(recover).await.expect(202);
    let code = code_in(&mails(app, "ada@example.org", 2).await[0]);
    let confirm = json!({"code": code, "password": NEW});
    nobody.post("/auth/recover/confirm", confirm).await.expect(204);
    let me = login(app, "ada@example.org", NEW).await.get("/users/me").await.expect(200);
    assert_eq!((&me["name"], &me["email"]), (&Value::Null, &json!("ada@example.org")));
    assert_eq!(me["status"], "active");
}

async fn a_new_password_voids_what_the_old_one_asked_for(app: &TestApp) {
    let (_, ada) = member(app, "ada@example.org").await;
    let nobody = app.client.without_key();
    // A thief who knows the password has their own address wait for its proof.
    let wish = json!({"email": "thief@example.org", "password": PASSWORD});
    ada.patch("/users/me", wish.clone()).await.expect(200);
    let first = code_in(&mails(app, "thief@example.org", 1).await[0]);
    let change = json!({"current": PASSWORD, "new": NEW});
    ada.post("/users/me/password", change).await.expect(204);
    let proof = json!({"code": first});
    nobody.post("/auth/verify-email", proof).await.refused(400, "invalid_request");
    // And once more before she recovers it.
    ada.patch("/users/me", json!({"email": "thief@example.org", "password": NEW}))
        .await
        .expect(200);
    let second = code_in(&mails(app, "thief@example.org", 2).await[0]);
    let recover = Call::new("POST", "/auth/recover").json(&json!({"email": "ada@example.org"}));
    nobody.send(recover).await.expect(202);
    let code = code_in(&mails(app, "ada@example.org", 2).await[0]);
    let confirm = json!({"code": code, "password": PASSWORD});
    nobody.post("/auth/recover/confirm", confirm).await.expect(204);
    let proof = json!({"code": second});
    nobody.post("/auth/verify-email", proof).await.refused(400, "invalid_request");
    try_login(app, "thief@example.org", PASSWORD).await.refused(401, "invalid_credentials");
    login(app, "ada@example.org", PASSWORD).await;
}

async fn one_address_gets_few_mails(app: &TestApp) {
    member(app, "ada@example.org").await;
    let nobody = app.client.without_key();
    let recover = async |email: &str| {
        nobody.send(Call::new("POST", "/auth/recover").json(&json!({"email": email}))).await.status
    };
    for (email, sent) in [("Ada@example.org", 5), ("nobody@example.org", 0)] {
        let mut statuses = Vec::new();
        for number in 1..=20 {
            statuses.push(recover(email).await);
            // One after the other, so that the last one sent is the newest.
            mails(app, "ada@example.org", number.min(sent)).await;
        }
        assert_eq!((&statuses[..5], &statuses[5..]), (&[202; 5][..], &[429; 15][..]), "{email}");
    }
    let sent = mails(app, "ada@example.org", 5).await;
    assert_eq!(sent.len(), 5);
    // Of the codes only the newest is good.
    let confirm = async |mail: &str| {
        let body = json!({"code": code_in(mail), "password": NEW});
        nobody.post("/auth/recover/confirm", body).await
    };
    confirm(&sent[1]).await.refused(400, "invalid_request");
    confirm(&sent[0]).await.expect(204);
    // When none of them is good any more, the next mail may be had.
    app.clock.advance(30 * 60);
    assert_eq!(recover("ada@example.org").await, 202);
    // Sign-ups are mails, too.
    for number in 0..6 {
        let sign_up = Call::new("POST", "/users").json(&person("eve@example.org"));
        let wanted = if number < 5 { 202 } else { 429 };
        assert_eq!(nobody.send(sign_up).await.status, wanted, "{number}");
    }
    // And do not keep the address's owner from recovering the account.
    assert_eq!(recover("eve@example.org").await, 202);
}

async fn nobody_learns_which_tenants_there_are(app: &TestApp) {
    let here = app.tenant_id().await;
    let nowhere = caudal_domain::TenantId(here.0 ^ 1 << 64);
    let nobody = app.client.without_key();
    let mut said = Vec::new();
    for tenant in [here.to_string(), nowhere.to_string()] {
        let mut body = json!({"email": "ada@example.org", "tenant": tenant});
        let recover = nobody.send(Call::new("POST", "/auth/recover").json(&body)).await;
        body["password"] = json!(PASSWORD);
        let sign_up = nobody.send(Call::new("POST", "/users").json(&body)).await;
        body["password"] = json!("not the password");
        let login = nobody.send(Call::new("POST", "/auth/login").json(&body)).await;
        let told = |answer: Answer| (answer.status, answer.json["code"].clone());
        said.push([recover, sign_up, login].map(told));
    }
    assert_eq!(said[0], said[1]);
    assert_eq!(said[0].clone().map(|(status, _)| status), [202, 202, 401]);
}

async fn with_a_check_that(answers: ResponseTemplate, fail_open: bool) -> (MockServer, TestApp) {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(answers).mount(&server).await;
    let app = TestApp::start_with(Database::sqlite(), |settings| {
        settings.breached_passwords_url = Some(format!("{}/", server.uri()));
        settings.breached_passwords_fail_open = fail_open;
    });
    let app = app.await;
    (server, app)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_fails_is_passed_or_refuses_as_it_is_set() {
    let (_server, open) = with_a_check_that(ResponseTemplate::new(500), true).await;
    open.client.post("/users", person("ada@example.org")).await.expect(201);
    open.finish().await;
    let (_server, closed) = with_a_check_that(ResponseTemplate::new(500), false).await;
    let made = closed.client.post_as("k", "/users", person("ada@example.org")).await;
    made.refused(503, "unavailable");
    assert_eq!((&made.json["retryable"], made.header("retry-after")), (&json!(true), Some("1")));
    let detail = made.json["detail"].as_str().expect("a text");
    assert!(detail.contains("passwords") && detail.contains("again"), "{detail}");
    let nobody = closed.client.without_key();
    let signed = nobody.send(Call::new("POST", "/users").json(&person("ada@example.org"))).await;
    signed.refused(503, "unavailable");
    // Whoever has a password logs in without the check.
    let owner = try_login(&closed, "admin@demo.local", "not the password").await;
    owner.refused(401, "invalid_credentials");
    closed.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leaked_password_is_refused() {
    let known = ResponseTemplate::new(200).set_body_string(format!("{SUFFIX}:42\r\n"));
    let (_server, app) = with_a_check_that(known, false).await;
    let made = app.client.post("/users", person("ada@example.org")).await;
    made.refused(422, "password_compromised");
    app.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_line_of_logins_harms_nobody_else() {
    let app = TestApp::start_with(Database::sqlite(), |settings| {
        settings.password_threads = Some(1);
        settings.password_queue = 1;
        // A hundred of these keep one thread busy for seconds, however they come.
        (settings.password_memory_kib, settings.password_iterations) = (19_456, 5);
    });
    let app = app.await;
    let logins = (0..100).map(|n| {
        let app = &app;
        async move { try_login(app, &format!("n{n}@example.org"), PASSWORD).await }
    });
    let mut logins: FuturesUnordered<_> = logins.collect();
    let mut answers = vec![logins.next().await.expect("an answer")];
    app.client.get("/wallets").await.expect(200);
    let wallet = app.client.funded(100).await;
    assert_eq!(app.client.balance(&wallet).await, (100, 0, 100));
    while let Some(answer) = logins.next().await {
        answers.push(answer);
    }
    drop(logins);
    let (turned_away, admitted): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 503);
    assert!(!turned_away.is_empty() && !admitted.is_empty(), "{turned_away:?} {admitted:?}");
    for answer in turned_away {
        answer.refused(503, "overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json["retryable"], true);
    }
    for answer in admitted {
        answer.refused(401, "invalid_credentials");
    }
    app.finish().await;
}
