//! A login on its way: what the gateway must remember between sending a browser to the authserver and its
//! return. Bound to the browser by the login-state cookie, sealed under a key derived from it, used once.
//!
//! All logins of one browser lie in one hash under one cookie, so that a second tab does not spoil the
//! first and cookies do not pile up; the newest few are kept.

use std::{sync::Arc, time::Duration};

use haetae_base::{
    clock::{Clock, Timestamp},
    entropy,
    redis::Redis,
    secret::SecretHash,
};
use redis::Script;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::session::Holder;
use crate::{StoreError, index, script};

/// How many logins one browser may have under way.
const AT_ONCE: usize = 5;

/// A login on its way.
#[derive(Clone, Debug)]
pub struct Login {
    /// The `state` of the authorization request (RFC 6749 4.1.1).
    pub state: SecretString,
    /// Its `nonce` (OpenID Connect Core 3.1.2.1).
    pub nonce: SecretString,
    /// The PKCE verifier whose S256 challenge it carries (RFC 7636 4.1).
    pub code_verifier: SecretString,
    /// Where the browser goes afterwards: a path that the caller has checked.
    pub return_to: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// What is inside the seal.
#[derive(Serialize, Deserialize)]
struct Plain {
    nonce: String,
    code_verifier: String,
    return_to: String,
    started_at: Timestamp,
}

/// The logins on their way, in Redis. Cheap to clone.
#[derive(Clone)]
pub struct LoginStore {
    redis: Redis,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    begin: Script,
    take: Script,
}

impl LoginStore {
    /// The store in `redis`; loads its scripts there. `timeout` is how long a person has to sign in
    /// (`gateway.browser.login_timeout`).
    ///
    /// # Errors
    /// [`StoreError`] when Redis does not answer.
    pub async fn connect(
        redis: Redis,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let (begin, take) = (Script::new(BEGIN), Script::new(TAKE));
        script::load(&redis, &[&begin, &take]).await?;
        Ok(Self { redis, clock, timeout, begin, take })
    }

    /// Begins a login that ends at `return_to`. Returns it and the login-state cookie to set: the one
    /// that the browser sent, if another login is under way with it, otherwise a new one.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing began.
    pub async fn begin(
        &self,
        sent: Option<&str>,
        return_to: &str,
    ) -> Result<(Login, SecretString), StoreError> {
        let login = Login {
            state: entropy::token(),
            nonce: entropy::token(),
            code_verifier: entropy::token(),
            return_to: return_to.to_owned(),
            started_at: self.clock.now(),
        };
        // Only a cookie of our own making, known by what lies under it, is used again.
        if let Some(sent) = sent
            && self.add(sent, &login, true).await?
        {
            return Ok((login, sent.into()));
        }
        let cookie = entropy::token();
        self.add(cookie.expose_secret(), &login, false).await?;
        Ok((login, cookie))
    }

    /// Takes the login that the authserver's answer belongs to, once: a second answer with the same
    /// `state`, an answer in another browser, and one that comes too late find none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take(&self, cookie: &str, state: &str) -> Result<Option<Login>, StoreError> {
        const BAD: StoreError = StoreError::Unreadable("a login on its way");
        let Some(holder) = holder(cookie) else {
            return Ok(None);
        };
        let sealed: Option<Vec<u8>> = self
            .take
            .key(login_key(&holder.id))
            .arg(field(state))
            .invoke_async(&mut self.redis.connection())
            .await?;
        let Some(sealed) = sealed else {
            return Ok(None);
        };
        let plain: Plain = serde_json::from_slice(&holder.open(&sealed)?).map_err(|_| BAD)?;
        let login = Login {
            state: state.into(),
            nonce: plain.nonce.into(),
            code_verifier: plain.code_verifier.into(),
            return_to: plain.return_to,
            started_at: plain.started_at,
        };
        Ok(Some(login).filter(|login| self.clock.now() < login.started_at.plus(self.timeout)))
    }

    /// Whether other logins are on their way under `cookie`: if not, it can be taken back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_others(&self, cookie: &str) -> Result<bool, StoreError> {
        let Some(holder) = holder(cookie) else {
            return Ok(false);
        };
        Ok(redis::cmd("EXISTS")
            .arg(login_key(&holder.id))
            .query_async(&mut self.redis.connection())
            .await?)
    }

    async fn add(&self, cookie: &str, login: &Login, known: bool) -> Result<bool, StoreError> {
        let Some(holder) = holder(cookie) else {
            return Ok(false);
        };
        let plain = Plain {
            nonce: login.nonce.expose_secret().to_owned(),
            code_verifier: login.code_verifier.expose_secret().to_owned(),
            return_to: login.return_to.clone(),
            started_at: login.started_at,
        };
        let json = Zeroizing::new(
            serde_json::to_vec(&plain).map_err(|_| StoreError::Unreadable("a login"))?,
        );
        let added: i64 = self
            .begin
            .key(login_key(&holder.id))
            .arg(field(login.state.expose_secret()))
            .arg(login.started_at.as_millis())
            .arg(holder.seal(&json))
            .arg(index::millis(self.timeout))
            .arg(AT_ONCE)
            .arg(i32::from(known))
            .invoke_async(&mut self.redis.connection())
            .await?;
        Ok(added == 1)
    }
}

impl std::fmt::Debug for LoginStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LoginStore({:?})", self.redis)
    }
}

/// `KEYS[1]` the logins of one cookie, each two fields: `<state>` the sealed login, `<state>:at` its start.
/// `ARGV` 1 the state's hash, 2 now (ms), 3 sealed, 4 timeout (ms), 5 how many at most, 6 only if there are
/// any already. Returns 1 when it was added.
const BEGIN: &str = r"
    local key, now = KEYS[1], tonumber(ARGV[2])
    if ARGV[6] == '1' and redis.call('EXISTS', key) == 0 then return 0 end
    local fields, living = redis.call('HGETALL', key), {}
    for at = 1, #fields, 2 do
        local state = string.match(fields[at], '^(.*):at$')
        if state then
            local began = tonumber(fields[at + 1])
            if now - began >= tonumber(ARGV[4]) then
                redis.call('HDEL', key, state, fields[at])
            else
                living[#living + 1] = { began, state }
            end
        end
    end
    table.sort(living, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
    for at = 1, #living - tonumber(ARGV[5]) + 1 do
        redis.call('HDEL', key, living[at][2], living[at][2] .. ':at')
    end
    redis.call('HSET', key, ARGV[1], ARGV[3], ARGV[1] .. ':at', ARGV[2])
    redis.call('PEXPIRE', key, ARGV[4])
    return 1
";

/// `KEYS[1]` the logins of one cookie; `ARGV[1]` the state's hash. Returns the sealed login, once.
const TAKE: &str = r"
    local sealed = redis.call('HGET', KEYS[1], ARGV[1])
    redis.call('HDEL', KEYS[1], ARGV[1], ARGV[1] .. ':at')
    return sealed
";

fn holder(cookie: &str) -> Option<Holder> {
    Holder::of(cookie, "login state")
}

fn login_key(id: &str) -> String {
    format!("haetae:login:{{{id}}}")
}

fn field(state: &str) -> String {
    SecretHash::of(state).to_base64url()
}
