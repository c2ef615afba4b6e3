//! The ring of signing keys.

use std::sync::Arc;

use haetae_keys::{
    Algorithm,
    ring::{KeyRing, RingError, Rotated, StoredKey},
};
use haetae_session::denylist::Entry;

use super::{Manage, ManageError};
use crate::{
    audit::{Event, What},
    changes::{self, Change},
    run::ring_policy,
    store::keys::SigningKeys,
};

/// The ring, opened for an operator.
pub struct KeyManager<'a> {
    manage: &'a Manage,
    ring: Arc<KeyRing>,
}

impl Manage {
    /// Opens the ring; keys that are missing are made.
    pub async fn keys(&self) -> Result<KeyManager<'_>, ManageError> {
        let store = Arc::new(SigningKeys::new(self.sql.clone()));
        let policy = ring_policy(&self.config);
        let ring = KeyRing::open(store, &self.master, policy, Arc::clone(&self.clock)).await?;
        Ok(KeyManager { manage: self, ring })
    }
}

impl KeyManager<'_> {
    /// All keys.
    pub fn list(&self) -> Vec<StoredKey> {
        self.ring.list()
    }

    /// Rotates the key of one algorithm, or all of them. Every authserver hears of it.
    pub async fn rotate(&self, algorithm: Option<Algorithm>) -> Result<Vec<Rotated>, ManageError> {
        let redis = self.manage.redis().await?;
        let rotated = self.ring.rotate(algorithm).await?;
        changes::announce(redis, Change::Keys).await?;
        for one in &rotated {
            let (Rotated::Now { algorithm, kid } | Rotated::Scheduled { algorithm, kid, .. }) = one;
            let event = Event::success(What::KeysRotated)
                .with("algorithm", algorithm.as_str())
                .with("kid", kid.as_str());
            self.manage.record(event).await?;
        }
        Ok(rotated)
    }

    /// Revokes a key: every token that it signed is refused, it is no longer published and never signs
    /// again.
    pub async fn revoke(&self, kid: &str) -> Result<(), ManageError> {
        if !self.ring.list().iter().any(|key| key.kid == kid) {
            return Err(RingError::UnknownKey { kid: kid.to_owned() }.into());
        }
        let manage = self.manage;
        let denylist = manage.denylist().await?;
        // No longer published first, so that a token that is signed meanwhile is not good for long either.
        self.ring.revoke(kid).await?;
        changes::announce(manage.redis().await?, Change::Keys).await?;
        // A verifier may remember the key for as long as it is published ahead.
        let until = manage.now().plus(*manage.config.keys.overlap);
        denylist.revoke(Entry::key(kid, until)).await?;
        manage.record(Event::success(What::KeyRevoked).with("kid", kid)).await
    }
}

impl std::fmt::Debug for KeyManager<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyManager")
    }
}
