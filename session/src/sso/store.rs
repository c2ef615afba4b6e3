//! Where SSO sessions live.

use std::{collections::HashMap, time::Duration};

use haetae_base::{
    clock::Timestamp,
    redis::Redis,
    secret::{SecretHash, constant_time_eq},
};
use redis::{AsyncCommands, Script};
use secrecy::SecretString;

use super::{
    Factors, SsoSession, Start,
    record::{self, ABOUT, About, CLOSING, FACTORS, HASH, SEEN},
};
use crate::{Session, SessionId, StoreError, bearer, index, script};

/// How long an SSO session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SsoLifetimes {
    /// Without use (`auth.session.idle`).
    pub idle: Duration,
    /// In any case (`auth.session.absolute`).
    pub absolute: Duration,
    /// How many an account may have (`auth.session.per_account`): one more ends the one that began first.
    pub per_account: usize,
}

impl SsoLifetimes {
    /// How far `last_seen_at` may lag behind: a session in steady use is written once in that time and not
    /// on every request.
    fn resolution(self) -> Duration {
        (self.idle / 60).min(Duration::from_mins(1))
    }
}

/// A session that began.
#[derive(Debug)]
pub struct Created {
    /// The session.
    pub session: SsoSession,
    /// Its cookie.
    pub cookie: SecretString,
    /// The sessions that had to end for it.
    pub ended: Vec<SessionId>,
}

/// The SSO sessions in Redis. Cheap to clone. The caller says what time it is, one `now` a request.
#[derive(Clone, Debug)]
pub struct SsoStore {
    redis: Redis,
    lifetimes: SsoLifetimes,
    create: Script,
    update: Script,
    close: Script,
    take: Script,
}

impl SsoStore {
    /// The store in `redis`; loads its script there.
    ///
    /// # Errors
    /// [`StoreError`] when Redis does not answer.
    pub async fn connect(redis: Redis, lifetimes: SsoLifetimes) -> Result<Self, StoreError> {
        let create = script::begin(include_str!("create.lua"));
        let update = script::update_existing();
        let close = script::mark_existing();
        let take = script::take();
        script::load(&redis, &[&create, &update, &close, &take]).await?;
        Ok(Self { redis, lifetimes, create, update, close, take })
    }

    /// Begins a session: always with a new id and a new cookie, so that nobody can have planted either
    /// (session fixation). Whatever session the browser had before is the caller's to end. Of the account's
    /// sessions the first ones end when there are too many, as if they had not been used for long: what was
    /// granted in them without offline access ends with them, access tokens live out their minutes.
    ///
    /// # Errors
    /// [`StoreError`]; then no session began.
    pub async fn create(&self, start: Start, now: Timestamp) -> Result<Created, StoreError> {
        let sid = SessionId::new(now);
        let cookie = bearer::new("", sid, 0);
        let about = About::new(&start, now, now.plus(self.lifetimes.absolute));
        let mut call = self.create.key(record_key(sid));
        call.key(sub_index(&start.sub))
            .arg(sid.to_string())
            .arg(now.as_millis())
            .arg(about.expires_at.as_millis())
            .arg(self.time_to_live(about.expires_at, now))
            .arg(self.lifetimes.per_account.max(1));
        call.arg(HASH).arg(bearer::hash(&cookie).as_bytes().as_slice());
        call.arg(ABOUT).arg(record::json(&about)?);
        call.arg(FACTORS).arg(record::json(&start.factors)?);
        call.arg(SEEN).arg(record::json(&now)?);
        let ended: Vec<String> = call.invoke_async(&mut self.redis.connection()).await?;
        let ended: Vec<SessionId> = ended.iter().filter_map(|sid| sid.parse().ok()).collect();
        metrics::counter!("haetae_sso_sessions_displaced_total").increment(ended.len() as u64);
        let session = about.into_session(sid, start.factors, now);
        Ok(Created { session, cookie, ended })
    }

    /// The session of `cookie`; `None` when there is none, it is over or being ended, or the cookie was
    /// replaced.
    ///
    /// # Errors
    /// [`StoreError`], which says nothing about the session.
    pub async fn find(
        &self,
        cookie: &str,
        now: Timestamp,
    ) -> Result<Option<SsoSession>, StoreError> {
        Ok(self.find_to_end(cookie, now).await?.filter(|session| !session.closing))
    }

    /// The same, also one that is being ended: for those who end it, or go on with that.
    ///
    /// # Errors
    /// [`StoreError`], which says nothing about the session.
    pub async fn find_to_end(
        &self,
        cookie: &str,
        now: Timestamp,
    ) -> Result<Option<SsoSession>, StoreError> {
        let Some(presented) = bearer::parse::<Session>("", cookie) else {
            return Ok(None);
        };
        let sid = presented.id;
        let fields: HashMap<String, Vec<u8>> =
            self.redis.connection().hgetall(record_key(sid)).await?;
        Ok(record::read(sid, fields)?
            .filter(|(stored, session)| {
                constant_time_eq(stored, presented.hash.as_bytes()) && self.is_alive(session, now)
            })
            .map(|(_, session)| session))
    }

    /// The session `sid`, for those who were told its id and not its cookie (an `id_token_hint`, an
    /// administrator); also one that is being ended. Proves nothing about the sender of a request.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(
        &self,
        sid: SessionId,
        now: Timestamp,
    ) -> Result<Option<SsoSession>, StoreError> {
        let fields: HashMap<String, Vec<u8>> =
            self.redis.connection().hgetall(record_key(sid)).await?;
        Ok(record::read(sid, fields)?
            .map(|(_, session)| session)
            .filter(|session| self.is_alive(session, now)))
    }

    /// Slides the idle timeout. Costs nothing when that was done a moment ago.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn touch(&self, session: &SsoSession, now: Timestamp) -> Result<(), StoreError> {
        if now.since(session.last_seen_at) < self.lifetimes.resolution() {
            return Ok(());
        }
        self.update_fields(session, &[], &[(SEEN, record::json(&now)?.as_bytes())], now).await?;
        Ok(())
    }

    /// Replaces the cookie and what the person has proved, after a step-up or a new sign-in of the same
    /// person. The old cookie is worthless from this instant. `factors` are the whole truth from now on:
    /// after a step-up the caller adds the new methods to the old ones, after a sign-in from the start
    /// it does not, or a password alone would pass for the second factor of an hour ago.
    ///
    /// `None` when the session is over or the cookie is no longer its own.
    ///
    /// # Errors
    /// [`StoreError`]; whether the cookie was replaced is then unknown, and the person signs in again.
    pub async fn upgrade(
        &self,
        cookie: &str,
        factors: Factors,
        now: Timestamp,
    ) -> Result<Option<(SsoSession, SecretString)>, StoreError> {
        let Some(mut session) = self.find(cookie, now).await? else {
            return Ok(None);
        };
        let next = bearer::new("", session.sid, 0);
        let guard = SecretHash::of(cookie);
        let done = self
            .update_fields(
                &session,
                guard.as_bytes(),
                &[
                    (HASH, bearer::hash(&next).as_bytes().as_slice()),
                    (FACTORS, record::json(&factors)?.as_bytes()),
                    (SEEN, record::json(&now)?.as_bytes()),
                ],
                now,
            )
            .await?;
        if !done {
            return Ok(None);
        }
        session.auth_time = factors.auth_time;
        session.acr = factors.acr;
        session.amr = factors.amr;
        session.epoch = factors.epoch;
        session.last_seen_at = now;
        Ok(Some((session, next)))
    }

    /// Notes that `client_id` got tokens in this session and is to be told when it ends. Whether the
    /// session still exists is returned.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_client(&self, sid: SessionId, client_id: &str) -> Result<bool, StoreError> {
        let done: i64 = self
            .update
            .key(record_key(sid))
            .arg("")
            .arg(0)
            .arg(record::client_field(client_id))
            .arg("")
            .invoke_async(&mut self.redis.connection())
            .await?;
        Ok(done == 1)
    }

    /// Begins to end a session: from now on nobody is signed in by it and no client is added. Its record
    /// stays until [`end`](Self::end), so that whoever fails between the two can be told to go on.
    ///
    /// # Errors
    /// [`StoreError`]; whether it was closed is unknown, calling again is safe.
    pub async fn close(&self, sid: SessionId) -> Result<(), StoreError> {
        let _existed: i64 = self
            .close
            .key(record_key(sid))
            .arg(CLOSING)
            .invoke_async(&mut self.redis.connection())
            .await?;
        Ok(())
    }

    /// Begins to end every session of an account.
    ///
    /// # Errors
    /// [`StoreError`]; some may be closed, calling again closes the others.
    pub async fn close_all(&self, sub: &str, now: Timestamp) -> Result<(), StoreError> {
        for sid in self.sids(sub, now).await? {
            self.close(sid).await?;
        }
        Ok(())
    }

    /// Ends a session. Returns what it was, once: of two callers at once only one gets it, and tells the
    /// clients.
    ///
    /// # Errors
    /// [`StoreError`]; the session may or may not be over, calling again is safe.
    pub async fn end(&self, sid: SessionId) -> Result<Option<SsoSession>, StoreError> {
        let mut connection = self.redis.connection();
        let fields: HashMap<String, Vec<u8>> =
            self.take.key(record_key(sid)).invoke_async(&mut connection).await?;
        let Some((_, session)) = record::read(sid, fields)? else {
            return Ok(None);
        };
        index::remove(&mut connection, &[sub_index(&session.sub)], &sid.to_string()).await?;
        Ok(Some(session))
    }

    /// The sessions of an account, the oldest first, with those that are being ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, sub: &str, now: Timestamp) -> Result<Vec<SsoSession>, StoreError> {
        let mut sessions = Vec::new();
        for sid in self.sids(sub, now).await? {
            sessions.extend(self.get(sid, now).await?);
        }
        Ok(sessions)
    }

    /// Ends every session of an account that began before this call; returns them.
    ///
    /// # Errors
    /// [`StoreError`]; some may be over, calling again ends the others.
    pub async fn end_all(&self, sub: &str, now: Timestamp) -> Result<Vec<SsoSession>, StoreError> {
        let mut ended = Vec::new();
        for sid in self.sids(sub, now).await? {
            ended.extend(self.end(sid).await?);
        }
        Ok(ended)
    }

    async fn sids(&self, sub: &str, now: Timestamp) -> Result<Vec<SessionId>, StoreError> {
        let members = index::members(&mut self.redis.connection(), &sub_index(sub), now).await?;
        Ok(members.iter().filter_map(|sid| sid.parse().ok()).collect())
    }

    async fn update_fields(
        &self,
        session: &SsoSession,
        guard: &[u8],
        fields: &[(&str, &[u8])],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut call = self.update.key(record_key(session.sid));
        call.arg(guard).arg(self.time_to_live(session.expires_at, now));
        for (name, value) in fields {
            call.arg(name).arg(value);
        }
        let done: i64 = call.invoke_async(&mut self.redis.connection()).await?;
        Ok(done == 1)
    }

    /// Redis only sweeps up; whether a session lives is decided by the caller's clock.
    fn is_alive(&self, session: &SsoSession, now: Timestamp) -> bool {
        is_alive(session, self.lifetimes.idle, now)
    }

    fn time_to_live(&self, expires_at: Timestamp, now: Timestamp) -> i64 {
        index::millis(self.lifetimes.idle.min(expires_at.since(now)))
    }
}

/// Whether the session `sid` lives, for those that end with it: what `family.lua` asks.
pub(crate) async fn lives(
    redis: &Redis,
    sid: SessionId,
    idle: Duration,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let fields: HashMap<String, Vec<u8>> = redis.connection().hgetall(record_key(sid)).await?;
    Ok(record::read(sid, fields)?
        .is_some_and(|(_, session)| !session.closing && is_alive(&session, idle, now)))
}

fn is_alive(session: &SsoSession, idle: Duration, now: Timestamp) -> bool {
    now < session.expires_at && now < session.last_seen_at.plus(idle)
}

pub(crate) fn record_key(sid: SessionId) -> String {
    format!("haetae:sso:{{{sid}}}")
}

fn sub_index(sub: &str) -> String {
    format!("haetae:sso:sub:{sub}")
}
