//! Where the ring is kept: what a store has to do, and one in memory.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use haetae_base::clock::Timestamp;

use super::key::{KeyState, StoredKey};

/// The ring as one reading of the store found it.
#[derive(Clone, Debug, Default)]
pub struct StoredRing {
    /// Grows by one with each [`KeyStore::apply`] that succeeds.
    pub revision: i64,
    /// All keys.
    pub keys: Vec<StoredKey>,
}

/// One change of the ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new key.
    Insert(StoredKey),
    /// A key moves on in its life.
    Update(Update),
    /// A key is gone.
    Remove {
        /// Which.
        kid: String,
    },
}

/// The new values of a key's changeable columns. The store writes all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Which key.
    pub kid: String,
    /// Its new state.
    pub state: KeyState,
    /// When it begins to sign.
    pub activate_at: Timestamp,
    /// When it stopped signing.
    pub retire_at: Option<Timestamp>,
    /// When it is removed.
    pub remove_at: Option<Timestamp>,
    /// Whether the sealed private half is replaced by nothing: the key never signs again.
    pub destroy_private: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert(key) => {
                write!(formatter, "{} {} added as {}", key.algorithm, key.kid, key.state)
            }
            Self::Update(update) => {
                write!(
                    formatter,
                    "{} is {} from {}",
                    update.kid,
                    update.state,
                    update.retire_at.unwrap_or(update.activate_at)
                )
            }
            Self::Remove { kid } => write!(formatter, "{kid} removed"),
        }
    }
}

/// A store that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The ring has another revision than expected: another server changed it. Nothing was written.
    #[error("the ring was changed by another server")]
    Conflict,
    /// The store failed, or a row in it makes no sense.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Wraps the error of a database.
    pub fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

/// Where the ring is kept. All servers of an issuer share one.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// Reads all keys and the revision, from one snapshot of the database. A store that was never written
    /// has revision 0 and no keys.
    async fn load(&self) -> Result<StoredRing, StoreError>;

    /// Applies all changes and raises the revision by one, in one transaction, if the revision is still
    /// `expected`. Every write checks the number of rows that it changed.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the revision is another; then nothing was written.
    async fn apply(&self, expected: i64, changes: &[Change]) -> Result<(), StoreError>;
}

/// A ring in memory: for tests, and the reference for what an adapter of a database has to do.
#[derive(Debug, Default)]
pub struct MemoryStore(pub(super) Mutex<StoredRing>);

#[async_trait]
impl KeyStore for MemoryStore {
    async fn load(&self) -> Result<StoredRing, StoreError> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn apply(&self, expected: i64, changes: &[Change]) -> Result<(), StoreError> {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stored.revision != expected {
            return Err(StoreError::Conflict);
        }
        let mut next = stored.clone();
        next.revision += 1;
        for change in changes {
            change.apply_to(&mut next.keys).ok_or_else(|| {
                StoreError::failed(format!("{change}: no such key, or there is one already"))
            })?;
        }
        *stored = next;
        Ok(())
    }
}

impl Change {
    /// What the change means. `None` when the key to change is not there, or the one to insert is.
    pub(super) fn apply_to(&self, keys: &mut Vec<StoredKey>) -> Option<()> {
        match self {
            Self::Insert(new) => {
                if keys.iter().any(|key| key.kid == new.kid) {
                    return None;
                }
                keys.push(new.clone());
            }
            Self::Update(update) => {
                let key = keys.iter_mut().find(|key| key.kid == update.kid)?;
                key.state = update.state;
                key.activate_at = update.activate_at;
                key.retire_at = update.retire_at;
                key.remove_at = update.remove_at;
                if update.destroy_private {
                    key.sealed_private.clear();
                }
            }
            Self::Remove { kid } => {
                let at = keys.iter().position(|key| key.kid == *kid)?;
                keys.remove(at);
            }
        }
        Some(())
    }
}
