//! Refreshing a browser session exactly once, however many requests arrive together and however many
//! gateways there are.
//!
//! Within a process requests queue for their session; between processes a lock in Redis decides (`SET NX PX`
//! with a random owner, renewed while the exchange runs, released by compare-and-delete). Those that lose
//! wait for the result and never ask the authserver themselves. The lock only saves work: should two run
//! all the same, the authserver gives both the same successor within its grace window, and the record is
//! replaced by one of them only.

use std::{future::Future, time::Duration};

use haetae_base::entropy;
use redis::Script;
use secrecy::{ExposeSecret, SecretString};

use super::{
    BrowserSession, BrowserStore, Tokens,
    store::{holder, lock_key},
};
use crate::StoreError;

/// What the lock holds after an exchange that failed, for a moment: those who waited for it are told, and
/// don't all try again, one after the other, at an authserver that is in trouble.
const FAILED: &str = "failed";

/// How the lock is timed.
#[derive(Clone, Copy, Debug)]
pub(super) struct LockTimes {
    /// How long it holds if its owner dies. Renewed at a third of it.
    pub(super) lease: Duration,
    /// How long a failure is remembered.
    pub(super) failed: Duration,
    /// How long somebody waits for another's result.
    pub(super) patience: Duration,
}

impl Default for LockTimes {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(5),
            failed: Duration::from_secs(1),
            patience: Duration::from_secs(10),
        }
    }
}

/// A refresh that gave no new tokens.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError<E> {
    /// The exchange at the authserver failed. It was this caller's own attempt.
    #[error("the exchange failed")]
    Exchange(E),
    /// Another request's exchange failed a moment ago. The session is still there: try again later.
    #[error("the exchange of another request failed a moment ago")]
    FailedElsewhere,
    /// Another request is at it and does not get on.
    #[error("another request is refreshing and takes too long")]
    TimedOut,
    /// The session is over.
    #[error("the session is over")]
    Ended,
    /// Redis.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BrowserStore {
    /// New tokens for the session that `seen` is a version of: by `exchange`, unless somebody else has
    /// fetched them or is about to. Runs in a task of its own, so that a browser that hangs up cannot
    /// leave a spent refresh token behind whose successor nobody kept.
    ///
    /// # Errors
    /// [`RefreshError`].
    pub async fn refresh<E, Exchange, Answer>(
        &self,
        cookie: &SecretString,
        seen: &BrowserSession,
        exchange: Exchange,
    ) -> Result<BrowserSession, RefreshError<E>>
    where
        Exchange: FnOnce(BrowserSession) -> Answer + Send + 'static,
        Answer: Future<Output = Result<Tokens, E>> + Send + 'static,
        E: Send + 'static,
    {
        let (store, cookie, seen) = (self.clone(), cookie.clone(), seen.version);
        let task = tokio::spawn(async move {
            tokio::time::timeout(
                store.lock.patience,
                store.turn(cookie.expose_secret(), seen, exchange),
            )
            .await
            .unwrap_or(Err(RefreshError::TimedOut))
        });
        task.await.unwrap_or(Err(RefreshError::TimedOut))
    }

    async fn turn<E, Exchange, Answer>(
        &self,
        cookie: &str,
        seen: u64,
        exchange: Exchange,
    ) -> Result<BrowserSession, RefreshError<E>>
    where
        Exchange: FnOnce(BrowserSession) -> Answer,
        Answer: Future<Output = Result<Tokens, E>>,
    {
        let Some(id) = holder(cookie).map(|holder| holder.id) else {
            return Err(RefreshError::Ended);
        };
        let _turn = self.turns.wait(&id).await;
        let lock = Lock::new(self, &id);
        loop {
            let state = lock.acquire().await?;
            // Read after the lock was tried: whoever held it replaced the record before letting go.
            let current = self.peek(cookie).await;
            let current = match current {
                Ok(Some(current)) if current.version == seen => current,
                other => {
                    if matches!(state, State::Ours) {
                        lock.release().await?;
                    }
                    return other?.ok_or(RefreshError::Ended);
                }
            };
            match state {
                State::Ours => return self.exchange(cookie, current, exchange, &lock).await,
                State::Failed => return Err(RefreshError::FailedElsewhere),
                State::Theirs => {
                    let jitter = Duration::from_millis(entropy::below(10));
                    tokio::time::sleep(Duration::from_millis(10) + jitter).await;
                }
            }
        }
    }

    async fn exchange<E, Exchange, Answer>(
        &self,
        cookie: &str,
        current: BrowserSession,
        exchange: Exchange,
        lock: &Lock<'_>,
    ) -> Result<BrowserSession, RefreshError<E>>
    where
        Exchange: FnOnce(BrowserSession) -> Answer,
        Answer: Future<Output = Result<Tokens, E>>,
    {
        let answer = tokio::select! {
            answer = exchange(current.clone()) => answer,
            never = lock.keep() => match never {},
        };
        let tokens = match answer {
            Ok(tokens) => tokens,
            Err(error) => {
                if let Err(error) = lock.fail().await {
                    tracing::debug!(%error, "cannot note that a refresh failed");
                }
                return Err(RefreshError::Exchange(error));
            }
        };
        let replaced = self.replace(cookie, &current, tokens).await;
        if let Err(error) = lock.release().await {
            tracing::debug!(%error, "a refresh lock is left to run out");
        }
        match replaced? {
            Some(session) => Ok(session),
            None => self.peek(cookie).await?.ok_or(RefreshError::Ended),
        }
    }
}

enum State {
    Ours,
    Theirs,
    Failed,
}

struct Lock<'a> {
    store: &'a BrowserStore,
    key: String,
    owner: SecretString,
}

impl<'a> Lock<'a> {
    fn new(store: &'a BrowserStore, id: &str) -> Self {
        Self { store, key: lock_key(id), owner: entropy::token() }
    }

    async fn acquire(&self) -> Result<State, StoreError> {
        let held: Option<String> = redis::cmd("SET")
            .arg(&self.key)
            .arg(self.owner.expose_secret())
            .arg("NX")
            .arg("GET")
            .arg("PX")
            .arg(crate::index::millis(self.store.lock.lease))
            .query_async(&mut self.store.redis.connection())
            .await?;
        Ok(match held.as_deref() {
            None => State::Ours,
            Some(FAILED) => State::Failed,
            Some(_) => State::Theirs,
        })
    }

    /// Renews until it is dropped. A renewal that fails is tried again; a lock that was lost stays lost
    /// and the exchange goes on, for the reason given at the top.
    async fn keep(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(self.store.lock.lease / 3).await;
            let owner = self.owner.expose_secret();
            if let Err(error) = self.settle(owner, self.store.lock.lease).await {
                tracing::debug!(%error, "cannot renew a refresh lock");
            }
        }
    }

    async fn fail(&self) -> Result<(), StoreError> {
        self.settle(FAILED, self.store.lock.failed).await
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.settle("", Duration::ZERO).await
    }

    async fn settle(&self, value: &str, live: Duration) -> Result<(), StoreError> {
        let _: i64 = self
            .store
            .settle
            .key(&self.key)
            .arg(self.owner.expose_secret())
            .arg(value)
            .arg(crate::index::millis(live))
            .invoke_async(&mut self.store.redis.connection())
            .await?;
        Ok(())
    }
}

/// What the owner of the lock, and nobody else, makes of it. `KEYS[1]` the lock; `ARGV` 1 the owner, 2 the
/// new value, or empty to let go, 3 for how long (ms).
pub(super) fn settle() -> Script {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
        redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
        return 1
        ",
    )
}
