//! The ring against a store: first start, rotation, revocation, races, outages.

mod model;

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use haetae_base::clock::ManualClock;
use tokio::sync::Barrier;

use super::*;
use crate::verify::decode_for_tests;

const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);

fn policy(algorithms: &[Algorithm]) -> Policy {
    Policy::new(algorithms.to_vec(), 90 * DAY, DAY, 5 * MINUTE)
}

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_seconds(1_800_000_000))
}

fn master() -> MasterKey {
    MasterKey::from_secret(&MasterKey::generate()).expect("valid")
}

async fn ring(
    store: &Arc<MemoryStore>,
    master: &MasterKey,
    algorithms: &[Algorithm],
    clock: &ManualClock,
) -> Arc<KeyRing> {
    KeyRing::open(
        Arc::clone(store) as Arc<dyn KeyStore>,
        master,
        policy(algorithms),
        Arc::new(clock.clone()),
    )
    .await
    .expect("opens")
}

fn states(ring: &KeyRing) -> Vec<(Algorithm, KeyState)> {
    let mut states: Vec<_> = ring.list().iter().map(|key| (key.algorithm, key.state)).collect();
    states.sort_by_key(|(algorithm, state)| (*algorithm, state.as_str()));
    states
}

const ES: Algorithm = Algorithm::Es256;
const ED: Algorithm = Algorithm::EdDsa;

#[tokio::test]
async fn the_first_start_makes_an_active_and_an_upcoming_key_for_each_algorithm() {
    let (store, master, clock) = (Arc::default(), master(), clock());
    let first = ring(&store, &master, &Algorithm::ALL, &clock).await;
    for algorithm in Algorithm::ALL {
        let keys: Vec<_> =
            first.list().into_iter().filter(|key| key.algorithm == algorithm).collect();
        let active = keys.iter().find(|key| key.state == KeyState::Active).expect("active");
        let upcoming = keys.iter().find(|key| key.state == KeyState::Upcoming).expect("upcoming");
        assert_eq!(keys.len(), 2);
        assert_eq!(first.signer().kid(algorithm), Some(active.kid.as_str()));
        assert_eq!(upcoming.activate_at, clock.now().plus(90 * DAY));
        assert_eq!(active.kid, active.public_jwk.material.thumbprint());
    }
    assert_eq!(first.jwks().keys.len(), 6);

    let second = ring(&store, &master, &Algorithm::ALL, &clock).await;
    assert_eq!(second.jwks(), first.jwks(), "a second server makes no keys of its own");
    assert_eq!(store.load().await.expect("loads").revision, 1);
}

#[tokio::test]
async fn what_is_stored_does_not_hold_the_private_key_in_the_open() {
    let store = Arc::new(MemoryStore::default());
    let ring = ring(&store, &master(), &[ES], &clock()).await;
    for key in ring.list() {
        let held = ring.view.load();
        let held = held.keys.iter().find(|held| held.stored.kid == key.kid).expect("held");
        let pkcs8 = held.signing.as_ref().expect("open").to_pkcs8().expect("pkcs8");
        // The 32 bytes of the private number stand at this place in the PKCS#8 of a P-256 key.
        let private = &pkcs8[36..68];
        assert!(
            !key.sealed_private.windows(8).any(|window| private.windows(8).any(|p| p == window))
        );
        assert!(!format!("{key:?}").contains("sealed"));
    }
}

#[tokio::test]
async fn a_key_rotates_at_its_time_and_stays_published_for_its_last_token() {
    let (store, clock) = (Arc::default(), clock());
    let ring = ring(&store, &master(), &[ES], &clock).await;
    let first = ring.signer().kid(ES).expect("signs").to_owned();
    clock.advance((90 * DAY).saturating_sub(MINUTE));
    ring.maintain().await.expect("maintains");
    assert_eq!(ring.signer().kid(ES), Some(first.as_str()));

    clock.advance(MINUTE);
    ring.maintain().await.expect("maintains");
    assert_ne!(ring.signer().kid(ES), Some(first.as_str()));
    assert_eq!(
        states(&ring),
        [(ES, KeyState::Active), (ES, KeyState::Retired), (ES, KeyState::Upcoming)]
    );
    assert!(ring.jwks().keys.iter().any(|key| key.kid == first));
    let retired = ring.list().into_iter().find(|key| key.kid == first).expect("kept");
    assert!(retired.sealed_private.is_empty(), "a key that never signs again is destroyed");

    clock.advance(Duration::from_millis(599_999));
    ring.maintain().await.expect("maintains");
    assert!(ring.jwks().keys.iter().any(|key| key.kid == first));
    clock.advance(Duration::from_millis(1));
    ring.maintain().await.expect("maintains");
    assert!(ring.jwks().keys.iter().all(|key| key.kid != first));
    assert_eq!(ring.list().len(), 2);
}

#[tokio::test]
async fn tokens_verify_across_a_rotation_and_not_after_a_revocation() {
    let (store, clock) = (Arc::default(), clock());
    let ring = ring(&store, &master(), &[ES, ED], &clock).await;
    let old = ring.signer().sign(ED, "at+jwt", &serde_json::json!({"n": 1})).expect("signs");
    clock.advance(2 * DAY);
    let rotated = ring.rotate(Some(ED)).await.expect("rotates");
    let kid = ring.signer().kid(ED).expect("signs").to_owned();
    assert_eq!(rotated, [Rotated::Now { algorithm: ED, kid: kid.clone() }]);
    let new = ring.signer().sign(ED, "at+jwt", &serde_json::json!({"n": 2})).expect("signs");
    let keys = ring.issuer_keys();
    assert!(decode_for_tests(&old, &keys).await.is_ok());
    assert!(decode_for_tests(&new, &keys).await.is_ok());

    ring.revoke(&kid).await.expect("revokes");
    assert!(decode_for_tests(&old, &keys).await.is_ok());
    assert_eq!(
        decode_for_tests(&new, &keys).await.unwrap_err(),
        crate::verify::VerifyError::UnknownKey
    );
    let next = ring.signer().kid(ED).expect("another key signs at once").to_owned();
    assert_ne!(next, kid);
    assert!(ring.jwks().keys.iter().any(|key| key.kid == next));
    let revoked = ring.list().into_iter().find(|key| key.kid == kid).expect("kept for the record");
    assert_eq!(revoked.state, KeyState::Revoked);
    assert!(revoked.sealed_private.is_empty());

    ring.revoke(&kid).await.expect("revoking twice changes nothing");
    assert_eq!(ring.signer().kid(ED), Some(next.as_str()));
    assert!(matches!(ring.revoke("nobody").await, Err(RingError::UnknownKey { .. })));
}

#[tokio::test]
async fn the_first_rotation_by_hand_is_at_once_since_the_next_key_stood_in_every_key_set() {
    let (store, master, clock) = (Arc::default(), master(), clock());
    let other = ring(&store, &master, &[ES, ED], &clock).await;
    let ring = ring(&store, &master, &[ES, ED], &clock).await;
    let published = ring.jwks();
    let before = ring.signer().kid(ES).expect("signs").to_owned();
    clock.advance(Duration::from_secs(1));
    let rotated = ring.rotate(Some(ES)).await.expect("rotates");
    let kid = ring.signer().kid(ES).expect("signs").to_owned();
    assert_eq!(rotated, [Rotated::Now { algorithm: ES, kid: kid.clone() }]);
    assert_ne!(kid, before);
    assert!(published.keys.iter().any(|key| key.kid == kid), "verifiers know it already");
    assert!(ring.jwks().keys.iter().any(|key| key.kid == before), "its tokens are alive");
    // Another server follows when it is told, and needs nothing else.
    other.maintain().await.expect("maintains");
    assert_eq!(other.signer().kid(ES), Some(kid.as_str()));
}

#[tokio::test]
async fn a_rotation_by_hand_waits_until_verifiers_know_the_key() {
    let (store, clock) = (Arc::default(), clock());
    let ring = ring(&store, &master(), &[ES], &clock).await;
    clock.advance(MINUTE);
    ring.rotate(None).await.expect("rotates");
    let second = ring.signer().kid(ES).expect("signs").to_owned();
    // The next one was made a moment ago: a verifier may have a key set without it for some minutes.
    let wait = KEPT_FOR + MINUTE;
    let begun = clock.now();
    let rotated = ring.rotate(None).await.expect("rotates");
    let [Rotated::Scheduled { at, kid, .. }] = rotated.as_slice() else { panic!("{rotated:?}") };
    assert_eq!(*at, begun.plus(wait));
    assert_eq!(ring.due_in(), Some(wait));
    clock.advance(MINUTE);
    assert_eq!(ring.signer().kid(ES), Some(second.as_str()));
    assert_eq!(ring.rotate(None).await.expect("again"), rotated, "asking twice changes nothing");
    assert_eq!(ring.due_in(), Some(wait.saturating_sub(MINUTE)));
    clock.advance(wait.saturating_sub(MINUTE));
    ring.maintain().await.expect("maintains");
    assert_eq!(ring.signer().kid(ES), Some(kid.as_str()));
}

#[tokio::test]
async fn every_key_can_be_revoked_one_after_another() {
    let (store, clock) = (Arc::default(), clock());
    let ring = ring(&store, &master(), &[ES], &clock).await;
    for _ in 0..5 {
        let kid = ring.signer().kid(ES).expect("always one that signs").to_owned();
        ring.revoke(&kid).await.expect("revokes");
    }
    assert!(ring.signer().kid(ES).is_some());
    assert_eq!(ring.jwks().keys.len(), 2);
    clock.advance(DAY);
    ring.maintain().await.expect("maintains");
    assert_eq!(ring.list().len(), 2, "revoked keys leave the store in the end");
}

#[tokio::test]
async fn a_wrong_master_key_is_told_as_such() {
    let store = Arc::default();
    ring(&store, &master(), &[ES], &clock()).await;
    let opened = KeyRing::open(store, &master(), policy(&[ES]), Arc::new(clock())).await;
    let error = opened.expect_err("does not open");
    assert!(matches!(error, RingError::Unseal { .. }));
    assert!(error.to_string().contains("keys.master_key"), "{error}");
}

#[tokio::test]
async fn a_public_key_that_was_exchanged_in_the_store_is_not_published() {
    let (store, master) = (Arc::new(MemoryStore::default()), master());
    ring(&store, &master, &[ES], &clock()).await;
    let forged = SigningKey::generate(ES).expect("a key");
    {
        let mut stored = store.0.lock().expect("lock");
        stored.keys[0].public_jwk.material = forged.jwk().material.clone();
    }
    let opened = KeyRing::open(store, &master, policy(&[ES]), Arc::new(clock())).await;
    assert!(matches!(opened.expect_err("does not open"), RingError::Unseal { .. }));
}

#[tokio::test]
async fn an_algorithm_that_is_taken_out_ends_at_its_next_rotation() {
    let (store, master, clock) = (Arc::default(), master(), clock());
    ring(&store, &master, &[ES, ED], &clock).await;
    let only = ring(&store, &master, &[ES], &clock).await;
    assert!(only.signer().kid(ED).is_some(), "servers with the old configuration still use it");
    clock.advance(90 * DAY);
    only.maintain().await.expect("maintains");
    clock.advance(DAY);
    only.maintain().await.expect("maintains");
    assert!(only.signer().kid(ED).is_none());
    assert_eq!(states(&only), [(ES, KeyState::Active), (ES, KeyState::Upcoming)]);
}

/// A store whose readers wait for one another, so that all of them decide on the same revision.
struct Colliding {
    inner: Arc<MemoryStore>,
    barrier: Barrier,
    armed: AtomicBool,
}

#[async_trait]
impl KeyStore for Colliding {
    async fn load(&self) -> Result<StoredRing, StoreError> {
        let ring = self.inner.load().await?;
        if self.armed.load(Ordering::SeqCst) {
            self.barrier.wait().await;
            self.armed.store(false, Ordering::SeqCst);
        }
        Ok(ring)
    }

    async fn apply(&self, expected: i64, changes: &[Change]) -> Result<(), StoreError> {
        self.inner.apply(expected, changes).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_race_make_one_ring() {
    let master = master();
    let store = Arc::new(Colliding {
        inner: Arc::default(),
        barrier: Barrier::new(2),
        armed: AtomicBool::new(true),
    });
    let clock = clock();
    let open = || {
        KeyRing::open(
            Arc::clone(&store) as Arc<dyn KeyStore>,
            &master,
            policy(&Algorithm::ALL),
            Arc::new(clock.clone()),
        )
    };
    let (left, right) = tokio::join!(open(), open());
    let (left, right) = (left.expect("opens"), right.expect("opens"));
    assert_eq!(left.jwks(), right.jwks());
    assert_eq!(left.jwks().keys.len(), 6);
    assert_eq!(store.inner.load().await.expect("loads").revision, 1);

    clock.advance(90 * DAY);
    store.armed.store(true, Ordering::SeqCst);
    let (one, two) = tokio::join!(left.maintain(), right.maintain());
    one.and(two).expect("both maintain");
    left.maintain().await.expect("maintains");
    assert_eq!(store.inner.load().await.expect("loads").revision, 2, "rotated once");
    for algorithm in Algorithm::ALL {
        assert_eq!(left.signer().kid(algorithm), right.signer().kid(algorithm));
    }
    // The loser's keys were not thrown away: the next change takes them.
    let spares = left.spare.lock().expect("lock").len() + right.spare.lock().expect("lock").len();
    assert!(spares > 0);
}

/// A store that can be switched off.
struct Failing {
    inner: MemoryStore,
    down: AtomicBool,
}

#[async_trait]
impl KeyStore for Failing {
    async fn load(&self) -> Result<StoredRing, StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::failed("down"));
        }
        self.inner.load().await
    }

    async fn apply(&self, expected: i64, changes: &[Change]) -> Result<(), StoreError> {
        self.inner.apply(expected, changes).await
    }
}

#[tokio::test]
async fn without_the_store_keys_go_on_signing_and_change_over_at_their_time() {
    let store = Arc::new(Failing { inner: MemoryStore::default(), down: AtomicBool::new(false) });
    let clock = clock();
    let ring = KeyRing::open(
        Arc::clone(&store) as Arc<dyn KeyStore>,
        &master(),
        policy(&[ES]),
        Arc::new(clock.clone()),
    )
    .await
    .expect("opens");
    let upcoming =
        ring.list().into_iter().find(|key| key.state == KeyState::Upcoming).expect("upcoming");
    let first = ring.signer().kid(ES).expect("signs").to_owned();
    store.down.store(true, Ordering::SeqCst);
    clock.advance(DAY);
    assert!(matches!(ring.maintain().await, Err(RingError::Store(_))));
    assert_eq!(ring.signer().kid(ES), Some(first.as_str()));
    clock.advance(89 * DAY);
    assert!(ring.maintain().await.is_err());
    assert_eq!(ring.signer().kid(ES), Some(upcoming.kid.as_str()));
    assert!(ring.jwks().keys.iter().any(|key| key.kid == first));

    store.down.store(false, Ordering::SeqCst);
    ring.maintain().await.expect("catches up");
    assert_eq!(ring.signer().kid(ES), Some(upcoming.kid.as_str()));
}
