//! The proof: everything is read back and held against what was acknowledged.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::task::JoinSet;

use crate::clock;
use crate::compose::Made;
use crate::connection::{Connection, Targets};
use crate::options::BenchError;
use crate::setup::FUNDED;
use crate::tally::Id;

/// How long one read may take, attempts included.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the whole proof may take.
const LIMIT: Duration = Duration::from_secs(900);
/// A page with a payment that is half done is read again after so long.
const UNFINISHED_AGAIN: Duration = Duration::from_millis(500);
/// Connections that read; more would only queue.
const READERS: usize = 16;
/// The list is read in slices of this much time, unless that made too many.
const SLICE_MS: i64 = 100;
const SLICES_MOST: i64 = 4_096;
/// Clocks of client and servers may differ by this.
const CLOCK_SLACK_MS: i64 = 2_000;

/// What a run claims.
#[derive(Debug)]
pub(crate) struct Claim {
    pub targets: Arc<Targets>,
    pub made: Made,
    pub wallets: Vec<String>,
    /// What the server acknowledged: transfers with the fundings among them, or payments.
    pub acknowledged: Vec<Id>,
    /// Transfers whose fate was never told: that many more may be there.
    pub unanswered: u64,
    pub begun_ms: i64,
    pub ended_ms: i64,
    /// Counts reads, for the progress bar.
    pub reads: Arc<AtomicU64>,
}

/// What reading back found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Acknowledged, but not there.
    pub missing: usize,
    /// There, or acknowledged, more than once.
    pub repeated: usize,
    /// There, but never acknowledged.
    pub strangers: usize,
    /// What the wallets hold together beyond what was funded.
    pub excess: i128,
}

impl Findings {
    pub(crate) fn hold(&self, unanswered: u64) -> bool {
        self.missing == 0
            && self.repeated == 0
            && self.strangers as u64 <= unanswered
            && self.excess == 0
    }
}

/// Reads everything back.
pub(crate) async fn verify(claim: Claim) -> Result<Findings, BenchError> {
    let within = tokio::time::timeout(LIMIT, read_back(claim)).await;
    within.map_err(|_| BenchError::Silent("reading everything back"))?
}

async fn read_back(mut claim: Claim) -> Result<Findings, BenchError> {
    let mut acknowledged = std::mem::take(&mut claim.acknowledged);
    let reader = Arc::new(Reader::new(claim));
    let (mut listed, mut brought, mut held) = (Vec::new(), 0_i128, 0_i128);
    // Wallets last: while a payment is half done, its money is not there yet.
    for what in [Reading::Lists, Reading::Wallets] {
        let mut readers = JoinSet::new();
        for number in 0..READERS {
            readers.spawn(Arc::clone(&reader).read(number, what));
        }
        while let Some(done) = readers.join_next().await {
            let part = done.map_err(|_| BenchError::Generator)??;
            listed.extend(part.listed);
            brought += part.brought;
            held += part.held;
        }
    }
    let funded = i128::from(FUNDED) * reader.claim.wallets.len() as i128;
    Ok(Findings { excess: held - funded - brought, ..compare(&mut acknowledged, &mut listed) })
}

/// Holds what is there against what was acknowledged.
fn compare(acknowledged: &mut Vec<Id>, listed: &mut Vec<Id>) -> Findings {
    let counts = (acknowledged.len(), listed.len());
    for ids in [&mut *acknowledged, &mut *listed] {
        ids.sort_unstable();
        ids.dedup();
    }
    let repeated = counts.0 - acknowledged.len() + counts.1 - listed.len();
    let lacks = |ids: &[Id], id: &Id| ids.binary_search(id).is_err();
    Findings {
        missing: acknowledged.iter().filter(|id| lacks(listed, id)).count(),
        repeated,
        strangers: listed.iter().filter(|id| lacks(acknowledged, id)).count(),
        excess: 0,
    }
}

#[derive(Debug, Clone, Copy)]
enum Reading {
    Lists,
    Wallets,
}

#[derive(Debug, Default)]
struct Part {
    listed: Vec<Id>,
    /// By payments from outside.
    brought: i128,
    held: i128,
}

#[derive(Debug)]
struct Reader {
    claim: Claim,
    ours: HashSet<Id>,
    slice_ms: i64,
    next_slice: AtomicU64,
    next_wallet: AtomicU64,
}

impl Reader {
    fn new(mut claim: Claim) -> Self {
        claim.begun_ms -= CLOCK_SLACK_MS;
        claim.ended_ms += CLOCK_SLACK_MS;
        let span = claim.ended_ms - claim.begun_ms;
        Self {
            ours: claim.wallets.iter().filter_map(|id| Id::new(id.as_bytes())).collect(),
            slice_ms: SLICE_MS.max(span / SLICES_MOST + 1),
            next_slice: AtomicU64::new(0),
            next_wallet: AtomicU64::new(0),
            claim,
        }
    }

    async fn read(self: Arc<Self>, number: usize, what: Reading) -> Result<Part, BenchError> {
        let mut connection = Connection::new(Arc::clone(&self.claim.targets), number);
        let mut part = Part::default();
        match what {
            Reading::Lists => self.lists(&mut connection, &mut part).await?,
            Reading::Wallets => self.wallets(&mut connection, &mut part).await?,
        }
        Ok(part)
    }

    async fn lists(&self, connection: &mut Connection, part: &mut Part) -> Result<(), BenchError> {
        loop {
            let slice = self.next_slice.fetch_add(1, Ordering::Relaxed) as i64;
            let from = self.claim.begun_ms + slice * self.slice_ms;
            if from >= self.claim.ended_ms {
                return Ok(());
            }
            self.slice(connection, from, part).await?;
        }
    }

    async fn wallets(
        &self,
        connection: &mut Connection,
        part: &mut Part,
    ) -> Result<(), BenchError> {
        loop {
            let wallet = self.next_wallet.fetch_add(1, Ordering::Relaxed) as usize;
            let Some(id) = self.claim.wallets.get(wallet) else { return Ok(()) };
            self.get(connection, &format!("/api/v1/wallets/{id}")).await?;
            let wallet: Wallet = parse(connection, "reading a wallet")?;
            part.held += i128::from(wallet.balance.total);
        }
    }

    /// All that was made in the slice that begins at `from` and goes into our wallets.
    async fn slice(
        &self,
        connection: &mut Connection,
        from: i64,
        part: &mut Part,
    ) -> Result<(), BenchError> {
        let (gte, lt) = (clock::rfc3339(from), clock::rfc3339(from + self.slice_ms));
        let (path, fields) = match self.claim.made {
            Made::Transfer => (Made::Transfer.path(), "id,to"),
            made => (made.path(), "id,to,status,amount_captured"),
        };
        let query =
            format!("{path}?limit=100&fields={fields}&created%5Bgte%5D={gte}&created%5Blt%5D={lt}");
        let mut path = query.clone();
        loop {
            self.get(connection, &path).await?;
            let page: Page<'_> = parse(connection, "listing")?;
            let is_ours = |row: &&Row<'_>| {
                let to = row.to.and_then(|to| Id::new(to.as_bytes()));
                to.is_some_and(|to| self.ours.contains(&to))
            };
            let ours: Vec<_> = page.data.iter().filter(is_ours).collect();
            let Some(brought) = self.brought(&ours) else {
                // What was cut off midway is finished by itself.
                tokio::time::sleep(UNFINISHED_AGAIN).await;
                continue;
            };
            part.brought += brought;
            part.listed.extend(ours.iter().filter_map(|row| Id::new(row.id.as_bytes())));
            if !page.has_more {
                return Ok(());
            }
            let next = page.next_cursor.map(|at| format!("{query}&cursor={}", encode(&at)));
            path = next.filter(|next| *next != path && !page.data.is_empty()).ok_or_else(|| {
                let body = "a list that has more but does not go on".into();
                BenchError::Unexpected { what: "listing", body }
            })?;
        }
    }

    /// What a page's payments brought from outside; `None` while one of them is half done.
    fn brought(&self, ours: &[&Row<'_>]) -> Option<i128> {
        let of = |row: &&Row<'_>| match (self.claim.made, row.status) {
            (Made::Transfer, _) | (Made::Payment, Some("succeeded")) => Some(0),
            (Made::CardPayment, Some("succeeded")) => Some(i128::from(row.amount_captured)),
            _ => None,
        };
        ours.iter().map(of).sum()
    }

    async fn get(&self, connection: &mut Connection, path: &str) -> Result<(), BenchError> {
        let request = self.claim.targets.get(path);
        let outcome = connection.settle(&request, Instant::now() + PATIENCE).await;
        self.claim.reads.fetch_add(1, Ordering::Relaxed);
        match outcome.status {
            Some(200) => Ok(()),
            Some(status) => {
                let body = connection.excerpt();
                Err(BenchError::Refused { what: "reading back", status, body })
            }
            None => Err(BenchError::Silent("reading back")),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(
    connection: &'a Connection,
    what: &'static str,
) -> Result<T, BenchError> {
    serde_json::from_slice(connection.body())
        .map_err(|_| BenchError::Unexpected { what, body: connection.excerpt() })
}

/// Percent-encodes all but what a query may hold anywhere.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<Row<'a>>,
    has_more: bool,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct Row<'a> {
    id: &'a str,
    to: Option<&'a str>,
    status: Option<&'a str>,
    #[serde(default)]
    amount_captured: i64,
}

#[derive(Deserialize)]
struct Wallet {
    balance: Balance,
}

#[derive(Deserialize)]
struct Balance {
    total: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str) -> Vec<Id> {
        text.split_whitespace().filter_map(|id| Id::new(id.as_bytes())).collect()
    }

    #[test]
    fn acknowledged_and_listed_must_be_the_same() {
        // acknowledged | listed | unanswered | missing | repeated | strangers | holds
        let sheet = [
            ("a b c", "c a b", 0, 0, 0, 0, true),
            ("a b c", "a c", 0, 1, 0, 0, false),
            ("a b c", "a b c b", 0, 0, 1, 0, false),
            ("a b b", "a b", 0, 0, 1, 0, false),
            ("a b", "a b c", 0, 0, 0, 1, false),
            ("a b", "a b c", 1, 0, 0, 1, true),
            ("a b", "a b c d", 1, 0, 0, 2, false),
            ("a b", "a c", 1, 1, 0, 1, false),
            ("", "", 0, 0, 0, 0, true),
        ];
        for (acknowledged, listed, unanswered, missing, repeated, strangers, holds) in sheet {
            let found = compare(&mut ids(acknowledged), &mut ids(listed));
            let expected = Findings { missing, repeated, strangers, excess: 0 };
            assert_eq!(found, expected, "{acknowledged} | {listed}");
            assert_eq!(found.hold(unanswered), holds, "{acknowledged} | {listed}");
        }
    }

    #[test]
    fn money_that_appears_is_found() {
        assert!(!Findings { excess: 1, ..Findings::default() }.hold(9));
    }

    #[test]
    fn cursors_are_encoded() {
        assert_eq!(encode("a-1_+/="), "a-1_%2B%2F%3D");
    }
}
