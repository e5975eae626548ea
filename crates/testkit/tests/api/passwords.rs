//! Passwords: changed by whoever knows them, recovered by whoever reads the mail.

use caudal_testkit::{Call, TestApp, both_databases};
use serde_json::json;

use super::users::{PASSWORD, code_in, login, mails, member, try_login};

both_databases! { a_change_ends_other_sessions recovery_goes_by_mail_and_tells_nothing }

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
