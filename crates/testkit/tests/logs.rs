//! What must not be in any log, however much is logged: passwords, tokens, codes, addresses. One
//! test, for a process has one log: all doors of people are walked through at the level `trace`.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use caudal::Settings;
use caudal_testkit::{Call, Client, Database, TestApp, smtp::SmtpServer, until};
use serde_json::{Value, json};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const EMAIL: &str = "quixotic@example.org";
const NEW_EMAIL: &str = "windmill@example.org";
const PASSWORD: &str = "a lance and a helmet 1";
const NEW_PASSWORD: &str = "a barber's basin 2 wear";
const WRONG: &str = "rocinante, my old horse";
const NAME: &str = "Dulcinea";

/// One walk, and what it was told that nobody else may know.
struct Walk<'a> {
    app: &'a TestApp,
    mails: &'a SmtpServer,
    secrets: Vec<String>,
}

impl Walk<'_> {
    fn nobody(&self) -> Client {
        self.app.client.without_key()
    }

    /// Posts, and keeps every secret of the answer.
    async fn post(&mut self, client: &Client, path: &str, body: Value) -> (u16, Value) {
        let key = format!("walk-{}", self.secrets.len());
        let answer = client.send(Call::new("POST", path).key(key).json(&body)).await;
        let members = ["access_token", "refresh_token", "challenge", "secret", "key"];
        for member in members {
            self.secrets.extend(answer.json[member].as_str().map(str::to_owned));
        }
        let codes = answer.json["recovery_codes"].as_array().cloned().unwrap_or_default();
        self.secrets.extend(codes.iter().filter_map(Value::as_str).map(str::to_owned));
        (answer.status, answer.json)
    }

    /// The code of a mail to the address that was not met yet.
    async fn code_for(&mut self, to: &str) -> String {
        let mut code = String::new();
        until("a mail with a code", async || {
            let mails = self.mails.mails();
            let own = mails.iter().filter(|mail| mail.contains(&format!("To: {to}")));
            let mut codes = own.flat_map(|mail| mail.lines()).filter(|it| it.starts_with("cod_"));
            let fresh = codes.find(|code| !self.secrets.iter().any(|known| known == code));
            code = fresh.unwrap_or_default().to_owned();
            !code.is_empty()
        })
        .await;
        self.secrets.push(code.clone());
        code
    }

    async fn login(&mut self, email: &str, password: &str) -> Client {
        let body = json!({"email": email, "password": password});
        let (status, tokens) = self.post(&self.nobody(), "/auth/login", body).await;
        assert_eq!(status, 200, "{tokens}");
        self.app.client.with_key(tokens["access_token"].as_str().expect("a token"))
    }

    async fn sign_up(&mut self) -> Client {
        let nobody = self.nobody();
        let body = json!({"email": EMAIL, "password": PASSWORD, "name": NAME});
        assert_eq!(self.post(&nobody, "/users", body.clone()).await.0, 202);
        let code = self.code_for(EMAIL).await;
        assert_eq!(self.post(&nobody, "/auth/verify-email", json!({"code": code})).await.0, 204);
        self.post(&nobody, "/users", body).await;
        let wrong = json!({"email": EMAIL, "password": WRONG});
        assert_eq!(self.post(&nobody, "/auth/login", wrong).await.0, 401);
        self.login(EMAIL, PASSWORD).await
    }

    async fn change_everything(&mut self, own: &Client) {
        let wish = json!({"email": NEW_EMAIL, "password": PASSWORD, "name": NAME});
        own.patch("/users/me", wish).await.expect(200);
        let code = self.code_for(NEW_EMAIL).await;
        let nobody = self.nobody();
        assert_eq!(self.post(&nobody, "/auth/verify-email", json!({"code": code})).await.0, 204);
        let change = json!({"current": PASSWORD, "new": NEW_PASSWORD});
        assert_eq!(self.post(own, "/users/me/password", change).await.0, 204);
        assert_eq!(self.post(&nobody, "/auth/recover", json!({"email": NEW_EMAIL})).await.0, 202);
        let code = self.code_for(NEW_EMAIL).await;
        let confirm = json!({"code": code, "password": PASSWORD});
        assert_eq!(self.post(&nobody, "/auth/recover/confirm", confirm).await.0, 204);
    }

    async fn second_factor(&mut self) {
        let own = self.login(NEW_EMAIL, PASSWORD).await;
        let (status, _) = self.post(&own, "/users/me/totp", json!({"password": PASSWORD})).await;
        assert_eq!(status, 200);
        self.post(&own, "/users/me/totp/confirm", json!({"code": "918273"})).await;
        self.secrets.push("918273".into());
        self.post(&own, "/auth/step-up", json!({"password": PASSWORD})).await;
    }

    /// Requests that are wrong in a way that a log might quote.
    async fn bad_requests(&mut self) {
        let nobody = self.nobody();
        for text in [
            format!("{{\"email\": \"{EMAIL}\", \"password\": \"{WRONG}\""),
            format!("{{\"email\": \"{EMAIL}\", \"pasword\": \"{WRONG}\"}}"),
            format!("{{\"email\": [\"{EMAIL}\"], \"password\": 7}}"),
            format!("\"{WRONG}\""),
        ] {
            let answer = nobody.send(Call::new("POST", "/auth/login").text(text)).await;
            assert_eq!(answer.status, 400, "{answer:?}");
        }
        let refresh = json!({"refresh_token": "rt_not-one-that-was-ever-given-to-anybody"});
        self.secrets.push("rt_not-one-that-was-ever-given-to-anybody".into());
        assert_eq!(self.post(&nobody, "/auth/refresh", refresh).await.0, 401);
        self.secrets.push("eyJub25l.eyJzdWIi.c2lnbmF0dXJl".into());
        let forged = self.app.client.with_key("eyJub25l.eyJzdWIi.c2lnbmF0dXJl");
        assert_eq!(forged.get("/users/me").await.status, 401);
        let by_email = format!("/users?email={EMAIL}");
        self.app.client.get(by_email).await.expect(200);
    }

    async fn walk_on(&mut self) {
        let own = self.sign_up().await;
        self.change_everything(&own).await;
        self.second_factor().await;
        self.bad_requests().await;
        let client = self.app.client.clone();
        let key = json!({"name": "till", "scopes": ["wallets:read"]});
        let (_, key) = self.post(&client, "/api-keys", key).await;
        let till = client.with_key(key["key"].as_str().expect("the key"));
        till.get("/wallets").await.expect(200);
        let own = self.login(NEW_EMAIL, PASSWORD).await;
        let call = Call::new("DELETE", "/users/me").json(&json!({"password": PASSWORD}));
        own.send(call).await.expect(204);
    }
}

async fn walk(database: Database) -> Vec<String> {
    let mails = SmtpServer::start(None).await;
    let url = mails.url();
    let app = TestApp::start_with(database, |settings| settings.smtp_url = Some(url)).await;
    let mut walk = Walk { app: &app, mails: &mails, secrets: Vec::new() };
    walk.walk_on().await;
    let secrets = walk.secrets;
    app.finish().await;
    secrets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_tells_a_secret() {
    let log = Log::default();
    let (settings, writer) = (Settings { log: "trace".into(), ..Settings::default() }, log.clone());
    tracing_subscriber::fmt()
        .with_env_filter(settings.log_filter())
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let mut secrets = walk(Database::sqlite()).await;
    if let Some(database) = Database::postgres().await {
        secrets.extend(walk(database).await);
    }
    let text = log.text();
    assert!(text.contains("a token is not believed"), "what is logged for debugging is heard");
    assert!(secrets.len() > 15, "only {} secrets were met", secrets.len());
    let known = [EMAIL, NEW_EMAIL, PASSWORD, NEW_PASSWORD, WRONG, NAME, "$argon2id$"];
    for secret in known.into_iter().chain(secrets.iter().map(String::as_str)) {
        let line = text.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret:?} is in the log: {line:?}");
    }
}
