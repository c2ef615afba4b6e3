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
    /// The roles of the account, for the access tokens to come. When they change, the families end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// The access tokens that came from it and may still live: told when the family ends, for the
    /// denylist. Not part of the grant as stored.
    #[serde(skip)]
    pub issued: Vec<AccessRef>,
    /// Whether there are more of them than are named: then only the end of the session's or the account's
    /// tokens is the end of them all.
    #[serde(skip)]
    pub issued_more: bool,
}

/// An access token, by its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRef {
    /// Its `jti`.
    pub jti: String,
    /// When it ends.
    pub until: Timestamp,
}

impl AccessRef {
    /// As `family.lua` keeps it.
    pub(super) fn to_text(&self) -> String {
        format!("{}:{}", self.until.as_millis(), self.jti)
    }

    fn of_text(text: &str) -> Option<Self> {
        let (until, jti) = text.split_once(':')?;
        Some(Self { jti: jti.to_owned(), until: Timestamp::from_millis(until.parse().ok()?) })
    }

    /// Reads the field `issued` of a family; an empty text is no tokens. Whether there are more than are
    /// named.
    pub(super) fn read_all(json: &[u8]) -> Option<(Vec<Self>, bool)> {
        if json.is_empty() {
            return Some((Vec::new(), false));
        }
        let texts: Vec<String> = serde_json::from_slice(json).ok()?;
        let all = texts.iter().map(|text| Self::of_text(text)).collect::<Option<Vec<_>>>()?;
        let (unnamed, named): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|token| token.jti == "*");
        Some((named, !unnamed.is_empty()))
    }
}
