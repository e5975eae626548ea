//! Business days: which day of its tenant's books an instant belongs to, by the tenant's time zone
//! and cut-off.

use std::{fmt, str::FromStr};

use jiff::{
    Zoned,
    civil::{Date, date},
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::time::Timestamp;

/// Days since 1970-01-01, written as `2026-01-31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BusinessDay(pub i64);

const EPOCH: Date = date(1970, 1, 1);

impl BusinessDay {
    fn of(date: Date) -> Self {
        Self(date.duration_since(EPOCH).as_hours() / 24)
    }

    /// `None` outside the years that four digits write.
    fn date(self) -> Option<Date> {
        let days = jiff::Span::new().try_days(self.0).ok()?;
        EPOCH.checked_add(days).ok().filter(|date| date.year() >= 1970)
    }
}

impl fmt::Display for BusinessDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            Some(date) => date.fmt(f),
            None => write!(f, "day {}", self.0),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day such as 2026-01-31")]
pub struct MalformedDay;

impl FromStr for BusinessDay {
    type Err = MalformedDay;

    fn from_str(text: &str) -> Result<Self, MalformedDay> {
        let date: Date = text.parse().map_err(|_| MalformedDay)?;
        let is_plain = date.to_string() == text && date.year() >= 1970;
        if is_plain { Ok(Self::of(date)) } else { Err(MalformedDay) }
    }
}

impl Serialize for BusinessDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BusinessDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The time of day from which on what happens belongs to the next business day; midnight, if
/// nothing else is said. Written as `17:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutOff {
    minutes: i16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time of day such as 17:00")]
pub struct MalformedCutOff;

impl FromStr for CutOff {
    type Err = MalformedCutOff;

    fn from_str(text: &str) -> Result<Self, MalformedCutOff> {
        let bytes = text.as_bytes();
        let is_shaped = bytes.len() == 5 && bytes[2] == b':';
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u8>().ok());
        let (hours, minutes) = (number(text.get(..2)), number(text.get(3..)));
        match (is_shaped, hours, minutes) {
            (true, Some(hours @ 0..24), Some(minutes @ 0..60)) => {
                Ok(Self { minutes: i16::from(hours) * 60 + i16::from(minutes) })
            }
            _ => Err(MalformedCutOff),
        }
    }
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl Serialize for CutOff {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CutOff {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A time zone with its history, the same on every machine: it comes with the program.
pub(crate) fn time_zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZoneDatabase::bundled().get(name).ok()?;
    // Names in other cases are the same zone, and would be two words for one thing.
    (zone.iana_name() == Some(name)).then_some(zone)
}

/// Whether it is an IANA time zone such as `Europe/Lisbon`.
pub fn is_time_zone(name: &str) -> bool {
    time_zone(name).is_some()
}

pub(crate) fn at_zone(at: Timestamp, zone: &TimeZone) -> Zoned {
    let instant = jiff::Timestamp::from_microsecond(at.micros()).unwrap_or_default();
    instant.to_zoned(zone.clone())
}

/// How a tenant counts its days.
#[derive(Clone, Debug)]
pub struct BusinessCalendar {
    zone: TimeZone,
    cut_off: CutOff,
}

impl BusinessCalendar {
    /// By UTC, where the name is of no zone.
    pub fn new(zone: &str, cut_off: CutOff) -> Self {
        Self { zone: time_zone(zone).unwrap_or(TimeZone::UTC), cut_off }
    }

    pub fn day_of(&self, at: Timestamp) -> BusinessDay {
        let local = at_zone(at, &self.zone).datetime();
        let minutes = i16::from(local.hour()) * 60 + i16::from(local.minute());
        let day = BusinessDay::of(local.date());
        let is_next = self.cut_off.minutes > 0 && minutes >= self.cut_off.minutes;
        BusinessDay(day.0 + i64::from(is_next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a time")
    }

    #[test]
    fn a_day_is_that_of_the_tenants_zone_and_cut_off() {
        for (zone, cut_off, instant, day) in [
            ("UTC", "00:00", "2026-01-31T23:59:59.999999Z", "2026-01-31"),
            ("UTC", "00:00", "2026-02-01T00:00:00Z", "2026-02-01"),
            ("Europe/Lisbon", "00:00", "2026-07-31T23:00:00Z", "2026-08-01"),
            ("Europe/Lisbon", "00:00", "2026-07-31T22:59:59Z", "2026-07-31"),
            ("Asia/Kathmandu", "00:00", "2026-01-31T18:15:00Z", "2026-02-01"),
            ("America/New_York", "17:00", "2026-01-30T21:59:59Z", "2026-01-30"),
            ("America/New_York", "17:00", "2026-01-30T22:00:00Z", "2026-01-31"),
            // The night the clocks go forward, and the one they go back.
            ("America/New_York", "17:00", "2026-03-08T20:59:59Z", "2026-03-08"),
            ("America/New_York", "17:00", "2026-03-08T21:00:00Z", "2026-03-09"),
            ("America/New_York", "00:00", "2026-11-01T05:30:00Z", "2026-11-01"),
            ("America/New_York", "00:00", "2026-11-02T04:59:59Z", "2026-11-01"),
        ] {
            let calendar = BusinessCalendar::new(zone, cut_off.parse().expect("a cut-off"));
            let row = format!("{zone} {cut_off} {instant}");
            assert_eq!(calendar.day_of(at(instant)).to_string(), day, "{row}");
        }
    }

    #[test]
    fn words_for_days_times_and_zones() {
        for day in ["1970-01-01", "2024-02-29", "2026-12-31"] {
            assert_eq!(day.parse::<BusinessDay>().expect("a day").to_string(), day);
        }
        for bad in ["", "2026-02-29", "20260131", "2026-1-31", "1969-12-31", "2026-01-31T00:00:00"]
        {
            assert_eq!(bad.parse::<BusinessDay>(), Err(MalformedDay), "{bad}");
        }
        assert_eq!("17:05".parse::<CutOff>().expect("a time").to_string(), "17:05");
        for bad in ["", "24:00", "17:60", "7:00", "17:00:00", "17-00", "é7:0"] {
            assert_eq!(bad.parse::<CutOff>(), Err(MalformedCutOff), "{bad}");
        }
        for good in ["UTC", "Europe/Lisbon", "America/Argentina/Buenos_Aires", "Etc/GMT+3"] {
            assert!(is_time_zone(good), "{good}");
        }
        for bad in ["", "europe/lisbon", "Europe/Nowhere", "Mars", "../etc/passwd", "+01:00"] {
            assert!(!is_time_zone(bad), "{bad}");
        }
    }
}
