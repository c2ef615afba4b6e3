//! The usable keys of a JWKS, parsed. What Haetae does not understand is left out: an issuer may publish keys
//! for other purposes (RFC 7517 5).

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    algorithm::Algorithm,
    jwks::JwkSet,
    verify::{Unusable, VerifyingKey},
};

/// How many keys of one issuer are looked at.
const MAX_KEYS: usize = 64;

/// Keys by name. Never changes; a new set has a new generation.
#[derive(Debug, Default)]
pub struct KeySet {
    /// Several keys may share a name if they are for different algorithms (RFC 7517 4.5).
    by_kid: HashMap<String, Vec<Arc<VerifyingKey>>>,
    generation: u64,
}

pub(super) enum Lookup {
    Found(Arc<VerifyingKey>),
    OtherAlgorithm,
    Unknown,
}

impl KeySet {
    /// Our own keys.
    pub(super) fn of(jwks: &JwkSet, generation: u64) -> Self {
        let keys = jwks.keys.iter().map(|jwk| (jwk.kid.as_str(), VerifyingKey::from_jwk(jwk)));
        Self::from_keys(keys, generation)
    }

    /// The keys of any issuer. `None` when the text is not a JWKS.
    pub(super) fn parse(text: &[u8], generation: u64) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            keys: Vec<Map<String, Value>>,
        }
        let wire: Wire = serde_json::from_slice(text).ok()?;
        let keys = wire.keys.iter().take(MAX_KEYS).map(|jwk| {
            let kid = jwk.get("kid").and_then(Value::as_str).unwrap_or_default();
            (kid, VerifyingKey::from_json(jwk))
        });
        Some(Self::from_keys(keys, generation))
    }

    fn from_keys<'a>(
        keys: impl Iterator<Item = (&'a str, Result<VerifyingKey, Unusable>)>,
        generation: u64,
    ) -> Self {
        let mut by_kid: HashMap<String, Vec<Arc<VerifyingKey>>> = HashMap::new();
        for (kid, key) in keys {
            match key {
                Ok(key) => {
                    let same_name = by_kid.entry(key.kid().to_owned()).or_default();
                    // The first of two keys with one name and algorithm counts.
                    if same_name.iter().all(|other| other.algorithm() != key.algorithm()) {
                        same_name.push(Arc::new(key));
                    }
                }
                Err(why) => tracing::debug!(kid, %why, "ignoring a published key"),
            }
        }
        Self { by_kid, generation }
    }

    pub(super) fn find(&self, kid: &str, algorithm: Algorithm) -> Lookup {
        let Some(keys) = self.by_kid.get(kid) else { return Lookup::Unknown };
        keys.iter()
            .find(|key| key.algorithm() == algorithm)
            .map_or(Lookup::OtherAlgorithm, |key| Lookup::Found(Arc::clone(key)))
    }

    /// Whether this very key is in the set: the name alone would not do.
    pub(crate) fn contains(&self, key: &VerifyingKey) -> bool {
        self.by_kid.get(key.kid()).is_some_and(|keys| keys.iter().any(|known| known.is(key)))
    }

    pub(super) fn same_keys(&self, other: &Self) -> bool {
        self.len() == other.len() && self.by_kid.values().flatten().all(|key| other.contains(key))
    }

    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn len(&self) -> usize {
        self.by_kid.values().map(Vec::len).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_kid.is_empty()
    }
}
