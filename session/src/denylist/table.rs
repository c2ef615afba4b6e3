//! The replica's copy in memory, on the path of every request.
//!
//! Most tokens match nothing, so that is the case that must cost nothing: each kind has a filter, one bit
//! for each of many values, read without a lock and shared between all cores; an empty kind is not even
//! hashed. Only when the bit is set is the map behind it asked, under the read lock of one shard.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use foldhash::fast::RandomState;
use haetae_base::{
    clock::Timestamp,
    id::{Id, Kind as IdKind},
};
use haetae_keys::claims::AccessClaims;

use super::{Entry, Kind, LEEWAY};

/// Shards of a map; a power of two.
const SHARDS: usize = 16;
/// Words of a filter; a power of two. 2^18 bits (32 KiB): with a thousand entries one token in 250 looks
/// further than the filter, with a hundred thousand one in three.
const FILTER_WORDS: usize = 4096;

/// All entries in memory.
#[derive(Debug)]
pub(super) struct Table {
    kinds: [OneKind; 5],
    hasher: RandomState,
    /// Held by whoever changes the table. Readers never take it.
    changing: Mutex<()>,
}

#[derive(Debug)]
struct OneKind {
    values: AtomicUsize,
    filter: Box<[AtomicU64]>,
    shards: [RwLock<HashMap<Box<str>, Denied, RandomState>>; SHARDS],
}

/// What one value is refused for. Almost always the first alone.
#[derive(Debug)]
struct Denied {
    first: Rule,
    more: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    issued_before: Timestamp,
    until: Timestamp,
}

impl Rule {
    /// Whether this rule refuses everything that `other` refuses, for as long.
    fn covers(self, other: Self) -> bool {
        self.issued_before >= other.issued_before && self.until >= other.until
    }

    fn is_over(self, now: Timestamp) -> bool {
        now >= self.until.plus(LEEWAY)
    }
}

impl Denied {
    fn rules(&self) -> impl Iterator<Item = Rule> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }

    fn of(rules: impl Iterator<Item = Rule>) -> Option<Self> {
        let mut rules = rules;
        let first = rules.next()?;
        Some(Self { first, more: rules.collect() })
    }
}

impl Table {
    pub(super) fn new() -> Self {
        let hasher = RandomState::default();
        let kind = || OneKind {
            values: AtomicUsize::new(0),
            filter: (0..FILTER_WORDS).map(|_| AtomicU64::new(0)).collect(),
            shards: std::array::from_fn(|_| RwLock::new(HashMap::with_hasher(hasher.clone()))),
        };
        Self {
            kinds: std::array::from_fn(|_| kind()),
            hasher: hasher.clone(),
            changing: Mutex::new(()),
        }
    }

    /// Whether a token with these claims, signed with `kid`, is refused. `now` is asked for only when an
    /// entry matches.
    pub(super) fn refuses(
        &self,
        claims: &AccessClaims,
        kid: &str,
        now: impl Fn() -> Timestamp,
    ) -> bool {
        let values = [
            Some(claims.jti.as_str()),
            claims.sid.as_deref(),
            Some(claims.sub.as_str()),
            Some(claims.client_id.as_str()),
            Some(kid),
        ];
        self.kinds.iter().zip(values).any(|(kind, value)| {
            value.is_some_and(|value| {
                kind.may_have(&self.hasher, value)
                    && kind.refuses(&self.hasher, value, claims, &now)
            })
        })
    }

    /// Whether everything that `entry` refuses is refused already, for as long.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        let rule = Rule { issued_before: entry.issued_before, until: entry.until };
        self.kinds
            .get(place(entry.kind))
            .is_some_and(|kind| kind.holds(&self.hasher, &entry.value, rule))
    }

    /// Adds entries. An entry that is there already, or over, changes nothing.
    pub(super) fn insert<'a>(&self, entries: impl Iterator<Item = &'a Entry>, now: Timestamp) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries.filter(|entry| !entry.is_over(now)) {
            let rule = Rule { issued_before: entry.issued_before, until: entry.until };
            if let Some(kind) = self.kinds.get(place(entry.kind)) {
                kind.insert(&self.hasher, &entry.value, rule);
            }
        }
    }

    /// Forgets the entries that are over.
    pub(super) fn prune(&self, now: Timestamp) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for kind in &self.kinds {
            kind.prune(&self.hasher, now);
        }
    }

    /// How many values each kind has.
    pub(super) fn sizes(&self) -> [(Kind, usize); 5] {
        Kind::ALL.map(|kind| {
            let values = self.kinds.get(place(kind)).map(|kind| &kind.values);
            (kind, values.map_or(0, |values| values.load(Ordering::Relaxed)))
        })
    }
}

/// The kinds in the order in which [`Table::refuses`] asks for them.
const fn place(kind: Kind) -> usize {
    match kind {
        Kind::Jti => 0,
        Kind::Sid => 1,
        Kind::Sub => 2,
        Kind::ClientId => 3,
        Kind::Kid => 4,
    }
}

impl OneKind {
    #[inline]
    fn may_have(&self, hasher: &RandomState, value: &str) -> bool {
        if self.values.load(Ordering::Acquire) == 0 {
            return false;
        }
        let (word, bit) = bit_of(hasher.hash_one(value));
        self.filter.get(word).is_none_or(|word| word.load(Ordering::Acquire) & bit != 0)
    }

    #[cold]
    fn refuses(
        &self,
        hasher: &RandomState,
        value: &str,
        claims: &AccessClaims,
        now: &impl Fn() -> Timestamp,
    ) -> bool {
        let Some(shard) = self.shard(hasher, value) else {
            return false;
        };
        let map = shard.read().unwrap_or_else(PoisonError::into_inner);
        let Some(denied) = map.get(value) else {
            return false;
        };
        let (issued, now) = (issued_at(claims), now());
        denied.rules().any(|rule| issued < rule.issued_before && !rule.is_over(now))
    }

    fn holds(&self, hasher: &RandomState, value: &str, rule: Rule) -> bool {
        let Some(shard) = self.shard(hasher, value) else {
            return false;
        };
        let map = shard.read().unwrap_or_else(PoisonError::into_inner);
        map.get(value).is_some_and(|denied| denied.rules().any(|known| known.covers(rule)))
    }

    fn shard(
        &self,
        hasher: &RandomState,
        value: &str,
    ) -> Option<&RwLock<HashMap<Box<str>, Denied, RandomState>>> {
        let hash = hasher.hash_one(value);
        self.shards.get(usize::try_from(hash >> 60).unwrap_or(0) % SHARDS)
    }

    fn insert(&self, hasher: &RandomState, value: &str, rule: Rule) {
        let Some(shard) = self.shard(hasher, value) else {
            return;
        };
        {
            let mut map = shard.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(denied) = map.get_mut(value) {
                if denied.rules().any(|known| known.covers(rule)) {
                    return;
                }
                let kept: Vec<_> = denied.rules().filter(|known| !rule.covers(*known)).collect();
                *denied = Denied { first: rule, more: kept };
                return;
            }
            map.insert(value.into(), Denied { first: rule, more: Vec::new() });
        }
        // The map first, the bit and the count after it: who sees those finds the entry.
        let (word, bit) = bit_of(hasher.hash_one(value));
        if let Some(word) = self.filter.get(word) {
            word.fetch_or(bit, Ordering::Release);
        }
        self.values.fetch_add(1, Ordering::Release);
    }

    fn prune(&self, hasher: &RandomState, now: Timestamp) {
        if self.values.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut filter = vec![0_u64; FILTER_WORDS];
        let mut values = 0;
        for shard in &self.shards {
            let mut map = shard.write().unwrap_or_else(PoisonError::into_inner);
            map.retain(|_, denied| {
                if denied.rules().any(|rule| rule.is_over(now)) {
                    match Denied::of(denied.rules().filter(|rule| !rule.is_over(now))) {
                        Some(rest) => *denied = rest,
                        None => return false,
                    }
                }
                true
            });
            if map.capacity() > 4 * map.len() + 64 {
                map.shrink_to_fit();
            }
            values += map.len();
            for value in map.keys() {
                let (word, bit) = bit_of(hasher.hash_one(value.as_ref()));
                if let Some(word) = filter.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        // Nobody else changes the table now, so each word holds every living entry before and after.
        for (word, bits) in self.filter.iter().zip(filter) {
            word.store(bits, Ordering::Release);
        }
        self.values.store(values, Ordering::Release);
    }
}

/// Word and bit of a value in the filter.
fn bit_of(hash: u64) -> (usize, u64) {
    let word = usize::try_from((hash >> 6) & (FILTER_WORDS as u64 - 1)).unwrap_or(0);
    (word, 1 << (hash & 63))
}

/// When a token was issued. `iat` has whole seconds; the `jti` of our own tokens has the millisecond, and
/// is believed as long as it names the same second. Without it the second counts from its beginning:
/// whatever was issued in the second of a revocation, also shortly after it, is refused. That way the
/// ambiguity falls on the side of refusing; for our own tokens there is none.
fn issued_at(claims: &AccessClaims) -> Timestamp {
    let second = Timestamp::from_seconds(claims.iat.as_seconds());
    claims
        .jti
        .parse::<Id<Token>>()
        .map(Id::created_at)
        .ok()
        .filter(|exact| exact.as_seconds() == second.as_seconds())
        .unwrap_or(second)
}

enum Token {}

impl IdKind for Token {
    const PREFIX: &'static str = "tok";
}

#[cfg(test)]
mod tests;
