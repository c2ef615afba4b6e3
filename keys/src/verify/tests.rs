//! Tokens that have to be refused, each with the rule that refuses it, beside the good ones that must not be.

mod forged;
mod remembered;

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_base::clock::{ManualClock, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::{
    claims::{Acr, Scope},
    jwks::JwkSet,
    sign::SigningKey,
};

pub(super) const ISSUER: &str = "https://auth.example.com";
pub(super) const AUDIENCE: &str = "https://auth.example.com/api/v1";
pub(super) const NOW: i64 = 1_800_000_000;

/// One key an algorithm, made once: RSA takes its time.
pub(super) static ES256: LazyLock<SigningKey> = LazyLock::new(|| generate(Algorithm::Es256));
pub(super) static RS256: LazyLock<SigningKey> = LazyLock::new(|| generate(Algorithm::Rs256));
pub(super) static ED: LazyLock<SigningKey> = LazyLock::new(|| generate(Algorithm::EdDsa));

fn generate(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).expect("a key")
}

pub(super) fn all_keys() -> [&'static SigningKey; 3] {
    [&ES256, &RS256, &ED]
}

pub(super) fn jwks() -> JwkSet {
    JwkSet { keys: all_keys().iter().map(|key| key.jwk().clone()).collect() }
}

pub(super) fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_seconds(NOW))
}

pub(super) fn verifier(clock: &ManualClock, capacity: usize) -> Verifier {
    let keys = IssuerKeys::fixed(&jwks());
    Verifier::new(Expectation::new(ISSUER, AUDIENCE), keys, capacity, Arc::new(clock.clone()))
}

/// Fixed keys never make a verifier wait, so a small runtime for each call does.
pub(super) fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

pub(super) fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "usr_1", "client_id": "demo-mobile",
        "scope": "openid reservations:read", "iat": NOW, "exp": NOW + 300, "jti": "tok_1",
        "sid": "sid_1", "acr": "2fa", "amr": ["pwd", "otp"], "auth_time": NOW - 60,
        "roles": ["admin"],
    })
}

/// The claims with some replaced, or removed where the new value is null.
pub(super) fn claims_with(changes: &Value) -> Value {
    let mut claims = claims();
    let object = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            object.remove(name);
        } else {
            object.insert(name.clone(), value.clone());
        }
    }
    claims
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn header(key: &SigningKey) -> Value {
    json!({"alg": key.jwk().alg.as_str(), "typ": "at+jwt", "kid": key.jwk().kid})
}

/// A token with exactly these texts as header and payload, signed properly.
pub(super) fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
    let input = format!("{}.{}", encode(header), encode(payload));
    let signature = key.signature(input.as_bytes()).expect("signs");
    format!("{input}.{}", encode(signature))
}

pub(super) fn token(key: &SigningKey, claims: &Value) -> String {
    signed(key, &header(key).to_string(), &claims.to_string())
}

#[test]
fn good_tokens_of_every_algorithm_are_accepted() {
    let judge = verifier(&clock(), 0);
    for key in all_keys() {
        let verified = now(judge.verify(&token(key, &claims()), &NoRevocations)).expect("verifies");
        assert_eq!((verified.kid(), verified.algorithm()), (key.jwk().kid.as_str(), key.jwk().alg));
        assert_eq!(verified.sub, "usr_1");
        assert_eq!(verified.client_id, "demo-mobile");
        assert_eq!(verified.scope, "openid reservations:read".parse::<Scope>().expect("a scope"));
        assert_eq!(verified.exp, Timestamp::from_seconds(NOW + 300));
        assert_eq!(verified.auth_time, Some(Timestamp::from_seconds(NOW - 60)));
        assert_eq!((verified.acr, verified.nbf), (Some(Acr::TwoFactor), None));
        assert_eq!(verified.amr, ["pwd", "otp"]);
        assert_eq!(verified.roles, ["admin"]);
        assert!(verified.cnf.is_none());
    }
}

#[test]
fn what_the_signer_writes_the_verifier_reads_back() {
    let judge = verifier(&clock(), 0);
    for key in all_keys() {
        let written: AccessClaims = serde_json::from_value(claims()).expect("claims");
        let token = key.sign("at+jwt", &written).expect("signs");
        let read = now(judge.verify(&token, &NoRevocations)).expect("verifies");
        assert_eq!(*read.claims(), written);
    }
}

#[test]
fn tokens_of_an_independent_implementation_are_accepted() {
    use jsonwebtoken::{Algorithm as Alg, EncodingKey, Header};
    let judge = verifier(&clock(), 0);
    for key in all_keys() {
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            base64::engine::general_purpose::STANDARD
                .encode(key.to_pkcs8().expect("pkcs8"))
                .as_bytes()
                .chunks(64)
                .map(|line| std::str::from_utf8(line).expect("ascii"))
                .collect::<Vec<_>>()
                .join("\n")
        );
        let (algorithm, private) = match key.jwk().alg {
            Algorithm::Es256 => (Alg::ES256, EncodingKey::from_ec_pem(pem.as_bytes())),
            Algorithm::Rs256 => (Alg::RS256, EncodingKey::from_rsa_pem(pem.as_bytes())),
            Algorithm::EdDsa => (Alg::EdDSA, EncodingKey::from_ed_pem(pem.as_bytes())),
        };
        let mut header = Header::new(algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key.jwk().kid.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "the independent implementation to agree with"
        )]
        let token = jsonwebtoken::encode(&header, &claims(), &private.expect("a key"));
        let verified = now(judge.verify(&token.expect("signs"), &NoRevocations));
        assert_eq!(verified.expect("verifies").jti, "tok_1");
    }
}

#[test]
fn harmless_variety_is_accepted() {
    let judge = verifier(&clock(), 0);
    let key = &ES256;
    let kid = &key.jwk().kid;
    let headers = [
        json!({"alg": "ES256", "typ": "application/at+jwt", "kid": kid}),
        json!({"alg": "ES256", "typ": "AT+JWT", "kid": kid}),
        json!({"alg": "ES256", "typ": "at+jwt", "kid": kid, "x5t": "ignored", "new": {"member": 1}}),
    ];
    for header in headers {
        let token = signed(key, &header.to_string(), &claims().to_string());
        assert!(now(judge.verify(&token, &NoRevocations)).is_ok(), "{header}");
    }
    let payloads = [
        json!({"aud": ["someone else", AUDIENCE]}),
        json!({"unknown": {"nested": [1, 2.5, null, true]}}),
        json!({"scope": null, "amr": null, "sid": null, "acr": null, "roles": null, "auth_time": null}),
        json!({"acr": "urn:of:another:issuer"}),
        json!({"nbf": NOW + 30, "iat": NOW + 30}),
        json!({"exp": NOW - 29}),
        json!({"cnf": {"jkt": "a"}}),
    ];
    for changes in payloads {
        let token = token(key, &claims_with(&changes));
        assert!(now(judge.verify(&token, &NoRevocations)).is_ok(), "{changes}");
    }
    let bound = token(key, &claims_with(&json!({"cnf": {"x5t#S256": "b", "other": 1}})));
    let bound = now(judge.verify(&bound, &NoRevocations)).expect("verifies");
    assert_eq!(bound.cnf.as_ref().and_then(|cnf| cnf.x5t_s256.as_deref()), Some("b"));
}

#[test]
fn every_error_has_a_name_of_its_own_and_says_nothing_more_than_needed() {
    use std::collections::HashSet;
    let errors = [
        VerifyError::TooLong,
        VerifyError::NotThreeParts,
        VerifyError::HeaderEncoding,
        VerifyError::HeaderMalformed,
        VerifyError::HeaderDuplicate,
        VerifyError::AlgorithmNotAllowed,
        VerifyError::AlgorithmMismatch,
        VerifyError::WrongType,
        VerifyError::CriticalExtension,
        VerifyError::KeyIdMissing,
        VerifyError::UnknownKey,
        VerifyError::SignatureEncoding,
        VerifyError::BadSignature,
        VerifyError::PayloadEncoding,
        VerifyError::PayloadMalformed,
        VerifyError::PayloadDuplicate,
        VerifyError::ClaimMissing(Claim::Exp),
        VerifyError::ClaimMalformed(Claim::Exp),
        VerifyError::WrongIssuer,
        VerifyError::WrongAudience,
        VerifyError::Expired,
        VerifyError::NotYetValid,
        VerifyError::IssuedInFuture,
        VerifyError::Revoked,
        VerifyError::WrongNonce,
        VerifyError::WrongAuthorizedParty,
        VerifyError::WrongHash,
        VerifyError::KeysNeverLoaded,
        VerifyError::KeysStale,
        VerifyError::KeysUnreachable,
    ];
    let names: HashSet<_> = errors.iter().map(|error| error.name()).collect();
    assert_eq!(names.len(), errors.len());
    for error in errors {
        // Fit for a quoted string in WWW-Authenticate (RFC 6750 3).
        assert!(error.to_string().bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"'));
    }
}
