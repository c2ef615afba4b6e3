use haetae_base::clock::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::verify::tests::{ED, ES256, ISSUER, NOW, clock, jwks, now};

const CLIENT: &str = "demo-partner";

fn verifier() -> IdVerifier {
    let expect = IdExpectation {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        algorithms: Algorithm::ALL.to_vec(),
        leeway: Duration::from_secs(30),
    };
    IdVerifier::new(expect, IssuerKeys::fixed(&jwks()), Arc::new(clock()))
}

fn token(changes: &Value) -> String {
    let mut claims = json!({"iss": ISSUER, "aud": CLIENT, "sub": "usr_1", "iat": NOW,
        "exp": NOW + 300, "nonce": "n-1", "name": "Haetae",
        "at_hash": half_hash(Algorithm::Es256, "access"),
        "c_hash": half_hash(Algorithm::Es256, "code")});
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    ES256.sign("JWT", &claims).expect("signs")
}

fn sent() -> Sent<'static> {
    Sent { nonce: Some("n-1"), access_token: Some("access"), code: Some("code") }
}

#[test]
fn a_good_one_is_accepted_with_its_profile() {
    let verified = now(verifier().verify(&token(&json!({})), sent())).expect("verifies");
    assert_eq!(verified.sub, "usr_1");
    assert_eq!(verified.profile["name"], "Haetae");
    assert_eq!(verified.exp, Timestamp::from_seconds(NOW + 300));
    assert_eq!(verified.profile.len(), 1, "protocol claims are not repeated in the profile");
    let both = token(&json!({"aud": ["other", CLIENT], "azp": CLIENT}));
    assert!(now(verifier().verify(&both, sent())).is_ok());
}

#[test]
fn each_rule_refuses() {
    let cases = [
        (json!({"iss": "https://auth.example.com/"}), VerifyError::WrongIssuer),
        (json!({"aud": "demo-mobile"}), VerifyError::WrongAudience),
        (json!({"aud": ["other", CLIENT]}), VerifyError::WrongAuthorizedParty),
        (json!({"azp": "demo-mobile"}), VerifyError::WrongAuthorizedParty),
        (json!({"exp": NOW - 30}), VerifyError::Expired),
        (json!({"iat": NOW + 31}), VerifyError::IssuedInFuture),
        (json!({"nbf": NOW + 31}), VerifyError::NotYetValid),
        (json!({"nonce": "n-2"}), VerifyError::WrongNonce),
        (json!({"at_hash": half_hash(Algorithm::Es256, "other")}), VerifyError::WrongHash),
        (json!({"at_hash": half_hash(Algorithm::EdDsa, "access")}), VerifyError::WrongHash),
        (json!({"c_hash": "x"}), VerifyError::WrongHash),
    ];
    for (changes, rule) in cases {
        assert_eq!(now(verifier().verify(&token(&changes), sent())).err(), Some(rule), "{changes}");
    }
    let claims =
        json!({"iss": ISSUER, "aud": CLIENT, "sub": "usr_1", "iat": NOW, "exp": NOW + 300});
    let without_nonce = ED.sign("JWT", &claims).expect("signs");
    let answer = now(verifier().verify(&without_nonce, sent()));
    assert_eq!(answer.err(), Some(VerifyError::WrongNonce));
    assert!(now(verifier().verify(&without_nonce, Sent::default())).is_ok());
}

#[test]
fn an_access_token_is_no_id_token() {
    let claims =
        json!({"iss": ISSUER, "aud": CLIENT, "sub": "usr_1", "iat": NOW, "exp": NOW + 300});
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", ""] {
        let other = ES256.sign(typ, &claims).expect("signs");
        let answer = now(verifier().verify(&other, Sent::default()));
        assert_eq!(answer.err(), Some(VerifyError::WrongType), "{typ}");
    }
}

#[test]
fn a_hint_may_have_expired_and_nothing_else() {
    let old = token(&json!({"exp": NOW - 86_400, "iat": NOW - 90_000}));
    assert_eq!(now(verifier().verify_hint(&old)).expect("a hint").sub, "usr_1");
    let foreign = token(&json!({"exp": NOW - 86_400, "aud": "demo-mobile"}));
    assert_eq!(now(verifier().verify_hint(&foreign)).err(), Some(VerifyError::WrongAudience));
}
