//! Mails: a server that is away or refuses delays them, and nothing else. (One that is silent is
//! given up in time: see the tests of `outbound`.)

use caudal_domain::MailId;
use caudal_store::mails::{self, MailRow};
use caudal_testkit::{
    Call, Database, TestApp,
    smtp::{SmtpServer, TAKEN},
    until,
};
use serde_json::json;

use super::users::person;

/// The newest mail of the outbox.
async fn newest(app: &TestApp) -> MailRow {
    let (store, tenant) = (app.instance.store.as_ref(), app.tenant_id().await);
    let found = mails::list(store, tenant, MailId(u128::MAX), 1).await.expect("mails");
    found.into_iter().next().expect("a mail")
}

async fn ask_for_a_mail(app: &TestApp) {
    app.clock.advance(1);
    let call = Call::new("POST", "/auth/recover").json(&json!({"email": "ada@example.org"}));
    app.client.without_key().send(call).await.expect(202);
}

async fn tried(app: &TestApp, attempts: i64) {
    until("the next attempt", async || {
        later(app);
        newest(app).await.attempts >= attempts
    })
    .await;
}

/// Towards the next attempt, and past the breaker's pause.
fn later(app: &TestApp) {
    app.clock.advance(60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_wait_for_their_server() {
    let server = SmtpServer::start(None).await;
    let (addr, url) = (server.addr, server.url());
    drop(server);
    let app = TestApp::start_with(Database::sqlite(), |settings| settings.smtp_url = Some(url));
    let app = app.await;
    app.client.post("/users", person("ada@example.org")).await.expect(201);
    // Nobody listens.
    ask_for_a_mail(&app).await;
    tried(&app, 1).await;
    app.client.get("/wallets").await.expect(200);
    let server = SmtpServer::start(Some(addr)).await;
    server.answer("451 later");
    tried(&app, 2).await;
    tried(&app, 3).await;
    assert_eq!(newest(&app).await.sent_at, None);
    // It is itself again.
    server.answer(TAKEN);
    until("it is sent", async || {
        later(&app);
        newest(&app).await.sent_at.is_some()
    })
    .await;
    let taken = server.mails().pop().expect("a mail");
    assert!(taken.contains("To: ada@example.org"), "{taken}");
    // What is refused for good is not tried again.
    server.answer("550 no such user");
    ask_for_a_mail(&app).await;
    until("it is given up", async || {
        later(&app);
        newest(&app).await.failed_at.is_some()
    })
    .await;
    let (offered, attempts) = (server.mails().len(), newest(&app).await.attempts);
    server.answer(TAKEN);
    ask_for_a_mail(&app).await;
    until("the next one is sent", async || {
        later(&app);
        newest(&app).await.sent_at.is_some()
    })
    .await;
    assert_eq!((server.mails().len(), attempts), (offered + 1, 1));
    app.finish().await;
}
