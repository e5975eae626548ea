//! What is counted, under the names of the dashboards. Handles are looked up once.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::http::StatusCode;
use caudal_service::Service;
use metrics::{Counter, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Upper bounds of durations, in seconds.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0];
/// Upper bounds of sizes of batches, in commands.
const COMMANDS: &[f64] = &[1.0, 4.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];
/// Clock ticks in a second of `/proc`: fixed at 100 in Linux's interface to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process's recorder. One per process, however often it is asked for.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

static INSTALLED: OnceLock<Metrics> = OnceLock::new();

impl Metrics {
    /// Call before anything is counted; what was counted earlier is lost.
    pub fn install() -> Result<Self, BuildError> {
        if let Some(installed) = INSTALLED.get() {
            return Ok(installed.clone());
        }
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
            .set_buckets_for_metric(Matcher::Full("engine_batch_commands".into()), COMMANDS)?
            .build_recorder();
        let made = Self { handle: recorder.handle() };
        let installed = INSTALLED.get_or_init(|| {
            // Lost the race, or another library was first: then its counts are not ours to show.
            let _ = metrics::set_global_recorder(recorder);
            made
        });
        Ok(installed.clone())
    }

    /// Gathers what was measured since, if anything is installed.
    pub(crate) fn gather() {
        if let Some(installed) = INSTALLED.get() {
            installed.handle.run_upkeep();
        }
    }

    /// Everything in Prometheus' text.
    pub(crate) fn render(&self, service: &Service) -> String {
        let (used, most) = service.database_connections();
        gauge!("database_connections_active").set(used as f64);
        gauge!("database_connections_max").set(most as f64);
        let (queued, most) = service.queued();
        gauge!("engine_queue_commands").set(queued as f64);
        gauge!("engine_queue_commands_max").set(most as f64);
        let (workers, waiting) = service.paying();
        gauge!("payments_active").set((workers + waiting) as f64);
        gauge!("payments_queue").set(waiting as f64);
        measure_process();
        self.handle.render()
    }
}

/// Memory and CPU of this process; nothing where there is no `/proc`.
fn measure_process() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok());
    if let Some(kib) = kib {
        gauge!("process_resident_memory_bytes").set(kib * 1024.0);
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name before the bracket may hold blanks.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
    // After the name: user time is the 12th field, system time the 13th.
    let ticks = fields.map(|fields| fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()));
    if let Some(ticks) = ticks {
        let seconds = ticks.sum::<u64>() as f64 / TICKS_PER_SECOND;
        gauge!("process_cpu_seconds_total").set(seconds);
    }
}

/// One route's measures.
pub(crate) struct EndpointMetrics {
    seconds: Histogram,
    errors: Counter,
    /// By the first digit of the status.
    requests: [Counter; 5],
}

impl EndpointMetrics {
    pub fn new(method: &'static str, endpoint: &'static str) -> Self {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let requests = classes.map(|status| {
            counter!("http_requests_total",
                "method" => method, "endpoint" => endpoint, "status" => status)
        });
        Self {
            seconds: histogram!("api_response_time_seconds",
                "method" => method, "endpoint" => endpoint),
            errors: counter!("error_rate_total", "method" => method, "endpoint" => endpoint),
            requests,
        }
    }

    pub fn record(&self, took: Duration, status: StatusCode) {
        self.seconds.record(took.as_secs_f64());
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.requests[class - 1].increment(1);
        if class >= 4 {
            self.errors.increment(1);
        }
    }
}

/// What moves money is counted besides.
pub(crate) struct MoneyMetrics {
    credits: Counter,
    debits: Counter,
    errors: Counter,
    seconds: Histogram,
}

impl MoneyMetrics {
    pub fn new() -> Self {
        Self {
            credits: counter!("transactions_total", "type" => "credit"),
            debits: counter!("transactions_total", "type" => "debit"),
            errors: counter!("transfer_errors_total"),
            seconds: histogram!("transfer_duration_seconds"),
        }
    }

    /// Every leg that moved is a debit and a credit.
    pub fn moved(&self, legs: usize) {
        self.debits.increment(legs as u64);
        self.credits.increment(legs as u64);
    }

    pub fn record(&self, took: Duration, status: StatusCode) {
        self.seconds.record(took.as_secs_f64());
        if status.is_client_error() || status.is_server_error() {
            self.errors.increment(1);
        }
    }
}

/// Counts something open as long as it lives.
pub(crate) struct Open(metrics::Gauge);

impl Open {
    pub fn new(name: &'static str) -> Self {
        let gauge = gauge!(name);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Shared by all requests to one route.
pub(crate) type SharedMetrics = Arc<EndpointMetrics>;
