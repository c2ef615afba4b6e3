//! The cache of verified tokens: it answers only for what is still good.

use std::{
    collections::HashSet,
    sync::{Mutex, atomic::AtomicUsize},
};

use super::*;

/// A denylist in a test's hands.
#[derive(Default)]
struct Denied {
    names: Mutex<HashSet<String>>,
    asked: AtomicUsize,
}

impl Denied {
    fn deny(&self, name: &str) {
        self.names.lock().expect("lock").insert(name.to_owned());
    }
}

impl Revocations for Denied {
    fn is_revoked(&self, claims: &AccessClaims, kid: &str) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let names = self.names.lock().expect("lock");
        names.contains(&claims.jti) || names.contains(kid)
    }
}

#[test]
fn a_token_is_remembered_until_it_is_over() {
    let clock = clock();
    let verifier = verifier(&clock, 100);
    let token = token(&ES256, &claims());
    assert!(verifier.cached(&token, &NoRevocations).is_none(), "not before it was verified");
    let first = now(verifier.verify(&token, &NoRevocations)).expect("verifies");
    let again = verifier.cached(&token, &NoRevocations).expect("remembered").expect("good");
    assert!(Arc::ptr_eq(&first, &again));
    assert!(Arc::ptr_eq(&first, &now(verifier.verify(&token, &NoRevocations)).expect("good")));

    clock.advance(Duration::from_millis(329_999));
    assert!(verifier.cached(&token, &NoRevocations).expect("remembered").is_ok());
    clock.advance(Duration::from_millis(1));
    let answer = verifier.cached(&token, &NoRevocations).expect("remembered");
    assert_eq!(answer.err(), Some(VerifyError::Expired));
    assert_eq!(verifier.remembered_tokens(), 0, "dropped");
    assert_eq!(now(verifier.verify(&token, &NoRevocations)).err(), Some(VerifyError::Expired));
}

#[test]
fn revocation_is_asked_for_every_time_and_drops_the_token() {
    let verifier = verifier(&clock(), 100);
    let denied = Denied::default();
    let token = token(&ES256, &claims());
    now(verifier.verify(&token, &denied)).expect("verifies");
    for _ in 0..3 {
        assert!(verifier.cached(&token, &denied).expect("remembered").is_ok());
    }
    assert_eq!(denied.asked.load(Ordering::Relaxed), 4);
    denied.deny("tok_1");
    let answer = verifier.cached(&token, &denied).expect("remembered");
    assert_eq!(answer.err(), Some(VerifyError::Revoked));
    assert!(verifier.cached(&token, &denied).is_none(), "dropped");
    assert_eq!(now(verifier.verify(&token, &denied)).err(), Some(VerifyError::Revoked));
    assert_eq!(verifier.remembered_tokens(), 0, "and not remembered again");
}

#[test]
fn the_denylist_is_asked_about_the_key_too() {
    let verifier = verifier(&clock(), 100);
    let denied = Denied::default();
    let token = token(&RS256, &claims());
    now(verifier.verify(&token, &denied)).expect("verifies");
    denied.deny(&RS256.jwk().kid);
    let answer = verifier.cached(&token, &denied).expect("remembered");
    assert_eq!(answer.err(), Some(VerifyError::Revoked));
}

#[test]
fn a_token_is_forgotten_with_its_key_and_only_then() {
    let verifier = verifier(&clock(), 100);
    let (kept, gone) = (token(&ES256, &claims()), token(&RS256, &claims()));
    now(verifier.verify(&kept, &NoRevocations)).expect("verifies");
    now(verifier.verify(&gone, &NoRevocations)).expect("verifies");

    let rest = JwkSet { keys: vec![ES256.jwk().clone(), ED.jwk().clone()] };
    verifier.keys().replace(&rest);
    assert!(verifier.cached(&kept, &NoRevocations).expect("its key is still there").is_ok());
    assert!(verifier.cached(&gone, &NoRevocations).is_none(), "its key is gone");
    assert_eq!(now(verifier.verify(&gone, &NoRevocations)).err(), Some(VerifyError::UnknownKey));
    assert_eq!(verifier.remembered_tokens(), 1);

    verifier.keys().replace(&jwks());
    assert!(now(verifier.verify(&gone, &NoRevocations)).is_ok(), "the key came back");
}

#[test]
fn another_key_under_the_same_name_is_another_key() {
    let verifier = verifier(&clock(), 100);
    let token = token(&ES256, &claims());
    now(verifier.verify(&token, &NoRevocations)).expect("verifies");
    let mut impostor = SigningKey::generate(Algorithm::Es256).expect("a key").jwk().clone();
    impostor.kid.clone_from(&ES256.jwk().kid);
    verifier.keys().replace(&JwkSet { keys: vec![impostor] });
    assert!(verifier.cached(&token, &NoRevocations).is_none());
    assert_eq!(now(verifier.verify(&token, &NoRevocations)).err(), Some(VerifyError::BadSignature));
}

#[test]
fn it_is_bounded_and_can_be_swept() {
    let clock = clock();
    let verifier = verifier(&clock, 64);
    for at in 0..1000 {
        let claims = claims_with(&json!({"jti": format!("tok_{at}"), "exp": NOW + 100 + at}));
        now(verifier.verify(&token(&ED, &claims), &NoRevocations)).expect("verifies");
    }
    let before = verifier.remembered_tokens();
    assert!((32..=128).contains(&before), "{before}");
    verifier.sweep();
    assert_eq!(verifier.remembered_tokens(), before, "nothing is over yet");
    clock.advance(Duration::from_secs(2000));
    verifier.sweep();
    assert_eq!(verifier.remembered_tokens(), 0);
}

#[test]
fn without_a_cache_everything_is_verified_each_time() {
    let verifier = verifier(&clock(), 0);
    let token = token(&ES256, &claims());
    now(verifier.verify(&token, &NoRevocations)).expect("verifies");
    assert!(verifier.cached(&token, &NoRevocations).is_none());
    assert_eq!(verifier.remembered_tokens(), 0);
}
