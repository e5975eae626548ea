//! Standard Webhooks: secrets, and what is signed with them (`v1`: HMAC-SHA256).

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use caudal_domain::{Timestamp, id::Chance};
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";
/// The standard wants 24 to 64.
const SECRET_BYTES: usize = 32;

/// What an endpoint and we know together.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<[u8; SECRET_BYTES]>);

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl WebhookSecret {
    pub fn generate(chance: &dyn Chance) -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        chance.fill(&mut *bytes);
        Self(bytes)
    }

    /// Reads [`Self::text`] back.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?);
        bytes.as_slice().try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// As its receiver keeps it: `whsec_…`.
    pub fn text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(*self.0)))
    }

    /// One of the signatures in the header `webhook-signature`.
    pub fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.0);
        let mut signing = hmac::Context::with_key(&key);
        signing.update(format!("{id}.{}.", seconds(at)).as_bytes());
        signing.update(body);
        format!("v1,{}", STANDARD.encode(signing.sign()))
    }
}

/// For the header `webhook-timestamp`.
pub fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counted;

    #[test]
    fn secrets_read_back_and_are_not_shown() {
        let secret = WebhookSecret::generate(&Counted::default());
        let text = secret.text();
        assert!(text.starts_with("whsec_") && text.len() == 50, "{}", *text);
        let again = WebhookSecret::parse(&text).expect("its own text");
        assert_eq!(*again.text(), *text);
        assert!(!format!("{secret:?}").contains(&text[6..10]));
        for bad in ["", "whsec_", "whsec_AAAA", &text[1..], "whsec_!"] {
            assert!(WebhookSecret::parse(bad).is_none(), "{bad}");
        }
    }

    /// The same by openssl: `printf '%s' 'evt_1.1700000000.{"a":1}' | openssl dgst -sha256 -mac
    /// HMAC -macopt hexkey:0707…07 -binary | base64`.
    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        let secret = WebhookSecret(Zeroizing::new([7; SECRET_BYTES]));
        let at = Timestamp::from_micros(1_700_000_000_999_999);
        assert_eq!(
            secret.sign("evt_1", at, b"{\"a\":1}"),
            "v1,LD23cPhYO0Vr+7BYB9TpqKHMIUwtb1s91EEyjYfBh+s="
        );
    }
}
