//! How long calls take, and whether the other side has stopped answering: known long before the
//! first of them runs into its limit. A plain state machine: no clock, no lock, no I/O.

use std::time::Duration;

/// So many times as long as calls took lately, and a call is late.
const LATE_AFTER: u32 = 4;
/// But not before so long: less is a pause that any server makes.
const LATE_AT_LEAST: Duration = Duration::from_millis(500);
/// How much one call weighs in what they took lately: one part in so many.
const MEMORY: u32 = 16;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// What calls that went well took lately.
    usual: Option<Duration>,
    under_way: usize,
    late: usize,
}

impl Pace {
    /// A call begins; after how long it is late. Nobody knows before one went well.
    pub fn begin(&mut self) -> Option<Duration> {
        self.under_way += 1;
        self.usual.map(|usual| (usual * LATE_AFTER).max(LATE_AT_LEAST))
    }

    pub fn is_late(&mut self) {
        self.late += 1;
    }

    /// A call ended; how long it took, if it went well.
    pub fn end(&mut self, was_late: bool, took: Option<Duration>) {
        self.under_way -= 1;
        self.late -= usize::from(was_late);
        if let Some(took) = took {
            let usual = self.usual.unwrap_or(took);
            self.usual = Some((usual * (MEMORY - 1) + took) / MEMORY);
        }
    }

    /// At least so many calls are late, and that is at least this share of those under way.
    pub fn is_stalled(&self, least: usize, percent: usize) -> bool {
        self.late >= least && self.late * 100 >= self.under_way * percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn late_is_a_multiple_of_what_is_usual() {
        for (took, late_after) in [
            (&[][..], None),
            (&[ms(20)], Some(ms(500))),
            (&[ms(1_000)], Some(ms(4_000))),
            (&[ms(1_000), ms(200)], Some(ms(3_800))),
        ] {
            let mut pace = Pace::default();
            for took in took {
                pace.begin();
                pace.end(false, Some(*took));
            }
            assert_eq!(pace.begin(), late_after, "{took:?}");
        }
    }

    #[test]
    fn stalled_is_many_late_and_few_others() {
        for (under_way, late, is_stalled) in
            [(1, 1, false), (9, 9, false), (10, 10, true), (20, 10, true), (21, 10, false)]
        {
            let mut pace = Pace::default();
            (0..under_way).for_each(|_| {
                pace.begin();
            });
            (0..late).for_each(|_| pace.is_late());
            assert_eq!(pace.is_stalled(10, 50), is_stalled, "{late} of {under_way}");
            (0..late).for_each(|_| pace.end(true, None));
            assert!(!pace.is_stalled(10, 50), "they ended");
        }
    }
}
