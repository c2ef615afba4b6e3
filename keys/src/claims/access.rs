//! The claims of an access token (RFC 9068 2.2).

use haetae_base::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Acr, Audience, Confirmation, Scope, assurance, numeric_date};

/// What an access token says. The instants are whole seconds on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// Who issued it (RFC 7519 4.1.1).
    pub iss: String,
    /// Whom it is for: the resource servers that may accept it.
    pub aud: Audience,
    /// The account, or the client itself in a `client_credentials` grant.
    pub sub: String,
    /// The client that it was issued to (RFC 8693 4.3).
    pub client_id: String,
    /// What it permits.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// When it ends.
    #[serde(with = "numeric_date")]
    pub exp: Timestamp,
    /// When it was issued.
    #[serde(with = "numeric_date")]
    pub iat: Timestamp,
    /// When it begins, if later than when it was issued.
    #[serde(default, with = "numeric_date::optional", skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    /// Its own id: `tok_<ULID>`, whose time is the issue instant to the millisecond.
    pub jti: String,
    /// The SSO session that it was issued in; none for a client's own token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// How sure the sign-in was. A value that Haetae does not know counts as none.
    #[serde(
        default,
        deserialize_with = "assurance::known_or_none",
        skip_serializing_if = "Option::is_none"
    )]
    pub acr: Option<Acr>,
    /// How the person signed in (RFC 8176): `pwd`, `otp`, `mfa`, `swk`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    /// When the person last signed in.
    #[serde(default, with = "numeric_date::optional", skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<Timestamp>,
    /// The key that the sender must prove to hold (RFC 7800); none for a plain bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
    /// The roles of the account (RFC 9068 2.2.3.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}
