//! Our access tokens: JWTs signed EdDSA or ES256, and the keys that sign and verify them.
//!
//! A key's `kid` is its RFC 7638 thumbprint. Tokens carry who and since when, no permissions.

use std::fmt;

use aws_lc_rs::{
    agreement::{ECDH_P256, PrivateKey},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use caudal_domain::{SessionId, TenantId, Timestamp, UserId, id::Chance};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, crypto,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::Zeroizing;

pub use crate::jws::TokenError;
use crate::jws::{Parts, Validity};

/// Ours have about 600 bytes.
pub const MAX_TOKEN_BYTES: usize = 4096;
/// RFC 9068: so that no other kind of token passes for an access token.
const TYPE: &str = "at+jwt";

/// What an access token says. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: String,
    pub sub: UserId,
    pub sid: SessionId,
    pub tid: TenantId,
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
    /// When a password or another proof was last given.
    pub auth_time: i64,
    /// Set after a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
}

/// What a token must say to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub audience: &'a str,
    pub now: Timestamp,
    /// How far clocks of instances may differ.
    pub leeway_s: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningAlgorithm {
    #[default]
    EdDsa,
    Es256,
}

impl SigningAlgorithm {
    pub const fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::EdDsa, Self::Es256].into_iter().find(|known| known.name() == name)
    }

    const fn in_jwt(self) -> Algorithm {
        match self {
            Self::EdDsa => Algorithm::EdDSA,
            Self::Es256 => Algorithm::ES256,
        }
    }
}

/// The bytes are no private key of the algorithm, or the text no public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable key of the algorithm")]
pub struct BadKey;

/// A key that signs.
pub struct SigningKey {
    key: EncodingKey,
    public: PublicKey,
    header: String,
}

impl SigningKey {
    /// A new key, made of `chance` alone.
    pub fn generate(algorithm: SigningAlgorithm, chance: &dyn Chance) -> Self {
        loop {
            let mut seed = Zeroizing::new([0; 32]);
            chance.fill(&mut *seed);
            // One P-256 scalar in 2³² is too large: then another is drawn.
            if let Ok(key) =
                private_part(algorithm, &seed).and_then(|private| Self::import(algorithm, &private))
            {
                return key;
            }
        }
    }

    /// From what [`private_part`](Self::private_part) gave.
    pub fn import(algorithm: SigningAlgorithm, private: &[u8]) -> Result<Self, BadKey> {
        let (key, public) = match algorithm {
            SigningAlgorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(private).map_err(|_| BadKey)?;
                let public = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
                (EncodingKey::from_ed_der(private), DecodingKey::from_ed_der(&public))
            }
            SigningAlgorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private)
                    .map_err(|_| BadKey)?;
                let public = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
                (EncodingKey::from_ec_der(private), DecodingKey::from_ec_der(&public))
            }
        };
        let jwk = Jwk::from_decoding_key(&public, Some(algorithm.in_jwt())).map_err(|_| BadKey)?;
        let public = PublicKey::new(jwk)?;
        let header = json!({ "alg": algorithm.name(), "typ": TYPE, "kid": public.kid });
        Ok(Self { key, header: URL_SAFE_NO_PAD.encode(header.to_string()), public })
    }

    /// The private part (PKCS #8), for the vault only.
    pub fn private_part(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.as_bytes().to_vec())
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// The token of these claims.
    pub fn sign(&self, claims: &Claims) -> String {
        let claims = serde_json::to_vec(claims).expect("claims are plain text and numbers");
        let mut token = self.header.clone();
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = crypto::sign(token.as_bytes(), &self.key, self.public.algorithm.in_jwt())
            .expect("the key signed when it was made or read");
        token.push('.');
        token + &signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.kid)
    }
}

/// PKCS #8 of the private key whose seed or scalar is `seed`.
fn private_part(
    algorithm: SigningAlgorithm,
    seed: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    let document = match algorithm {
        // Version 1: the form without the public part, which every library reads.
        SigningAlgorithm::EdDsa => Ed25519KeyPair::from_seed_unchecked(seed)
            .map_err(|_| BadKey)?
            .to_pkcs8v1()
            .map_err(|_| BadKey)?,
        SigningAlgorithm::Es256 => {
            let public = PrivateKey::from_private_key(&ECDH_P256, seed)
                .map_err(|_| BadKey)?
                .compute_public_key()
                .map_err(|_| BadKey)?;
            let rule = &ECDSA_P256_SHA256_FIXED_SIGNING;
            EcdsaKeyPair::from_private_key_and_public_key(rule, seed, public.as_ref())
                .map_err(|_| BadKey)?
                .to_pkcs8v1()
                .map_err(|_| BadKey)?
        }
    };
    Ok(Zeroizing::new(document.as_ref().to_vec()))
}

/// A key that verifies, as anybody may know it.
#[derive(Clone)]
pub struct PublicKey {
    pub kid: String,
    pub algorithm: SigningAlgorithm,
    key: DecodingKey,
    jwk: Jwk,
}

impl PublicKey {
    fn new(mut jwk: Jwk) -> Result<Self, BadKey> {
        let algorithm = jwk.common.key_algorithm.map(|known| known.to_string());
        let algorithm = algorithm.and_then(|name| SigningAlgorithm::from_name(&name));
        let kid = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| BadKey)?;
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk.common.key_id = Some(kid.clone());
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| BadKey)?;
        Ok(Self { kid, algorithm: algorithm.ok_or(BadKey)?, key, jwk })
    }

    /// From a JWK's JSON, as [`jwk`](Self::jwk) wrote it.
    pub fn from_jwk(text: &str) -> Result<Self, BadKey> {
        let jwk: Jwk = serde_json::from_str(text).map_err(|_| BadKey)?;
        let said = jwk.common.key_id.clone();
        let key = Self::new(jwk)?;
        (said.as_ref() == Some(&key.kid)).then_some(key).ok_or(BadKey)
    }

    /// The JWK as JSON.
    pub fn jwk(&self) -> String {
        serde_json::to_string(&self.jwk).expect("a JWK is plain text")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm.name(), self.kid)
    }
}

/// The keys whose signatures count: the present one, the next, and those that retired of late.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<PublicKey>);

impl KeySet {
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Self {
        Self(keys.into_iter().collect())
    }

    /// Whether the token names a key of this set: if not, a fresher set may have it.
    pub fn knows_key_of(&self, token: &str) -> bool {
        let parts = Parts::of(token, MAX_TOKEN_BYTES);
        parts.is_ok_and(|parts| self.find(parts.header.kid.as_deref()).is_some())
    }

    /// The claims of a token that one of these keys signed and that holds now.
    pub fn verify(&self, token: &str, expected: &Expected<'_>) -> Result<Claims, TokenError> {
        let parts = Parts::of(token, MAX_TOKEN_BYTES)?;
        let key = self.find(parts.header.kid.as_deref()).ok_or(TokenError::UnknownKey)?;
        if parts.header.alg != key.algorithm.name() {
            return Err(TokenError::WrongAlgorithm);
        }
        if !parts.header.typ.as_ref().is_some_and(|typ| typ.eq_ignore_ascii_case(TYPE)) {
            return Err(TokenError::WrongType);
        }
        let claims: Claims = parts.claims(&key.key, key.algorithm.in_jwt())?;
        if claims.iss != expected.issuer {
            return Err(TokenError::WrongIssuer);
        }
        if claims.aud != expected.audience {
            return Err(TokenError::WrongAudience);
        }
        let validity = Validity { not_before: Some(claims.iat), expires: claims.exp };
        validity.check(expected.now, expected.leeway_s)?;
        Ok(claims)
    }

    /// The JWKS document.
    pub fn jwks(&self) -> String {
        let keys: Vec<&Jwk> = self.0.iter().map(|key| &key.jwk).collect();
        json!({ "keys": keys }).to_string()
    }

    fn find(&self, kid: Option<&str>) -> Option<&PublicKey> {
        self.0.iter().find(|key| Some(key.kid.as_str()) == kid)
    }
}

#[cfg(test)]
mod tests;
