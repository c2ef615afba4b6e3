//! Where refresh families live; how they begin and how they are ended.

use std::{
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use haetae_base::{clock::Timestamp, redis::Redis};
use haetae_keys::seal::{MasterKey, TagKey};
use redis::Script;
use secrecy::SecretString;

use super::{
    AccessRef, FamilyGrant,
    rotate::{grant, issued},
};
use crate::{
    FamilyId, RefreshFamily, SessionId, StoreError,
    bearer::{self, Presented},
    index, script, sso,
};

pub(super) const PREFIX: &str = "hrt_";
/// How many rotated tokens a family remembers within the grace window. Nobody who is not attacking
/// rotates this often in seconds; beyond it the oldest counts as reused.
pub(super) const REMEMBERED: usize = 64;
/// How long a record stays after its end, so that a late use hears "expired" and not "unknown".
pub(super) const SLACK_MS: i64 = 3_600_000;

/// How long refresh tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyPolicy {
    /// A family that is not used for so long ends (`auth.tokens.refresh_idle`).
    pub idle: Duration,
    /// Every family ends so long after its grant (`auth.tokens.refresh_absolute`).
    pub absolute: Duration,
    /// How long a spent token still gets the successor that it was spent for
    /// (`auth.tokens.refresh_grace`).
    pub grace: Duration,
    /// How long an SSO session lives without use (`auth.session.idle`): families without `offline_access` end
    /// with the session in which they were granted, and their use is its use. `None` asks no session.
    pub session_idle: Option<Duration>,
    /// How many families one account may have at one client (`auth.tokens.refresh_per_client`): one more ends
    /// the one that began first.
    pub per_client: usize,
}

/// Whether families with `offline_access` end as well.
///
/// At a logout they don't (OpenID Connect Back-Channel Logout 1.0, 2.7: refresh tokens without
/// `offline_access` should be revoked, those with it normally should not), because a person who grants
/// offline access grants it for the time when they are not signed in. Those without it live no longer than
/// the session in which they were granted. Whoever signs out everywhere, changes the password or is
/// disabled ends them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offline {
    /// They stay: an ordinary logout.
    Spare,
    /// They end too.
    Revoke,
}

/// A revocation (RFC 7009) that was refused.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The token belongs to another client (RFC 7009 2.1). Nothing was revoked.
    #[error("the token belongs to another client")]
    WrongClient,
    /// Redis. Whether it was revoked is unknown; revoking again is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A living refresh token family, as an account page or an introspection shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyStatus {
    /// Its id, which is also when it began.
    pub family: FamilyId,
    /// What was granted.
    pub grant: FamilyGrant,
    /// When it ends if it is not used; never after its absolute end.
    pub expires_at: Timestamp,
}

/// A family that began.
#[derive(Debug)]
pub struct Started {
    /// Its id.
    pub family: FamilyId,
    /// Its first token.
    pub token: SecretString,
    /// The families that had to end for it.
    pub ended: Vec<FamilyId>,
}

/// The refresh families in Redis. Cheap to clone. The caller says what time it is, one `now` a request.
#[derive(Clone, Debug)]
pub struct FamilyStore {
    pub(super) redis: Redis,
    pub(super) policy: FamilyPolicy,
    pub(super) rotate: Script,
    begin: Script,
    kill: Script,
    /// Stamps tokens: only one that was issued may end its family when it comes back.
    pub(super) stamp: Arc<TagKey>,
    /// How far the clock of Redis is ahead of the callers', in ms, as last seen; [`UNSEEN`] before that.
    pub(super) ahead: Arc<AtomicI64>,
}

/// The clock of Redis has not been seen yet.
pub(super) const UNSEEN: i64 = i64::MIN;

impl FamilyStore {
    /// The store in `redis`; loads its scripts there. Tokens are stamped under `master`.
    ///
    /// # Errors
    /// [`StoreError`] when Redis does not answer.
    pub async fn connect(
        redis: Redis,
        policy: FamilyPolicy,
        master: &MasterKey,
    ) -> Result<Self, StoreError> {
        Self::with_script(redis, policy, master, include_str!("family.lua")).await
    }

    /// The same with another `family.lua`, for the control that takes the guard out.
    pub(super) async fn with_script(
        redis: Redis,
        policy: FamilyPolicy,
        master: &MasterKey,
        rotate: &str,
    ) -> Result<Self, StoreError> {
        let (rotate, kill) =
            (Script::new(rotate), script::despite_full_memory(include_str!("kill.lua")));
        let begin = script::begin(include_str!("begin.lua"));
        script::load(&redis, &[&rotate, &begin, &kill]).await?;
        let stamp = Arc::new(master.derive_tag_key("refresh tokens"));
        let ahead = Arc::new(AtomicI64::new(UNSEEN));
        Ok(Self { redis, policy, rotate, begin, kill, stamp, ahead })
    }

    /// Begins a family and returns its first token.
    ///
    /// # Errors
    /// [`StoreError`]; then no token was issued.
    pub async fn start(
        &self,
        grant: &FamilyGrant,
        now: Timestamp,
    ) -> Result<SecretString, StoreError> {
        Ok(self.start_issuing(grant, None, now).await?.token)
    }

    /// The same, and remembers the access token that the caller is about to issue with it. Of the account's
    /// families at this client the first ones end when there are more than the policy says; the access
    /// tokens that came from them live out their minutes.
    ///
    /// # Errors
    /// [`StoreError`]; then no token was issued.
    pub async fn start_issuing(
        &self,
        grant: &FamilyGrant,
        access: Option<&AccessRef>,
        now: Timestamp,
    ) -> Result<Started, StoreError> {
        let family = FamilyId::new(now);
        let token = bearer::stamped(PREFIX, family, 0, &self.stamp);
        let absolute = now.plus(self.policy.absolute);
        let idle = now.plus(self.policy.idle).min(absolute);
        let json = serde_json::to_vec(grant).map_err(|_| StoreError::Unreadable("a grant"))?;
        let issued = access
            .map(|access| serde_json::to_vec(&[access.to_text()]))
            .transpose()
            .map_err(|_| StoreError::Unreadable("an access token's id"))?;
        let mut call = self.begin.key(family_key(family));
        call.key(client_index(&grant.sub, &grant.client_id)).key(sub_index(&grant.sub));
        if let Some(sid) = grant.sid {
            call.key(sid_index(sid));
        }
        call.arg(family.to_string())
            .arg(grant.sid.map(|sid| sid.to_string()).unwrap_or_default())
            .arg(now.as_millis())
            .arg(absolute.as_millis())
            .arg(index::millis(idle.since(now)) + SLACK_MS)
            .arg(self.policy.per_client.max(1))
            .arg(&grant.client_id)
            .arg(i32::from(self.policy.session_idle.is_some()));
        call.arg("current").arg(bearer::hash(&token).as_bytes().as_slice());
        call.arg("generation").arg(0);
        call.arg("client").arg(&grant.client_id);
        call.arg("scope").arg(format!(" {} ", grant.scope));
        call.arg("offline").arg(i32::from(grant.offline));
        call.arg("grant").arg(json);
        call.arg("absolute").arg(absolute.as_millis());
        call.arg("idle").arg(idle.as_millis());
        if let Some(issued) = issued {
            call.arg("issued").arg(issued);
        }
        if let (Some(sid), false) = (grant.sid, grant.offline) {
            call.arg("session").arg(sso::record_key(sid));
        }
        let ended: Vec<String> = call.invoke_async(&mut self.redis.connection()).await?;
        let ended: Vec<FamilyId> = ended.iter().filter_map(|family| family.parse().ok()).collect();
        metrics::counter!("haetae_refresh_families_displaced_total").increment(ended.len() as u64);
        Ok(Started { family, token, ended })
    }

    /// What `token` claims to be; `None` when nobody here ever issued it.
    pub(super) fn presented(&self, token: &str) -> Option<Presented<RefreshFamily>> {
        bearer::parse_stamped(PREFIX, token, &self.stamp)
    }

    /// Ends the family of `token` at the wish of its client (RFC 7009). Any token of the family will do,
    /// also one that is spent: the client wants the grant gone. Returns what was revoked; `None` when
    /// there was nothing left to revoke.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(
        &self,
        token: &str,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Option<FamilyGrant>, RevokeError> {
        match self.presented(token) {
            Some(presented) => self.kill(presented.id, client_id, Offline::Revoke, now).await,
            None => Ok(None),
        }
    }

    /// Ends one family, whoever asks.
    ///
    /// # Errors
    /// [`StoreError`]; revoking again is safe.
    pub async fn revoke_family(
        &self,
        family: FamilyId,
        now: Timestamp,
    ) -> Result<Option<FamilyGrant>, StoreError> {
        self.kill_any(family, Offline::Revoke, now).await
    }

    /// Ends the families that were granted in an SSO session; returns what was revoked.
    ///
    /// # Errors
    /// [`StoreError`]; some may be ended, revoking again ends the others.
    pub async fn revoke_sid(
        &self,
        sid: SessionId,
        offline: Offline,
        now: Timestamp,
    ) -> Result<Vec<FamilyGrant>, StoreError> {
        self.revoke_all(&sid_index(sid), offline, now).await
    }

    /// Ends all families of an account, those with offline access too; returns what was revoked.
    ///
    /// # Errors
    /// [`StoreError`]; some may be ended, revoking again ends the others.
    pub async fn revoke_sub(
        &self,
        sub: &str,
        now: Timestamp,
    ) -> Result<Vec<FamilyGrant>, StoreError> {
        self.revoke_all(&sub_index(sub), Offline::Revoke, now).await
    }

    /// Ends what an account has granted to one client; returns what was revoked.
    ///
    /// # Errors
    /// [`StoreError`]; some may be ended, revoking again ends the others.
    pub async fn revoke_consent(
        &self,
        sub: &str,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Vec<FamilyGrant>, StoreError> {
        let mut revoked = Vec::new();
        for status in self.list(sub, now).await? {
            if status.grant.client_id == client_id {
                revoked.extend(self.kill_any(status.family, Offline::Revoke, now).await?);
            }
        }
        Ok(revoked)
    }

    /// The living families of an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self, sub: &str, now: Timestamp) -> Result<Vec<FamilyStatus>, StoreError> {
        let mut living = Vec::new();
        for family in self.members(&sub_index(sub), now).await? {
            living.extend(self.read(family, now).await?.map(|(status, _)| status));
        }
        Ok(living)
    }

    /// The state of `token` (RFC 7662): `None` unless it is the one that may be used now. Without offline access
    /// it may be used as long as its SSO session lives. Spends nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inspect(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<FamilyStatus>, StoreError> {
        let Some(presented) = self.presented(token) else {
            return Ok(None);
        };
        let found = self.read(presented.id, now).await?;
        let is_current = |current: &Vec<u8>| current == presented.hash.as_bytes();
        let Some((status, _)) = found.filter(|(_, current)| is_current(current)) else {
            return Ok(None);
        };
        let lives = match (status.grant.sid, self.policy.session_idle) {
            (Some(sid), Some(idle)) if !status.grant.offline => {
                sso::lives(&self.redis, sid, idle, now).await?
            }
            _ => true,
        };
        Ok(lives.then_some(status))
    }

    async fn read(
        &self,
        family: FamilyId,
        now: Timestamp,
    ) -> Result<Option<(FamilyStatus, Vec<u8>)>, StoreError> {
        const BAD: StoreError = StoreError::Unreadable("a refresh family");
        type Fields = (Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>, Option<i64>);
        let (json, current, idle, dead): Fields = redis::cmd("HMGET")
            .arg(family_key(family))
            .arg(&["grant", "current", "idle", "dead"])
            .query_async(&mut self.redis.connection())
            .await?;
        let (Some(json), None) = (json, dead) else {
            return Ok(None);
        };
        let (current, idle) = (current.ok_or(BAD)?, idle.ok_or(BAD)?);
        let expires_at = Timestamp::from_millis(idle);
        if now >= expires_at {
            return Ok(None);
        }
        Ok(Some((FamilyStatus { family, grant: grant(&json)?, expires_at }, current)))
    }

    async fn revoke_all(
        &self,
        index: &str,
        offline: Offline,
        now: Timestamp,
    ) -> Result<Vec<FamilyGrant>, StoreError> {
        let mut revoked = Vec::new();
        for family in self.members(index, now).await? {
            revoked.extend(self.kill_any(family, offline, now).await?);
        }
        Ok(revoked)
    }

    async fn members(&self, index: &str, now: Timestamp) -> Result<Vec<FamilyId>, StoreError> {
        let members = index::members(&mut self.redis.connection(), index, now).await?;
        Ok(members.iter().filter_map(|family| family.parse().ok()).collect())
    }

    async fn kill_any(
        &self,
        family: FamilyId,
        offline: Offline,
        now: Timestamp,
    ) -> Result<Option<FamilyGrant>, StoreError> {
        self.kill(family, "", offline, now).await.map_err(|error| match error {
            RevokeError::Store(error) => error,
            RevokeError::WrongClient => StoreError::Unreadable("an answer of kill.lua"),
        })
    }

    async fn kill(
        &self,
        family: FamilyId,
        client_id: &str,
        offline: Offline,
        now: Timestamp,
    ) -> Result<Option<FamilyGrant>, RevokeError> {
        let mut connection = self.redis.connection();
        let answer: Vec<Vec<u8>> = self
            .kill
            .key(family_key(family))
            .arg(client_id)
            .arg(now.as_millis())
            .arg(i32::from(offline == Offline::Spare))
            .arg(SLACK_MS)
            .invoke_async(&mut connection)
            .await
            .map_err(StoreError::from)?;
        match answer.first().map(Vec::as_slice) {
            Some(b"killed") => {
                let mut found = grant(answer.get(1).map_or(&[], Vec::as_slice))?;
                (found.issued, found.issued_more) =
                    issued(answer.get(2).map_or(&[], Vec::as_slice))?;
                // The family is dead already; an entry that stays behind is only skipped.
                if let Err(error) =
                    index::remove(&mut connection, &indexes(&found), &family.to_string()).await
                {
                    tracing::debug!(%error, "a dead refresh family stays in its indexes");
                }
                Ok(Some(found))
            }
            Some(b"wrong_client") => Err(RevokeError::WrongClient),
            Some(b"unknown" | b"spared") => Ok(None),
            _ => Err(StoreError::Unreadable("an answer of kill.lua").into()),
        }
    }
}

pub(super) fn family_key(family: FamilyId) -> String {
    format!("haetae:family:{{{family}}}")
}

fn indexes(grant: &FamilyGrant) -> Vec<String> {
    let mut indexes = vec![sub_index(&grant.sub)];
    indexes.extend(grant.sid.map(sid_index));
    indexes
}

fn sub_index(sub: &str) -> String {
    format!("haetae:family:sub:{sub}")
}

/// Everything that is kept of an account at a client, tombstones too: what `begin.lua` counts. The members are
/// a family's id, a colon, and the id of its session if it has one.
fn client_index(sub: &str, client_id: &str) -> String {
    format!("haetae:family:client:{sub}:{client_id}")
}

fn sid_index(sid: SessionId) -> String {
    format!("haetae:family:sid:{sid}")
}
