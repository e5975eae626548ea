//! What the parts share: a PostgreSQL, a place, a seeded choice of moments, waits with a limit.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::testbed::postgres::Postgres;

use super::caudal::Site;

pub(super) struct Bed {
    pub dir: PathBuf,
    pub binary: PathBuf,
    /// `None`: not installed.
    pub postgres: Option<Postgres>,
    pub kills: u64,
    pub seed: u64,
}

/// Why the parts that need it are skipped.
pub(super) const NO_POSTGRES: &str = "PostgreSQL is not installed: xtask/setup.sh test";

impl Bed {
    /// A folder for the part's logs and files.
    pub(super) fn site(&self, part: &str) -> Result<Site> {
        let dir = self.dir.join(part);
        std::fs::create_dir_all(&dir)?;
        Ok(Site { binary: self.binary.clone(), dir, settings: Vec::new() })
    }

    pub(super) fn postgres(&mut self) -> Result<&mut Postgres> {
        self.postgres.as_mut().context(NO_POSTGRES)
    }

    /// The URL of a new, empty database.
    pub(super) fn database(&mut self, part: &str) -> Result<String> {
        let name = format!("chaos_{}", part.replace('-', "_"));
        let postgres = self.postgres()?;
        postgres.query(&format!("create database {name}"))?;
        let url = postgres.url();
        Ok(format!("{}/{name}", url.rsplit_once('/').context("a URL with a path")?.0))
    }

    pub(super) fn chance(&self) -> Chance {
        Chance(self.seed)
    }
}

/// A small generator (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>): the same seed gives the
/// same moments.
pub(super) struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Some time below `most`, to the microsecond.
    pub(super) fn below(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX).max(1);
        Duration::from_micros(self.next() % most)
    }
}

/// Looks again and again until it is so; an error once `limit` has passed.
pub(super) fn wait_for(
    what: &str,
    limit: Duration,
    mut is_so: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let started = Instant::now();
    loop {
        if is_so()? {
            return Ok(started.elapsed());
        }
        if started.elapsed() > limit {
            bail!("waited {} s in vain: {what}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Until a moment that was chosen; the load goes on meanwhile.
pub(super) fn wait_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_chooses_the_same_moments() {
        let moments = |seed| {
            let mut chance = Chance(seed);
            (0..9).map(|_| chance.below(Duration::from_secs(2))).collect::<Vec<_>>()
        };
        assert_eq!(moments(1), moments(1));
        assert_ne!(moments(1), moments(2));
        assert!(moments(3).iter().all(|moment| *moment < Duration::from_secs(2)));
    }

    #[test]
    fn waiting_in_vain_is_an_error_that_says_for_what() {
        let error = wait_for("rain", Duration::ZERO, || Ok(false)).unwrap_err();
        assert!(error.to_string().contains("rain"));
        assert!(wait_for("now", Duration::ZERO, || Ok(true)).is_ok());
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!((grouped(999).as_str(), grouped(1_234_567).as_str()), ("999", "1,234,567"));
    }
}
