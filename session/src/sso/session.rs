//! What an SSO session says.

use std::collections::BTreeSet;

use haetae_base::clock::Timestamp;
use haetae_keys::claims::Acr;
use serde::{Deserialize, Serialize};

use crate::SessionId;

/// What a person proved, and when: the `auth_time`, `acr` and `amr` of the tokens to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    /// When the person last proved it.
    pub auth_time: Timestamp,
    /// How sure that was.
    pub acr: Acr,
    /// By which methods (RFC 8176).
    pub amr: Vec<String>,
    /// In which state of the account: a number that the account raises when all that was proved before is
    /// worthless. The store keeps it, the caller compares it.
    #[serde(default)]
    pub epoch: i64,
}

/// What a session starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The account.
    pub sub: String,
    /// What the person proved at this sign-in.
    pub factors: Factors,
    /// The browser's `User-Agent`, for the list of sessions on the account page.
    pub user_agent: Option<String>,
    /// The browser's address, for the same list.
    pub address: Option<String>,
}

/// An SSO session, as found by its cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsoSession {
    /// Its id: the `sid` claim. Stays when the cookie changes.
    pub sid: SessionId,
    /// The account.
    pub sub: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the resolution of [`SsoStore::touch`](super::SsoStore::touch).
    pub last_seen_at: Timestamp,
    /// When it ends, used or not.
    pub expires_at: Timestamp,
    /// When the person last signed in or stepped up.
    pub auth_time: Timestamp,
    /// How sure that was.
    pub acr: Acr,
    /// By which methods (RFC 8176).
    pub amr: Vec<String>,
    /// The state of the account in which it was proved ([`Factors::epoch`]).
    pub epoch: i64,
    /// The clients that have got tokens in it: those to be told at logout.
    pub clients: BTreeSet<String>,
    /// The browser's `User-Agent` at sign-in.
    pub user_agent: Option<String>,
    /// The browser's address at sign-in.
    pub address: Option<String>,
    /// Whether it is being ended ([`SsoStore::close`](super::SsoStore::close)): nobody is signed in by it.
    pub closing: bool,
}
