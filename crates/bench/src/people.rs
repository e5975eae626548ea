//! Workloads of people: logins, registrations, profile updates, refreshes.
//!
//! Each connection has a user of its own, so that none waits for another's row. The server must run
//! without rate limits (`CAUDAL_RATE_LIMITS=off`): they are there to stop just this.
//!
//! To add one: a variant of [`Workload`], its request in `Worker::request`, what its answer must
//! hold in `Worker::accept`, what is proved afterwards in `Worker::prove`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::clock;
use crate::connection::{Connection, Targets};
use crate::options::{BenchError, Options, RunResult, Workload};
use crate::pace::{Pace, Turn};
use crate::progress::{Progress, Span};

/// How long one request may take, attempts included.
const PATIENCE: Duration = Duration::from_secs(30);
/// Longest latency told apart, in microseconds.
const LATENCY_MOST_US: u64 = 120_000_000;
const PASSWORD: &str = "correct horse battery staple";

/// What one connection did.
struct Part {
    latency_us: Histogram<u64>,
    measured: u64,
    done: u64,
    errors: u64,
    oddity: Option<String>,
    /// Whether what was acknowledged was found again.
    verified: bool,
}

/// Signs its users up, drives them, proves what was acknowledged.
pub(crate) async fn one(options: &Options, workload: Workload) -> Result<RunResult, BenchError> {
    let targets = Targets::new(&options.urls, &options.api_key)?;
    let run = format!("b{:x}p{:x}", clock::wall_ms(), std::process::id());
    let workers = prepare(options, workload, &targets, &run).await?;
    let done = Arc::new(AtomicU64::new(0));
    let pace = Arc::new(Pace::new(options.warmup, options.duration, options.rate));
    let span = Span::Time(pace.end() - pace.start());
    let bar = Progress::new(options.progress, &options.name, span, Arc::clone(&done));
    let mut running = JoinSet::new();
    for worker in workers {
        running.spawn(worker.work(Arc::clone(&pace), Arc::clone(&done)));
    }
    let mut parts = Vec::new();
    while let Some(part) = running.join_next().await {
        parts.push(part.map_err(|_| BenchError::Generator)??);
    }
    drop(bar);
    Ok(result(options, parts))
}

async fn prepare(
    options: &Options,
    workload: Workload,
    targets: &Arc<Targets>,
    run: &str,
) -> Result<Vec<Worker>, BenchError> {
    let ready = Arc::new(AtomicU64::new(0));
    let span = Span::Count(options.connections as u64);
    let _bar = Progress::new(options.progress, "users", span, Arc::clone(&ready));
    let mut making = JoinSet::new();
    for number in 0..options.connections {
        let mut worker = Worker::new(workload, targets, run, number);
        let ready = Arc::clone(&ready);
        making.spawn(async move {
            worker.sign_up().await?;
            ready.fetch_add(1, Ordering::Relaxed);
            Ok(worker)
        });
    }
    let mut workers = Vec::new();
    while let Some(worker) = making.join_next().await {
        workers.push(worker.map_err(|_| BenchError::Generator)??);
    }
    Ok(workers)
}

/// One user on one connection.
struct Worker {
    workload: Workload,
    targets: Arc<Targets>,
    connection: Connection,
    run: String,
    number: usize,
    sent: u64,
    user: String,
    access: String,
    refresh: String,
    /// Users registered by the run, last name given: what the proof asks for.
    registered: Vec<String>,
    name: String,
}

impl Worker {
    fn new(workload: Workload, targets: &Arc<Targets>, run: &str, number: usize) -> Self {
        let targets = Arc::clone(targets);
        Self {
            connection: Connection::new(Arc::clone(&targets), number),
            run: run.to_owned(),
            workload,
            targets,
            number,
            sent: 0,
            user: String::new(),
            access: String::new(),
            refresh: String::new(),
            registered: Vec::new(),
            name: String::new(),
        }
    }

    fn email(&self, n: u64) -> String {
        format!("{}-{}-{n}@bench.example", self.run, self.number)
    }

    fn registration(&self, n: u64) -> Vec<u8> {
        let body = json!({"email": self.email(n), "password": PASSWORD, "name": "Bench"});
        let key = format!("{}-{}-{n}", self.run, self.number);
        self.targets.post("/api/v1/users", &key, &body.to_string())
    }

    fn login(&self) -> Vec<u8> {
        let body = json!({"email": self.email(0), "password": PASSWORD});
        self.targets.post_open("/api/v1/auth/login", &body.to_string())
    }

    /// A user of its own, signed in where the workload needs it.
    async fn sign_up(&mut self) -> Result<(), BenchError> {
        if self.workload == Workload::Registration {
            return Ok(());
        }
        let user = self.ask(&self.registration(0), "making a user").await?;
        self.user = text(&user, "id");
        let tokens = self.ask(&self.login(), "logging in").await?;
        self.keep(&tokens);
        Ok(())
    }

    fn keep(&mut self, tokens: &Value) {
        self.access = text(tokens, "access_token");
        self.refresh = text(tokens, "refresh_token");
    }

    /// The answer of a request that must succeed.
    async fn ask(&mut self, request: &[u8], what: &'static str) -> Result<Value, BenchError> {
        let until = Instant::now() + PATIENCE;
        match self.connection.settle(request, until).await.status {
            Some(200..=299) => self.answer(what),
            Some(status) => {
                Err(BenchError::Refused { what, status, body: self.connection.excerpt() })
            }
            None => Err(BenchError::Silent(what)),
        }
    }

    fn answer(&self, what: &'static str) -> Result<Value, BenchError> {
        serde_json::from_slice(self.connection.body())
            .map_err(|_| BenchError::Unexpected { what, body: self.connection.excerpt() })
    }

    async fn work(mut self, pace: Arc<Pace>, count: Arc<AtomicU64>) -> Result<Part, BenchError> {
        let latency_us = Histogram::new_with_max(LATENCY_MOST_US, 3)
            .expect("three digits up to two minutes fit a histogram");
        let mut part =
            Part { latency_us, measured: 0, done: 0, errors: 0, oddity: None, verified: true };
        loop {
            let begun = match pace.turn().await {
                Turn::Send(begun) => begun,
                Turn::Missed(_) => continue,
                Turn::Over => break,
            };
            self.sent += 1;
            let request = self.request();
            let outcome = self.connection.settle(&request, Instant::now() + PATIENCE).await;
            part.errors += outcome.faults;
            if !matches!(outcome.status, Some(200..=299)) || !self.accept() {
                part.errors += 1;
                part.oddity.get_or_insert_with(|| self.connection.excerpt());
                continue;
            }
            part.done += 1;
            count.fetch_add(1, Ordering::Relaxed);
            let ended = Instant::now();
            part.measured += u64::from(pace.measures(ended));
            if pace.measures(begun) {
                let took = u64::try_from((ended - begun).as_micros()).unwrap_or(u64::MAX);
                part.latency_us.saturating_record(took);
            }
        }
        part.verified = self.prove().await?;
        Ok(part)
    }

    fn request(&mut self) -> Vec<u8> {
        match self.workload {
            Workload::Registration => self.registration(self.sent),
            Workload::Profile => {
                let name = format!("Bench {}", self.sent);
                let body = json!({"name": name}).to_string();
                self.name = name;
                self.targets.patch_as(&self.access, "/api/v1/users/me", &body)
            }
            Workload::Refresh => {
                let body = json!({"refresh_token": self.refresh}).to_string();
                self.targets.post_open("/api/v1/auth/refresh", &body)
            }
            _ => self.login(),
        }
    }

    /// Takes from the answer what the next request and the proof need.
    fn accept(&mut self) -> bool {
        let Ok(answer) = self.answer("an answer") else { return false };
        match self.workload {
            Workload::Registration => self.registered.push(text(&answer, "id")),
            Workload::Profile => return answer["name"] == self.name.as_str(),
            _ => {
                self.keep(&answer);
                return !self.access.is_empty() && !self.refresh.is_empty();
            }
        }
        true
    }

    /// Whether what was acknowledged is there: each registered user, the last name given, and
    /// tokens that still say who it is.
    async fn prove(&mut self) -> Result<bool, BenchError> {
        for id in std::mem::take(&mut self.registered) {
            let request = self.targets.get(&format!("/api/v1/users/{id}"));
            let user = self.ask(&request, "reading a user").await?;
            if user["id"] != id.as_str() {
                return Ok(false);
            }
        }
        if self.user.is_empty() {
            return Ok(true);
        }
        let me = self.targets.get_as(&self.access, "/api/v1/users/me");
        let me = self.ask(&me, "reading oneself").await?;
        Ok(me["id"] == self.user.as_str()
            && (self.name.is_empty() || me["name"] == self.name.as_str()))
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn result(options: &Options, parts: Vec<Part>) -> RunResult {
    let mut parts = parts.into_iter();
    let mut all = parts.next().expect("a connection at least");
    for part in parts {
        // Both were made with the same bounds: adding cannot fail.
        let _ = all.latency_us.add(&part.latency_us);
        all.measured += part.measured;
        all.done += part.done;
        all.errors += part.errors;
        all.oddity = all.oddity.take().or(part.oddity);
        all.verified &= part.verified;
    }
    let ms = |quantile| all.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
    let duration_s = options.duration.as_secs_f64();
    RunResult {
        name: options.name.clone(),
        tps: (all.measured as f64 / duration_s * 10.0).round() / 10.0,
        p50_ms: ms(0.50),
        p95_ms: ms(0.95),
        p99_ms: ms(0.99),
        errors: all.errors,
        verified: all.verified,
        batch: 1,
        connections: options.connections,
        hot_percent: 0,
        duration_s,
        transfers: all.done,
        refused: 0,
        rate: options.rate,
        notes: all.oddity.iter().map(|odd| format!("an unexpected answer: {odd}")).collect(),
    }
}
