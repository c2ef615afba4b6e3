//! The ring of signing keys, shared by any number of servers through one store: what is published, what
//! signs now, and the changes that time and operators make to it.

mod key;
mod rotation;
mod store;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use haetae_base::clock::{Clock, Timestamp};

use self::rotation::{Plan, Step};
pub use self::{
    key::{KeyState, StoredKey},
    rotation::{KEPT_FOR, Policy},
    store::{Change, KeyStore, MemoryStore, StoreError, StoredRing, Update},
};
use crate::{
    algorithm::Algorithm,
    issuer::IssuerKeys,
    jwks::JwkSet,
    seal::{MasterKey, SealingKey},
    sign::{KeyError, Signer, SigningKey},
};

/// A ring that cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// The store failed.
    #[error("cannot reach the signing keys")]
    Store(#[from] StoreError),
    /// A key does not open with this master key.
    #[error(
        "signing key {kid} does not open with this master key; set keys.master_key to the one that it was sealed with"
    )]
    Unseal {
        /// The key.
        kid: String,
    },
    /// A key cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There is no such key.
    #[error("no signing key {kid}")]
    UnknownKey {
        /// What was asked for.
        kid: String,
    },
    /// Other servers kept changing the ring first.
    #[error("the ring of signing keys kept changing; try again")]
    Contended,
}

/// What a rotation by hand did to one algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotated {
    /// The upcoming key signs from now on.
    Now {
        /// Which algorithm.
        algorithm: Algorithm,
        /// The new active key.
        kid: String,
    },
    /// Not every verifier can know the upcoming key yet; it takes over at `at`.
    Scheduled {
        /// Which algorithm.
        algorithm: Algorithm,
        /// The key that will take over.
        kid: String,
        /// When.
        at: Timestamp,
    },
}

/// One server's view of the ring.
pub struct KeyRing {
    store: Arc<dyn KeyStore>,
    sealing: SealingKey,
    policy: Policy,
    clock: Arc<dyn Clock>,
    view: ArcSwap<View>,
    /// The same published keys, in the form that a verifier takes.
    own: Arc<IssuerKeys>,
    /// Held while the ring is read from the store and the view replaced, so that an older reading never
    /// replaces a newer one.
    turn: tokio::sync::Mutex<()>,
    /// Keys that were made for a change that another server forestalled: the next change takes them.
    spare: Mutex<Vec<SigningKey>>,
}

struct View {
    revision: i64,
    keys: Vec<Held>,
    signer: Arc<Signer>,
    jwks: Arc<JwkSet>,
}

/// A key as stored, with the private half opened where it may sign.
#[derive(Clone)]
struct Held {
    stored: StoredKey,
    signing: Option<Arc<SigningKey>>,
}

/// How often a change is tried again when other servers come first.
const ATTEMPTS: usize = 8;

impl KeyRing {
    /// Opens the ring and makes the keys that are missing. Spawns nothing: call [`KeyRing::maintain`]
    /// twice a minute, and when [`KeyRing::due_in`] says so.
    ///
    /// # Errors
    /// [`RingError`] when the store fails or a key does not open with this master key.
    pub async fn open(
        store: Arc<dyn KeyStore>,
        master: &MasterKey,
        policy: Policy,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, RingError> {
        let ring = Arc::new(Self {
            store,
            sealing: master.derive("signing keys"),
            policy,
            clock,
            view: ArcSwap::from_pointee(View {
                revision: i64::MIN,
                keys: Vec::new(),
                signer: Arc::default(),
                jwks: Arc::default(),
            }),
            own: IssuerKeys::fixed(&JwkSet::default()),
            turn: tokio::sync::Mutex::default(),
            spare: Mutex::default(),
        });
        ring.maintain().await?;
        Ok(ring)
    }

    /// One tick: reads the ring again and makes the changes that are due. Any number of servers may do
    /// this at once; each change happens once. When the store is away, the keys that are known go on
    /// signing and an upcoming key still takes over at its time.
    ///
    /// # Errors
    /// [`RingError`]; the ring stays usable as it was.
    pub async fn maintain(&self) -> Result<(), RingError> {
        let _turn = self.turn.lock().await;
        let result =
            self.change(|keys, now| Ok((rotation::due(now, keys, &self.policy), ()))).await;
        if result.is_err() {
            self.follow_the_clock();
        }
        result
    }

    /// Rotates one algorithm, or all of them. A key that some verifier may not know yet is scheduled instead of
    /// used at once, for at most [`Policy::learnt_within`] from when it was made.
    ///
    /// # Errors
    /// [`RingError`]; nothing was changed.
    pub async fn rotate(&self, algorithm: Option<Algorithm>) -> Result<Vec<Rotated>, RingError> {
        let _turn = self.turn.lock().await;
        self.change(|keys, now| Ok(rotation::by_hand(now, keys, &self.policy, algorithm))).await
    }

    /// Revokes a key: it is no longer published, never signs again, its private half is destroyed, and
    /// another key signs at once. The caller also appends a denylist entry of kind `kid`, so that
    /// gateways refuse its tokens before they fetch the keys again.
    ///
    /// # Errors
    /// [`RingError::UnknownKey`] when the ring has no such key.
    pub async fn revoke(&self, kid: &str) -> Result<(), RingError> {
        let _turn = self.turn.lock().await;
        self.change(|keys, now| {
            rotation::revocation(now, keys, &self.policy, kid)
                .map(|plan| (plan, ()))
                .ok_or_else(|| RingError::UnknownKey { kid: kid.to_owned() })
        })
        .await
    }

    /// How long until the next change that time alone makes, as far as this server has read the ring: a key
    /// begins to sign, or is no longer published. Servers that maintain the ring then change over together.
    pub fn due_in(&self) -> Option<Duration> {
        let (view, now) = (self.view.load(), self.clock.now());
        let at = rotation::next_due(now, view.keys.iter().map(|held| &held.stored))?;
        Some(at.since(now))
    }

    /// The keys that sign now.
    pub fn signer(&self) -> Arc<Signer> {
        Arc::clone(&self.view.load().signer)
    }

    /// The keys that are published now.
    pub fn jwks(&self) -> Arc<JwkSet> {
        Arc::clone(&self.view.load().jwks)
    }

    /// The published keys for a verifier in this process; they follow the ring.
    pub fn issuer_keys(&self) -> Arc<IssuerKeys> {
        Arc::clone(&self.own)
    }

    /// All keys, as stored: for `haetae keys list`.
    pub fn list(&self) -> Vec<StoredKey> {
        self.view.load().keys.iter().map(|held| held.stored.clone()).collect()
    }

    /// Reads the ring, lets `decide` plan the changes, and applies them; again when another server was
    /// faster.
    async fn change<T>(
        &self,
        decide: impl Fn(&[StoredKey], Timestamp) -> Result<(Plan, T), RingError>,
    ) -> Result<T, RingError> {
        for attempt in 0..ATTEMPTS {
            let ring = self.store.load().await?;
            let now = self.clock.now();
            let (plan, outcome) = decide(&ring.keys, now)?;
            if plan.is_empty() {
                self.show(ring)?;
                return Ok(outcome);
            }
            let changes = self.carry_out(plan, now).await?;
            match self.store.apply(ring.revision, &changes).await {
                Ok(()) => {
                    // Read back rather than computed: what is published is what is stored.
                    let ring = self.store.load().await?;
                    self.show(ring)?;
                    for change in &changes {
                        tracing::info!(%change, "the ring of signing keys changed");
                    }
                    return Ok(outcome);
                }
                Err(StoreError::Conflict) => {
                    self.keep_spares(changes);
                    tracing::debug!(attempt, "another server changed the ring first");
                    tokio::time::sleep(backoff(attempt)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(RingError::Contended)
    }

    /// Turns steps into changes: makes and seals the keys that the plan asks for.
    async fn carry_out(&self, plan: Plan, now: Timestamp) -> Result<Vec<Change>, RingError> {
        let mut changes = Vec::new();
        for step in plan.into_steps() {
            changes.push(match step {
                Step::Create { algorithm, state, activate_at } => {
                    let key = self.new_key(algorithm).await?;
                    Change::Insert(StoredKey::seal(&key, &self.sealing, state, now, activate_at)?)
                }
                Step::Update(update) => Change::Update(update),
                Step::Remove { kid } => Change::Remove { kid },
            });
        }
        Ok(changes)
    }

    async fn new_key(&self, algorithm: Algorithm) -> Result<SigningKey, RingError> {
        let spare = {
            let mut spares = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
            let at = spares.iter().position(|key| key.jwk().alg == algorithm);
            at.map(|at| spares.swap_remove(at))
        };
        if let Some(key) = spare {
            return Ok(key);
        }
        // RSA takes a part of a second: not on a thread that others wait for.
        let made = tokio::task::spawn_blocking(move || SigningKey::generate(algorithm)).await;
        Ok(made.map_err(|_| KeyError::Generate(algorithm))??)
    }

    fn keep_spares(&self, changes: Vec<Change>) {
        let mut spares = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            if let Change::Insert(stored) = change
                && let Ok(key) = stored.open(&self.sealing)
            {
                spares.push(key);
            }
        }
        spares.truncate(2 * Algorithm::ALL.len());
    }

    /// Replaces the view by what the store holds. Keys that were open already stay parsed.
    fn show(&self, ring: StoredRing) -> Result<(), RingError> {
        let before = self.view.load_full();
        let keys = ring
            .keys
            .into_iter()
            .map(|stored| {
                let known = before
                    .keys
                    .iter()
                    .find(|held| held.stored.kid == stored.kid)
                    .and_then(|held| held.signing.clone());
                let signing = match known {
                    _ if !stored.state.may_sign() => None,
                    Some(signing) => Some(signing),
                    None => Some(Arc::new(stored.open(&self.sealing)?)),
                };
                Ok(Held { stored, signing })
            })
            .collect::<Result<Vec<_>, RingError>>()?;
        self.publish(ring.revision, keys);
        Ok(())
    }

    /// Time alone moved: an upcoming key whose time has come signs, whether or not the store could be told.
    fn follow_the_clock(&self) {
        let view = self.view.load_full();
        self.publish(view.revision, view.keys.clone());
    }

    fn publish(&self, revision: i64, keys: Vec<Held>) {
        let now = self.clock.now();
        let signing = Algorithm::ALL.into_iter().filter_map(|algorithm| {
            let stored = keys.iter().map(|held| &held.stored);
            let kid = &rotation::signing_key(now, stored, algorithm)?.kid;
            keys.iter().find(|held| held.stored.kid == *kid)?.signing.clone()
        });
        let signer = Arc::new(Signer::of(signing));
        let published = keys.iter().filter(|held| held.stored.state.is_published());
        let jwks = Arc::new(JwkSet {
            keys: published.map(|held| held.stored.public_jwk.clone()).collect(),
        });
        self.own.replace(&jwks);
        tell(now, &keys);
        self.view.store(Arc::new(View { revision, keys, signer, jwks }));
    }
}

/// What a key in the ring does, for the metrics. The private half of a revoked one is destroyed and its public
/// half is not published: it counts as none.
pub(crate) const IN_RING: [&str; 3] = ["active", "upcoming", "retired"];

fn tell(now: Timestamp, keys: &[Held]) {
    for algorithm in Algorithm::ALL {
        let of_algorithm =
            || keys.iter().map(|held| &held.stored).filter(move |key| key.algorithm == algorithm);
        let signs = rotation::signing_key(now, of_algorithm(), algorithm).map(|key| &key.kid);
        let waits = |key: &&StoredKey| key.state == KeyState::Upcoming && key.activate_at > now;
        let counts = [
            usize::from(signs.is_some()),
            of_algorithm().filter(waits).count(),
            of_algorithm().filter(|key| key.state == KeyState::Retired).count(),
        ];
        for (state, count) in IN_RING.into_iter().zip(counts) {
            metrics::gauge!("haetae_keys_ring_keys", "algorithm" => algorithm.as_str(), "state" => state)
                .set(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }
}

/// Grows with each attempt, so that servers that collided once drift apart.
fn backoff(attempt: usize) -> Duration {
    let ceiling = 5_u64 << attempt.min(6);
    Duration::from_millis(haetae_base::entropy::below(ceiling) + 1)
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = self.view.load();
        write!(formatter, "KeyRing(revision {}, {} keys)", view.revision, view.keys.len())
    }
}
