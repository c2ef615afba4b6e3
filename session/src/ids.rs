//! The ids of sessions and refresh families.

use haetae_base::id::{Id, Kind};

/// Marks the id of an SSO session.
#[derive(Debug)]
pub enum Session {}

impl Kind for Session {
    const PREFIX: &'static str = "sid";
}

/// The id of an SSO session: the `sid` claim of every token issued in it (OpenID Connect Front-Channel
/// Logout 1.0, 3). Not a secret.
pub type SessionId = Id<Session>;

/// Marks the id of a refresh token family.
#[derive(Debug)]
pub enum RefreshFamily {}

impl Kind for RefreshFamily {
    const PREFIX: &'static str = "fam";
}

/// The id of a refresh token family: all refresh tokens that descend from one grant.
pub type FamilyId = Id<RefreshFamily>;
