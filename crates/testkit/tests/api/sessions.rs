//! Sessions: login, refresh, logout; what comes of a stolen token; the lockout and its end.

use caudal_domain::SystemRole;
use caudal_testkit::{Answer, Call, TestApp, at_once, both_databases};
use serde_json::{Value, json};

use super::people::{PASSWORD, login, person, with_token};

both_databases! {
    failed_logins_look_the_same the_tenant_is_named_where_there_are_several
    an_account_is_locked_for_a_while
    a_refresh_uses_its_token_up a_used_token_works_again_for_ten_seconds
    a_stolen_token_ends_the_session two_refreshes_at_once_both_go_on
    a_session_ends_in_time sessions_are_listed_and_revoked logging_out_ends_the_session
}

async fn refresh(app: &TestApp, token: &str) -> Answer {
    let body = json!({"refresh_token": token});
    app.client.without_key().send(Call::new("POST", "/auth/refresh").json(&body)).await
}

fn refresh_token(tokens: &Value) -> String {
    tokens["refresh_token"].as_str().expect("a refresh token").to_owned()
}

async fn failed_logins_look_the_same(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let table = [
        ("wrong", ada.email.as_str(), "four words in a column"),
        ("unknown", "nobody@example.org", PASSWORD),
        ("no address", "nobody", PASSWORD),
        ("too short", ada.email.as_str(), "x"),
    ];
    let mut details = Vec::new();
    for (row, email, password) in table {
        let answer = login(app, email, password).await;
        answer.refused_as(row, 401, "invalid_credentials");
        details.push(answer.json["detail"].clone());
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
    let tenant = json!({"email": ada.email, "password": PASSWORD, "tenant": "ten_no"});
    let call = Call::new("POST", "/auth/login").json(&tenant);
    app.client.without_key().send(call).await.refused(401, "invalid_credentials");
    let answer = login(app, &ada.email, PASSWORD).await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let tokens = answer.expect(200);
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(600)));
}

async fn the_tenant_is_named_where_there_are_several(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    login(app, &ada.email, PASSWORD).await.expect(200);
    app.tenant("test").await;
    // As for a sign-up and a recovery: the oldest is not meant by saying nothing.
    let nameless = login(app, &ada.email, PASSWORD).await;
    assert_eq!(nameless.refused(400, "invalid_request").json["param"], "tenant");
    let tenant = app.tenant_id().await.to_string();
    let body = json!({"email": ada.email, "password": PASSWORD, "tenant": tenant});
    let call = Call::new("POST", "/auth/login").json(&body);
    app.client.without_key().send(call).await.expect(200);
}

async fn an_account_is_locked_for_a_while(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    for _ in 0..10 {
        // Slower than the limit of guesses, which would hide the lock.
        app.clock.advance(10);
        login(app, &ada.email, "not the password").await.refused(401, "invalid_credentials");
    }
    app.clock.advance(60);
    login(app, &ada.email, PASSWORD).await.refused(401, "invalid_credentials");
    // The session goes on, and its refresh lets nobody in.
    let tokens = refresh(app, &ada.refresh).await.expect(200);
    login(app, &ada.email, PASSWORD).await.refused(401, "invalid_credentials");
    with_token(app, &tokens).get("/users/me/sessions").await.expect(200);
    app.clock.advance(15 * 60);
    login(app, &ada.email, PASSWORD).await.expect(200);
    login(app, &ada.email, "not the password").await.refused(401, "invalid_credentials");
    login(app, &ada.email, PASSWORD).await.expect(200);
}

async fn a_refresh_uses_its_token_up(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let next = refresh(app, &ada.refresh).await.expect(200);
    assert_ne!(refresh_token(&next), ada.refresh);
    with_token(app, &next).get("/users/me/sessions").await.expect(200);
    refresh(app, &refresh_token(&next)).await.expect(200);
    for unknown in ["", "rt_", "sk_test_1", "rt_0000000000000000000000000000000000000000000"] {
        refresh(app, unknown).await.refused(401, "unauthorized");
    }
}

async fn a_used_token_works_again_for_ten_seconds(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    refresh(app, &ada.refresh).await.expect(200);
    app.clock.advance(10);
    let again = refresh(app, &ada.refresh).await.expect(200);
    refresh(app, &refresh_token(&again)).await.expect(200);
}

async fn a_stolen_token_ends_the_session(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let next = refresh(app, &ada.refresh).await.expect(200);
    app.clock.advance(11);
    refresh(app, &ada.refresh).await.refused(401, "unauthorized");
    refresh(app, &refresh_token(&next)).await.refused(401, "unauthorized");
    // At once, with what was remembered of the session.
    with_token(app, &next).get("/users/me/sessions").await.refused(401, "unauthorized");
    login(app, &ada.email, PASSWORD).await.expect(200);
}

async fn two_refreshes_at_once_both_go_on(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let nobody = app.client.without_key();
    let answers = at_once(8, |_| {
        let (nobody, body) = (nobody.clone(), json!({"refresh_token": ada.refresh}));
        async move { nobody.send(Call::new("POST", "/auth/refresh").json(&body)).await }
    });
    let mut tokens: Vec<String> =
        answers.await.into_iter().map(|answer| refresh_token(&answer.expect(200))).collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 8, "each has its own");
    for token in tokens {
        refresh(app, &token).await.expect(200);
    }
}

async fn a_session_ends_in_time(app: &TestApp) {
    const DAY: i64 = 24 * 3600;
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let mut token = ada.refresh.clone();
    for _ in 0..4 {
        app.clock.advance(22 * DAY);
        token = refresh_token(&refresh(app, &token).await.expect(200));
    }
    app.clock.advance(3 * DAY);
    refresh(app, &token).await.refused(401, "unauthorized");
    let eve = person(app, "eve", SystemRole::WalletHolder).await;
    app.clock.advance(31 * DAY);
    refresh(app, &eve.refresh).await.refused(401, "unauthorized");
}

async fn sessions_are_listed_and_revoked(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    let eve = person(app, "eve", SystemRole::WalletHolder).await;
    let other = login(app, &ada.email, PASSWORD).await.expect(200);
    let sessions = ada.client.all("/users/me/sessions").await;
    assert_eq!(sessions.len(), 2);
    let (mine, others): (Vec<_>, Vec<_>) =
        sessions.iter().partition(|session| session["is_current"] == true);
    assert_eq!((mine.len(), others.len()), (1, 1));
    let id = others[0]["id"].as_str().expect("an id");
    let path = format!("/users/me/sessions/{id}");
    eve.client.delete(&path).await.refused(404, "session_not_found");
    ada.client.delete("/users/me/sessions/ses_no").await.refused(404, "session_not_found");
    with_token(app, &other).get("/users/me/sessions").await.expect(200);
    ada.client.delete(&path).await.expect(204);
    with_token(app, &other).get("/users/me/sessions").await.refused(401, "unauthorized");
    refresh(app, &refresh_token(&other)).await.refused(401, "unauthorized");
    assert_eq!(ada.client.all("/users/me/sessions").await.len(), 1);
    // All of them, by somebody who may.
    let all = format!("/users/{}/sessions", ada.id);
    eve.client.delete(&all).await.refused(403, "forbidden");
    app.client.delete(&all).await.expect(204);
    ada.client.get("/users/me/sessions").await.refused(401, "unauthorized");
    refresh(app, &ada.refresh).await.refused(401, "unauthorized");
    eve.client.get("/users/me/sessions").await.expect(200);
    app.client.get("/users/me/sessions").await.refused(403, "not_a_user");
}

async fn logging_out_ends_the_session(app: &TestApp) {
    let ada = person(app, "ada", SystemRole::WalletHolder).await;
    ada.client.send(Call::new("POST", "/auth/logout")).await.expect(204);
    ada.client.get("/users/me/sessions").await.refused(401, "unauthorized");
    refresh(app, &ada.refresh).await.refused(401, "unauthorized");
    // With the refresh token alone; an unknown one ends nothing.
    let eve = person(app, "eve", SystemRole::WalletHolder).await;
    let nobody = app.client.without_key();
    let logout =
        async |body: Value| nobody.send(Call::new("POST", "/auth/logout").json(&body)).await.status;
    assert_eq!(logout(json!({"refresh_token": "rt_unknown"})).await, 204);
    eve.client.get("/users/me/sessions").await.expect(200);
    assert_eq!(logout(json!({"refresh_token": eve.refresh})).await, 204);
    eve.client.get("/users/me/sessions").await.refused(401, "unauthorized");
    assert_eq!(logout(json!({})).await, 401);
}
