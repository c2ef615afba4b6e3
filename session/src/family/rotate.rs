//! One use of a refresh token, and what can come of it.

use std::sync::atomic::Ordering;

use haetae_base::{clock::Timestamp, secret::SecretHash};
use haetae_keys::{claims::Scope, seal::SealingKey};
use secrecy::{ExposeSecret, SecretString};

use super::{
    AccessRef, FamilyGrant, FamilyStore,
    store::{PREFIX, REMEMBERED, SLACK_MS, UNSEEN, family_key},
};
use crate::{
    FamilyId, RefreshFamily, StoreError,
    bearer::{self, Presented},
    index,
};

/// How a use can end, in the words of `family.lua`, for the metrics. Its `late` is asked again.
pub(crate) const OUTCOMES: [&str; 8] =
    ["rotated", "replayed", "reused", "unknown", "wrong_client", "expired", "scope", "lost"];

/// A refresh token that was accepted.
#[derive(Debug)]
pub struct Rotated {
    /// The family, for the audit trail.
    pub family: FamilyId,
    /// What was granted.
    pub grant: FamilyGrant,
    /// The token to use next time. The presented one is spent.
    pub refresh_token: SecretString,
    /// When the family ends, used or not.
    pub expires_at: Timestamp,
    /// Whether the presented token had been spent already, a moment ago, and this is the same successor
    /// again.
    pub replayed: bool,
}

/// A refresh token that was not accepted. All but `Store` are `invalid_grant` to the client (RFC 6749
/// 5.2), except `Scope`, which is `invalid_scope`.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// Nobody knows it: never issued, revoked, long over, or forgotten by a Redis that lost its latest
    /// data (a failover); that is no theft and raises no alarm.
    #[error("the refresh token is not known")]
    Unknown,
    /// The family's idle or absolute lifetime is over.
    #[error("the refresh token has expired")]
    Expired,
    /// It had been spent before the grace window: two hold it, and one of them stole it. The whole family
    /// is dead.
    #[error("the refresh token was used before; its family is revoked")]
    Reused {
        /// The family, for the audit trail.
        family: FamilyId,
        /// What was granted: whose, to whom, in which session.
        grant: Box<FamilyGrant>,
        /// Whether this use killed the family. The alert belongs to it alone; later replays find the
        /// family dead.
        first: bool,
    },
    /// It belongs to another client. Nothing was consumed.
    #[error("the refresh token belongs to another client")]
    WrongClient,
    /// More was asked for than granted (RFC 6749 6). Nothing was consumed.
    #[error("the requested scope goes beyond what was granted")]
    Scope,
    /// Redis. Whether the token was spent is unknown; a retry within the grace window finds out.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FamilyStore {
    /// Spends `presented` for its successor, in one round trip to Redis. `requested` is the scope that
    /// the access token is to have, when less than all: it is checked before anything is spent and does
    /// not narrow the family.
    ///
    /// Whoever presents a token that was spent at most the grace window ago gets the successor that it
    /// was spent for, however many do so at once, and whether or not that one has been spent meanwhile.
    ///
    /// # Errors
    /// [`RotateError`].
    pub async fn rotate(
        &self,
        presented: &str,
        client_id: &str,
        requested: Option<&Scope>,
        now: Timestamp,
    ) -> Result<Rotated, RotateError> {
        self.rotate_issuing(presented, client_id, requested, None, now).await
    }

    /// The same, and remembers the access token that the caller is about to issue with it, so that the
    /// family's end can be told to the denylist ([`FamilyGrant::issued`]).
    ///
    /// # Errors
    /// [`RotateError`].
    pub async fn rotate_issuing(
        &self,
        presented: &str,
        client_id: &str,
        requested: Option<&Scope>,
        access: Option<&AccessRef>,
        now: Timestamp,
    ) -> Result<Rotated, RotateError> {
        let Some(claimed) = self.presented(presented) else {
            return Err(RotateError::Unknown);
        };
        let (family, hash) = (claimed.id, claimed.hash);
        let key = successor_key(presented);
        let successor =
            bearer::stamped(PREFIX, family, claimed.generation.saturating_add(1), &self.stamp);
        let sealed = key.seal(successor.expose_secret().as_bytes(), hash.as_bytes());
        let use_up = UseUp { claimed: &claimed, client_id, successor: &successor, sealed: &sealed };
        let mut answer = self.ask(&use_up, requested, access, now, self.given_up(now)).await?;
        if answer.first().is_some_and(|verdict| verdict == b"late") {
            // It was answered, so somebody waits: a clock was set, and nothing was done.
            answer = self.ask(&use_up, requested, access, now, 0).await?;
        }
        let mut answer = answer.into_iter();
        let verdict = answer.next().unwrap_or_default();
        let outcome = String::from_utf8_lossy(&verdict).into_owned();
        metrics::counter!("haetae_refresh_rotations_total", "outcome" => outcome).increment(1);
        match verdict.as_slice() {
            b"rotated" => {
                let (grant, expires_at) = granted(&mut answer)?;
                let refresh_token = successor;
                Ok(Rotated { family, grant, refresh_token, expires_at, replayed: false })
            }
            b"replayed" => {
                let (grant, expires_at) = granted(&mut answer)?;
                let refresh_token = open(&key, &answer.next().unwrap_or_default(), hash)?;
                Ok(Rotated { family, grant, refresh_token, expires_at, replayed: true })
            }
            b"reused" => {
                let mut grant = Box::new(grant(&answer.next().unwrap_or_default())?);
                let first = answer.next().is_some_and(|first| first == b"1");
                (grant.issued, grant.issued_more) = issued(&answer.next().unwrap_or_default())?;
                Err(RotateError::Reused { family, grant, first })
            }
            b"unknown" => Err(RotateError::Unknown),
            b"lost" => {
                tracing::warn!(%family, "Redis lost a rotation: a refresh token family ends");
                Err(RotateError::Unknown)
            }
            b"expired" => Err(RotateError::Expired),
            b"wrong_client" => Err(RotateError::WrongClient),
            b"scope" => Err(RotateError::Scope),
            _ => Err(StoreError::Unreadable("an answer of family.lua").into()),
        }
    }

    async fn ask(
        &self,
        use_up: &UseUp<'_>,
        requested: Option<&Scope>,
        access: Option<&AccessRef>,
        now: Timestamp,
        given_up: i64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let UseUp { claimed, client_id, successor, sealed } = *use_up;
        let mut call = self.rotate.key(family_key(claimed.id));
        call.arg(claimed.hash.as_bytes().as_slice())
            .arg(client_id)
            .arg(now.as_millis())
            .arg(self.policy.grace.as_millis().to_string())
            .arg(index::millis(self.policy.idle))
            .arg(bearer::hash(successor).as_bytes().as_slice())
            .arg(sealed)
            .arg(REMEMBERED)
            .arg(SLACK_MS)
            .arg(access.map(AccessRef::to_text).unwrap_or_default())
            .arg(claimed.generation)
            .arg(self.policy.session_idle.map_or(0, index::millis))
            .arg(given_up);
        for scope in requested.into_iter().flat_map(Scope::iter) {
            call.arg(scope);
        }
        let mut answer: Vec<Vec<u8>> = call.invoke_async(&mut self.redis.connection()).await?;
        let clock = answer.pop().and_then(|clock| std::str::from_utf8(&clock).ok()?.parse().ok());
        let clock: i64 = clock.ok_or(StoreError::Unreadable("the clock of Redis"))?;
        self.ahead.store(clock.saturating_sub(now.as_millis()), Ordering::Relaxed);
        Ok(answer)
    }

    /// When a use that is asked for `now` must not be carried out any more, by the clock of Redis: half way
    /// through the grace, so that whoever comes back with the same token finds its successor. 0 before that
    /// clock was seen.
    fn given_up(&self, now: Timestamp) -> i64 {
        let ahead = self.ahead.load(Ordering::Relaxed);
        if ahead == UNSEEN {
            return 0;
        }
        let patience = index::millis(self.policy.grace / 2).max(1000);
        now.as_millis().saturating_add(ahead).saturating_add(patience)
    }
}

/// A token that is to be used up, and what takes its place.
#[derive(Clone, Copy)]
struct UseUp<'a> {
    claimed: &'a Presented<RefreshFamily>,
    client_id: &'a str,
    successor: &'a SecretString,
    sealed: &'a [u8],
}

/// The key that only the holder of `presented` can make.
fn successor_key(presented: &str) -> SealingKey {
    SealingKey::from_token(presented, "refresh successor")
}

fn open(key: &SealingKey, sealed: &[u8], hash: SecretHash) -> Result<SecretString, StoreError> {
    const BAD: StoreError = StoreError::Unreadable("the successor of a refresh token");
    let plain = key.open(sealed, hash.as_bytes()).map_err(|_| BAD)?;
    Ok(std::str::from_utf8(&plain).map_err(|_| BAD)?.into())
}

fn granted(
    answer: &mut impl Iterator<Item = Vec<u8>>,
) -> Result<(FamilyGrant, Timestamp), StoreError> {
    let found = grant(&answer.next().unwrap_or_default())?;
    let expires_at = serde_json::from_slice(&answer.next().unwrap_or_default())
        .map_err(|_| StoreError::Unreadable("the end of a refresh family"))?;
    Ok((found, expires_at))
}

pub(super) fn issued(json: &[u8]) -> Result<(Vec<AccessRef>, bool), StoreError> {
    AccessRef::read_all(json).ok_or(StoreError::Unreadable("the access tokens of a family"))
}

pub(super) fn grant(json: &[u8]) -> Result<FamilyGrant, StoreError> {
    serde_json::from_slice(json).map_err(|_| StoreError::Unreadable("a refresh grant"))
}
