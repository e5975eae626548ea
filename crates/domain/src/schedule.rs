//! When a scheduled payment is due: once, or every so many days, weeks, months or years, at the
//! same time of day in the schedule's time zone.
//!
//! Every occurrence is counted from the first, not from the one before: what began on the 31st
//! falls on the last day of shorter months, and on the 31st again after them. A time of day that
//! the clocks jump over is the one they jump to.

use jiff::{Span, Timestamp as Instant};
use serde::{Deserialize, Serialize};

use crate::{
    business_day::{at_zone, time_zone},
    tenant::names,
    time::Timestamp,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    Day,
    Week,
    Month,
    Year,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleStatus {
    Active,
    /// Its last occurrence has come.
    Ended,
    Canceled,
}

names!(ScheduleStatus { Active = "active", Ended = "ended", Canceled = "canceled" });

/// The rule of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurrence {
    /// The first occurrence.
    pub start_at: Timestamp,
    /// `None`: once.
    pub every: Option<Every>,
    /// Every so many of them: 1 ..= [`Recurrence::INTERVAL_MOST`].
    pub interval: i64,
    /// IANA name.
    pub timezone: String,
    /// No occurrence at or after this.
    pub until: Option<Timestamp>,
    /// So many at most.
    pub count: Option<i64>,
}

impl Recurrence {
    pub const INTERVAL_MOST: i64 = 1000;

    /// The occurrence of this number, from 0 on. `None`: there is none.
    pub fn occurrence(&self, number: i64) -> Option<Timestamp> {
        if number < 0 || self.count.is_some_and(|count| number >= count) {
            return None;
        }
        let at = match (self.every, number) {
            (_, 0) => self.start_at,
            (None, _) => return None,
            (Some(every), _) => self.after_start(every, number)?,
        };
        self.until.is_none_or(|until| at < until).then_some(at)
    }

    fn after_start(&self, every: Every, number: i64) -> Option<Timestamp> {
        let steps = number.checked_mul(self.interval)?;
        let span = match every {
            Every::Day => Span::new().try_days(steps),
            Every::Week => Span::new().try_weeks(steps),
            Every::Month => Span::new().try_months(steps),
            Every::Year => Span::new().try_years(steps),
        };
        let start = at_zone(self.start_at, &time_zone(&self.timezone)?);
        let at = start.checked_add(span.ok()?).ok()?.timestamp();
        Some(Timestamp::from_micros(Instant::as_microsecond(at)))
    }

    /// The last occurrence not after `now`, counted from `from` on, which is one itself. Looks
    /// twice as far each time, so that a year of days costs a few steps.
    pub fn last_due(&self, from: i64, now: Timestamp) -> i64 {
        let is_due = |number| self.occurrence(number).is_some_and(|at| at <= now);
        let mut step = 1;
        while is_due(from + step) {
            step *= 2;
        }
        let (mut due, mut not_due) = (from + step / 2, from + step);
        while not_due - due > 1 {
            let middle = due + (not_due - due) / 2;
            match is_due(middle) {
                true => due = middle,
                false => not_due = middle,
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    fn rule(start: &str, every: Option<Every>, zone: &str) -> Recurrence {
        let (start_at, timezone) = (at(start), zone.to_owned());
        Recurrence { start_at, every, interval: 1, timezone, until: None, count: None }
    }

    fn shown(rule: &Recurrence, numbers: std::ops::Range<i64>) -> Vec<String> {
        let days = numbers.filter_map(|number| rule.occurrence(number));
        days.map(|at| at.to_string()[..16].to_owned()).collect()
    }

    #[test]
    fn what_began_at_the_end_of_a_month_stays_there() {
        let monthly = rule("2026-01-31T09:00:00Z", Some(Every::Month), "UTC");
        let days = ["2026-01-31T09:00", "2026-02-28T09:00", "2026-03-31T09:00", "2026-04-30T09:00"];
        assert_eq!(shown(&monthly, 0..4), days);
        let leap = rule("2024-02-29T09:00:00Z", Some(Every::Year), "UTC");
        let days = ["2024-02-29T09:00", "2025-02-28T09:00", "2028-02-29T09:00"];
        assert_eq!([0, 1, 4].map(|n| shown(&leap, n..n + 1)).concat(), days);
        let quarterly = Recurrence { interval: 3, ..monthly };
        assert_eq!(shown(&quarterly, 1..3), ["2026-04-30T09:00", "2026-07-31T09:00"]);
    }

    #[test]
    fn the_time_of_day_is_that_of_the_zone() {
        // New York goes forward on March 8 and back on November 1.
        let daily = rule("2026-03-07T14:00:00Z", Some(Every::Day), "America/New_York");
        assert_eq!(shown(&daily, 0..2), ["2026-03-07T14:00", "2026-03-08T13:00"]);
        // 02:30 is jumped over once, and comes twice once.
        let night = rule("2026-03-07T07:30:00Z", Some(Every::Day), "America/New_York");
        let days = ["2026-03-07T07:30", "2026-03-08T07:30", "2026-03-09T06:30"];
        assert_eq!(shown(&night, 0..3), days);
        let twice = rule("2026-10-31T05:30:00Z", Some(Every::Day), "America/New_York");
        let days = ["2026-10-31T05:30", "2026-11-01T05:30", "2026-11-02T06:30"];
        assert_eq!(shown(&twice, 0..3), days);
    }

    #[test]
    fn a_schedule_ends() {
        let once = rule("2026-01-31T09:00:00Z", None, "UTC");
        assert_eq!(shown(&once, 0..5), ["2026-01-31T09:00"]);
        let weekly = rule("2026-01-01T00:00:00Z", Some(Every::Week), "UTC");
        let three = Recurrence { count: Some(3), ..weekly.clone() };
        assert_eq!(shown(&three, -1..9).len(), 3);
        let until = Recurrence { until: Some(at("2026-01-15T00:00:00Z")), ..weekly.clone() };
        assert_eq!(shown(&until, 0..9).len(), 2);
        assert_eq!(weekly.occurrence(i64::MAX), None);
    }

    #[test]
    fn the_last_one_due_is_found_from_any_other() {
        let daily = rule("2026-01-01T00:00:00Z", Some(Every::Day), "UTC");
        for (from, now, due) in [
            (0, "2026-01-01T00:00:00Z", 0),
            (0, "2026-01-01T23:59:59Z", 0),
            (0, "2026-01-02T00:00:00Z", 1),
            (0, "2026-01-08T12:00:00Z", 7),
            (5, "2026-01-08T12:00:00Z", 7),
            (0, "2029-01-01T00:00:00Z", 1096),
        ] {
            assert_eq!(daily.last_due(from, at(now)), due, "{from} {now}");
        }
        let five = Recurrence { count: Some(5), ..daily };
        assert_eq!(five.last_due(0, at("2029-01-01T00:00:00Z")), 4);
    }
}
