//! Time-based one-time codes (RFC 6238): SHA-1, 6 digits, 30 seconds, as every app knows them.

use std::fmt;

use caudal_domain::{Timestamp, id::Chance};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use totp_rs::{Builder, Totp};
use zeroize::Zeroizing;

/// 160 bits: what RFC 4226 recommends, and the length of SHA-1.
pub const SEED_BYTES: usize = 20;
/// RFC 6238's default step.
const STEP_S: i64 = 30;
/// Steps accepted before and after the present one: clocks differ, people type slowly.
const SKEW: i64 = 1;
const DIGITS: usize = 6;

/// What the app and we know together.
#[derive(Clone)]
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

impl Seed {
    pub fn generate(chance: &dyn Chance) -> Self {
        let mut bytes = Zeroizing::new([0; SEED_BYTES]);
        chance.fill(&mut *bytes);
        Self(bytes)
    }

    /// From the bytes that the vault kept; `None` when they are not a seed.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// For the vault only.
    pub fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// What the app's QR code says: `otpauth://totp/{issuer}:{account}?secret=…`. Colons, which
    /// separate the two, become blanks. `None` when the account's name is empty.
    pub fn uri(&self, issuer: &str, account: &str) -> Option<Zeroizing<String>> {
        let totp = Builder::new()
            .with_secret(self.0.to_vec())
            .with_issuer(Some(issuer.replace(':', " ")))
            .with_account_name(account.replace(':', " "))
            .build()
            .ok()?;
        totp.to_url().ok().map(Zeroizing::new)
    }

    /// The seed as people type it into an app without a camera.
    pub fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(self.totp().secret().to_base32())
    }

    fn totp(&self) -> Totp {
        Builder::new().with_secret(self.0.to_vec()).build_noncompliant()
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// The step whose code this is: the present one, the one before or the one after, but none up to
/// `last_step`, the last one accepted from this person. Store the answer as the next `last_step`,
/// under a guard that it is still the one given here, else a code counts twice.
pub fn check(seed: &Seed, code: &str, now: Timestamp, last_step: Option<i64>) -> Option<i64> {
    if code.len() != DIGITS {
        return None;
    }
    let totp = seed.totp();
    let present = now.micros().div_euclid(1_000_000 * STEP_S);
    let mut found = -1;
    // All are compared, so that the time taken doesn't tell which one was near.
    for step in present - SKEW..=present + SKEW {
        let Ok(at) = u64::try_from(step * STEP_S) else { continue };
        let expected = Zeroizing::new(totp.generate(at).to_string());
        let same = expected.as_bytes().ct_eq(code.as_bytes());
        let fresh = u8::from(last_step.is_none_or(|last| step > last)).into();
        found.conditional_assign(&step, same & fresh);
    }
    (found >= 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counted;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn rfc_seed() -> Seed {
        Seed::from_bytes(b"12345678901234567890").unwrap()
    }

    #[test]
    fn the_vectors_of_rfc_6238_hold() {
        // Appendix B, SHA-1, the last six of its eight digits.
        let vectors = [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ];
        for (seconds, code) in vectors {
            assert_eq!(check(&rfc_seed(), code, at(seconds), None), Some(seconds / 30), "{code}");
        }
    }

    #[test]
    fn one_step_to_either_side_counts_and_no_more() {
        for (now, found) in [(29, true), (30, true), (60, true), (89, true), (90, false)] {
            assert_eq!(check(&rfc_seed(), "287082", at(now), None).is_some(), found, "{now}");
        }
        assert_eq!(check(&rfc_seed(), "287082", at(59 - 60), None), None);
    }

    #[test]
    fn a_code_counts_once() {
        assert_eq!(check(&rfc_seed(), "287082", at(59), Some(0)), Some(1));
        assert_eq!(check(&rfc_seed(), "287082", at(59), Some(1)), None);
        assert_eq!(check(&rfc_seed(), "287082", at(59), Some(2)), None);
    }

    #[test]
    fn what_is_no_code_is_refused() {
        for bad in ["", "28708", "2870822", "+87082", "28708２", " 87082", "28708\0", "287083"] {
            assert_eq!(check(&rfc_seed(), bad, at(59), None), None, "{bad:?}");
        }
    }

    #[test]
    fn the_uri_is_what_apps_read_and_debug_tells_nothing() {
        let uri = rfc_seed().uri("Caudal: test", "ada@example.org").unwrap();
        assert!(uri.starts_with("otpauth://totp/Caudal%20%20test:ada%40example.org?"), "{}", *uri);
        assert!(uri.contains("secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "{}", *uri);
        assert_eq!(*rfc_seed().base32(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(format!("{:?}", rfc_seed()), "Seed(…)");
        let chance = Counted::default();
        assert_ne!(Seed::generate(&chance).bytes(), Seed::generate(&chance).bytes());
    }
}
