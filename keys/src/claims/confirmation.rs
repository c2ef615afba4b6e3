//! The key that a token is bound to.

use serde::{Deserialize, Serialize};

/// The `cnf` claim (RFC 7800 3.1). A token that has one is no bearer token: whoever accepts it must check
/// the proof, and must refuse it when it knows none of the members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The thumbprint of the `DPoP` key (RFC 9449 6.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jkt: Option<String>,
    /// The SHA-256 thumbprint of the client certificate (RFC 8705 3.1).
    #[serde(default, rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub x5t_s256: Option<String>,
}
