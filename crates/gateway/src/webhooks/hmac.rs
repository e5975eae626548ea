//! HMAC-SHA256 over time and body: `t=<seconds>,v1=<hex>[,v1=<hex>]`, Stripe's form.
//!
//! Several secrets may be good at once, and a header may bear several signatures, so that either
//! side can change its secret without losing a webhook.

use aws_lc_rs::hmac;
use caudal_domain::Timestamp;
use zeroize::Zeroizing;

use super::{Delivery, Signed, WebhookError, message};

/// Secrets of an account that are good at present.
pub struct HmacScheme {
    header: &'static str,
    keys: Vec<hmac::Key>,
}

impl HmacScheme {
    /// Takes the secrets and wipes them; empty ones are none.
    pub fn new(header: &'static str, secrets: Vec<String>) -> Self {
        let secrets = Zeroizing::new(secrets);
        let given = secrets.iter().filter(|secret| !secret.is_empty());
        Self { header, keys: given.map(|secret| key(secret)).collect() }
    }

    pub fn verify(&self, delivery: &Delivery<'_>, now: Timestamp) -> Result<(), WebhookError> {
        let header = delivery.header(self.header).ok_or(WebhookError::NoSignature)?;
        let signed = Signed::read(header)?;
        let message = signed.message(delivery.body);
        let mut found = false;
        for tag in signed.all("v1").filter_map(from_hex) {
            for key in &self.keys {
                // Compared in constant time.
                found |= hmac::verify(key, &message, &tag).is_ok();
            }
        }
        if !found {
            return Err(WebhookError::BadSignature);
        }
        signed.check_age(now)
    }
}

/// A header as a gateway makes it, one signature a secret.
pub fn sign(secrets: &[&str], at_s: i64, body: &[u8]) -> String {
    let message = message(at_s, body);
    let mut header = format!("t={at_s}");
    for secret in secrets {
        let tag = hmac::sign(&key(secret), &message);
        header.push_str(",v1=");
        header.extend(tag.as_ref().iter().map(|byte| format!("{byte:02x}")));
    }
    header
}

fn key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

/// The 32 bytes of a tag.
fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut tag = [0; 32];
    if text.len() != 64 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (n, byte) in tag.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).ok()?;
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_700_000_000;

    fn said(header: Option<&str>, body: &[u8]) -> Result<(), WebhookError> {
        let scheme = HmacScheme::new("x-signature", ["new", "old", ""].map(String::from).to_vec());
        let headers: Vec<_> =
            header.iter().map(|value| ("X-Signature".to_owned(), value.to_string())).collect();
        let now = Timestamp::from_micros(NOW_S * 1_000_000);
        scheme.verify(&Delivery { headers: &headers, body }, now)
    }

    #[test]
    fn signatures_good_old_foreign_and_broken() {
        let at = |secrets: &[&str], ago_s: i64| sign(secrets, NOW_S - ago_s, b"body");
        let good = at(&["new"], 0);
        let tag = good.split_once("v1=").unwrap().1;
        let table = [
            ("by the new secret", good.clone(), Ok(())),
            ("by the old secret", at(&["old"], 0), Ok(())),
            ("by a foreign secret and the old", at(&["foreign", "old"], 0), Ok(())),
            ("five minutes ago", at(&["new"], 300), Ok(())),
            ("five minutes ahead", at(&["new"], -300), Ok(())),
            ("longer ago", at(&["new"], 301), Err(WebhookError::TooOld)),
            ("longer ahead", at(&["new"], -301), Err(WebhookError::TooOld)),
            ("by a foreign secret", at(&["foreign"], 0), Err(WebhookError::BadSignature)),
            ("by no secret", at(&[""], 0), Err(WebhookError::BadSignature)),
            ("none at all", format!("t={NOW_S}"), Err(WebhookError::BadSignature)),
            ("of another scheme", good.replace("v1", "v0"), Err(WebhookError::BadSignature)),
            ("of another time", format!("t={},v1={tag}", NOW_S - 1), {
                Err(WebhookError::BadSignature)
            }),
            ("cut short", good[..good.len() - 2].to_owned(), Err(WebhookError::BadSignature)),
            ("not hexadecimal", good.replace(tag, &"é".repeat(32)), {
                Err(WebhookError::BadSignature)
            }),
            ("two times", format!("{good},t={NOW_S}"), Err(WebhookError::Malformed)),
            ("no time", format!("v1={tag}"), Err(WebhookError::Malformed)),
            ("a time that is none", format!("t=now,v1={tag}"), Err(WebhookError::Malformed)),
            ("nothing", String::new(), Err(WebhookError::Malformed)),
            ("a time of another age", format!("t={},v1={tag}", i64::MIN), {
                Err(WebhookError::BadSignature)
            }),
        ];
        for (what, header, expected) in table {
            assert_eq!(said(Some(&header), b"body"), expected, "{what}: {header}");
        }
        assert_eq!(said(None, b"body"), Err(WebhookError::NoSignature));
        assert_eq!(said(Some(&good), b"Body"), Err(WebhookError::BadSignature));
    }

    #[test]
    fn the_form_is_the_documented_one() {
        // printf 1.x | openssl dgst -sha256 -hmac key
        let tag = "fc4913c41a7bf793267e2a384f3261c9436ec2cd097bd745e7b0d99113f510ec";
        assert_eq!(sign(&["key"], 1, b"x"), format!("t=1,v1={tag}"));
    }
}
