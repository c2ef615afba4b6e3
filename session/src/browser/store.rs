//! Where browser sessions live.

use std::{sync::Arc, time::Duration};

use haetae_base::{
    clock::{Clock, Timestamp},
    entropy,
    redis::Redis,
    secret::SecretHash,
};
use redis::{AsyncCommands, Script};
use secrecy::{ExposeSecret, SecretString};

use super::{BrowserSession, SignIn, Tokens, refresh::LockTimes, session::Holder, turns::Turns};
use crate::{StoreError, index, script};

/// How long a browser session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrowserLifetimes {
    /// Without use (`gateway.browser.idle_timeout`).
    pub idle: Duration,
    /// In any case (`gateway.browser.absolute_timeout`).
    pub absolute: Duration,
    /// How many an account may have (`gateway.browser.per_account`): one more ends the one that began first.
    pub per_account: usize,
}

/// The browser sessions in Redis. Cheap to clone.
#[derive(Clone)]
pub struct BrowserStore {
    pub(super) redis: Redis,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lifetimes: BrowserLifetimes,
    pub(super) lock: LockTimes,
    pub(super) turns: Turns,
    pub(super) settle: Script,
    create: Script,
    find: Script,
    take: Script,
    replace: Script,
}

impl BrowserStore {
    /// The store in `redis`; loads its scripts there.
    ///
    /// # Errors
    /// [`StoreError`] when Redis does not answer.
    pub async fn connect(
        redis: Redis,
        lifetimes: BrowserLifetimes,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let create = script::begin(include_str!("create.lua"));
        let find = script::despite_full_memory(include_str!("find.lua"));
        let replace = Script::new(REPLACE);
        let settle = super::refresh::settle();
        let take = script::take();
        script::load(&redis, &[&create, &find, &take, &replace, &settle]).await?;
        let (lock, turns) = (LockTimes::default(), Turns::default());
        Ok(Self { redis, clock, lifetimes, lock, turns, settle, create, find, take, replace })
    }

    /// Begins a session; returns it and its cookie. Always a new cookie: whatever the browser had before
    /// is the caller's to [`remove`](Self::remove). Of the account's sessions the first ones end when there are
    /// too many, as if they had not been used for long.
    ///
    /// # Errors
    /// [`StoreError`]; then no session began.
    pub async fn create(
        &self,
        sign_in: SignIn,
    ) -> Result<(BrowserSession, SecretString), StoreError> {
        let now = self.clock.now();
        let session = BrowserSession::begin(sign_in, now, now.plus(self.lifetimes.absolute));
        let cookie = entropy::token();
        let Some(holder) = holder(cookie.expose_secret()) else {
            return Err(StoreError::Unreadable("a cookie of its own making"));
        };
        let sealed = session.seal(&holder)?;
        let live = self.lifetimes.idle.min(self.lifetimes.absolute);
        let mut call = self.create.key(record_key(&holder.id));
        call.key(sid_index(&session.sid))
            .key(sub_index(&session.sub))
            .arg(&holder.id)
            .arg(&session.sid)
            .arg(now.as_millis())
            .arg(session.expires_at.as_millis())
            .arg(index::millis(live))
            .arg(self.lifetimes.per_account.max(1));
        call.arg("sealed").arg(sealed);
        call.arg("version").arg(0);
        call.arg("absolute").arg(session.expires_at.as_millis());
        call.arg("seen").arg(now.as_millis());
        let ended: u64 = call.invoke_async(&mut self.redis.connection()).await?;
        metrics::counter!("haetae_browser_sessions_displaced_total").increment(ended);
        Ok((session, cookie))
    }

    /// The session of `cookie`; slides its idle timeout. `None` when there is none or it is over.
    ///
    /// # Errors
    /// [`StoreError`], which says nothing about the session.
    pub async fn find(&self, cookie: &str) -> Result<Option<BrowserSession>, StoreError> {
        let resolution = (self.lifetimes.idle / 60).min(Duration::from_mins(1));
        self.look(cookie, index::millis(resolution)).await
    }

    /// The same without sliding: for a page that asks by itself again and again, which is no sign of a
    /// person.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn peek(&self, cookie: &str) -> Result<Option<BrowserSession>, StoreError> {
        self.look(cookie, i64::MAX).await
    }

    async fn look(
        &self,
        cookie: &str,
        resolution: i64,
    ) -> Result<Option<BrowserSession>, StoreError> {
        let Some(holder) = holder(cookie) else {
            return Ok(None);
        };
        let answer: Vec<Vec<u8>> = self
            .find
            .key(record_key(&holder.id))
            .arg(self.clock.now().as_millis())
            .arg(index::millis(self.lifetimes.idle))
            .arg(resolution)
            .invoke_async(&mut self.redis.connection())
            .await?;
        let [sealed, version, absolute] = answer.as_slice() else {
            return Ok(None);
        };
        let number = |text: &[u8]| {
            serde_json::from_slice::<i64>(text)
                .map_err(|_| StoreError::Unreadable("a browser session"))
        };
        let version = u64::try_from(number(version)?).unwrap_or_default();
        let ends = Timestamp::from_millis(number(absolute)?);
        BrowserSession::open(&holder, sealed, version, ends).map(Some)
    }

    /// Puts new tokens into the session that `seen` is the latest version of. `None` when it is over or
    /// somebody else replaced them meanwhile: find it again.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was replaced is then unknown.
    pub async fn replace(
        &self,
        cookie: &str,
        seen: &BrowserSession,
        tokens: Tokens,
    ) -> Result<Option<BrowserSession>, StoreError> {
        let Some(holder) = holder(cookie) else {
            return Ok(None);
        };
        let mut next = seen.clone();
        next.tokens = tokens;
        next.version = seen.version + 1;
        let done: i64 = self
            .replace
            .key(record_key(&holder.id))
            .arg(seen.version)
            .arg(next.version)
            .arg(next.seal(&holder)?)
            .invoke_async(&mut self.redis.connection())
            .await?;
        Ok((done == 1).then_some(next))
    }

    /// Ends the session of `cookie`; returns what it was, once, so that its tokens can be revoked.
    ///
    /// # Errors
    /// [`StoreError`]; removing again is safe.
    pub async fn remove(&self, cookie: &str) -> Result<Option<BrowserSession>, StoreError> {
        type Fields = (Option<Vec<u8>>, Option<u64>, Option<i64>);
        let Some(holder) = holder(cookie) else {
            return Ok(None);
        };
        let key = record_key(&holder.id);
        let mut connection = self.redis.connection();
        let (sealed, version, absolute): Fields = self
            .take
            .key(&key)
            .arg(&["sealed", "version", "absolute"])
            .invoke_async(&mut connection)
            .await?;
        let (Some(sealed), Some(version), Some(absolute)) = (sealed, version, absolute) else {
            return Ok(None);
        };
        let ends = Timestamp::from_millis(absolute);
        let session = BrowserSession::open(&holder, &sealed, version, ends)?;
        index::remove(&mut connection, &[sid_index(&session.sid)], &holder.id).await?;
        let of_account = [sub_index(&session.sub)];
        index::remove(&mut connection, &of_account, &sub_member(&holder.id, &session.sid)).await?;
        Ok(Some(session))
    }

    /// Ends every browser session of an SSO session: a logout that comes from the authserver. No cookie
    /// is needed, the records need not be opened. Returns how many there were.
    ///
    /// # Errors
    /// [`StoreError`]; ending again is safe.
    pub async fn end_sid(&self, sid: &str) -> Result<usize, StoreError> {
        let index = sid_index(sid);
        let mut connection = self.redis.connection();
        let mut ended = 0;
        for id in index::members(&mut connection, &index, self.clock.now()).await? {
            ended += connection.del::<_, usize>(record_key(&id)).await?;
            index::remove(&mut connection, std::slice::from_ref(&index), &id).await?;
        }
        Ok(ended)
    }
}

impl std::fmt::Debug for BrowserStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "BrowserStore({:?})", self.redis)
    }
}

/// Replaces the sealed record, only over the version that was seen. `KEYS[1]` the session; `ARGV` 1 the
/// version seen, 2 the new one, 3 the sealed record.
const REPLACE: &str = r"
    if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end
    redis.call('HSET', KEYS[1], 'version', ARGV[2], 'sealed', ARGV[3])
    return 1
";

pub(super) fn holder(cookie: &str) -> Option<Holder> {
    Holder::of(cookie, "browser session")
}

fn record_key(id: &str) -> String {
    format!("haetae:browser:{{{id}}}")
}

pub(super) fn lock_key(id: &str) -> String {
    format!("haetae:browser:{{{id}}}:refresh")
}

/// By the hash: a dump does not tell whose browsers these are.
fn sub_index(sub: &str) -> String {
    format!("haetae:browser:sub:{}", SecretHash::of(sub).to_base64url())
}

/// A session in the index of its account: its own id and that of the SSO session.
fn sub_member(id: &str, sid: &str) -> String {
    format!("{id}:{sid}")
}

fn sid_index(sid: &str) -> String {
    format!("haetae:browser:sid:{sid}")
}
