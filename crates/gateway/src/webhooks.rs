//! Webhooks that gateways send: proof that one is the gateway's own, and what it speaks of.
//!
//! Both schemes sign `{time}.{body}`, the body byte for byte as it came, and a signature is good
//! for five minutes either way, which is how long a recorded one can be played again; what is
//! played again within that time is a duplicate like any other. A verified event moves no money:
//! what it speaks of is asked for first.

pub mod hmac;
pub mod keys;

use caudal_domain::Timestamp;

use crate::port::Object;

/// Seconds a signature's time may differ from ours; Stripe's libraries' own default.
pub const TOLERANCE_S: i64 = 300;

/// Signatures looked at in one header: two secrets in rotation, and room.
const SIGNATURES_MAX: usize = 8;

/// A webhook as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Names in lower case.
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

impl<'a> Delivery<'a> {
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// What a verified webhook tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookEvent {
    /// The gateway's; the same for every copy of the event.
    pub id: String,
    pub kind: EventKind,
    /// What it speaks of, to be asked for.
    pub about: Option<(Object, String)>,
    pub happened_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    ChargeSucceeded,
    ChargeFailed,
    ChargeCapturable,
    ChargeCanceled,
    ChargeUpdated,
    RefundUpdated,
    DisputeOpened,
    DisputeUpdated,
    DisputeClosed,
    PayoutPaid,
    PayoutFailed,
    /// Something that we do not act on.
    Other(String),
}

/// Why a webhook is not believed; nothing of it is to be stored, except where it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    #[error("no signature")]
    NoSignature,
    #[error("the signature header cannot be read")]
    Malformed,
    #[error("the signature is not this account's")]
    BadSignature,
    #[error("the signature's time is more than {TOLERANCE_S} s from now")]
    TooOld,
    #[error("signed with a key that the gateway does not publish")]
    UnknownKey,
    /// Ours: to be answered 503, so that the gateway sends it again.
    #[error("the gateway's keys cannot be had: {0}")]
    KeysUnavailable(String),
    #[error("a live event for a test account, or the other way round")]
    WrongMode,
    #[error("the body is not an event: {0}")]
    Nonsense(&'static str),
}

/// A signature header: `t=<seconds>,<name>=<value>,…`
struct Signed<'a> {
    at_s: i64,
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Signed<'a> {
    fn read(header: &'a str) -> Result<Self, WebhookError> {
        let fields = header.split(',').map(|field| field.trim().split_once('='));
        let fields = fields.collect::<Option<Vec<_>>>().ok_or(WebhookError::Malformed)?;
        let mut times = fields.iter().filter(|(name, _)| *name == "t");
        let (Some((_, at)), None) = (times.next(), times.next()) else {
            return Err(WebhookError::Malformed);
        };
        let at_s = at.parse().map_err(|_| WebhookError::Malformed)?;
        Ok(Self { at_s, fields })
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |(known, _)| *known == name);
        named.map(|(_, value)| *value).take(SIGNATURES_MAX)
    }

    fn message(&self, body: &[u8]) -> Vec<u8> {
        message(self.at_s, body)
    }

    /// To be asked after the signature is found good, so that strangers learn nothing.
    fn check_age(&self, now: Timestamp) -> Result<(), WebhookError> {
        let age_s = now.millis().div_euclid(1_000).saturating_sub(self.at_s);
        if age_s.unsigned_abs() > TOLERANCE_S.unsigned_abs() {
            return Err(WebhookError::TooOld);
        }
        Ok(())
    }
}

/// What is signed.
fn message(at_s: i64, body: &[u8]) -> Vec<u8> {
    [at_s.to_string().as_bytes(), b".", body].concat()
}
