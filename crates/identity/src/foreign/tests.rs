//! Foreign tokens of each algorithm, and each way in which one is not believed.

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{self, KeyPair, RsaEncoding},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;
use crate::{
    testing::Counted,
    tokens::{SigningAlgorithm, SigningKey},
};

const NOW_S: i64 = 1_800_000_000;
const ISSUER: &str = "https://keycloak.example/realms/shop";

fn expected(algorithms: &[ForeignAlgorithm]) -> ForeignExpected<'_> {
    ForeignExpected {
        issuer: ISSUER,
        audience: "caudal",
        now: Timestamp::from_micros(NOW_S * 1_000_000),
        leeway_s: 5,
        algorithms,
    }
}

fn said() -> Value {
    json!({
        "iss": ISSUER, "aud": ["account", "caudal"], "sub": "f:1:ada", "exp": NOW_S + 300,
        "iat": NOW_S, "email": "ada@example.org", "email_verified": true, "name": "Ada",
        "realm_access": { "roles": ["operator"] },
    })
}

fn message(alg: &str, kid: Option<&str>, claims: &Value) -> String {
    let mut header = json!({ "alg": alg, "typ": "JWT" });
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

fn signed(key: &SigningKey, alg: &str, claims: &Value) -> String {
    let message = message(alg, Some(key.kid()), claims);
    let private = key.private_part();
    let (encoding, algorithm) = match key.public().algorithm {
        SigningAlgorithm::EdDsa => {
            (jsonwebtoken::EncodingKey::from_ed_der(&private), Algorithm::EdDSA)
        }
        SigningAlgorithm::Es256 => {
            (jsonwebtoken::EncodingKey::from_ec_der(&private), Algorithm::ES256)
        }
    };
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &encoding, algorithm).unwrap();
    format!("{message}.{signature}")
}

fn rsa_signed(key: &RsaKeyPair, alg: &str, rule: &'static dyn RsaEncoding) -> String {
    let message = message(alg, Some("rsa"), &said());
    let mut bytes = vec![0; key.public_modulus_len()];
    key.sign(rule, &SystemRandom::new(), message.as_bytes(), &mut bytes).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn rsa_jwk(key: &RsaKeyPair) -> Value {
    let public = key.public_key();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let n = text(public.modulus().big_endian_without_leading_zero());
    let e = text(public.exponent().big_endian_without_leading_zero());
    json!({ "kty": "RSA", "kid": "rsa", "n": n, "e": e })
}

fn jwks(keys: &[&Value]) -> Result<ForeignKeys, BadJwks> {
    ForeignKeys::from_jwks(&json!({ "keys": keys }).to_string())
}

fn own_jwk(key: &SigningKey) -> Value {
    serde_json::from_str(&key.public().jwk()).unwrap()
}

fn key(algorithm: SigningAlgorithm) -> SigningKey {
    SigningKey::generate(algorithm, &Counted::default())
}

#[test]
fn the_claims_of_eddsa_and_es256_tokens_are_read() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let key = key(algorithm);
        let keys = jwks(&[&own_jwk(&key)]).unwrap();
        let token = signed(&key, algorithm.name(), &said());
        let claims = keys.verify_foreign(&token, &expected(ForeignAlgorithm::ALL)).unwrap();
        assert_eq!(claims.sub, "f:1:ada");
        assert_eq!(claims.email.as_deref(), Some("ada@example.org"));
        assert_eq!(claims.email_verified, Some(true));
        assert_eq!(claims.name.as_deref(), Some("Ada"));
        assert_eq!(claims.all["realm_access"]["roles"][0], "operator");
        assert_eq!(format!("{claims:?}"), "ForeignClaims(…)");
        let answer = keys.verify_foreign(&token, &expected(&[ForeignAlgorithm::Rs256]));
        assert_eq!(answer, Err(TokenError::WrongAlgorithm));
    }
}

#[test]
fn rsa_keys_verify_what_their_document_and_the_setting_allow() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let jwk = rsa_jwk(&key);
    let rs256 = rsa_signed(&key, "RS256", &signature::RSA_PKCS1_SHA256);
    let ps256 = rsa_signed(&key, "PS256", &signature::RSA_PSS_SHA256);
    let keys = jwks(&[&jwk]).unwrap();
    for token in [&rs256, &ps256] {
        assert!(keys.verify_foreign(token, &expected(ForeignAlgorithm::ALL)).is_ok());
    }
    let answer = keys.verify_foreign(&ps256, &expected(&[ForeignAlgorithm::Rs256]));
    assert_eq!(answer, Err(TokenError::WrongAlgorithm));
    let mut only = jwk.clone();
    only["alg"] = json!("RS256");
    let keys = jwks(&[&only]).unwrap();
    assert!(keys.verify_foreign(&rs256, &expected(ForeignAlgorithm::ALL)).is_ok());
    let answer = keys.verify_foreign(&ps256, &expected(ForeignAlgorithm::ALL));
    assert_eq!(answer, Err(TokenError::WrongAlgorithm));
    let shared = [key.public_key().as_der().unwrap().as_ref().to_vec(), jwk.to_string().into()];
    for secret in shared {
        let message = message("HS256", Some("rsa"), &said());
        let secret = jsonwebtoken::EncodingKey::from_secret(&secret);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256);
        let token = format!("{message}.{}", signature.unwrap());
        let answer = keys.verify_foreign(&token, &expected(ForeignAlgorithm::ALL));
        assert_eq!(answer, Err(TokenError::WrongAlgorithm));
    }
}

#[test]
fn each_wrong_claim_has_its_name() {
    use TokenError::*;
    let key = key(SigningAlgorithm::EdDsa);
    let keys = jwks(&[&own_jwk(&key)]).unwrap();
    let table = [
        ("iss", json!("https://evil.example"), WrongIssuer),
        ("iss", json!([ISSUER]), WrongIssuer),
        ("aud", json!("account"), WrongAudience),
        ("aud", json!([]), WrongAudience),
        ("aud", json!(null), WrongAudience),
        ("exp", json!(NOW_S - 5), Expired),
        ("exp", json!(f64::MIN), Expired),
        ("exp", json!("soon"), BadClaims),
        ("exp", json!(null), BadClaims),
        ("nbf", json!(NOW_S + 6), NotYetValid),
        ("nbf", json!("x"), BadClaims),
        ("sub", json!(""), BadClaims),
        ("sub", json!(7), BadClaims),
    ];
    for (name, value, why) in table {
        let mut claims = said();
        claims[name] = value.clone();
        let token = signed(&key, "EdDSA", &claims);
        let answer = keys.verify_foreign(&token, &expected(ForeignAlgorithm::ALL));
        assert_eq!(answer, Err(why), "{name} {value}");
    }
    let mut fraction = said();
    fraction["exp"] = json!(NOW_S as f64 + 0.5);
    fraction["email_verified"] = json!("true");
    let token = signed(&key, "EdDSA", &fraction);
    let claims = keys.verify_foreign(&token, &expected(ForeignAlgorithm::ALL)).unwrap();
    assert_eq!((claims.exp, claims.email_verified), (NOW_S, Some(true)));
    let long = format!("{token}{}", "A".repeat(MAX_FOREIGN_TOKEN_BYTES));
    let answer = keys.verify_foreign(&long, &expected(ForeignAlgorithm::ALL));
    assert_eq!(answer, Err(TooLong));
}

#[test]
fn a_token_is_verified_by_the_key_it_names() {
    let (ed, ec) = (key(SigningAlgorithm::EdDsa), key(SigningAlgorithm::Es256));
    let mut misnamed = own_jwk(&ec);
    misnamed["kid"] = json!(ed.kid());
    let keys = jwks(&[&misnamed]).unwrap();
    let token = signed(&ed, "EdDSA", &said());
    let answer = keys.verify_foreign(&token, &expected(ForeignAlgorithm::ALL));
    assert_eq!(answer, Err(TokenError::WrongAlgorithm));
    let keys = jwks(&[&own_jwk(&ec)]).unwrap();
    assert!(!keys.knows_key_of(&token));
    let answer = keys.verify_foreign(&token, &expected(ForeignAlgorithm::ALL));
    assert_eq!(answer, Err(TokenError::UnknownKey));
    let both = jwks(&[&own_jwk(&ec), &own_jwk(&ed)]).unwrap();
    assert!(both.knows_key_of(&token));
    assert!(both.verify_foreign(&token, &expected(ForeignAlgorithm::ALL)).is_ok());
}

#[test]
fn keys_that_cannot_be_used_are_left_out() {
    let ed = own_jwk(&key(SigningAlgorithm::EdDsa));
    let mut encrypts = ed.clone();
    encrypts["use"] = json!("enc");
    let mut confused = ed.clone();
    confused["alg"] = json!("HS256");
    let shared = json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0", "alg": "HS256" });
    let unknown = json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" });
    for bad in [&encrypts, &confused, &shared, &unknown] {
        assert!(jwks(&[bad]).is_err(), "{bad}");
        assert_eq!(jwks(&[bad, &ed]).unwrap().0.len(), 1, "{bad}");
    }
    for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]}"] {
        assert!(ForeignKeys::from_jwks(text).is_err(), "{text}");
    }
    assert!(jwks(&vec![&ed; MAX_KEYS + 1]).is_err());
}
