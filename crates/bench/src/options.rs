//! What to run, and what came out of it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most transfers the API takes in one batch.
const BATCH_MOST: usize = 1_000;

/// Most fraud rules that a tenant may have active.
const RULES_MOST: usize = 100;

/// What is asked of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Workload {
    #[default]
    Transfers,
    /// From wallet to wallet.
    Payments,
    /// From a card of the simulator to a wallet.
    Cards,
    Login,
    Registration,
    Profile,
    Refresh,
}

impl Workload {
    pub const ALL: &'static [Self] = &[
        Self::Transfers,
        Self::Payments,
        Self::Cards,
        Self::Login,
        Self::Registration,
        Self::Profile,
        Self::Refresh,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Payments => "payments",
            Self::Cards => "cards",
            Self::Login => "login",
            Self::Registration => "registration",
            Self::Profile => "profile",
            Self::Refresh => "refresh",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|workload| workload.name() == name)
    }
}

/// What a run does. Start from [`Options::default`] and set what differs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Those of people take neither wallets nor batches.
    pub workload: Workload,
    /// Where the servers are (`http://host:port`); connections are spread over them.
    pub urls: Vec<String>,
    /// Key with the scopes for wallets, transfers and funding from the treasury.
    pub api_key: String,
    /// Keep-alive connections, each with one request on its way.
    pub connections: usize,
    /// How long is measured.
    pub duration: Duration,
    /// How long load runs before measuring starts.
    pub warmup: Duration,
    /// Wallets created for the run.
    pub wallets: usize,
    /// Percent of transfers that go through one wallet, 0 to 100.
    pub hot: u8,
    /// Transfers a request; above 1 the batch endpoint is used.
    pub batch: usize,
    /// Fraud rules made for the run, none of which holds for its payments.
    pub rules: usize,
    /// Requests a second in all (open loop); `None`: as fast as answers come.
    pub rate: Option<u32>,
    /// A run for each step of rising rate, then one without limit.
    pub ladder: bool,
    /// Draws a progress bar when standard error is a terminal.
    pub progress: bool,
    /// Names the run in reports.
    pub name: String,
    /// Where to write `OUT.json` and `OUT.svg`.
    pub out: Option<PathBuf>,
    /// Servers may vanish: an unanswered key is tried again for 30 s instead of 10 s.
    pub tolerate_faults: bool,
    /// Seeds the choice of wallets and amounts.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workload: Workload::Transfers,
            urls: vec!["http://127.0.0.1:8080".into()],
            api_key: String::new(),
            connections: 256,
            duration: Duration::from_secs(20),
            warmup: Duration::from_secs(2),
            wallets: 10_000,
            hot: 0,
            batch: 1,
            rules: 0,
            rate: None,
            ladder: false,
            progress: true,
            name: "bench".into(),
            out: None,
            tolerate_faults: false,
            seed: 1,
        }
    }
}

impl Options {
    pub(crate) fn check(&self) -> Result<(), BenchError> {
        let wrong = |what: &str| Err(BenchError::Options(what.into()));
        if self.urls.is_empty() {
            return wrong("at least one url is needed");
        }
        if self.api_key.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return wrong("the api key holds characters no header may hold");
        }
        if self.connections == 0 || self.duration.is_zero() {
            return wrong("connections and duration must be above zero");
        }
        if self.wallets < 2 {
            return wrong("a transfer needs two wallets");
        }
        if self.hot > 100 {
            return wrong("hot is a percentage, 0 to 100");
        }
        if self.batch == 0 || self.batch > BATCH_MOST {
            return wrong("batch is 1 to 1000 transfers");
        }
        if self.batch > 1 && self.workload != Workload::Transfers {
            return wrong("only transfers go in batches");
        }
        if self.rules > RULES_MOST {
            return wrong("a tenant has 100 active rules at most");
        }
        if self.rate == Some(0) {
            return wrong("a rate of zero would send nothing");
        }
        Ok(())
    }
}

/// What one run measured and proved.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunResult {
    pub name: String,
    /// Transfers acknowledged a second while measuring.
    pub tps: f64,
    /// Latency of a request, from when it was due.
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    /// Attempts without a usable answer: overload, lost connections, unexpected statuses.
    pub errors: u64,
    /// Every acknowledged transfer is there once, no other is, and the balances add up.
    pub verified: bool,
    pub batch: usize,
    pub connections: usize,
    pub hot_percent: u8,
    pub duration_s: f64,
    /// Transfers acknowledged in all, warm-up included.
    pub transfers: u64,
    /// Transfers refused for lack of funds.
    pub refused: u64,
    /// Open loop only: the requests a second that were asked for.
    pub rate: Option<u32>,
    /// What a reader of the figures ought to know.
    pub notes: Vec<String>,
}

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error("{0}")]
    Options(String),
    #[error("cannot use {url}: {why}")]
    Url { url: String, why: String },
    #[error("{what}: answered {status}: {body}")]
    Refused { what: &'static str, status: u16, body: String },
    #[error("{0}: no answer in time")]
    Silent(&'static str),
    #[error("{what}: not the answer the API promises: {body}")]
    Unexpected { what: &'static str, body: String },
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("drawing the report: {0}")]
    Draw(String),
    #[error("a generator thread failed")]
    Generator,
}
