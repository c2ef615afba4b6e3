//! A key of the ring, as it is stored: public half in the open, private half sealed.

use std::fmt;

use haetae_base::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::RingError;
use crate::{
    algorithm::Algorithm,
    jwks::Jwk,
    seal::SealingKey,
    sign::{KeyError, SigningKey},
};

/// Where a key is in its life. It only moves forward: upcoming, active, retired; or revoked from any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// Published, so that verifiers know it before it signs.
    Upcoming,
    /// Signs.
    Active,
    /// Signs no more; published until the last token that it signed has expired.
    Retired,
    /// Not trusted any more, at once. Kept for the record until its removal.
    Revoked,
}

impl KeyState {
    /// The name in the store: `upcoming`, `active`, `retired`, `revoked`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upcoming => "upcoming",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Revoked => "revoked",
        }
    }

    /// Reads [`KeyState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Upcoming, Self::Active, Self::Retired, Self::Revoked]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether a key in this state stands in the JWKS.
    pub const fn is_published(self) -> bool {
        matches!(self, Self::Upcoming | Self::Active | Self::Retired)
    }

    pub(super) const fn may_sign(self) -> bool {
        matches!(self, Self::Upcoming | Self::Active)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A key as the store keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Its name: the RFC 7638 thumbprint.
    pub kid: String,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// The private half as sealed PKCS#8; empty once the key has stopped signing.
    pub sealed_private: Vec<u8>,
    /// The public half.
    pub public_jwk: Jwk,
    /// When it was made, which is when it was published.
    pub created_at: Timestamp,
    /// When it begins to sign, or began.
    pub activate_at: Timestamp,
    /// When it stopped signing; none while it may still sign.
    pub retire_at: Option<Timestamp>,
    /// When it leaves the store; none while it may still sign.
    pub remove_at: Option<Timestamp>,
}

impl StoredKey {
    pub(super) fn seal(
        key: &SigningKey,
        sealing: &SealingKey,
        state: KeyState,
        created_at: Timestamp,
        activate_at: Timestamp,
    ) -> Result<Self, KeyError> {
        let jwk = key.jwk().clone();
        let private = key.to_pkcs8().ok_or(KeyError::Generate(jwk.alg))?;
        Ok(Self {
            kid: jwk.kid.clone(),
            algorithm: jwk.alg,
            state,
            sealed_private: sealing.seal(&private, context(jwk.alg, &jwk.kid).as_bytes()),
            public_jwk: jwk,
            created_at,
            activate_at,
            retire_at: None,
            remove_at: None,
        })
    }

    pub(super) fn open(&self, sealing: &SealingKey) -> Result<SigningKey, RingError> {
        let unseal = || RingError::Unseal { kid: self.kid.clone() };
        let private = sealing
            .open(&self.sealed_private, context(self.algorithm, &self.kid).as_bytes())
            .map_err(|_| unseal())?;
        let key = SigningKey::from_pkcs8(self.algorithm, &private)?;
        // The public half is not sealed: whoever can write to the store must not be able to publish
        // another key under this name.
        if *key.jwk() == self.public_jwk && key.jwk().kid == self.kid {
            Ok(key)
        } else {
            Err(unseal())
        }
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoredKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("state", &self.state)
            .field("created_at", &self.created_at)
            .field("activate_at", &self.activate_at)
            .field("retire_at", &self.retire_at)
            .field("remove_at", &self.remove_at)
            .finish_non_exhaustive()
    }
}

fn context(algorithm: Algorithm, kid: &str) -> String {
    format!("{algorithm} {kid}")
}
