//! A client that moves one unit after the other between two wallets of its own and keeps account of
//! every answer: how long it took, what it was, and the gaps between acknowledgements.
//!
//! A key is tried until it is acknowledged, so at the end the payee must hold exactly as much as
//! there were acknowledgements.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::bed::wait_for;
use super::caudal::Server;
use super::client::{Answer, Client, Fault};

/// Between attempts: short, so that outages are measured well.
const PAUSE: Duration = Duration::from_millis(10);
/// What the payer is given; more than a run can move.
const FUNDED: u64 = 1_000_000_000;
/// How long the last key may take once the probe is to end.
const END_LIMIT: Duration = Duration::from_secs(60);

/// What was answered so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub acknowledged: u64,
    /// By status.
    pub answers: BTreeMap<u16, u64>,
    /// Connections that ended before an answer began, on requests already sent.
    pub unanswered: u64,
    /// Since [`Probe::forget`]: the longest time between two acknowledgements …
    pub longest_gap: Duration,
    /// … and the longest time an answer took, whatever it said.
    pub longest_answer: Duration,
    /// Answers that the API does not promise.
    pub oddities: Vec<String>,
}

pub(super) struct Probe {
    seen: Arc<Mutex<Seen>>,
    /// Ends after the current key.
    stop: Arc<AtomicBool>,
    /// Ends now: nobody wants to know any more.
    given_up: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Probe {
    pub(super) fn start(server: &Server) -> Result<Self> {
        let mut work = Work::prepare(server)?;
        let (seen, stop) = (Arc::clone(&work.seen), Arc::clone(&work.stop));
        let given_up = Arc::clone(&work.given_up);
        let thread = std::thread::spawn(move || work.run());
        Ok(Self { seen, stop, given_up, thread: Some(thread) })
    }

    /// Several at once: a request alone may be lucky.
    pub(super) fn several(server: &Server, count: usize) -> Result<Vec<Self>> {
        (0..count).map(|_| Self::start(server)).collect()
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.seen().acknowledged
    }

    pub(super) fn answers(&self, status: u16) -> u64 {
        self.seen().answers.get(&status).copied().unwrap_or_default()
    }

    /// Gaps and times are measured anew from here.
    pub(super) fn forget(&self) {
        let mut seen = self.seen();
        seen.longest_gap = Duration::ZERO;
        seen.longest_answer = Duration::ZERO;
    }

    /// Waits for one more acknowledgement than there are now.
    pub(super) fn wait_acknowledged(&self, limit: Duration) -> Result<Duration> {
        let before = self.acknowledged();
        wait_for("a transfer is acknowledged again", limit, || Ok(self.acknowledged() > before))
    }

    /// Ends it after its last key; every acknowledged unit must be there, and no other.
    pub(super) fn finish(mut self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a probe ends once")?;
        // Where this fails, the probe is given up when it is dropped.
        wait_for("the probe's last key is acknowledged", END_LIMIT, || Ok(thread.is_finished()))
            .with_context(|| format!("{:?}", self.seen()))?;
        match thread.join() {
            Ok(result) => result?,
            Err(_) => bail!("a probe panicked"),
        }
        let seen = std::mem::take(&mut *self.seen());
        ensure!(seen.oddities.is_empty(), "unexpected answers: {}", seen.oddities.join("; "));
        Ok(seen)
    }
}

impl Drop for Probe {
    /// Its thread ends by itself, within its limits; nobody waits for it.
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Names keys, so that no two probes ever use the same.
static PROBES: AtomicU64 = AtomicU64::new(0);

/// The thread's side.
struct Work {
    client: Client,
    name: String,
    payer: String,
    payee: String,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    given_up: Arc<AtomicBool>,
}

impl Work {
    fn prepare(server: &Server) -> Result<Self> {
        let mut work = Self {
            client: Client::new(server.address),
            name: format!("probe{}", PROBES.fetch_add(1, Ordering::Relaxed)),
            payer: String::new(),
            payee: String::new(),
            seen: Arc::default(),
            stop: Arc::default(),
            given_up: Arc::default(),
        };
        work.payer = work.create("/api/v1/wallets", "payer", &json!({"currency": "USD"}))?;
        work.payee = work.create("/api/v1/wallets", "payee", &json!({"currency": "USD"}))?;
        let fund = format!("/api/v1/wallets/{}/fund", work.payer);
        work.create(&fund, "fund", &json!({"amount": FUNDED, "source": "treasury"}))?;
        Ok(work)
    }

    fn create(&mut self, path: &str, what: &str, body: &serde_json::Value) -> Result<String> {
        let key = format!("{}-{what}", self.name);
        let answer = match self.client.post(path, &key, body) {
            Ok(answer) => answer,
            Err(fault) => bail!("POST {path}: {fault}"),
        };
        ensure!(answer.status == 201, "POST {path}: {} {}", answer.status, answer.text());
        let id = answer.json()["id"].as_str().map(str::to_owned);
        id.with_context(|| format!("POST {path}: no id: {}", answer.text()))
    }

    fn run(&mut self) -> Result<()> {
        let (mut ids, mut last) = (HashSet::new(), Instant::now());
        while !self.stop.load(Ordering::Relaxed) {
            let key = format!("{}-{}", self.name, ids.len());
            let Some(id) = self.settle(&key)? else { return Ok(()) };
            ensure!(ids.insert(id.clone()), "{id} was given to two keys");
            let mut seen = lock(&self.seen);
            seen.acknowledged += 1;
            seen.longest_gap = seen.longest_gap.max(last.elapsed());
            last = Instant::now();
        }
        self.check(ids.len() as u64)
    }

    /// Tries the key until it is acknowledged; the transfer's id, or `None` when given up.
    fn settle(&mut self, key: &str) -> Result<Option<String>> {
        let body = json!({
            "from": self.payer, "to": self.payee, "amount": 1, "currency": "USD"
        });
        while !self.given_up.load(Ordering::Relaxed) {
            let sent = Instant::now();
            let answer = self.client.post("/api/v1/transfers", key, &body);
            let mut seen = lock(&self.seen);
            if let Some(id) = seen.enter(answer, sent.elapsed()) {
                return Ok(Some(id));
            }
            drop(seen);
            std::thread::sleep(PAUSE);
        }
        Ok(None)
    }

    /// What the payee holds is what was acknowledged.
    fn check(&mut self, acknowledged: u64) -> Result<()> {
        let path = format!("/api/v1/wallets/{}", self.payee);
        let answer = match self.client.get(&path).or_else(|_| self.client.get(&path)) {
            Ok(answer) => answer,
            Err(fault) => bail!("GET {path}: {fault}"),
        };
        let total = answer.json()["balance"]["total"].as_u64();
        ensure!(
            total == Some(acknowledged),
            "{acknowledged} units were acknowledged, but the payee holds {total:?}"
        );
        Ok(())
    }
}

impl Seen {
    /// The id of the transfer, if that is what was answered.
    fn enter(&mut self, answer: Result<Answer, Fault>, took: Duration) -> Option<String> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(Fault::Unreachable) => return None,
            Err(Fault::Unanswered) => {
                self.unanswered += 1;
                return None;
            }
            Err(fault) => {
                self.odd(fault.to_string());
                return None;
            }
        };
        self.longest_answer = self.longest_answer.max(took);
        *self.answers.entry(answer.status).or_default() += 1;
        match answer.status {
            201 => {
                let id = answer.json()["id"].as_str().map(str::to_owned);
                if id.is_none() {
                    self.odd(answer.text());
                }
                return id;
            }
            503 if is_problem(&answer) && answer.head.contains("\r\nretry-after:") => {}
            409 if is_problem(&answer) && answer.json()["retryable"] == true => {}
            status => self.odd(format!("{status} {} {}", answer.head, answer.text())),
        }
        None
    }

    /// The first few are enough to find a bug by.
    fn odd(&mut self, text: String) {
        if self.oddities.len() < 3 {
            self.oddities.push(text);
        }
    }
}

fn is_problem(answer: &Answer) -> bool {
    answer.head.contains("\r\ncontent-type: application/problem+json")
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &str, body: &str) -> Result<Answer, Fault> {
        let head = format!("http/1.1 {status} x\r\n{headers}");
        Ok(Answer { status, head, body: body.as_bytes().to_vec() })
    }

    /// answer | the id it gives | whether it is as the API promises
    #[test]
    fn only_promised_answers_pass() {
        let problem = "content-type: application/problem+json";
        let retry = "content-type: application/problem+json\r\nretry-after: 1";
        let sheet = [
            (answer(201, "", r#"{"id":"trf_1"}"#), Some("trf_1"), true),
            (answer(201, "", "{}"), None, false),
            (answer(503, retry, "{}"), None, true),
            (answer(503, problem, "{}"), None, false),
            (answer(503, "retry-after: 1", "{}"), None, false),
            (answer(409, problem, r#"{"retryable":true}"#), None, true),
            (answer(409, problem, r#"{"retryable":false}"#), None, false),
            (answer(500, retry, "{}"), None, false),
            (answer(402, problem, "{}"), None, false),
            (Err(Fault::Unreachable), None, true),
            (Err(Fault::Unanswered), None, true),
            (Err(Fault::CutOff("HTTP/1.1 2".into())), None, false),
            (Err(Fault::Late), None, false),
        ];
        for (number, (answer, id, promised)) in sheet.into_iter().enumerate() {
            let mut seen = Seen::default();
            assert_eq!(seen.enter(answer, Duration::ZERO).as_deref(), id, "row {number}");
            assert_eq!(seen.oddities.is_empty(), promised, "row {number}");
        }
    }
}
