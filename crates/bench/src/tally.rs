//! What was answered: identities, counts and latencies.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::compose::Made;
use crate::connection::{Connection, Outcome, find};
use crate::pace::Pace;

/// Longest latency told apart, in microseconds.
const LATENCY_MOST_US: u64 = 120_000_000;
/// An identity without its prefix, in a fixed size that sorts and hashes fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id([u8; 32]);

impl Id {
    /// `None` if there is nothing, or more than an identity can be.
    pub(crate) fn new(text: &[u8]) -> Option<Self> {
        let bare = text.splitn(2, |&byte| byte == b'_').last()?;
        if bare.is_empty() || bare.len() > 32 {
            return None;
        }
        let mut id = [0; 32];
        id[..bare.len()].copy_from_slice(bare);
        Some(Self(id))
    }
}

/// The value that follows `intro` up to the closing quote, and what comes after it.
pub(crate) fn quoted<'a>(body: &'a [u8], intro: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let rest = &body[find(body, intro)? + intro.len()..];
    let end = rest.iter().position(|&byte| byte == b'"')?;
    Some((&rest[..end], &rest[end..]))
}

/// The counts of one generator thread, or of all together.
#[derive(Debug)]
pub(crate) struct Tally {
    pub latency_us: Histogram<u64>,
    /// Transfers acknowledged, warm-up included.
    pub acknowledged: Vec<Id>,
    /// Transfers acknowledged while measuring.
    pub measured: u64,
    pub errors: u64,
    pub refused: u64,
    /// Transfers asked for whose fate was never told.
    pub unanswered: u64,
    /// Requests that were due but never sent.
    pub missed: u64,
    /// The first answer that was none of the expected.
    pub oddity: Option<String>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latency_us = Histogram::new_with_max(LATENCY_MOST_US, 3);
        Self {
            latency_us: latency_us.expect("three digits up to two minutes fit a histogram"),
            acknowledged: Vec::new(),
            measured: 0,
            errors: 0,
            refused: 0,
            unanswered: 0,
            missed: 0,
            oddity: None,
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        // Both were made with the same bounds: adding cannot fail.
        let _ = self.latency_us.add(&other.latency_us);
        self.acknowledged.extend(other.acknowledged);
        self.measured += other.measured;
        self.errors += other.errors;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.missed += other.missed;
        self.oddity = self.oddity.take().or(other.oddity);
    }

    /// Enters what became of one request of `batch` transfers; returns how many were acknowledged.
    pub(crate) fn enter(&mut self, of: &Request<'_>, outcome: Outcome) -> u64 {
        let done = Instant::now();
        self.errors += outcome.faults;
        let before = self.acknowledged.len();
        match outcome.status {
            Some(200..=299) => self.success(of),
            Some(402) => self.refused += of.batch as u64,
            Some(_) => self.odd(of.connection),
            None => self.unanswered += of.batch as u64,
        }
        let count = (self.acknowledged.len() - before) as u64;
        if of.pace.measures(done) {
            self.measured += count;
        }
        if of.pace.measures(of.begun) {
            self.latency(done - of.begun);
        }
        count
    }

    /// Enters a request that should have gone out but never did.
    pub(crate) fn miss(&mut self, pace: &Pace, due: Instant) {
        self.missed += 1;
        if pace.measures(due) {
            self.latency(due.elapsed());
        }
    }

    fn latency(&mut self, took: Duration) {
        self.latency_us.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    fn odd(&mut self, connection: &Connection) {
        self.errors += 1;
        self.oddity.get_or_insert_with(|| connection.excerpt());
    }

    /// Identities are found by their spelling; only an answer that lacks some is read as JSON.
    fn success(&mut self, of: &Request<'_>) {
        let before = self.acknowledged.len();
        let mut rest = of.connection.body();
        while let Some((id, after)) = quoted(rest, of.made.intro()) {
            self.acknowledged.extend(Id::new(id));
            rest = after;
            if of.batch == 1 {
                break;
            }
        }
        if self.acknowledged.len() - before == of.batch {
            return;
        }
        self.acknowledged.truncate(before);
        match serde_json::from_slice::<Results>(of.connection.body()) {
            Ok(answer) if of.batch > 1 && answer.results.len() == of.batch => {
                answer.results.into_iter().for_each(|item| self.item(item, of.connection));
            }
            _ => {
                self.odd(of.connection);
                self.unanswered += of.batch as u64;
            }
        }
    }

    fn item(&mut self, item: Item, connection: &Connection) {
        let id = item.transfer.and_then(|transfer| Id::new(transfer.id.as_bytes()));
        match (item.status, id) {
            (200..=299, Some(id)) => self.acknowledged.push(id),
            (402, _) => self.refused += 1,
            (400..=499, _) => self.odd(connection),
            _ => {
                self.odd(connection);
                self.unanswered += 1;
            }
        }
    }
}

/// A request that has come to its end.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub pace: &'a Pace,
    pub begun: Instant,
    pub batch: usize,
    pub made: Made,
    pub connection: &'a Connection,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    transfer: Option<Transfer>,
}

#[derive(Deserialize)]
struct Transfer {
    id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_what_follows_its_prefix() {
        assert_eq!(Id::new(b"trf_01J"), Id::new(b"01J"));
        assert_ne!(Id::new(b"trf_01J"), Id::new(b"trf_01K"));
        assert_eq!(Id::new(b"trf_"), None);
        assert_eq!(Id::new(&[b'a'; 33]), None);
    }

    #[test]
    fn identities_are_found_in_the_order_of_the_answer() {
        let body = br#"{"results":[{"transfer":{"id":"trf_a"}},{"transfer":{"id":"trf_b"}}]}"#;
        let intro = Made::Transfer.intro();
        let (first, rest) = quoted(body, intro).unwrap();
        let (second, rest) = quoted(rest, intro).unwrap();
        assert_eq!((first, second), (b"a".as_slice(), b"b".as_slice()));
        assert!(quoted(rest, intro).is_none());
    }
}
