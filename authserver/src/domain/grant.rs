//! An authorization as the authorization endpoint made it: what a code stands for until it is redeemed.

use haetae_base::clock::Timestamp;
use haetae_keys::claims::{Acr, Scope};
use haetae_session::SessionId;
use serde::{Deserialize, Serialize};

use super::account::AccountId;

/// What a person authorized, and how sure the sign-in was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Who authorized it.
    pub sub: AccountId,
    /// Which client may redeem it.
    pub client_id: String,
    /// The SSO session that it happened in.
    pub sid: SessionId,
    /// What was authorized.
    pub scope: Scope,
    /// When the person last signed in.
    pub auth_time: Timestamp,
    /// How sure the sign-in was.
    pub acr: Acr,
    /// How the person signed in (RFC 8176).
    pub amr: Vec<String>,
    /// The epoch of the account ([`Account::epoch`](super::account::Account::epoch)) in which it happened.
    #[serde(default)]
    pub epoch: i64,
    /// The roles of the account.
    pub roles: Vec<String>,
}
