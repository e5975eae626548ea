//! What is believed as our token, and each way in which one is not.

use super::*;
use crate::testing::Counted;

const NOW_S: i64 = 1_800_000_000;

fn claims() -> Claims {
    Claims {
        iss: "https://caudal.example".into(),
        aud: "caudal".into(),
        sub: UserId(5),
        sid: SessionId(6),
        tid: TenantId(7),
        iat: NOW_S,
        exp: NOW_S + 600,
        jti: "j".into(),
        auth_time: NOW_S - 60,
        acr: None,
    }
}

fn expected_at(seconds: i64) -> Expected<'static> {
    Expected {
        issuer: "https://caudal.example",
        audience: "caudal",
        now: Timestamp::from_micros(seconds * 1_000_000),
        leeway_s: 5,
    }
}

fn key(algorithm: SigningAlgorithm) -> SigningKey {
    SigningKey::generate(algorithm, &Counted::default())
}

fn part(value: &serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with this header, signed properly.
fn with_header(key: &SigningKey, header: &serde_json::Value) -> String {
    let message = format!("{}.{}", part(header), part(&json!(claims())));
    let algorithm = key.public.algorithm.in_jwt();
    let signature = crypto::sign(message.as_bytes(), &key.key, algorithm).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn our_tokens_are_verified_by_both_algorithms() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let key = key(algorithm);
        let set = KeySet::new([key.public().clone()]);
        let stepped_up = Claims { acr: Some("mfa".into()), ..claims() };
        for claims in [claims(), stepped_up] {
            let token = key.sign(&claims);
            assert_eq!(set.verify(&token, &expected_at(NOW_S)), Ok(claims), "{token}");
            assert!(set.knows_key_of(&token));
        }
    }
}

#[test]
fn keys_are_kept_and_read_again() {
    for algorithm in [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256] {
        let key = key(algorithm);
        let again = SigningKey::import(algorithm, &key.private_part()).unwrap();
        let public = PublicKey::from_jwk(&key.public().jwk()).unwrap();
        assert_eq!((again.kid(), public.kid.as_str()), (key.kid(), key.kid()));
        let token = again.sign(&claims());
        assert!(KeySet::new([public]).verify(&token, &expected_at(NOW_S)).is_ok());
        assert!(SigningKey::import(algorithm, &key.private_part()[1..]).is_err());
        let shown = format!("{key:?} {:?}", key.public());
        assert!(!shown.contains(&URL_SAFE_NO_PAD.encode(&key.private_part()[..8])), "{shown}");
    }
    let renamed = key(SigningAlgorithm::EdDsa).public().jwk().replace("\"kid\":\"", "\"kid\":\"x");
    assert!(PublicKey::from_jwk(&renamed).is_err());
}

#[test]
fn the_jwks_document_holds_public_parts_only() {
    let (one, two) = (key(SigningAlgorithm::EdDsa), key(SigningAlgorithm::Es256));
    let set = KeySet::new([one.public().clone(), two.public().clone()]);
    let document: serde_json::Value = serde_json::from_str(&set.jwks()).unwrap();
    let names = |n: usize| document["keys"][n].as_object().unwrap().keys().cloned();
    let mut first: Vec<_> = names(0).collect();
    first.sort();
    assert_eq!(first, ["alg", "crv", "kid", "kty", "use", "x"]);
    assert_eq!(document["keys"][0]["kty"], "OKP");
    assert_eq!(document["keys"][0]["alg"], "EdDSA");
    let mut second: Vec<_> = names(1).collect();
    second.sort();
    assert_eq!(second, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert_eq!(document["keys"][1]["kid"], two.kid());
}

#[test]
fn each_wrong_claim_has_its_name() {
    use TokenError::*;
    let key = key(SigningAlgorithm::EdDsa);
    let set = KeySet::new([key.public().clone()]);
    let table = [
        (Claims { iss: "https://evil.example".into(), ..claims() }, NOW_S, WrongIssuer),
        (Claims { aud: "other".into(), ..claims() }, NOW_S, WrongAudience),
        (claims(), NOW_S + 605, Expired),
        (claims(), NOW_S - 6, NotYetValid),
        (Claims { exp: i64::MIN, ..claims() }, NOW_S, Expired),
        (Claims { iat: i64::MAX, ..claims() }, NOW_S, NotYetValid),
    ];
    for (claims, at, why) in table {
        assert_eq!(set.verify(&key.sign(&claims), &expected_at(at)), Err(why), "{claims:?}");
    }
    for at in [NOW_S - 5, NOW_S + 604] {
        assert!(set.verify(&key.sign(&claims()), &expected_at(at)).is_ok());
    }
}

#[test]
fn each_wrong_header_has_its_name() {
    use TokenError::*;
    let key = key(SigningAlgorithm::EdDsa);
    let set = KeySet::new([key.public().clone()]);
    let good = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": key.kid() });
    assert!(set.verify(&with_header(&key, &good), &expected_at(NOW_S)).is_ok());
    let with = |name: &str, value: serde_json::Value| {
        let mut header = good.clone();
        header[name] = value;
        header
    };
    let own: serde_json::Value = serde_json::from_str(&key.public().jwk()).unwrap();
    let table = [
        (with("alg", json!("none")), WrongAlgorithm),
        (with("alg", json!("None")), WrongAlgorithm),
        (with("alg", json!("HS256")), WrongAlgorithm),
        (with("alg", json!("ES256")), WrongAlgorithm),
        (with("alg", json!(null)), Malformed),
        (with("kid", json!("other")), UnknownKey),
        (with("kid", json!(null)), UnknownKey),
        (with("kid", json!("../../dev/null")), UnknownKey),
        (with("kid", json!(["x"])), Malformed),
        (with("typ", json!("JWT")), WrongType),
        (with("typ", json!(null)), WrongType),
        (with("crit", json!(["exp"])), Critical),
        (with("crit", json!([])), Critical),
        (with("b64", json!(false)), Critical),
        (with("jwk", own), KeyInHeader),
        (with("jku", json!("https://evil.example/jwks")), KeyInHeader),
        (with("x5u", json!("https://evil.example/x")), KeyInHeader),
        (with("x5c", json!(["MIIB"])), KeyInHeader),
    ];
    for (header, why) in table {
        let token = with_header(&key, &header);
        assert_eq!(set.verify(&token, &expected_at(NOW_S)), Err(why), "{header}");
    }
}

#[test]
fn the_public_key_is_no_shared_secret() {
    let key = key(SigningAlgorithm::EdDsa);
    let set = KeySet::new([key.public().clone()]);
    let bytes = key.public.key.try_get_as_bytes().unwrap();
    let x = serde_json::from_str::<serde_json::Value>(&key.public().jwk()).unwrap();
    let secrets = [bytes, x["x"].as_str().unwrap().as_bytes(), key.public().jwk().as_bytes()]
        .map(EncodingKey::from_secret);
    for (secret, alg) in secrets.iter().flat_map(|s| [(s, "HS256"), (s, "EdDSA")]) {
        let header = json!({ "alg": alg, "typ": "at+jwt", "kid": key.kid() });
        let message = format!("{}.{}", part(&header), part(&json!(claims())));
        let signature = crypto::sign(message.as_bytes(), secret, Algorithm::HS256).unwrap();
        let answer = set.verify(&format!("{message}.{signature}"), &expected_at(NOW_S));
        let why =
            if alg == "HS256" { TokenError::WrongAlgorithm } else { TokenError::BadSignature };
        assert_eq!(answer, Err(why));
    }
}

#[test]
fn altered_and_malformed_tokens_are_refused() {
    use TokenError::*;
    let key = key(SigningAlgorithm::EdDsa);
    let set = KeySet::new([key.public().clone()]);
    let token = key.sign(&claims());
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let richer = part(&json!(Claims { tid: TenantId(8), ..claims() }));
    let other = SigningKey::import(
        SigningAlgorithm::EdDsa,
        &private_part(SigningAlgorithm::EdDsa, &[9; 32]).unwrap(),
    );
    let foreign = other.unwrap().sign(&claims());
    let foreign = foreign.rsplit('.').next().unwrap();
    let table = [
        (format!("{header}.{richer}.{signature}"), BadSignature),
        (format!("{header}.{payload}.{foreign}"), BadSignature),
        (format!("{header}.{payload}."), BadSignature),
        (format!("{header}.{payload}.{signature}="), BadSignature),
        (format!("{header}.{payload}.{}", &signature[1..]), BadSignature),
        (format!("{header}.{payload}"), Malformed),
        (format!("{header}.{payload}.{signature}.x"), BadSignature),
        (format!(".{token}"), Malformed),
        (format!(" {token}"), Malformed),
        (String::new(), Malformed),
        ("..".into(), Malformed),
        ("é.é.é".into(), Malformed),
        (format!("{token}{}", "A".repeat(MAX_TOKEN_BYTES)), TooLong),
        ("A".repeat(10_000_000), TooLong),
    ];
    for (bad, why) in table {
        let short: String = bad.chars().take(200).collect();
        assert_eq!(set.verify(&bad, &expected_at(NOW_S)), Err(why), "{short}");
    }
}

#[test]
fn a_signed_text_without_the_claims_is_refused() {
    let key = key(SigningAlgorithm::EdDsa);
    let set = KeySet::new([key.public().clone()]);
    let whole = json!(claims());
    for name in ["iss", "aud", "sub", "sid", "tid", "iat", "exp", "jti", "auth_time"] {
        let mut lacking = whole.clone();
        lacking.as_object_mut().unwrap().remove(name);
        let message = format!("{}.{}", key.header, part(&lacking));
        let signature = crypto::sign(message.as_bytes(), &key.key, Algorithm::EdDSA).unwrap();
        let answer = set.verify(&format!("{message}.{signature}"), &expected_at(NOW_S));
        assert_eq!(answer, Err(TokenError::BadClaims), "{name}");
    }
}

#[test]
fn an_old_key_verifies_as_long_as_it_is_kept() {
    let chance = Counted::default();
    let old = SigningKey::generate(SigningAlgorithm::EdDsa, &chance);
    let new = SigningKey::generate(SigningAlgorithm::EdDsa, &chance);
    let token = old.sign(&claims());
    let both = KeySet::new([new.public().clone(), old.public().clone()]);
    assert!(both.verify(&token, &expected_at(NOW_S)).is_ok());
    let later = KeySet::new([new.public().clone()]);
    assert_eq!(later.verify(&token, &expected_at(NOW_S)), Err(TokenError::UnknownKey));
    assert!(!later.knows_key_of(&token));
}
