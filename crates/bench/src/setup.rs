//! Makes the wallets of a run and puts money into each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::connection::{Connection, Targets};
use crate::options::BenchError;
use crate::tally::{Id, quoted};

/// What each wallet is given, in minor units: far above what a random walk of small amounts takes.
pub(crate) const FUNDED: i64 = 10_000_000;
/// How long one request of the preparation may take, attempts included.
const PATIENCE: Duration = Duration::from_secs(30);

/// The wallets of a run, and the transfers that funded them.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub wallets: Vec<String>,
    pub funding: Vec<Id>,
}

/// What is to be prepared.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub targets: Arc<Targets>,
    /// Begins the names and keys.
    pub run: String,
    pub wallets: usize,
    pub rules: usize,
    pub connections: usize,
    /// Counts the wallets that are ready.
    pub ready: Arc<AtomicU64>,
}

/// Rules as tenants write them: over the payment, the wallet that pays and how often it paid.
const RULES: [&str; 5] = [
    "payment.amount > 900000000",
    r#"payment.currency == "EUR" && payment.amount > 500"#,
    r#"payment.type == "card" && payment.amount > 5000000"#,
    r#"wallet.status == "frozen" || wallet.available < 0"#,
    "velocity.wallet.count_1h > 1000000",
];

async fn make_rules(order: &Order) -> Result<(), BenchError> {
    let mut connection = Connection::new(Arc::clone(&order.targets), 0);
    for (number, rule) in RULES.iter().cycle().take(order.rules).enumerate() {
        let (run, rule) = (&order.run, rule.replace('"', "\\\""));
        let body =
            format!(r#"{{"name":"bench {run} {number}","expression":"{rule}","action":"review"}}"#);
        let key = format!("{run}-r{number}");
        let request = order.targets.post("/api/v1/fraud-rules", &key, &body);
        created(&mut connection, &request, "making a fraud rule").await?;
    }
    Ok(())
}

/// Creates and funds all wallets over the connections given.
pub(crate) async fn prepare(order: &Order) -> Result<Prepared, BenchError> {
    make_rules(order).await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for number in 0..order.connections.min(order.wallets) {
        workers.spawn(work(order.clone(), Arc::clone(&next), number));
    }
    let mut all = Prepared::default();
    while let Some(done) = workers.join_next().await {
        let part = done.map_err(|_| BenchError::Generator)??;
        all.wallets.extend(part.wallets);
        all.funding.extend(part.funding);
    }
    Ok(all)
}

async fn work(order: Order, next: Arc<AtomicU64>, number: usize) -> Result<Prepared, BenchError> {
    let mut connection = Connection::new(Arc::clone(&order.targets), number);
    let mut part = Prepared::default();
    loop {
        let wallet = next.fetch_add(1, Ordering::Relaxed);
        if wallet >= order.wallets as u64 {
            return Ok(part);
        }
        let run = &order.run;
        let body = format!(r#"{{"currency":"USD","name":"bench {run} w{wallet}"}}"#);
        let request = order.targets.post("/api/v1/wallets", &format!("{run}-w{wallet}"), &body);
        let id = created(&mut connection, &request, "creating a wallet").await?;
        let body = format!(r#"{{"amount":{FUNDED},"currency":"USD","source":"treasury"}}"#);
        let path = format!("/api/v1/wallets/{id}/fund");
        let request = order.targets.post(&path, &format!("{run}-f{wallet}"), &body);
        let funding = created(&mut connection, &request, "funding a wallet").await?;
        part.wallets.push(id);
        part.funding.extend(Id::new(funding.as_bytes()));
        order.ready.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends a request that must create something; its identity.
async fn created(
    connection: &mut Connection,
    request: &[u8],
    what: &'static str,
) -> Result<String, BenchError> {
    let outcome = connection.settle(request, Instant::now() + PATIENCE).await;
    match outcome.status {
        Some(201) => {}
        Some(status) => {
            return Err(BenchError::Refused { what, status, body: connection.excerpt() });
        }
        None => return Err(BenchError::Silent(what)),
    }
    let id = quoted(connection.body(), b"\"id\":\"").map(|(id, _)| id);
    let id = id.filter(|id| id.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'));
    match id.filter(|id| Id::new(id).is_some()) {
        Some(id) => Ok(String::from_utf8_lossy(id).into_owned()),
        None => Err(BenchError::Unexpected { what, body: connection.excerpt() }),
    }
}
