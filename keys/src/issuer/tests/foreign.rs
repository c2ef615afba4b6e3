//! What other issuers publish: which keys are taken, and why the others are not.

use aws_lc_rs::{
    encoding::AsDer,
    rsa::KeySize,
    signature::{KeyPair, RsaKeyPair},
};

use super::*;

fn key(algorithm: Algorithm) -> Value {
    serde_json::to_value(SigningKey::generate(algorithm).expect("a key").jwk()).expect("json")
}

fn read(jwk: &Value) -> Result<Algorithm, Unusable> {
    VerifyingKey::from_json(jwk.as_object().expect("an object")).map(|key| key.algorithm())
}

/// The key with some members replaced, or removed where the new value is null.
fn with(jwk: &Value, changes: &Value) -> Value {
    let mut other = jwk.clone();
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            other.as_object_mut().expect("an object").remove(name);
        } else {
            other[name] = value.clone();
        }
    }
    other
}

#[test]
fn keys_are_taken_with_and_without_the_optional_members() {
    for algorithm in Algorithm::ALL {
        let jwk = key(algorithm);
        assert_eq!(read(&jwk), Ok(algorithm));
        assert_eq!(read(&with(&jwk, &json!({"use": null, "alg": null}))), Ok(algorithm));
        let more =
            json!({"key_ops": ["verify"], "x5t": "a", "x5c": ["MIIB"], "issuer": "x", "nbf": 1});
        assert_eq!(read(&with(&jwk, &more)), Ok(algorithm));
    }
}

#[test]
fn keys_for_something_else_are_left_out() {
    let (ec, rsa) = (key(Algorithm::Es256), key(Algorithm::Rs256));
    let cases = [
        (with(&ec, &json!({"use": "enc"})), Unusable::Usage),
        (with(&ec, &json!({"use": 1})), Unusable::Usage),
        (with(&ec, &json!({"key_ops": ["sign"]})), Unusable::Usage),
        (with(&ec, &json!({"key_ops": []})), Unusable::Usage),
        (with(&ec, &json!({"key_ops": "verify"})), Unusable::Malformed),
        (with(&ec, &json!({"alg": "ES384"})), Unusable::Kind),
        (with(&ec, &json!({"alg": "RS256"})), Unusable::AlgorithmMismatch),
        (with(&ec, &json!({"alg": "EdDSA"})), Unusable::AlgorithmMismatch),
        (with(&ec, &json!({"alg": 1})), Unusable::AlgorithmMismatch),
        (with(&rsa, &json!({"alg": "RS512"})), Unusable::Kind),
        (with(&rsa, &json!({"alg": "PS256"})), Unusable::Kind),
        (with(&rsa, &json!({"alg": "RSA-OAEP"})), Unusable::Kind),
        (with(&rsa, &json!({"alg": "HS256"})), Unusable::Kind),
        (with(&rsa, &json!({"alg": "none"})), Unusable::Kind),
        (with(&ec, &json!({"crv": "P-384"})), Unusable::Kind),
        (with(&ec, &json!({"crv": "secp256k1"})), Unusable::Kind),
        (with(&ec, &json!({"kty": "EX"})), Unusable::Kind),
        (with(&ec, &json!({"kty": null})), Unusable::Kind),
        (with(&ec, &json!({"kid": null})), Unusable::NoKeyId),
        (with(&ec, &json!({"kid": ""})), Unusable::NoKeyId),
        (with(&ec, &json!({"kid": 1})), Unusable::NoKeyId),
        (json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"}), Unusable::Private),
        (json!({"kty": "oct", "kid": "a"}), Unusable::Kind),
    ];
    for (jwk, why) in cases {
        assert_eq!(read(&jwk), Err(why), "{jwk}");
    }
    for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert_eq!(read(&with(&ec, &json!({private: "AA"}))), Err(Unusable::Private), "{private}");
    }
}

#[test]
fn members_that_make_no_key_are_left_out() {
    let ec = key(Algorithm::Es256);
    let x = ec["x"].as_str().expect("x");
    let y = ec["y"].as_str().expect("y");
    let point = [x, y].map(|half| URL_SAFE_NO_PAD.decode(half).expect("base64url")).concat();
    let (shorter, longer) = point.split_at(31);
    let mut off_curve = URL_SAFE_NO_PAD.decode(x).expect("base64url");
    off_curve[31] ^= 1;
    for changes in [
        json!({"x": null}),
        json!({"y": 1}),
        json!({"x": format!("{x}=")}),
        json!({"x": format!("{x}AAAA")}),
        json!({"x": ""}),
        json!({"x": URL_SAFE_NO_PAD.encode(shorter), "y": URL_SAFE_NO_PAD.encode(longer)}),
        json!({"x": URL_SAFE_NO_PAD.encode(&off_curve)}),
        json!({"x": URL_SAFE_NO_PAD.encode([0; 32]), "y": URL_SAFE_NO_PAD.encode([0; 32])}),
    ] {
        assert_eq!(read(&with(&ec, &changes)), Err(Unusable::Malformed), "{changes}");
    }
    let ed = key(Algorithm::EdDsa);
    for x in ["", "AAAA"] {
        assert_eq!(read(&with(&ed, &json!({"x": x}))), Err(Unusable::Malformed));
    }
}

#[test]
fn weak_rsa_keys_are_left_out() {
    let rsa = key(Algorithm::Rs256);
    for e in ["AQ", "AA", "", "Ag", "AQAA", "AQAAAAE"] {
        // 1, 0, nothing, 2, 65536, and one of 33 bits.
        assert_eq!(read(&with(&rsa, &json!({"e": e}))), Err(Unusable::Weak), "{e}");
    }
    let modulus = |bytes: usize, top: u8| {
        let mut n = vec![0xa5; bytes];
        n[0] = top;
        n[bytes - 1] |= 1;
        json!({"n": URL_SAFE_NO_PAD.encode(n)})
    };
    assert_eq!(read(&with(&rsa, &modulus(128, 0xff))), Err(Unusable::Weak), "1024 bits");
    assert_eq!(read(&with(&rsa, &modulus(256, 0x7f))), Err(Unusable::Weak), "2047 bits");
    assert_eq!(read(&with(&rsa, &modulus(1025, 0x01))), Err(Unusable::Weak), "8193 bits");
    assert_eq!(read(&with(&rsa, &modulus(256, 0x80))), Ok(Algorithm::Rs256), "2048 bits");
    let n = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().expect("n")).expect("base64url");
    let padded = json!({"n": URL_SAFE_NO_PAD.encode([&[0], &n[..]].concat())});
    assert_eq!(read(&with(&rsa, &padded)), Ok(Algorithm::Rs256), "some write a zero before");
}

#[tokio::test]
async fn larger_rsa_keys_of_other_issuers_verify() {
    let pair = RsaKeyPair::generate(KeySize::Rsa3072).expect("a key");
    let der = pair.as_der().expect("pkcs8");
    let key = SigningKey::from_pkcs8(Algorithm::Rs256, der.as_ref()).expect("the same key");
    assert!(!pair.public_key().as_ref().is_empty());
    let body = json!({"keys": [key.jwk()]}).to_string();
    let set = KeySet::parse(body.as_bytes(), 1).expect("a JWKS");
    let Lookup::Found(verifying) = set.find(&key.jwk().kid, Algorithm::Rs256) else {
        panic!("found")
    };
    assert!(verifying.verifies(b"message", &key.signature(b"message").expect("signs")));
}

#[test]
fn good_keys_are_taken_from_among_the_others() {
    let (ec, ed, rsa) = (key(Algorithm::Es256), key(Algorithm::EdDsa), key(Algorithm::Rs256));
    let body = json!({"keys": [
        {"kty": "oct", "k": "AA", "kid": "hmac"}, with(&ec, &json!({"use": "enc"})), {},
        with(&ec, &json!({"kid": "a"})), with(&rsa, &json!({"kid": "a"})),
        with(&key(Algorithm::Es256), &json!({"kid": "a"})), ed,
    ], "other": 1});
    let set = KeySet::parse(body.to_string().as_bytes(), 7).expect("a JWKS");
    assert_eq!((set.len(), set.generation()), (3, 7));
    let found = |kid: &str, algorithm| matches!(set.find(kid, algorithm), Lookup::Found(_));
    assert!(found("a", Algorithm::Es256) && found("a", Algorithm::Rs256));
    assert!(matches!(set.find("a", Algorithm::EdDsa), Lookup::OtherAlgorithm));
    assert!(matches!(set.find("hmac", Algorithm::Es256), Lookup::Unknown));
    let first =
        VerifyingKey::from_json(with(&ec, &json!({"kid": "a"})).as_object().expect("object"));
    assert!(set.contains(&first.expect("a key")), "the first of two with one name counts");

    let many: Vec<Value> =
        (0..200).map(|at| with(&ec, &json!({"kid": format!("k{at}")}))).collect();
    let set = KeySet::parse(json!({"keys": many}).to_string().as_bytes(), 1).expect("a JWKS");
    assert_eq!(set.len(), 64, "bounded");
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[[]]}"#, "null"] {
        assert!(KeySet::parse(text.as_bytes(), 1).is_none(), "{text}");
    }
}
