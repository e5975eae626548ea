//! What every use case is asked with and answers with: receipts, pages, positions.

use caudal_domain::{Fingerprint, ReceiptKey, Timestamp};
pub use caudal_engine::ReceiptOf;
pub use caudal_store::Position;

use crate::Caller;

/// Who asks for a write, and under which key its answer is kept.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub caller: &'a Caller,
    pub receipt: ReceiptOf,
}

/// A change, and what must hold for the `T` that is changed.
pub struct Edit<'a, T, C> {
    pub change: C,
    /// Else the change is refused as [`crate::ServiceError::Stale`].
    pub is_met: Option<Condition<'a, T>>,
}

/// Whether a thing is still as somebody saw it.
pub type Condition<'a, T> = &'a (dyn Fn(&T) -> bool + Sync);

/// What was done, or had been done before under the same key.
#[derive(Clone, Debug)]
pub struct Done<T> {
    pub value: T,
    /// Answered from its receipt: nothing was done now.
    pub replayed: bool,
    /// How far the event streams had come with this commit; empty when nothing was committed.
    pub position: Position,
}

impl<T> Done<T> {
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Done<U> {
        let Self { value, replayed, position } = self;
        Done { value: f(value), replayed, position }
    }
}

/// A part of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<u128>,
}

/// A part of time: from (inclusive) and before (exclusive).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub from: Option<Timestamp>,
    pub before: Option<Timestamp>,
}

impl Span {
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.before.is_none_or(|before| at < before)
    }
}

/// Which page of a list: what comes after `cursor`, `limit` items at most.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub cursor: Option<u128>,
    pub limit: usize,
    pub created: Span,
}

impl Window {
    /// One more than asked for, to know whether there are more.
    pub(crate) fn rows(&self) -> i64 {
        self.limit as i64 + 1
    }

    /// Makes a page of what was read by [`Window::rows`].
    pub(crate) fn page<T>(
        &self,
        mut rows: Vec<T>,
        place: impl Fn(&T) -> (u128, Timestamp),
    ) -> Page<T> {
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = if more { rows.last().map(|row| place(row).0) } else { None };
        rows.retain(|row| self.created.holds(place(row).1));
        Page { items: rows, next }
    }
}

/// Under which key an answer is kept for this caller, and for which request: `parts` are the
/// method, the path and the canonical body.
pub fn receipt(caller: &Caller, key: &str, parts: &[&[u8]]) -> ReceiptOf {
    ReceiptOf {
        key: ReceiptKey::new(caller.tenant, caller.owner, key),
        fingerprint: Fingerprint::of(parts),
    }
}
