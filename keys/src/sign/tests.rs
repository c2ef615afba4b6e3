use serde_json::{Value, json};

use super::*;

fn part(token: &str, at: usize) -> Value {
    let part = token.split('.').nth(at).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("json")
}

#[test]
fn the_header_names_algorithm_type_and_key() {
    let signer = Signer::generate(&Algorithm::ALL).expect("keys");
    for algorithm in Algorithm::ALL {
        for typ in [ACCESS_TOKEN, ID_TOKEN, "logout+jwt"] {
            let token = signer.sign(algorithm, typ, &json!({"sub": "a"})).expect("signs");
            assert_eq!(
                part(&token, 0),
                json!({"alg": algorithm.as_str(), "typ": typ, "kid": signer.kid(algorithm)})
            );
            assert_eq!(part(&token, 1), json!({"sub": "a"}));
        }
    }
}

#[test]
fn a_key_survives_pkcs8() {
    for algorithm in Algorithm::ALL {
        let key = SigningKey::generate(algorithm).expect("a key");
        let pkcs8 = key.to_pkcs8().expect("pkcs8");
        let again = SigningKey::from_pkcs8(algorithm, &pkcs8).expect("the same key");
        assert_eq!(again.jwk(), key.jwk());
        for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
            assert_eq!(
                SigningKey::from_pkcs8(other, &pkcs8).unwrap_err(),
                KeyError::Parse(other),
                "a key of {algorithm} is none of {other}"
            );
        }
        assert!(SigningKey::from_pkcs8(algorithm, &pkcs8[..pkcs8.len() - 1]).is_err());
    }
}

#[test]
fn an_algorithm_without_a_key_is_an_error() {
    let signer = Signer::generate(&[Algorithm::EdDsa]).expect("a key");
    assert!(matches!(
        signer.sign(Algorithm::Rs256, ID_TOKEN, &json!({})),
        Err(SignError::NoKey(Algorithm::Rs256))
    ));
    assert!(matches!(
        signer.sign(Algorithm::EdDsa, ID_TOKEN, &std::collections::HashMap::from([(vec![1], 1)])),
        Err(SignError::Claims(_))
    ));
    assert_eq!(signer.algorithms().collect::<Vec<_>>(), [Algorithm::EdDsa]);
}

#[test]
fn another_implementation_accepts_every_algorithm() {
    let signer = Signer::generate(&Algorithm::ALL).expect("keys");
    for jwk in signer.jwks().keys {
        let token = signer.sign(
            jwk.alg,
            ID_TOKEN,
            &json!({"sub": "a", "aud": "b", "exp": 4_000_000_000_u64}),
        );
        let wire = serde_json::to_string(&jwk).expect("json");
        let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(&wire).expect("a JWK");
        let key = jsonwebtoken::DecodingKey::from_jwk(&jwk).expect("a key");
        let header = jsonwebtoken::decode_header(token.as_ref().expect("signs")).expect("a header");
        let mut rules = jsonwebtoken::Validation::new(header.alg);
        rules.set_audience(&["b"]);
        #[expect(
            clippy::disallowed_methods,
            reason = "the independent implementation to agree with"
        )]
        let data = jsonwebtoken::decode::<Value>(token.expect("signs"), &key, &rules);
        assert_eq!(data.expect("verifies").claims["sub"], "a");
    }
}
