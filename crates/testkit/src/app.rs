//! One Caudal in process, listening on a port of its own.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::Arc,
};

use caudal::{Instance, Settings};
use caudal_http::{Api, Metrics, Part};
use futures::FutureExt;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{Client, Database, Gate, TestClock, until};

pub struct TestApp {
    /// With the demo tenant's key, which may everything.
    pub client: Client,
    pub clock: TestClock,
    pub instance: Instance,
    /// Between the instance and its database.
    pub gate: Gate,
    pub addr: SocketAddr,
    database: Database,
    door: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

impl TestApp {
    pub async fn run_on_sqlite(case: impl AsyncFnOnce(&Self)) {
        Self::run(Database::sqlite(), case).await;
    }

    /// Does nothing where no server is named.
    pub async fn run_on_postgres(case: impl AsyncFnOnce(&Self)) {
        if let Some(database) = Database::postgres().await {
            Self::run(database, case).await;
        }
    }

    /// Runs the case to its end, takes the database away, and only then lets it fail.
    async fn run(database: Database, case: impl AsyncFnOnce(&Self)) {
        let app = Self::start(database).await;
        let case = AssertUnwindSafe(case(&app)).catch_unwind().await;
        match case {
            Ok(()) => app.finish().await,
            Err(failure) => {
                app.close().await;
                resume_unwind(failure);
            }
        }
    }

    pub async fn start(database: Database) -> Self {
        Self::start_with(database, |_| {}).await
    }

    /// With other settings than most tests have.
    pub async fn start_with(database: Database, change: impl FnOnce(&mut Settings)) -> Self {
        let clock = TestClock::start();
        let opened = Opened::new(&database, &clock, change).await;
        let demo = opened.instance.service.bootstrap(None).await.expect("the demo tenant");
        let demo = demo.expect("a fresh database");
        let client = Client::new(opened.addr, Some(demo.secret.reveal()));
        Self::of(opened, client, clock, database)
    }

    /// Looks again and again, each time so many seconds later. What is due at gateways is worked on
    /// before each look: time that ran on by itself would end leases, and leave the months that
    /// have partitions.
    pub async fn until_later(
        &self,
        what: &str,
        seconds: i64,
        mut is_so: impl AsyncFnMut() -> bool,
    ) {
        until(what, async || {
            self.clock.advance(seconds);
            while self.instance.service.work_on_sagas().await.expect("a database") > 0 {}
            is_so().await
        })
        .await;
    }

    /// Stops, and starts again on the same database with other settings.
    pub async fn restart_with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let Self { client, clock, instance, gate, database, door, stop, .. } = self;
        stop.cancel();
        door.await.expect("the door did not panic").expect("the door closed well");
        instance.shutdown().await;
        drop(gate);
        let opened = Opened::new(&database, &clock, change).await;
        let client = client.at(opened.addr);
        Self::of(opened, client, clock, database)
    }

    /// Another process on the same database, as far as processes know of each other, that calls the
    /// same gateways.
    pub async fn beside(&self) -> Beside {
        let simulator = self.instance.simulator.as_ref().map(|running| running.url.to_string());
        let opened = Opened::new(&self.database, &self.clock, |settings| {
            settings.simulator_url = simulator;
        })
        .await;
        let client = self.client.at(opened.addr);
        Beside { client, opened }
    }

    fn of(opened: Opened, client: Client, clock: TestClock, database: Database) -> Self {
        let Opened { instance, gate, addr, door, stop } = opened;
        Self { client, clock, instance, gate, addr, database, door, stop }
    }

    /// For what a test does to the database itself.
    pub fn database_url(&self) -> String {
        self.database.url()
    }

    /// The owner of a new tenant, `test` or `live`.
    pub async fn tenant(&self, mode: &str) -> Client {
        let body = json!({"name": "another", "mode": mode});
        let tenant = self.client.post("/tenants", body).await.expect(201);
        let key = tenant["api_key"]["key"].as_str().expect("the owner's key");
        self.client.with_key(key)
    }

    /// The demo tenant with a key that may only this.
    pub async fn client_with(&self, scopes: &[&str]) -> Client {
        let body = json!({"name": "narrow", "scopes": scopes});
        let created = self.client.post("/api-keys", body).await.expect(201);
        self.client.with_key(created["key"].as_str().expect("the key"))
    }

    pub async fn books_agree(&self) {
        let report = self.instance.service.reconcile(None).await.expect("a report");
        assert!(report.is_proven(), "the books are not right: {:#?}", report.checks);
    }

    /// Proves the books, then closes.
    pub async fn finish(self) {
        self.books_agree().await;
        let rebuilt = self.instance.service.rebuild().await.expect("a comparison");
        self.close().await;
        let differences = rebuilt.differences;
        assert!(differences.is_empty(), "the events tell otherwise: {differences:#?}");
    }

    async fn close(self) {
        self.stop.cancel();
        let door = self.door.await.expect("the door did not panic");
        self.instance.shutdown().await;
        drop(self.gate);
        self.database.remove().await;
        door.expect("the door closed well");
    }
}

/// A second instance; see [`TestApp::beside`].
pub struct Beside {
    /// With the demo tenant's key.
    pub client: Client,
    opened: Opened,
}

impl Beside {
    pub async fn close(self) {
        self.opened.stop.cancel();
        let door = self.opened.door.await.expect("the door did not panic");
        self.opened.instance.shutdown().await;
        door.expect("the door closed well");
    }
}

/// An instance with its door.
struct Opened {
    instance: Instance,
    gate: Gate,
    addr: SocketAddr,
    door: JoinHandle<std::io::Result<()>>,
    stop: CancellationToken,
}

impl Opened {
    async fn new(
        database: &Database,
        clock: &TestClock,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings {
            database_url: database.url(),
            // Many apps share one test server.
            database_pool_max: 8,
            // Passwords are hashed thousands of times: how well is tested elsewhere.
            password_memory_kib: 64,
            password_iterations: 1,
            password_threads: Some(2),
            // Receivers of tests are on this machine.
            webhooks_allow_private: true,
            ..Settings::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("its address");
        // Tokens name the platform, wherever it listens this time.
        settings.public_url = Some(format!("http://{}", settings.http_addr));
        settings.http_addr = addr.to_string();
        change(&mut settings);
        let metrics = Metrics::install().expect("the recorder");
        let (instance, gate) = start(&settings, clock).await;
        let http = settings.http().expect("good settings");
        let api = Api::new(instance.service.clone(), http, metrics);
        let router = caudal_http::router(api, &Part::ALL);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let door = tokio::spawn(caudal_http::serve(listener, router, stopped));
        Self { instance, gate, addr, door, stop }
    }
}

/// The last connections of an app that has just stopped may hold its database for a moment.
async fn start(settings: &Settings, clock: &TestClock) -> (Instance, Gate) {
    let mut opened = None;
    until("the database to be free", async || match caudal_store::open(&settings.store()).await {
        Err(error) if error.to_string().contains("another process has") => false,
        store => opened.replace(store.expect("a database")).is_none(),
    })
    .await;
    let gate = Gate::new(opened.expect("it was waited for"));
    let store = Arc::new(gate.clone());
    let instance = Instance::start_on(settings, store, Arc::new(clock.clone())).await;
    (instance.expect("an instance"), gate)
}
