//! Sliding-window limits in this process: how often a principal may do something.
//!
//! **Why a log of runs.** The usual two counters weighted by time let a burst at the end of one
//! window count for less in the next, so more than `most` can pass. Here each admitted call is in a
//! log until its window is over. Calls within one 64th of the window share an entry (a run) once
//! the limit is above [`EXACT`], and a run stays until its *last* call is over. So no window ever
//! sees more than `most`; up to 64 the limit is exact, above it a call may come back up to `per`/64
//! late (56 s of an hour). A key takes at most [`RUNS`] entries of 16 bytes, 2 KiB.
//!
//! **Why the least used goes.** Keys are bounded too. When a shard is full, of the next
//! [`SAMPLE`] entries an expired one makes room, else the one that has used the smallest part of
//! its limit. Whoever floods the limiter with fresh keys pushes out these; an exhausted key goes
//! only beside as many others exhausted as the sample holds, each of which costs a whole quota.
//!
//! The caller decides what a key is; [`address`] makes one of an IP address.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use caudal_domain::{TenantId, Timestamp};

/// Limits up to this are counted exactly; the runs of a window are as many.
pub const EXACT: u32 = 64;

/// Entries of one key at most: a window of exact calls and one of runs, when a limit was raised.
pub const RUNS: usize = 128;

/// Entries looked at for one to make room.
const SAMPLE: usize = 16;

/// Locks: enough that two cores seldom meet on one.
const SHARDS: usize = 64;

/// Keys held by [`Limiter::default`]; 128 MiB when all of them used 64 calls or more, typically
/// a tenth.
const KEYS: usize = 65_536;

/// Whose calls of what are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey {
    pub tenant: TenantId,
    /// A user, an API key, or [`address`].
    pub principal: u128,
    pub action: &'static str,
}

/// At most `most` calls within any `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub most: u32,
    pub per: Duration,
}

/// What the limiter says, with all that the headers `RateLimit-*` and `Retry-After` need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub allowed: bool,
    pub limit: u32,
    /// Calls still free now, after this one.
    pub remaining: u32,
    /// Until the whole limit is free again, if nothing more is called.
    pub reset_after: Duration,
    /// Until a refused call would be allowed; zero when it was.
    pub retry_after: Duration,
    /// When the call was counted: what [`Limiter::give_back`] wants.
    pub at: Timestamp,
}

/// The principal of an address: IPv4 as it is, IPv6 by its /64, which one subscriber has whole.
pub fn address(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

/// Counts calls by key. One per process, shared.
pub struct Limiter {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new(KEYS)
    }
}

impl Limiter {
    /// A limiter that holds about `keys` keys, at least one a shard.
    pub fn new(keys: usize) -> Self {
        let shard = || Mutex::new(Shard::new(keys.div_ceil(SHARDS).max(1)));
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher: RandomState::new() }
    }

    /// Counts the call if it is allowed. A refused call is not counted: asking again costs nothing.
    ///
    /// For failures (wrong passwords), count before trying and [`give_back`](Self::give_back)
    /// after a success: then many tries at once cannot slip past.
    pub fn check(&self, key: LimitKey, limit: Limit, now: Timestamp) -> Verdict {
        self.shard(&key).check(key, limit, now)
    }

    /// What [`check`](Self::check) would say, without counting.
    pub fn peek(&self, key: LimitKey, limit: Limit, now: Timestamp) -> Verdict {
        let mut shard = self.shard(&key);
        match shard.log(&key) {
            Some(log) => log.verdict(limit, now),
            None => Log::new(limit).verdict(limit, now),
        }
    }

    /// Uncounts a call that `check` allowed at `counted` ([`Verdict::at`]).
    pub fn give_back(&self, key: LimitKey, counted: Timestamp) {
        if let Some(log) = self.shard(&key).log(&key) {
            log.give_back(counted.micros());
        }
    }

    /// Uncounts all calls of the key.
    pub fn forget(&self, key: &LimitKey) {
        if let Some(log) = self.shard(key).log(key) {
            *log = Log::new(log.limit);
        }
    }

    /// Keys held now.
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).slots.len()).sum()
    }

    fn shard(&self, key: &LimitKey) -> MutexGuard<'_, Shard> {
        lock(&self.shards[self.hasher.hash_one(key) as usize % SHARDS])
    }
}

/// A panic leaves counts at worst one call off, which is no reason to refuse everybody.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shard {
    places: HashMap<LimitKey, usize>,
    slots: Vec<(LimitKey, Log)>,
    most: usize,
    hand: usize,
}

impl Shard {
    fn new(most: usize) -> Self {
        Self { places: HashMap::new(), slots: Vec::new(), most, hand: 0 }
    }

    fn log(&mut self, key: &LimitKey) -> Option<&mut Log> {
        self.places.get(key).map(|&place| &mut self.slots[place].1)
    }

    fn check(&mut self, key: LimitKey, limit: Limit, now: Timestamp) -> Verdict {
        if let Some(log) = self.log(&key) {
            return log.check(limit, now);
        }
        let mut log = Log::new(limit);
        let verdict = log.check(limit, now);
        if verdict.allowed {
            self.insert(key, log, now.micros());
        }
        verdict
    }

    fn insert(&mut self, key: LimitKey, log: Log, now: i64) {
        let place = if self.slots.len() < self.most {
            self.slots.push((key, log));
            self.slots.len() - 1
        } else {
            let place = self.least_used(now);
            self.places.remove(&self.slots[place].0);
            self.slots[place] = (key, log);
            place
        };
        self.places.insert(key, place);
    }

    /// Of the next entries, the one whose loss gives away least.
    fn least_used(&mut self, now: i64) -> usize {
        let count = self.slots.len();
        let sample = (0..SAMPLE.min(count)).map(|step| (self.hand + step) % count);
        let place = sample.min_by_key(|&place| self.slots[place].1.used(now)).unwrap_or(0);
        self.hand = (self.hand + SAMPLE) % count;
        place
    }
}

/// Calls that share one entry; they are over when the last of them is.
struct Run {
    last: i64,
    count: u32,
}

/// The admitted calls of one key, oldest first. Times are microseconds.
struct Log {
    runs: VecDeque<Run>,
    count: u32,
    limit: Limit,
}

impl Log {
    fn new(limit: Limit) -> Self {
        Self { runs: VecDeque::new(), count: 0, limit }
    }

    fn check(&mut self, limit: Limit, now: Timestamp) -> Verdict {
        let before = self.verdict(limit, now);
        if !before.allowed {
            return before;
        }
        self.add(before.at.micros());
        let reset_after = limit.per;
        Verdict { remaining: before.remaining - 1, reset_after, ..before }
    }

    /// What would be said of a call at `now`, or at the last one if the clock went back.
    fn verdict(&mut self, limit: Limit, now: Timestamp) -> Verdict {
        self.limit = limit;
        let now = self.runs.back().map_or(now.micros(), |run| run.last.max(now.micros()));
        self.forget(now);
        let allowed = self.count < limit.most;
        Verdict {
            allowed,
            limit: limit.most,
            remaining: limit.most.saturating_sub(self.count),
            reset_after: self.runs.back().map_or(Duration::ZERO, |run| self.left(run, now)),
            retry_after: if allowed { Duration::ZERO } else { self.until_free(now) },
            at: Timestamp::from_micros(now),
        }
    }

    fn per(&self) -> i64 {
        i64::try_from(self.limit.per.as_micros()).unwrap_or(i64::MAX)
    }

    fn forget(&mut self, now: i64) {
        let over = now.saturating_sub(self.per());
        while let Some(run) = self.runs.pop_front_if(|run| run.last <= over) {
            self.count -= run.count;
        }
    }

    fn left(&self, run: &Run, now: i64) -> Duration {
        let over = run.last.saturating_add(self.per());
        Duration::from_micros(u64::try_from(over.saturating_sub(now)).unwrap_or(0))
    }

    fn until_free(&self, now: i64) -> Duration {
        let mut too_many = self.count.saturating_sub(self.limit.most).saturating_add(1);
        for run in &self.runs {
            if run.count >= too_many {
                return self.left(run, now);
            }
            too_many -= run.count;
        }
        self.limit.per
    }

    fn add(&mut self, now: i64) {
        self.count += 1;
        let full = self.runs.len() >= RUNS;
        let (exact, slot) = (self.limit.most <= EXACT, self.slot());
        match self.runs.back_mut() {
            Some(run) if full || (!exact && run.last / slot == now / slot) => {
                run.last = now;
                run.count += 1;
            }
            _ => self.runs.push_back(Run { last: now, count: 1 }),
        }
    }

    fn slot(&self) -> i64 {
        (self.per() / i64::from(EXACT)).max(1)
    }

    /// Takes the call out of its run. A call that is over already leaves the others alone.
    fn give_back(&mut self, counted: i64) {
        let (shared, slot) = (self.limit.most > EXACT, self.slot());
        let holds = |run: &&mut Run| {
            let joined = shared && run.last > counted && run.last / slot == counted / slot;
            joined || run.last == counted
        };
        let Some(run) = self.runs.iter_mut().find(holds) else { return };
        run.count -= 1;
        self.count -= 1;
        self.runs.retain(|run| run.count > 0);
    }

    /// Thousandths of the limit in use: nothing when all is over.
    fn used(&self, now: i64) -> u64 {
        let over = now.saturating_sub(self.per());
        let live = self.runs.iter().filter(|run| run.last > over);
        let count: u64 = live.map(|run| u64::from(run.count)).sum();
        count * 1000 / u64::from(self.limit.most.max(1))
    }
}

#[cfg(test)]
mod tests;
