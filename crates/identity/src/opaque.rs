//! Opaque secrets: 256 random bits as text, and recovery codes that people can type.
//!
//! Only the hash of either is stored. To add one more kind: one more line in [`Prefix`].

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use caudal_domain::id::Chance;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What a secret is for: it stands first, so that scanners and people recognise a leaked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// A refresh token.
    Refresh,
    /// A one-time code: of a mail, of a challenge.
    Code,
}

impl Prefix {
    pub const fn text(self) -> &'static str {
        match self {
            Self::Refresh => "rt_",
            Self::Code => "cod_",
        }
    }
}

/// 256 bits in base64url without padding.
const SECRET_CHARS: usize = 43;

/// A new secret: the prefix and 43 characters of base64url.
pub fn generate(prefix: Prefix, chance: &dyn Chance) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    chance.fill(&mut *bytes);
    let mut text = Zeroizing::new(String::with_capacity(prefix.text().len() + SECRET_CHARS));
    text.push_str(prefix.text());
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut text);
    text
}

/// Whether the text could be a secret of this kind: spares the database what can't be there.
pub fn has_form(prefix: Prefix, text: &str) -> bool {
    text.strip_prefix(prefix.text()).is_some_and(|body| {
        body.len() == SECRET_CHARS
            && body.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    })
}

/// 128 bits of SHA-256 of the secret: all that is stored of it. Looking it up takes the same time
/// whatever part of a guess is right.
pub fn hash(secret: &str) -> u128 {
    let digest = Sha256::digest(secret.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(bytes)
}

/// As in ids: no letter that looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// 60 bits: with the lockout nobody guesses one, and people can type it.
const RECOVERY_CHARS: usize = 12;

/// A new recovery code, as `xxxx-xxxx-xxxx`.
pub fn recovery_code(chance: &dyn Chance) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; RECOVERY_CHARS]);
    chance.fill(&mut *bytes);
    let mut text = Zeroizing::new(String::with_capacity(RECOVERY_CHARS + 2));
    for (place, byte) in bytes.iter().enumerate() {
        if place > 0 && place % 4 == 0 {
            text.push('-');
        }
        // 256 is a multiple of 32: each character is as likely as any other.
        text.push(char::from(ALPHABET[usize::from(byte % 32)]));
    }
    text
}

/// What a person typed, in the form of [`recovery_code`]: case, blanks and dashes don't matter,
/// and `o`, `i`, `l` are the digits they look like. `None` when it is no recovery code.
pub fn read_recovery_code(typed: &str) -> Option<Zeroizing<String>> {
    if typed.len() > 4 * RECOVERY_CHARS {
        return None;
    }
    let mut text = Zeroizing::new(String::with_capacity(RECOVERY_CHARS + 2));
    for c in typed.chars().filter(|c| !matches!(c, ' ' | '-')) {
        if matches!(text.len(), 4 | 9) {
            text.push('-');
        }
        let c = match c.to_ascii_lowercase() {
            'o' => '0',
            'i' | 'l' => '1',
            other => other,
        };
        let known = c.is_ascii() && ALPHABET.contains(&(c as u8));
        (known && text.len() < RECOVERY_CHARS + 2).then(|| text.push(c))?;
    }
    (text.len() == RECOVERY_CHARS + 2).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counted;

    #[test]
    fn secrets_differ_and_have_their_form() {
        let chance = Counted::default();
        let (one, two) = (generate(Prefix::Refresh, &chance), generate(Prefix::Refresh, &chance));
        assert_ne!(*one, *two);
        assert!(has_form(Prefix::Refresh, &one), "{}", *one);
        assert!(!has_form(Prefix::Code, &one));
        assert!(!has_form(Prefix::Refresh, &one[..45]));
        assert!(!has_form(Prefix::Refresh, &one.replace('_', "\0")));
    }

    #[test]
    fn the_hash_is_the_first_half_of_sha_256() {
        assert_eq!(hash("abc"), 0xba78_16bf_8f01_cfea_4141_40de_5dae_2223);
    }

    #[test]
    fn recovery_codes_are_read_as_people_type_them() {
        let code = recovery_code(&Counted::default());
        assert_eq!(code.len(), 14);
        assert_eq!(read_recovery_code(&code), Some(code.clone()));
        let typed = format!(" {} ", code.to_uppercase().replace('-', " "));
        assert_eq!(read_recovery_code(&typed), Some(code.clone()));
        assert_eq!(read_recovery_code("OOOO-IIII-llll").unwrap().as_str(), "0000-1111-1111");
        let long = format!("{}0", *code);
        for bad in ["", "0000", "0000-1111-111", "0000-1111-111u", "0000-1111-111é", &long] {
            assert_eq!(read_recovery_code(bad), None, "{bad}");
        }
        assert_eq!(read_recovery_code(&"-".repeat(10_000_000)), None);
    }
}
