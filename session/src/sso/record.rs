//! An SSO session as fields of a Redis hash: `hash` (of the cookie), `about` (what never changes), `factors`,
//! `seen`, `closing` once it is being ended, and one `client:<id>` for each client, so that two clients can be added at once.

use std::collections::HashMap;

use haetae_base::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Factors, SsoSession, Start};
use crate::{SessionId, StoreError};

pub(super) const HASH: &str = "hash";
pub(super) const ABOUT: &str = "about";
pub(super) const FACTORS: &str = "factors";
pub(super) const SEEN: &str = "seen";
pub(super) const CLOSING: &str = "closing";
const CLIENT: &str = "client:";

#[derive(Serialize, Deserialize)]
pub(super) struct About {
    sub: String,
    created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    user_agent: Option<String>,
    address: Option<String>,
}

impl About {
    pub(super) fn new(start: &Start, created_at: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            sub: start.sub.clone(),
            created_at,
            expires_at,
            user_agent: start.user_agent.clone(),
            address: start.address.clone(),
        }
    }

    pub(super) fn into_session(
        self,
        sid: SessionId,
        factors: Factors,
        last_seen_at: Timestamp,
    ) -> SsoSession {
        SsoSession {
            sid,
            sub: self.sub,
            created_at: self.created_at,
            last_seen_at,
            expires_at: self.expires_at,
            auth_time: factors.auth_time,
            acr: factors.acr,
            amr: factors.amr,
            epoch: factors.epoch,
            clients: std::collections::BTreeSet::new(),
            user_agent: self.user_agent,
            address: self.address,
            closing: false,
        }
    }
}

pub(super) fn client_field(client_id: &str) -> String {
    format!("{CLIENT}{client_id}")
}

pub(super) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Unreadable("a session"))
}

/// Reads all fields of a record: the cookie's hash and the session. `None` when there are none: no such session.
pub(super) fn read(
    sid: SessionId,
    mut fields: HashMap<String, Vec<u8>>,
) -> Result<Option<([u8; 32], SsoSession)>, StoreError> {
    const BAD: StoreError = StoreError::Unreadable("an SSO session");
    if fields.is_empty() {
        return Ok(None);
    }
    let mut take = |name: &str| fields.remove(name).ok_or(BAD);
    let hash: [u8; 32] = take(HASH)?.try_into().map_err(|_| BAD)?;
    let about: About = serde_json::from_slice(&take(ABOUT)?).map_err(|_| BAD)?;
    let factors: Factors = serde_json::from_slice(&take(FACTORS)?).map_err(|_| BAD)?;
    let seen: Timestamp = serde_json::from_slice(&take(SEEN)?).map_err(|_| BAD)?;
    let mut session = about.into_session(sid, factors, seen);
    session.closing = fields.contains_key(CLOSING);
    session.clients =
        fields.keys().filter_map(|name| name.strip_prefix(CLIENT)).map(str::to_owned).collect();
    Ok(Some((hash, session)))
}
