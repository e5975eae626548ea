//! Ids: UUIDv7 whose last byte is the bucket, written as a prefix and 26 sortable characters.
//!
//! The first 48 bits are milliseconds, so ids sort by time and tell their monthly partition; the
//! last byte is the **bucket** (0–255), so an id tells its shard. No directory is ever needed.
//! To add one more kind of id: one more line in [`id_kinds!`].

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// Where a row lives: 256 fixed buckets, spread over partitions and shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u8);

/// Number of event streams; sixteen neighbouring buckets share one.
pub const STREAMS: u8 = 16;

impl Bucket {
    /// The bucket of whatever these bytes name: the first byte of their SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes)[0])
    }

    /// The event stream (0–15) that this bucket's events join.
    pub fn stream(self) -> u8 {
        self.0 / STREAMS
    }
}

/// Hands out the 128 bits of new ids. Passed in, so that tests and simulations decide them.
pub trait IdSource: Send {
    /// A UUIDv7 of the instant `at` and no later one, whatever was asked for before: lists find
    /// by their ids what was made in a span of time. Its last byte is `bucket`. While instants do
    /// not go back, each id is larger than the one before it.
    fn next(&mut self, at: Timestamp, bucket: Bucket) -> u128;
}

/// Chance, passed in: fills the buffer with random bytes.
pub trait Chance: Send + Sync {
    fn fill(&self, buffer: &mut [u8]);
}

/// The usual [`IdSource`]: time, a counter inside the millisecond, then random bits.
pub struct Uuid7Source<C> {
    chance: C,
    pool: [u8; 512],
    used: usize,
    /// The latest millisecond, and how many ids were given since it began.
    latest: (i64, u32),
}

impl<C: Chance> Uuid7Source<C> {
    pub fn new(chance: C) -> Self {
        Self { chance, pool: [0; 512], used: 512, latest: (0, 0) }
    }

    fn random32(&mut self) -> u32 {
        if self.used + 4 > self.pool.len() {
            self.chance.fill(&mut self.pool);
            self.used = 0;
        }
        let bytes = &self.pool[self.used..self.used + 4];
        self.used += 4;
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }
}

/// Ids that one source gives within a millisecond before only chance tells them apart.
const COUNTER_LIMIT: u32 = 1 << 22;

impl<C: Chance> IdSource for Uuid7Source<C> {
    fn next(&mut self, at: Timestamp, bucket: Bucket) -> u128 {
        let millis = at.millis();
        self.latest = match self.latest {
            (latest, given) if millis <= latest => (latest, (given + 1) % COUNTER_LIMIT),
            _ => (millis, 0),
        };
        let counter = self.latest.1;
        let mut bits = ((millis as u128) & 0xffff_ffff_ffff) << 80;
        bits |= 0x7 << 76;
        bits |= ((counter >> 10) as u128) << 64;
        bits |= 0b10 << 62;
        bits |= ((counter & 0x3ff) as u128) << 52;
        let random = (u64::from(self.random32()) << 32) | u64::from(self.random32());
        bits |= ((random & 0xfff_ffff_ffff) as u128) << 8;
        bits | bucket.0 as u128
    }
}

/// The smallest possible id of the instant `at`: a bound for "created since".
pub fn lowest_at(at: Timestamp) -> u128 {
    ((at.millis().max(0) as u128) & 0xffff_ffff_ffff) << 80
}

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

fn encode(bits: u128) -> [u8; TEXT_LEN] {
    let mut text = [0; TEXT_LEN];
    for (place, slot) in text.iter_mut().rev().enumerate() {
        *slot = ALPHABET[((bits >> (5 * place)) & 31) as usize];
    }
    text
}

const fn decode_table() -> [u8; 256] {
    let mut table = [255; 256];
    let mut value = 0;
    while value < 32 {
        table[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    table
}

const DECODE: [u8; 256] = decode_table();

fn decode(text: &[u8]) -> Option<u128> {
    // 26 characters carry 130 bits: the first one may use its lowest three only.
    if text.len() != TEXT_LEN || DECODE[text[0] as usize] > 7 {
        return None;
    }
    text.iter().try_fold(0u128, |bits, &c| match DECODE[c as usize] {
        255 => None,
        value => Some((bits << 5) | value as u128),
    })
}

/// The text was not an id of the kind asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a {0}… id")]
pub struct MalformedId(pub &'static str);

macro_rules! id_kinds {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl $name {
            pub const PREFIX: &'static str = $prefix;

            pub fn bucket(self) -> Bucket {
                Bucket(self.0 as u8)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = encode(self.0);
                f.write_str($prefix)?;
                f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let body = text.strip_prefix($prefix).ok_or(MalformedId($prefix))?;
                decode(body.as_bytes()).map(Self).ok_or(MalformedId($prefix))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

id_kinds! {
    /// A customer of the platform; everything else belongs to one.
    TenantId = "ten_";
    UserId = "usr_";
    /// A ledger account. A wallet is an account that its holder sees.
    AccountId = "wal_";
    TransferId = "trf_";
    EventId = "evt_";
    ApiKeyId = "key_";
    /// A login: a family of refresh tokens.
    SessionId = "ses_";
    RoleId = "rol_";
    /// Whom API keys act for.
    ServiceAccountId = "sva_";
    AuditId = "aud_";
    MailId = "mai_";
    PaymentId = "pay_";
    RefundId = "ref_";
    DisputeId = "dsp_";
    PayoutId = "po_";
    /// A tenant's account at a payment gateway.
    GatewayAccountId = "gwa_";
    PaymentTypeId = "pty_";
    FraudRuleId = "frl_";
    /// Steps outside that belong together, written down before they are done.
    SagaId = "sag_";
    /// Where a tenant wants its events sent.
    WebhookEndpointId = "whe_";
    /// One event on its way to one endpoint.
    DeliveryId = "whd_";
    NotificationId = "ntf_";
    /// A payment that is made again and again.
    ScheduleId = "sch_";
    /// A file of payments.
    UploadId = "upl_";
    /// A rate promised for a while.
    QuoteId = "quo_";
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Chance for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0xab);
        }
    }

    #[test]
    fn text_round_trips_and_keeps_order() {
        let mut source = Uuid7Source::new(Fixed);
        let mut last = String::new();
        for n in 0..5000 {
            let at = Timestamp::from_micros(1_700_000_000_000_000 + n);
            let id = TransferId(source.next(at, Bucket(7)));
            let text = id.to_string();
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(id.bucket(), Bucket(7));
            assert!(text > last, "{text} does not come after {last}");
            last = text;
        }
    }

    #[test]
    fn an_id_is_of_its_own_instant_also_after_a_later_one() {
        let mut source = Uuid7Source::new(Fixed);
        let mut given = Vec::new();
        for micros in [2_000, 1_999, 2_001, 0, 1_000, 1_999] {
            let at = Timestamp::from_micros(micros);
            let id = source.next(at, Bucket(0));
            assert_eq!((id >> 80) as i64, at.millis(), "{micros}");
            given.push(id);
        }
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 6, "two are the same");
    }

    #[test]
    fn the_version_and_variant_bits_are_those_of_uuid_v7() {
        let id = Uuid7Source::new(Fixed).next(Timestamp::from_micros(1), Bucket(255));
        assert_eq!((id >> 76) & 0xf, 7);
        assert_eq!((id >> 62) & 0b11, 0b10);
    }

    #[test]
    fn foreign_and_malformed_text_is_refused() {
        let good = TransferId(5).to_string();
        let long = format!("{good}0");
        let bad = good.replace("trf_", "wal_");
        for text in ["", "trf_", "trf_l", &bad, &long, &good.to_uppercase(), "trf_é"] {
            assert_eq!(text.parse::<TransferId>(), Err(MalformedId("trf_")), "{text}");
        }
        assert!("trf_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<TransferId>().is_err());
    }
}
