//! Public keys on the wire: JSON Web Keys and sets of them (RFC 7517), with members for the public part
//! only. A private or symmetric key has no place in these types.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::algorithm::Algorithm;

/// A public signing key as Haetae publishes it (RFC 7517 4, RFC 7518 6, RFC 8037 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// The kind of key and its public members.
    #[serde(flatten)]
    pub material: Material,
    /// What it may be used for; always `sig`.
    #[serde(rename = "use")]
    pub usage: Use,
    /// The algorithm that it signs with.
    pub alg: Algorithm,
    /// Its name in the header of a token: its RFC 7638 thumbprint.
    pub kid: String,
}

/// The public members of a key, in unpadded base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub enum Material {
    /// A point on an elliptic curve (RFC 7518 6.2).
    #[serde(rename = "EC")]
    Ec {
        /// The curve: `P-256`.
        crv: String,
        /// The x coordinate, 32 bytes.
        x: String,
        /// The y coordinate, 32 bytes.
        y: String,
    },
    /// An RSA key (RFC 7518 6.3).
    #[serde(rename = "RSA")]
    Rsa {
        /// The modulus, big-endian without leading zeros.
        n: String,
        /// The exponent, big-endian without leading zeros.
        e: String,
    },
    /// An Edwards-curve key (RFC 8037 2).
    #[serde(rename = "OKP")]
    Okp {
        /// The curve: `Ed25519`.
        crv: String,
        /// The public key, 32 bytes.
        x: String,
    },
}

/// What a key may be used for (RFC 7517 4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Use {
    /// To verify signatures.
    #[default]
    #[serde(rename = "sig")]
    Signature,
}

impl Jwk {
    /// The key for `alg`, named by its thumbprint.
    pub fn new(alg: Algorithm, material: Material) -> Self {
        let kid = material.thumbprint();
        Self { material, usage: Use::Signature, alg, kid }
    }
}

impl Material {
    /// The SHA-256 thumbprint in unpadded base64url (RFC 7638 3): a name that follows from the key, so that
    /// no two keys share it.
    pub fn thumbprint(&self) -> String {
        // Exactly the required members, in lexicographic order, without white space (RFC 7638 3.2). The
        // values are base64url or curve names, so nothing in them needs escaping.
        let canonical = match self {
            Self::Ec { crv, x, y } => {
                format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Self::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Self::Okp { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
        };
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
    }
}

/// A set of public keys, as `/oauth2/jwks` answers (RFC 7517 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_the_one_of_rfc_7638() {
        let material = Material::Rsa {
            n: "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_\
                BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_F\
                DW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4v\
                MQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
                .to_owned(),
            e: "AQAB".to_owned(),
        };
        assert_eq!(material.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let okp = Material::Okp {
            crv: "Ed25519".to_owned(),
            x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
        };
        assert_eq!(okp.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "RFC 8037 A.3");
    }

    #[test]
    fn the_wire_form_has_public_members_only() {
        let jwk = Jwk::new(
            Algorithm::EdDsa,
            Material::Okp {
                crv: "Ed25519".to_owned(),
                x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned(),
            },
        );
        let json = serde_json::to_value(&jwk).expect("json");
        assert_eq!(
            json,
            serde_json::json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"})
        );
        assert_eq!(serde_json::from_value::<Jwk>(json).expect("reads its own"), jwk);
    }
}
