//! What a refresh token family stands for.

use haetae_base::clock::Timestamp;
use haetae_keys::claims::{Acr, Scope};
use serde::{Deserialize, Serialize};

use crate::SessionId;

/// What was granted. It stays the same however often its token rotates: a refresh may ask for less in one
/// access token, but the family keeps it all (RFC 6749 6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FamilyGrant {
    /// The account.
    pub sub: String,
    /// The client; nobody else can use the tokens.
    pub client_id: String,
    /// The SSO session in which it was granted, if it was.
    pub sid: Option<SessionId>,
    /// What was granted at most.
    pub scope: Scope,
    /// When the person had signed in; a refresh does not make that newer.
    pub auth_time: Timestamp,
    /// How sure that was.
    pub acr: Acr,
    /// By which methods (RFC 8176).
    pub amr: Vec<String>,
    /// Whether `offline_access` was granted: then it outlives the session (see
    /// [`Offline`](super::Offline)).
    pub offline: bool,
}
