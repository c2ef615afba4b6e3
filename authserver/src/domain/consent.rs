//! What a person allowed a client to have.

use haetae_base::clock::Timestamp;
use haetae_keys::claims::Scope;

use super::account::AccountId;

/// A consent: asked for once, and again only when the client wants more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Who allowed it.
    pub account: AccountId,
    /// To which client.
    pub client_id: String,
    /// What.
    pub scope: Scope,
    /// When, the last time that it grew.
    pub granted_at: Timestamp,
}

impl Consent {
    /// Whether nothing of `wanted` has to be asked for.
    pub fn covers(&self, wanted: &Scope) -> bool {
        self.scope.covers(wanted)
    }
}
