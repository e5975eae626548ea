//! Signed tokens (JWS, compact form) taken apart with suspicion, for our own and foreign ones.
//!
//! The algorithm that verifies is that of the key we hold; a header may only agree with it. Headers
//! that bring a key along, or ask for what we don't understand, are refused by name.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::{Deserialize, de::IgnoredAny};

use caudal_domain::Timestamp;

/// Why a token is not believed. The names are for logs and tests; callers are told 401 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("longer than any token of ours")]
    TooLong,
    #[error("not a signed token")]
    Malformed,
    #[error("of another type than asked for")]
    WrongType,
    #[error("signed with another algorithm than its key's, or with none")]
    WrongAlgorithm,
    #[error("brings its own key along")]
    KeyInHeader,
    #[error("asks for an extension that is not known here")]
    Critical,
    #[error("signed with a key that is not known here")]
    UnknownKey,
    #[error("the signature is not that of its text")]
    BadSignature,
    #[error("lacks a claim, or has one of the wrong form")]
    BadClaims,
    #[error("made by another issuer")]
    WrongIssuer,
    #[error("made for another audience")]
    WrongAudience,
    #[error("expired")]
    Expired,
    #[error("not yet valid")]
    NotYetValid,
}

/// A token's parts, nothing of it verified.
pub(crate) struct Parts<'a> {
    pub header: Header,
    message: &'a str,
    payload: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
pub(crate) struct Header {
    pub alg: String,
    pub kid: Option<String>,
    pub typ: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    jwk: Option<IgnoredAny>,
    jku: Option<IgnoredAny>,
    x5u: Option<IgnoredAny>,
    x5c: Option<IgnoredAny>,
}

impl<'a> Parts<'a> {
    pub fn of(token: &'a str, max_bytes: usize) -> Result<Self, TokenError> {
        if token.len() > max_bytes {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header: Header = json(header).ok_or(TokenError::Malformed)?;
        if [&header.jwk, &header.jku, &header.x5u, &header.x5c].iter().any(|own| own.is_some()) {
            return Err(TokenError::KeyInHeader);
        }
        if header.crit.is_some() || header.b64.is_some() {
            return Err(TokenError::Critical);
        }
        Ok(Self { header, message, payload, signature })
    }

    /// What the payload says, believed by nobody: only to choose whose keys verify it.
    pub fn unverified<T: for<'de> Deserialize<'de>>(&self) -> Option<T> {
        json(self.payload)
    }

    /// The claims, once the signature is verified with our key and its algorithm.
    pub fn claims<T: for<'de> Deserialize<'de>>(
        &self,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Result<T, TokenError> {
        match crypto::verify(self.signature, self.message.as_bytes(), key, algorithm) {
            Ok(true) => json(self.payload).ok_or(TokenError::BadClaims),
            _ => Err(TokenError::BadSignature),
        }
    }
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// Seconds since 1970, from which to which a token holds.
pub(crate) struct Validity {
    pub not_before: Option<i64>,
    pub expires: i64,
}

impl Validity {
    pub fn check(&self, now: Timestamp, leeway_s: i64) -> Result<(), TokenError> {
        let now = now.micros().div_euclid(1_000_000);
        if now >= self.expires.saturating_add(leeway_s) {
            return Err(TokenError::Expired);
        }
        match self.not_before {
            Some(from) if now < from.saturating_sub(leeway_s) => Err(TokenError::NotYetValid),
            _ => Ok(()),
        }
    }
}
