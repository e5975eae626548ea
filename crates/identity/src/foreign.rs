//! Tokens of foreign issuers (OIDC), verified by their JWKS documents.
//!
//! Taken are RS256, PS256, ES256 and EdDSA, whichever of them the issuer's setting allows; never a
//! shared secret. Fetching the document is left to `outbound`, roles to `service`.

use std::fmt;

use caudal_domain::Timestamp;
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::jws::{Parts, TokenError, Validity};

/// Keycloak writes every role into its tokens: longer than ours, but no longer than headers may be.
pub const MAX_FOREIGN_TOKEN_BYTES: usize = 16 * 1024;
/// Issuers publish two or three; more than this is no JWKS of one issuer.
const MAX_KEYS: usize = 64;

/// What foreign tokens may be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignAlgorithm {
    Rs256,
    Ps256,
    Es256,
    EdDsa,
}

impl ForeignAlgorithm {
    pub const ALL: &'static [Self] = &[Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.name() == name)
    }

    const fn in_jwt(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Ps256 => Algorithm::PS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// What a foreign token must say to be believed.
#[derive(Clone, Copy, Debug)]
pub struct ForeignExpected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub now: Timestamp,
    pub leeway_s: i64,
    pub algorithms: &'a [ForeignAlgorithm],
}

/// What a foreign token says. Personal data: its `Debug` tells nothing.
#[derive(Clone, PartialEq)]
pub struct ForeignClaims {
    pub sub: String,
    pub email: Option<String>,
    /// Only `true` counts; some issuers write it as text.
    pub email_verified: Option<bool>,
    pub name: Option<String>,
    /// Seconds since 1970.
    pub exp: i64,
    /// Everything, for claims that hold roles.
    pub all: Map<String, Value>,
}

impl fmt::Debug for ForeignClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ForeignClaims(…)")
    }
}

/// Who the token says made it. Nothing of it is verified: good only to choose whose keys do.
pub fn unverified_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issued {
        iss: String,
    }
    let parts = Parts::of(token, MAX_FOREIGN_TOKEN_BYTES).ok()?;
    parts.unverified::<Issued>().map(|issued| issued.iss)
}

/// An issuer's keys.
pub struct ForeignKeys(Vec<ForeignKey>);

struct ForeignKey {
    kid: Option<String>,
    algorithms: Vec<ForeignAlgorithm>,
    key: DecodingKey,
}

/// The text is no JWKS document, or none of its keys can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JWKS document with a key that can be used")]
pub struct BadJwks;

impl ForeignKeys {
    /// From a JWKS document. Keys of unknown kinds, for encryption, or shared are left out.
    pub fn from_jwks(text: &str) -> Result<Self, BadJwks> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document = serde_json::from_str(text).map_err(|_| BadJwks)?;
        if document.keys.len() > MAX_KEYS {
            return Err(BadJwks);
        }
        let keys: Vec<_> = document.keys.into_iter().filter_map(ForeignKey::new).collect();
        if keys.is_empty() { Err(BadJwks) } else { Ok(Self(keys)) }
    }

    /// Whether the token names a key of these: if not, the issuer may have a new one.
    pub fn knows_key_of(&self, token: &str) -> bool {
        let parts = Parts::of(token, MAX_FOREIGN_TOKEN_BYTES);
        parts.is_ok_and(|parts| self.find(&parts).is_ok())
    }

    pub fn verify_foreign(
        &self,
        token: &str,
        expected: &ForeignExpected<'_>,
    ) -> Result<ForeignClaims, TokenError> {
        let parts = Parts::of(token, MAX_FOREIGN_TOKEN_BYTES)?;
        let algorithm = ForeignAlgorithm::from_name(&parts.header.alg)
            .filter(|algorithm| expected.algorithms.contains(algorithm))
            .ok_or(TokenError::WrongAlgorithm)?;
        let key = self.find(&parts)?;
        if !key.algorithms.contains(&algorithm) {
            return Err(TokenError::WrongAlgorithm);
        }
        let all: Map<String, Value> = parts.claims(&key.key, algorithm.in_jwt())?;
        check(&all, expected)?;
        read(all).ok_or(TokenError::BadClaims)
    }

    /// The key that the token names; the only one there is may go unnamed.
    fn find(&self, parts: &Parts<'_>) -> Result<&ForeignKey, TokenError> {
        let found = match (&parts.header.kid, self.0.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (kid, keys) => keys.iter().find(|key| key.kid == *kid),
        };
        found.ok_or(TokenError::UnknownKey)
    }
}

impl fmt::Debug for ForeignKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.kid)).finish()
    }
}

impl ForeignKey {
    fn new(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
            return None;
        }
        let by_kind: &[ForeignAlgorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[ForeignAlgorithm::Rs256, ForeignAlgorithm::Ps256],
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
                &[ForeignAlgorithm::Es256]
            }
            AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
                &[ForeignAlgorithm::EdDsa]
            }
            _ => return None,
        };
        let said = jwk.common.key_algorithm.map(|said| said.to_string());
        let fits = |known: &ForeignAlgorithm| said.as_ref().is_none_or(|s| s == known.name());
        let algorithms: Vec<_> = by_kind.iter().copied().filter(fits).collect();
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty()).then_some(Self { kid: jwk.common.key_id, algorithms, key })
    }
}

fn check(all: &Map<String, Value>, expected: &ForeignExpected<'_>) -> Result<(), TokenError> {
    let text = |name: &str| all.get(name).and_then(Value::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(TokenError::WrongIssuer);
    }
    let is_ours = match all.get("aud") {
        Some(Value::String(one)) => one == expected.audience,
        Some(Value::Array(many)) => many.iter().any(|one| *one == expected.audience),
        _ => false,
    };
    if !is_ours {
        return Err(TokenError::WrongAudience);
    }
    let not_before = match all.get("nbf") {
        None => None,
        Some(value) => Some(seconds(value).ok_or(TokenError::BadClaims)?),
    };
    let expires = all.get("exp").and_then(seconds).ok_or(TokenError::BadClaims)?;
    Validity { not_before, expires }.check(expected.now, expected.leeway_s)
}

/// RFC 7519's NumericDate: fractions are possible.
fn seconds(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64().map(|fraction| fraction.floor() as i64))
}

fn read(all: Map<String, Value>) -> Option<ForeignClaims> {
    let text = |name: &str| all.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(ForeignClaims {
        sub: text("sub").filter(|sub| !sub.is_empty())?,
        email: text("email"),
        email_verified: all.get("email_verified").map(|said| *said == true || *said == "true"),
        name: text("name"),
        exp: all.get("exp").and_then(seconds)?,
        all,
    })
}

#[cfg(test)]
mod tests;
