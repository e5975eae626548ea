//! Receipts of idempotency: which answer was given to which request.

use caudal_domain::{
    Account, Bucket, Fingerprint, ReceiptKey, Refusal, Timestamp, Transfer, TransferId,
};
use serde::{Deserialize, Serialize};

/// Days rotate through three generations: two are read, the third is being emptied. A receipt is
/// therefore kept for 24 hours at least and 48 at most.
pub const GENERATIONS: i64 = 3;

/// Clocks of processes may differ by this much, and a batch may wait so long for its locks.
const AROUND_MIDNIGHT_SECONDS: i64 = 600;
/// Before midnight the generation of the day to come is left alone.
const EVENING_SECONDS: i64 = 3600;

/// The generations that receipts of `at` are written to, in one order for all writers. Around
/// midnight there are two: whoever takes it for the other day, by a clock or by having waited,
/// finds them all the same, or meets them at the index.
pub fn written_generations(at: Timestamp) -> impl Iterator<Item = i16> {
    let [before, after] = [-AROUND_MIDNIGHT_SECONDS, AROUND_MIDNIGHT_SECONDS]
        .map(|seconds| generation(at.plus_seconds(seconds)));
    let second = Some(before.max(after)).filter(|_| before != after);
    std::iter::once(before.min(after)).chain(second)
}

/// Whether the stale generation may be emptied: not while somebody may write there already, or may
/// still read there.
pub fn may_retire(at: Timestamp) -> bool {
    at.plus_seconds(EVENING_SECONDS).days() == at.days()
        && at.plus_seconds(-AROUND_MIDNIGHT_SECONDS).days() == at.days()
}

/// The generation of the day of `at`, the first that is read.
pub fn generation(at: Timestamp) -> i16 {
    at.days().rem_euclid(GENERATIONS) as i16
}

/// The generation that is read besides the current one.
pub fn previous_generation(at: Timestamp) -> i16 {
    (at.days() - 1).rem_euclid(GENERATIONS) as i16
}

/// The generation that no longer counts and is emptied.
pub fn stale_generation(at: Timestamp) -> i16 {
    (at.days() - 2).rem_euclid(GENERATIONS) as i16
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub key: ReceiptKey,
    pub fingerprint: Fingerprint,
    pub answer: Answer,
}

impl Receipt {
    pub fn bucket(&self) -> Bucket {
        self.key.bucket()
    }
}

/// What was answered, in the shortest form from which the answer can be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A new transfer: the row's unchanging part is the answer, so only the id is kept.
    Created(TransferId),
    /// A transfer that was changed, as it was after that.
    Changed(Box<Transfer>),
    /// An account that was changed, and what the caller wanted kept with it.
    Account {
        account: Account,
        context: Option<String>,
    },
    Refused(Refusal),
    /// An all-or-none group, refused for its item `index`.
    RefusedAt {
        index: usize,
        refusal: Refusal,
    },
    /// A group of commands, item by item.
    Group(Vec<Answer>),
    /// The answer of a use case that moves no money.
    Said(String),
}

impl Answer {
    /// The columns `transfer_id` and `answer`: a plain creation needs the first only.
    pub(crate) fn columns(&self) -> (Option<TransferId>, Option<String>) {
        match self {
            Self::Created(id) => (Some(*id), None),
            other => (None, serde_json::to_string(other).ok()),
        }
    }
}
