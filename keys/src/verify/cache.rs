//! The tokens that were verified already, by the SHA-256 of their text. Only good tokens get in: what is
//! forged costs its sender a signature check each time and takes no room.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    sync::Arc,
};

use aws_lc_rs::digest;
use quick_cache::{OptionsBuilder, UnitWeighter, sync::Cache, sync::DefaultLifecycle};

use super::Verified;
use crate::claims::AccessClaims;

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        let digest = digest::digest(&digest::SHA256, token.as_bytes());
        for (byte, value) in bytes.iter_mut().zip(digest.as_ref()) {
            *byte = *value;
        }
        Self(bytes)
    }

    fn prefix(&self) -> u64 {
        self.0.first_chunk().map_or(0, |prefix| u64::from_le_bytes(*prefix))
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.prefix());
    }
}

type Entry = Arc<Verified<AccessClaims>>;
type Kept =
    Cache<Fingerprint, Entry, UnitWeighter, DigestHasher, DefaultLifecycle<Fingerprint, Entry>>;

/// A bounded cache that keeps what is used.
pub(super) struct TokenCache(Option<Kept>);

impl TokenCache {
    /// A cache for about `capacity` tokens; with 0 nothing is kept.
    pub(super) fn new(capacity: usize) -> Self {
        let options = OptionsBuilder::new()
            .estimated_items_capacity(capacity)
            .weight_capacity(capacity as u64)
            .build();
        Self(options.ok().filter(|_| capacity > 0).map(|options| {
            Cache::with_options(options, UnitWeighter, DigestHasher, DefaultLifecycle::default())
        }))
    }

    pub(super) fn get(&self, fingerprint: &Fingerprint) -> Option<Entry> {
        self.0.as_ref()?.get(fingerprint)
    }

    pub(super) fn insert(&self, fingerprint: Fingerprint, entry: Entry) {
        if let Some(cache) = &self.0 {
            cache.insert(fingerprint, entry);
        }
    }

    pub(super) fn remove(&self, fingerprint: &Fingerprint) {
        if let Some(cache) = &self.0 {
            cache.remove(fingerprint);
        }
    }

    /// Drops every entry that `keep` refuses.
    pub(super) fn retain(&self, keep: impl Fn(&Verified<AccessClaims>) -> bool) {
        if let Some(cache) = &self.0 {
            cache.retain(|_, entry| keep(entry));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, Cache::len)
    }
}

/// The first eight bytes of a SHA-256 are a hash already. Nobody can choose them for a token that gets in:
/// the issuer writes those.
#[derive(Clone, Copy, Debug, Default)]
struct DigestHasher;

impl BuildHasher for DigestHasher {
    type Hasher = DigestPrefix;

    fn build_hasher(&self) -> DigestPrefix {
        DigestPrefix(0)
    }
}

struct DigestPrefix(u64);

impl Hasher for DigestPrefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
