//! The section `[keys]`: the signing keys.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, SecretSource};

/// The signing keys. They live in the authserver's database, sealed under the master key.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// The key that seals the signing keys; it is never in the database. Default: the file `master.key`
    /// in `data_dir`, which `haetae up` makes at the first start.
    pub master_key: Option<SecretSource>,
    /// The algorithms that there is a key for; the first is the default for access tokens.
    pub algorithms: Vec<Algorithm>,
    /// How long a key signs before the next one takes over.
    pub rotate_every: Duration,
    /// How long before it signs a key is published, so that everybody knows it in time.
    pub overlap: Duration,
}

/// A signature algorithm (JWA, RFC 7518 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// The JWA name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
