//! Rotation as a pure function against what has to hold at every instant, over random histories of
//! waiting, ticking, rotating by hand and revoking.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::super::{
    Policy, Rotated,
    key::{KeyState, StoredKey},
    rotation::{Plan, Step, by_hand, due, next_due, revocation, signing_key},
    store::Change,
};
use crate::{
    algorithm::Algorithm,
    jwks::{Jwk, Material},
};
use haetae_base::clock::Timestamp;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Event {
    /// Time passes; servers sign all the while.
    Wait(Duration),
    Tick,
    RotateByHand(Option<Algorithm>),
    Revoke(prop::sample::Index),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let algorithm =
        prop::sample::select(vec![None, Some(Algorithm::Es256), Some(Algorithm::EdDsa)]);
    let event = prop_oneof![
        4 => (0_u64..200_000).prop_map(|seconds| Event::Wait(Duration::from_secs(seconds))),
        1 => (0_u64..200).prop_map(|days| Event::Wait(Duration::from_secs(days * 86_400))),
        5 => Just(Event::Tick),
        1 => algorithm.prop_map(Event::RotateByHand),
        1 => any::<prop::sample::Index>().prop_map(Event::Revoke),
    ];
    prop::collection::vec(event, 1..60)
}

fn policies() -> impl Strategy<Value = Policy> {
    (60_u64..10_000_000, 0_u64..200_000, 1_u64..4000).prop_map(|(rotate, overlap, lifetime)| {
        Policy::new(
            vec![Algorithm::Es256, Algorithm::EdDsa],
            Duration::from_secs(rotate),
            Duration::from_secs(overlap),
            Duration::from_secs(lifetime),
        )
    })
}

/// The world: the stored keys, and what verifiers and token holders would remember.
struct World {
    now: Timestamp,
    keys: Vec<StoredKey>,
    made: u64,
    /// Keys that may sign although verifiers do not know them for long: the first of all, and those that
    /// had to stand in for a revoked one.
    urgent: HashSet<String>,
    /// Keys that a person wanted to sign as soon as they can.
    hurried: HashSet<String>,
    /// The key that signed before each one.
    before: HashMap<String, StoredKey>,
    /// The last instant at which some server signed with a key.
    last_signed: HashMap<String, Timestamp>,
    revoked: HashSet<String>,
    policy: Policy,
}

impl World {
    fn new(policy: Policy) -> Self {
        Self {
            now: Timestamp::from_seconds(1_800_000_000),
            keys: Vec::new(),
            made: 0,
            urgent: HashSet::new(),
            hurried: HashSet::new(),
            before: HashMap::new(),
            last_signed: HashMap::new(),
            revoked: HashSet::new(),
            policy,
        }
    }

    fn apply(&mut self, plan: Plan) {
        for step in plan.into_steps() {
            let change = match step {
                Step::Create { algorithm, state, activate_at } => {
                    Change::Insert(self.fresh(algorithm, state, activate_at))
                }
                Step::Update(update) => {
                    // A retired key stays in use on servers that have not looked yet, for up to the slack.
                    if update.state == KeyState::Retired
                        && let Some(last) = self.last_signed.get_mut(&update.kid)
                    {
                        *last = self.now.plus(self.policy.slack);
                    }
                    Change::Update(update)
                }
                Step::Remove { kid } => Change::Remove { kid },
            };
            change.apply_to(&mut self.keys).expect("a plan fits the keys that it was made for");
        }
    }

    fn fresh(
        &mut self,
        algorithm: Algorithm,
        state: KeyState,
        activate_at: Timestamp,
    ) -> StoredKey {
        self.made += 1;
        let material = Material::Okp { crv: "test".to_owned(), x: self.made.to_string() };
        let public_jwk = Jwk::new(algorithm, material);
        StoredKey {
            kid: public_jwk.kid.clone(),
            algorithm,
            state,
            sealed_private: vec![1],
            public_jwk,
            created_at: self.now,
            activate_at,
            retire_at: None,
            remove_at: None,
        }
    }

    fn in_state(&self, algorithm: Algorithm, state: KeyState) -> usize {
        self.keys.iter().filter(|key| key.algorithm == algorithm && key.state == state).count()
    }

    fn signing(&self, algorithm: Algorithm) -> Option<&StoredKey> {
        signing_key(self.now, &self.keys, algorithm)
    }

    /// All servers sign with every algorithm now.
    fn sign(&mut self) {
        for algorithm in self.policy.algorithms.clone() {
            if let Some(kid) = self.signing(algorithm).map(|key| key.kid.clone()) {
                self.last_signed.insert(kid, self.now);
            }
        }
    }

    fn check(&self) {
        for algorithm in self.policy.algorithms.iter().copied() {
            assert!(
                self.in_state(algorithm, KeyState::Active) == 1,
                "one active, not none, not two"
            );
            assert!(self.in_state(algorithm, KeyState::Upcoming) == 1, "one upcoming");
            let begun =
                |key: &StoredKey| key.state != KeyState::Active || key.activate_at <= self.now;
            assert!(self.keys.iter().all(begun), "an active key has begun to sign");
            let signing = self.signing(algorithm).expect("one signs");
            assert!(!signing.sealed_private.is_empty(), "the key that signs has its private half");
            let known_for = self.now.since(signing.created_at);
            let before = self.before.get(&signing.kid);
            let known_as_long =
                before.is_some_and(|before| signing.created_at <= before.created_at);
            let hurried = self.hurried.contains(&signing.kid)
                && (known_as_long || known_for >= self.policy.learnt_within);
            assert!(
                known_for >= self.policy.overlap || hurried || self.urgent.contains(&signing.kid),
                "verifiers know the key for {known_for:?} only"
            );
        }
        for (kid, last) in &self.last_signed {
            let alive = last.plus(self.policy.token_lifetime) > self.now;
            let key = self.keys.iter().find(|key| key.kid == *kid);
            let published = key.is_some_and(|key| key.state.is_published());
            if self.revoked.contains(kid) {
                assert!(!published, "a revoked key is not published");
            } else if alive {
                assert!(published, "a token that is alive can be verified");
            }
        }
        for key in &self.keys {
            let ended = matches!(key.state, KeyState::Retired | KeyState::Revoked);
            assert_eq!(key.sealed_private.is_empty(), ended, "{key:?}");
            assert_eq!(key.remove_at.is_some(), ended, "{key:?}");
        }
    }

    /// A person wants this key to sign.
    fn hurry(&mut self, rotated: &Rotated) {
        let (Rotated::Now { algorithm, kid } | Rotated::Scheduled { algorithm, kid, .. }) = rotated;
        let before = self.in_turn(*algorithm).clone();
        self.hurried.insert(kid.clone());
        self.before.insert(kid.clone(), before);
        if let Rotated::Scheduled { at, .. } = rotated {
            assert!(*at <= self.now.plus(self.policy.learnt_within), "not longer than it takes");
            assert!(next_due(self.now, &self.keys).is_some());
        }
    }

    fn in_turn(&self, algorithm: Algorithm) -> &StoredKey {
        let active = |key: &&StoredKey| key.algorithm == algorithm && key.state == KeyState::Active;
        self.keys.iter().find(active).expect("one active")
    }

    fn tick(&mut self) {
        let plan = due(self.now, &self.keys, &self.policy);
        self.apply(plan);
        let again = due(self.now, &self.keys, &self.policy);
        assert!(again.is_empty(), "a tick does all that is due: {again:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_one_key_signs_and_tokens_stay_verifiable(
        policy in policies(),
        history in events(),
    ) {
        let mut world = World::new(policy);
        world.tick();
        for algorithm in world.policy.algorithms.clone() {
            let first = world.signing(algorithm).expect("the first start makes a key").kid.clone();
            world.urgent.insert(first);
        }
        for event in history {
            match event {
                Event::Wait(duration) => world.now = world.now.plus(duration),
                Event::Tick => world.tick(),
                Event::RotateByHand(only) => {
                    let (plan, rotated) = by_hand(world.now, &world.keys, &world.policy, only);
                    prop_assert_eq!(rotated.len(), only.map_or(2, |_| 1));
                    for one in &rotated {
                        world.hurry(one);
                    }
                    world.apply(plan);
                    let (_, again) = by_hand(world.now, &world.keys, &world.policy, only);
                    for (first, second) in rotated.iter().zip(&again) {
                        if let Rotated::Scheduled { .. } = first {
                            prop_assert_eq!(first, second, "asking twice changes nothing");
                        }
                    }
                }
                Event::Revoke(which) => {
                    let kid = which.get(&world.keys).kid.clone();
                    let plan = revocation(world.now, &world.keys, &world.policy, &kid);
                    world.apply(plan.expect("the key exists"));
                    world.revoked.insert(kid);
                    for algorithm in world.policy.algorithms.clone() {
                        let stands_in = world.signing(algorithm).expect("one signs").kid.clone();
                        world.urgent.insert(stands_in);
                    }
                }
            }
            world.sign();
            world.check();
        }
    }
}

#[test]
fn a_store_that_somebody_edited_is_put_in_order() {
    let policy = Policy::new(
        vec![Algorithm::Es256],
        Duration::from_secs(1000),
        Duration::from_secs(10),
        Duration::from_secs(10),
    );
    let mut world = World::new(policy);
    for state in [KeyState::Active, KeyState::Active, KeyState::Upcoming, KeyState::Upcoming] {
        let later = world.now.plus(Duration::from_secs(500));
        let at = if state == KeyState::Active { world.now } else { later };
        let key = world.fresh(Algorithm::Es256, state, at);
        world.keys.push(key);
    }
    world.urgent = world.keys.iter().map(|key| key.kid.clone()).collect();
    world.tick();
    world.check();
}
