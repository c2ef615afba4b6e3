//! Browser sessions in this gateway's memory, so that no request waits for Redis: each is confirmed with
//! Redis now and then behind the requests' back, refreshed before its access token ends, and dropped at
//! once when it is over. Whether its person was signed out, the denylist tells at every request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use haetae_base::{
    clock::{Clock, Timestamp},
    secret::SecretHash,
};
use haetae_session::{
    StoreError,
    browser::{BrowserSession, BrowserStore, RefreshError},
};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::{TokenClient, TokenClientError};
use crate::metrics;

/// Older than this, Redis is asked behind the request's back whether the session is still there, which
/// slides its idle timeout too.
const CONFIRM_BEHIND: Duration = Duration::from_secs(5);
/// Older than this, the request waits for the answer.
const CONFIRM_FIRST: Duration = Duration::from_mins(1);
/// After a refresh failed while the token still lives, the next try is this much later.
const REFRESH_PAUSE: Duration = Duration::from_secs(5);
/// How many sessions are kept in memory, some 4 KiB each.
const CAPACITY: u64 = 20_000;

/// The sessions. Clones share them.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Inner>);

struct Inner {
    store: BrowserStore,
    client: TokenClient,
    clock: Arc<dyn Clock>,
    refresh_before: Duration,
    /// Half the idle timeout at most: a session that nobody used for so long may be over.
    confirm_first: Duration,
    confirm_behind: Duration,
    cache: moka::sync::Cache<SecretHash, Arc<Session>>,
    /// Sessions that ended here a moment ago: an answer of Redis that was on its way meanwhile must not
    /// bring one back. A cookie is never given out twice.
    ended: moka::sync::Cache<SecretHash, ()>,
}

/// A session in memory.
#[derive(Debug)]
pub(crate) struct Session {
    record: BrowserSession,
    authorization: HeaderValue,
    confirmed_at: AtomicI64,
    confirming: AtomicBool,
    /// Not refreshed before this, in milliseconds, as long as the token lives.
    refresh_not_before: AtomicI64,
}

/// What became of looking for a session.
#[derive(Debug)]
pub(crate) enum Found {
    /// It is there, and its access token lives.
    Session(Arc<Session>),
    /// It never was, or is over.
    Ended,
    /// It cannot be told now.
    Unavailable,
}

impl Session {
    fn new(record: BrowserSession, now: Timestamp) -> Self {
        let token = record.tokens.access_token.expose_secret();
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .unwrap_or(HeaderValue::from_static("Bearer"));
        authorization.set_sensitive(true);
        Self {
            record,
            authorization,
            confirmed_at: AtomicI64::new(now.as_millis()),
            confirming: AtomicBool::new(false),
            refresh_not_before: AtomicI64::new(0),
        }
    }

    /// The access token.
    pub(crate) fn access_token(&self) -> &str {
        self.record.tokens.access_token.expose_secret()
    }

    /// `Bearer` and the access token.
    pub(crate) fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    /// A name for logs that gives nothing away.
    pub(crate) fn name(cookie: &str) -> String {
        SecretHash::of(cookie).to_base64url().chars().take(8).collect()
    }
}

impl Sessions {
    /// The sessions in `store`, refreshed by `client` when their access token has less than
    /// `refresh_before` left; `idle_timeout` is that of the store.
    pub(crate) fn new(
        store: BrowserStore,
        client: TokenClient,
        refresh_before: Duration,
        idle_timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let cache = moka::sync::Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_idle(Duration::from_mins(30))
            .build();
        let ended = moka::sync::Cache::builder()
            .max_capacity(CAPACITY)
            .time_to_live(Duration::from_mins(2))
            .build();
        Self(Arc::new(Inner {
            store,
            client,
            clock,
            refresh_before,
            confirm_first: CONFIRM_FIRST.min(idle_timeout / 2),
            confirm_behind: CONFIRM_BEHIND.min(idle_timeout / 6),
            cache,
            ended,
        }))
    }

    /// Where they live.
    pub(crate) fn store(&self) -> &BrowserStore {
        &self.0.store
    }

    /// The session of `cookie`, refreshed if it is about time.
    pub(crate) async fn find(&self, cookie: &str) -> Found {
        let key = SecretHash::of(cookie);
        match self.current(key, cookie).await {
            Ok(Some(session)) => self.fresh(key, cookie, session).await,
            Ok(None) => Found::Ended,
            Err(error) => {
                tracing::warn!(%error, "a browser session cannot be looked up");
                Found::Unavailable
            }
        }
    }

    /// The session of `cookie` as it is, for who only looks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn peek(&self, cookie: &str) -> Result<Option<BrowserSession>, StoreError> {
        self.0.store.peek(cookie).await
    }

    /// Ends the session of `cookie`, here and everywhere; returns what it was.
    ///
    /// # Errors
    /// [`StoreError`]; here it is over in any case.
    pub(crate) async fn end(&self, cookie: &str) -> Result<Option<BrowserSession>, StoreError> {
        self.drop_from_memory(SecretHash::of(cookie));
        self.0.store.remove(cookie).await
    }

    /// Ends the session of `cookie` without waiting for it.
    pub(crate) fn forget(&self, cookie: &str) {
        self.drop_from_memory(SecretHash::of(cookie));
        let (sessions, cookie) = (self.clone(), SecretString::from(cookie));
        tokio::spawn(async move {
            if let Err(error) = sessions.0.store.remove(cookie.expose_secret()).await {
                tracing::warn!(%error, "a session that is over is left to run out");
            }
        });
    }

    fn drop_from_memory(&self, key: SecretHash) {
        self.0.ended.insert(key, ());
        self.0.cache.invalidate(&key);
    }

    async fn current(
        &self,
        key: SecretHash,
        cookie: &str,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        if self.0.ended.contains_key(&key) {
            return Ok(None);
        }
        let Some(known) = self.0.cache.get(&key) else {
            return self.load(key, cookie).await;
        };
        let now = self.0.clock.now();
        if now >= known.record.expires_at {
            self.0.cache.invalidate(&key);
            return Ok(None);
        }
        let confirmed = Timestamp::from_millis(known.confirmed_at.load(Ordering::Acquire));
        let age = now.since(confirmed);
        if age >= self.0.confirm_first {
            return match self.load(key, cookie).await {
                // Redis is away: the session stays what it was, and the denylist says how long that is
                // good enough.
                Err(error) => {
                    tracing::warn!(%error, "a browser session cannot be confirmed");
                    Ok(Some(known))
                }
                found => found,
            };
        }
        if age >= self.0.confirm_behind && !known.confirming.swap(true, Ordering::AcqRel) {
            let (sessions, known, cookie) =
                (self.clone(), Arc::clone(&known), SecretString::from(cookie));
            tokio::spawn(async move {
                if let Err(error) = sessions.load(key, cookie.expose_secret()).await {
                    tracing::debug!(%error, "a browser session cannot be confirmed");
                }
                known.confirming.store(false, Ordering::Release);
            });
        }
        Ok(Some(known))
    }

    async fn load(
        &self,
        key: SecretHash,
        cookie: &str,
    ) -> Result<Option<Arc<Session>>, StoreError> {
        let found = self.0.store.find(cookie).await?;
        let Some(record) = found else {
            self.0.cache.invalidate(&key);
            return Ok(None);
        };
        let now = self.0.clock.now();
        // Somebody may have refreshed between the answer and now.
        if let Some(known) = self.0.cache.get(&key)
            && known.record.tokens.access_expires_at >= record.tokens.access_expires_at
        {
            known.confirmed_at.store(now.as_millis(), Ordering::Release);
            return Ok(Some(known));
        }
        Ok(Some(self.keep(key, record, now)))
    }

    fn keep(&self, key: SecretHash, record: BrowserSession, now: Timestamp) -> Arc<Session> {
        let session = Arc::new(Session::new(record, now));
        self.0.cache.insert(key, Arc::clone(&session));
        if self.0.ended.contains_key(&key) {
            self.0.cache.invalidate(&key);
        }
        session
    }

    /// Refreshes when the access token has little left. While it lives, a refresh that fails is no reason
    /// to turn anybody away.
    async fn fresh(&self, key: SecretHash, cookie: &str, session: Arc<Session>) -> Found {
        let now = self.0.clock.now();
        let left = session.record.tokens.access_expires_at.since(now);
        let alive = left > Duration::ZERO;
        if left > self.0.refresh_before
            || (alive && now.as_millis() < session.refresh_not_before.load(Ordering::Acquire))
        {
            return Found::Session(session);
        }
        if session.record.tokens.refresh_token.is_none() {
            return if alive { Found::Session(session) } else { Found::Ended };
        }
        let client = self.0.client.clone();
        let exchange =
            move |current: BrowserSession| async move { client.refresh(&current.tokens).await };
        let refreshed = self.0.store.refresh(&cookie.into(), &session.record, exchange).await;
        let now = self.0.clock.now();
        match refreshed {
            Ok(record) => {
                metrics::refreshed("refreshed");
                let half = record.tokens.access_expires_at.since(now) / 2;
                let session = self.keep(key, record, now);
                // Tokens that live shorter than `refresh_before` are not refreshed at every request.
                session.refresh_not_before.store(now.plus(half).as_millis(), Ordering::Release);
                Found::Session(session)
            }
            Err(RefreshError::Exchange(TokenClientError::InvalidGrant)) => {
                metrics::refreshed("invalid_grant");
                self.forget(cookie);
                Found::Ended
            }
            Err(RefreshError::Ended) => {
                metrics::refreshed("ended");
                self.0.cache.invalidate(&key);
                Found::Ended
            }
            Err(error) => {
                metrics::refreshed("failed");
                tracing::warn!(%error, reason = reason(&error), alive, "a browser session cannot be refreshed");
                if !alive {
                    return Found::Unavailable;
                }
                let next = now.plus(REFRESH_PAUSE).as_millis();
                session.refresh_not_before.store(next, Ordering::Release);
                Found::Session(session)
            }
        }
    }
}

fn reason(error: &RefreshError<TokenClientError>) -> String {
    match error {
        RefreshError::Exchange(error) => error.to_string(),
        _ => String::new(),
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Sessions({} in memory)", self.0.cache.entry_count())
    }
}
