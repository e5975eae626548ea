//! E-mail addresses: which ones are taken, and the form in which two are the same.
//!
//! Taken is what mail servers deliver in practice: one `@`, a dot-atom before it (RFC 5322, with
//! letters of any script, RFC 6531), a public host name behind it. Quoted local parts, comments and
//! address literals are refused: nobody has them, and parsers differ about them.

use std::fmt;

use caudal_domain::text::is_unseen;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

/// RFC 5321, 4.5.3.1.1.
const LOCAL_BYTES: usize = 64;
/// RFC 5321, 4.5.3.1.3: a path of 256 less its angle brackets.
const TOTAL_BYTES: usize = 254;

/// An address. Personal data: its `Debug` tells nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Email {
    /// As it was written, in NFC: what people see and mail is sent to.
    pub shown: String,
    /// Lower-case, the domain in its ASCII form: two addresses are the same when these are. (The
    /// case of the local part could matter by RFC 5321; no provider lets it, and two accounts
    /// that differ in it only are a trap.)
    pub normalised: String,
}

/// What is wrong with an address. Never holds the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmailError {
    #[error("is longer than {TOTAL_BYTES} bytes")]
    TooLong,
    #[error("must hold one @")]
    NotOneAt,
    #[error("holds a blank or a character that can't be seen")]
    Invisible,
    #[error("needs 1 to {LOCAL_BYTES} bytes before the @")]
    LocalLength,
    #[error("holds a character before the @ that is not taken")]
    LocalCharacter,
    #[error("has a dot too many before the @")]
    LocalDots,
    #[error("has no valid host name behind the @")]
    Domain,
}

impl Email {
    /// Reads an address as it stands: nothing is trimmed.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        if text.len() > TOTAL_BYTES {
            return Err(EmailError::TooLong);
        }
        let shown: String = text.nfc().collect();
        if shown.chars().any(is_invisible) {
            return Err(EmailError::Invisible);
        }
        let (local, domain) = shown.split_once('@').ok_or(EmailError::NotOneAt)?;
        if domain.contains('@') {
            return Err(EmailError::NotOneAt);
        }
        check_local(local)?;
        let lower: String = local.to_lowercase().nfc().collect();
        let normalised = format!("{lower}@{}", ascii_domain(domain)?);
        if normalised.len() > TOTAL_BYTES || shown.len() > TOTAL_BYTES {
            return Err(EmailError::TooLong);
        }
        Ok(Self { shown, normalised })
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

fn check_local(local: &str) -> Result<(), EmailError> {
    if local.is_empty() || local.len() > LOCAL_BYTES {
        return Err(EmailError::LocalLength);
    }
    if !local.chars().all(|c| c == '.' || is_atom(c)) {
        return Err(EmailError::LocalCharacter);
    }
    if local.split('.').any(str::is_empty) {
        return Err(EmailError::LocalDots);
    }
    Ok(())
}

/// RFC 5322's atext, and RFC 6531's letters beyond ASCII.
fn is_atom(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii()
}

/// The host name by IDNA (UTS 46), lower-case; it has a dot, and its last label is no number.
fn ascii_domain(domain: &str) -> Result<String, EmailError> {
    let ascii = Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify)
        .map_err(|_| EmailError::Domain)?;
    let last = ascii.rsplit_once('.').map(|(_, last)| last).ok_or(EmailError::Domain)?;
    if last.is_empty() || last.bytes().all(|c| c.is_ascii_digit()) {
        return Err(EmailError::Domain);
    }
    Ok(ascii.into_owned())
}

/// By which two addresses could look the same or read backwards. U+FFFC and U+FFFD stand for what
/// could not be shown.
fn is_invisible(c: char) -> bool {
    c.is_control() || c.is_whitespace() || is_unseen(c) || matches!(c, '\u{fffc}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_and_their_normal_form() {
        let table = [
            ("ada@example.org", "ada@example.org"),
            ("Ada.Lovelace+x@EXAMPLE.org", "ada.lovelace+x@example.org"),
            ("o'neil@a-b.co.uk", "o'neil@a-b.co.uk"),
            ("jose\u{301}@example.org", "jos\u{e9}@example.org"),
            ("user@Bücher.example", "user@xn--bcher-kva.example"),
            ("user@XN--BCHER-KVA.example", "user@xn--bcher-kva.example"),
            ("用户@例子.广告", "用户@xn--fsqu00a.xn--4rr70v"),
            ("a@1.2.example", "a@1.2.example"),
        ];
        for (text, normalised) in table {
            let email = Email::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(email.normalised, normalised);
            assert_eq!(Email::parse(&email.normalised).unwrap().normalised, normalised);
        }
        assert_eq!(Email::parse("Ada@Example.org").unwrap().shown, "Ada@Example.org");
        assert_eq!(format!("{:?}", Email::parse("a@b.example").unwrap()), "Email(…)");
    }

    #[test]
    fn bad_ones_and_why() {
        use EmailError::*;
        let label = "a".repeat(63);
        let table = [
            ("", NotOneAt),
            ("ada", NotOneAt),
            ("@", LocalLength),
            ("@example.org", LocalLength),
            ("ada@", Domain),
            ("ada@@example.org", NotOneAt),
            ("a@b@example.org", NotOneAt),
            (" ada@example.org", Invisible),
            ("ada@example.org ", Invisible),
            ("ada@example.org\n", Invisible),
            ("ada@example.org\r\nBcc: eve@example.org", Invisible),
            ("a da@example.org", Invisible),
            ("a\0da@example.org", Invisible),
            ("ada@exam\0ple.org", Invisible),
            ("a\u{200b}da@example.org", Invisible),
            ("a\u{202e}da@example.org", Invisible),
            ("a\u{a0}da@example.org", Invisible),
            ("ada@exam\u{ad}ple.org", Invisible),
            (".ada@example.org", LocalDots),
            ("ada.@example.org", LocalDots),
            ("a..da@example.org", LocalDots),
            ("\"ada\"@example.org", LocalCharacter),
            ("ada(comment)@example.org", LocalCharacter),
            ("Ada<ada@example.org>", LocalCharacter),
            ("a,da@example.org", LocalCharacter),
            ("a;da@example.org", LocalCharacter),
            ("a\\da@example.org", LocalCharacter),
            ("mailto:ada@example.org", LocalCharacter),
            ("ada@localhost", Domain),
            ("ada@example.org.", Domain),
            ("ada@.example.org", Domain),
            ("ada@example..org", Domain),
            ("ada@-example.org", Domain),
            ("ada@example-.org", Domain),
            ("ada@exa_mple.org", Domain),
            ("ada@[127.0.0.1]", Domain),
            ("ada@[IPv6:::1]", Domain),
            ("ada@127.0.0.1", Domain),
            ("ada@example.org/x", Domain),
            ("ada@exam%70le.org", Domain),
            ("ada@xn--a.example", Domain),
            (&format!("{}@example.org", "a".repeat(65)), LocalLength),
            (&format!("{}@example.org", "é".repeat(33)), LocalLength),
            (&format!("a@{label}a.example"), Domain),
            (&format!("a@{label}.{label}.{label}.{label}.example"), TooLong),
            (&"a".repeat(10_000_000), TooLong),
        ];
        for (text, why) in table {
            let short: String = text.chars().take(60).collect();
            assert_eq!(Email::parse(text), Err(why), "{short:?}");
        }
        assert!(Email::parse(&format!("{}@example.org", "a".repeat(64))).is_ok());
    }
}
