//! When keys change, as a pure function: the time, the keys and the policy go in, the steps come out.
//!
//! What always holds (and is property-tested): every configured algorithm has exactly one key that signs;
//! a key has been published for at least [`Policy::overlap`] before it signs (when a person rotates, for at
//! least [`Policy::learnt_within`], or for as long as the key that it replaces), except for the very first key
//! and after a revocation; a retired key stays published until the last token that it signed is over.

use std::time::Duration;

use haetae_base::clock::Timestamp;

use super::{
    Rotated,
    key::{KeyState, StoredKey},
    store::Update,
};
use crate::algorithm::Algorithm;

/// How long a verifier may keep a key set by what the server says when it hands it out.
pub const KEPT_FOR: Duration = Duration::from_mins(6);
/// How long a server that did not hear of a new key may still hand out the key set without it.
const PUBLISHED_LATE: Duration = Duration::from_mins(1);

/// How keys rotate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The algorithms that have keys. One that is taken out keeps its key until its next rotation.
    pub algorithms: Vec<Algorithm>,
    /// How long a key signs.
    pub rotate_every: Duration,
    /// How long a key is published before it signs when nobody is in a hurry. Longer than verifiers keep the
    /// keys without asking, however carelessly they keep them.
    pub overlap: Duration,
    /// How long verifiers may keep a key set before they ask again: a key that has been published for so long
    /// is known to all of them.
    pub learnt_within: Duration,
    /// The longest life of any token that is signed.
    pub token_lifetime: Duration,
    /// How long a server may take to notice a change, its clock may be off, and verifiers are lenient.
    pub slack: Duration,
}

impl Policy {
    /// The policy with a slack of five minutes, for verifiers that keep a key set for [`KEPT_FOR`].
    pub fn new(
        algorithms: Vec<Algorithm>,
        rotate_every: Duration,
        overlap: Duration,
        token_lifetime: Duration,
    ) -> Self {
        let slack = Duration::from_mins(5);
        let learnt_within = KEPT_FOR.saturating_add(PUBLISHED_LATE);
        Self { algorithms, rotate_every, overlap, learnt_within, token_lifetime, slack }
    }

    /// When a person may let `upcoming` replace `active`: as soon as every verifier can know it. Whoever knows
    /// the key that signs also knows one that was made no later, since no key set had the one without the other.
    fn known_from(&self, active: &StoredKey, upcoming: &StoredKey) -> Timestamp {
        if upcoming.created_at <= active.created_at {
            return upcoming.created_at;
        }
        upcoming.created_at.plus(self.learnt_within.min(self.overlap)).min(upcoming.activate_at)
    }

    /// How long a key must stay published after it stopped signing.
    fn afterlife(&self) -> Duration {
        self.token_lifetime.saturating_add(self.slack)
    }

    /// When a key that is made now may begin to sign, if nothing is urgent.
    fn next_turn(&self, active_since: Timestamp, now: Timestamp) -> Timestamp {
        active_since.plus(self.rotate_every).max(now.plus(self.overlap))
    }
}

/// One step of a plan. The keys to create have no names yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Create { algorithm: Algorithm, state: KeyState, activate_at: Timestamp },
    Update(Update),
    Remove { kid: String },
}

/// What has to change, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan(Vec<Step>);

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.0
    }

    fn create(&mut self, algorithm: Algorithm, state: KeyState, activate_at: Timestamp) {
        self.0.push(Step::Create { algorithm, state, activate_at });
    }

    fn activate(&mut self, key: &StoredKey, now: Timestamp) {
        let activate_at = key.activate_at.min(now);
        self.0.push(Step::Update(Update { activate_at, ..unchanged(key, KeyState::Active) }));
    }

    fn reschedule(&mut self, key: &StoredKey, activate_at: Timestamp) {
        self.0.push(Step::Update(Update { activate_at, ..unchanged(key, key.state) }));
    }

    fn end(&mut self, key: &StoredKey, state: KeyState, now: Timestamp, policy: &Policy) {
        self.0.push(Step::Update(Update {
            retire_at: Some(now),
            remove_at: Some(now.plus(policy.afterlife())),
            destroy_private: true,
            ..unchanged(key, state)
        }));
    }

    fn remove(&mut self, key: &StoredKey) {
        self.0.push(Step::Remove { kid: key.kid.clone() });
    }
}

fn unchanged(key: &StoredKey, state: KeyState) -> Update {
    Update {
        kid: key.kid.clone(),
        state,
        activate_at: key.activate_at,
        retire_at: key.retire_at,
        remove_at: key.remove_at,
        destroy_private: false,
    }
}

/// The key that signs with `algorithm` at `now`. An upcoming key whose time has come signs even before
/// anybody could write its new state down, so all servers change over at the same instant.
pub(super) fn signing_key<'a>(
    now: Timestamp,
    keys: impl IntoIterator<Item = &'a StoredKey>,
    algorithm: Algorithm,
) -> Option<&'a StoredKey> {
    keys.into_iter()
        .filter(|key| key.algorithm == algorithm)
        .filter(|key| match key.state {
            KeyState::Active => true,
            KeyState::Upcoming => key.activate_at <= now,
            KeyState::Retired | KeyState::Revoked => false,
        })
        .max_by(|left, right| (left.activate_at, &left.kid).cmp(&(right.activate_at, &right.kid)))
}

/// What is due at `now`.
pub(super) fn due(now: Timestamp, keys: &[StoredKey], policy: &Policy) -> Plan {
    let mut plan = Plan::default();
    for algorithm in Algorithm::ALL {
        let of_algorithm = Keys::of(keys, algorithm);
        if policy.algorithms.contains(&algorithm) {
            keep(now, &of_algorithm, policy, algorithm, &mut plan);
        } else {
            wind_down(now, &of_algorithm, policy, &mut plan);
        }
    }
    let over =
        |key: &&StoredKey| key.remove_at.is_some_and(|at| at <= now) && !key.state.may_sign();
    for key in keys.iter().filter(over) {
        plan.remove(key);
    }
    plan
}

/// When something is due next by the clock alone. What is due already does not count.
pub(super) fn next_due<'a>(
    now: Timestamp,
    keys: impl IntoIterator<Item = &'a StoredKey>,
) -> Option<Timestamp> {
    let change = |key: &StoredKey| match key.state {
        KeyState::Upcoming => Some(key.activate_at),
        KeyState::Active => None,
        KeyState::Retired | KeyState::Revoked => key.remove_at,
    };
    keys.into_iter().filter_map(change).filter(|at| *at > now).min()
}

/// A rotation that a person asked for. The upcoming key takes over now if all verifiers can know it, otherwise
/// as soon as they can. Asking again before that changes nothing.
pub(super) fn by_hand(
    now: Timestamp,
    keys: &[StoredKey],
    policy: &Policy,
    only: Option<Algorithm>,
) -> (Plan, Vec<Rotated>) {
    let mut plan = Plan::default();
    let mut rotated = Vec::new();
    let wanted = |algorithm: &Algorithm| only.is_none_or(|only| only == *algorithm);
    for algorithm in policy.algorithms.iter().copied().filter(wanted) {
        let of_algorithm = Keys::of(keys, algorithm);
        let (Some(active), Some(upcoming)) = (of_algorithm.active, of_algorithm.upcoming) else {
            // The next tick makes what is missing.
            keep(now, &of_algorithm, policy, algorithm, &mut plan);
            continue;
        };
        let kid = upcoming.kid.clone();
        let at = policy.known_from(active, upcoming);
        if at <= now {
            replace(now, active, upcoming, policy, &mut plan);
            rotated.push(Rotated::Now { algorithm, kid });
        } else {
            if at < upcoming.activate_at {
                plan.reschedule(upcoming, at);
            }
            rotated.push(Rotated::Scheduled { algorithm, kid, at });
        }
    }
    (plan, rotated)
}

/// The revocation of one key. `None` when there is no such key.
pub(super) fn revocation(
    now: Timestamp,
    keys: &[StoredKey],
    policy: &Policy,
    kid: &str,
) -> Option<Plan> {
    let revoked = keys.iter().find(|key| key.kid == kid)?;
    let mut plan = Plan::default();
    if revoked.state == KeyState::Revoked {
        return Some(plan);
    }
    plan.end(revoked, KeyState::Revoked, now, policy);
    let rest: Vec<StoredKey> = keys.iter().filter(|key| key.kid != kid).cloned().collect();
    let of_algorithm = Keys::of(&rest, revoked.algorithm);
    if policy.algorithms.contains(&revoked.algorithm) {
        keep(now, &of_algorithm, policy, revoked.algorithm, &mut plan);
    }
    Some(plan)
}

/// The keys of one algorithm that sign or will.
struct Keys<'a> {
    active: Option<&'a StoredKey>,
    upcoming: Option<&'a StoredKey>,
    /// More actives or upcomings than one: only a store that somebody edited has them.
    surplus: Vec<&'a StoredKey>,
}

impl<'a> Keys<'a> {
    fn of(keys: &'a [StoredKey], algorithm: Algorithm) -> Self {
        let in_state = |state| {
            let mut found: Vec<_> = keys
                .iter()
                .filter(|key| key.algorithm == algorithm && key.state == state)
                .collect();
            found.sort_by(|left, right| {
                (right.activate_at, &right.kid).cmp(&(left.activate_at, &left.kid))
            });
            found.into_iter()
        };
        let (mut actives, mut upcomings) =
            (in_state(KeyState::Active), in_state(KeyState::Upcoming));
        let (active, upcoming) = (actives.next(), upcomings.next());
        Self { active, upcoming, surplus: actives.chain(upcomings).collect() }
    }
}

/// Keeps a configured algorithm supplied: one active key, one upcoming.
fn keep(now: Timestamp, keys: &Keys<'_>, policy: &Policy, algorithm: Algorithm, plan: &mut Plan) {
    for key in &keys.surplus {
        plan.end(key, KeyState::Retired, now, policy);
    }
    match (keys.active, keys.upcoming) {
        (Some(active), Some(upcoming)) if upcoming.activate_at <= now => {
            replace(now, active, upcoming, policy, plan);
        }
        (Some(_), Some(_)) => {}
        (Some(active), None) => {
            plan.create(algorithm, KeyState::Upcoming, policy.next_turn(active.activate_at, now));
        }
        // Nothing signs: the first start, or the active key was revoked. What there is takes over at once.
        (None, Some(upcoming)) => {
            plan.activate(upcoming, now);
            plan.create(algorithm, KeyState::Upcoming, policy.next_turn(now, now));
        }
        (None, None) => {
            plan.create(algorithm, KeyState::Active, now);
            plan.create(algorithm, KeyState::Upcoming, policy.next_turn(now, now));
        }
    }
}

fn replace(
    now: Timestamp,
    active: &StoredKey,
    upcoming: &StoredKey,
    policy: &Policy,
    plan: &mut Plan,
) {
    plan.end(active, KeyState::Retired, now, policy);
    plan.activate(upcoming, now);
    plan.create(active.algorithm, KeyState::Upcoming, policy.next_turn(now, now));
}

/// An algorithm that is no longer configured ends at its next rotation and not before: while a new
/// configuration is being rolled out, servers with the old one still use it.
fn wind_down(now: Timestamp, keys: &Keys<'_>, policy: &Policy, plan: &mut Plan) {
    for key in keys.active.into_iter().chain(keys.surplus.iter().copied()) {
        if key.activate_at.plus(policy.rotate_every) <= now {
            plan.end(key, KeyState::Retired, now, policy);
        }
    }
    if let Some(upcoming) = keys.upcoming
        && upcoming.activate_at <= now
    {
        plan.end(upcoming, KeyState::Retired, now, policy);
    }
}
