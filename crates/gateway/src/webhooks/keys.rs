//! Signatures by keys that a gateway publishes: `t=<seconds>,kid=<id>,k1=<base64>`.
//!
//! Keys are a JWKS document, kept and refreshed as those of OIDC issuers are
//! (`caudal_outbound::issuers`): used for 10 minutes, asked for again when an unknown id comes, but
//! no more often than every 30 s. The key decides the algorithm, never the header: Ed25519, or RSA
//! of at least 2048 bits with PKCS #1 v1.5 and SHA-256.

use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::{Engine, engine::general_purpose::STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use caudal_domain::Timestamp;
use caudal_outbound::{Client, Issuer, Issuers, Url, World, issuers::IssuersOptions};
use serde::Deserialize;

use super::{Delivery, Signed, WebhookError};

/// The published keys of one gateway.
pub struct KeyScheme {
    header: &'static str,
    issuers: Issuers,
}

const ISSUER: &str = "gateway";

impl KeyScheme {
    pub fn new(header: &'static str, jwks: Url, client: &Client, world: &World) -> Self {
        let issuer = Issuer { name: ISSUER.into(), jwks_uri: Some(jwks) };
        let options = IssuersOptions::default();
        Self { header, issuers: Issuers::new(vec![issuer], client, options, world) }
    }

    /// Whether a webhook claims to be signed so.
    pub fn applies(&self, delivery: &Delivery<'_>) -> bool {
        let signed = delivery.header(self.header).map(Signed::read);
        matches!(signed, Some(Ok(signed)) if signed.all("k1").next().is_some())
    }

    pub async fn verify(
        &self,
        delivery: &Delivery<'_>,
        now: Timestamp,
    ) -> Result<(), WebhookError> {
        let header = delivery.header(self.header).ok_or(WebhookError::NoSignature)?;
        let signed = Signed::read(header)?;
        let kid = signed.all("kid").next().ok_or(WebhookError::Malformed)?;
        let tag = signed.all("k1").next().ok_or(WebhookError::Malformed)?;
        let tag = STANDARD.decode(tag).map_err(|_| WebhookError::Malformed)?;
        // Whatever is too old already is not worth a question to the gateway.
        signed.check_age(now)?;
        let key = self.key(kid).await?;
        key.verify(&signed.message(delivery.body), &tag)
    }

    async fn key(&self, kid: &str) -> Result<Key, WebhookError> {
        let unavailable = |why| WebhookError::KeysUnavailable(format!("{why}"));
        let jwks = self.issuers.jwks(ISSUER).await.map_err(unavailable)?;
        if let Some(key) = find(&jwks.json, kid) {
            return Ok(key);
        }
        let newer = self.issuers.newer(ISSUER, &jwks).await.map_err(unavailable)?;
        find(&newer.json, kid).ok_or(WebhookError::UnknownKey)
    }
}

enum Key {
    Ed25519(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Key {
    fn verify(&self, message: &[u8], tag: &[u8]) -> Result<(), WebhookError> {
        let result = match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, tag),
            Self::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, tag)
            }
        };
        result.map_err(|_| WebhookError::BadSignature)
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(tag = "kty")]
enum Jwk {
    #[serde(rename = "OKP")]
    Okp { crv: String, x: String },
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
}

/// The key with that id, if it is of a kind that we know.
fn find(jwks: &str, kid: &str) -> Option<Key> {
    let jwks = serde_json::from_str::<Jwks>(jwks).ok()?;
    let named = jwks.keys.into_iter().find(|key| key["kid"].as_str() == Some(kid))?;
    let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    match serde_json::from_value(named).ok()? {
        Jwk::Okp { crv, x } if crv == "Ed25519" => Some(Key::Ed25519(bytes(&x)?)),
        Jwk::Okp { .. } => None,
        Jwk::Rsa { n, e } => Some(Key::Rsa { n: bytes(&n)?, e: bytes(&e)? }),
    }
}
