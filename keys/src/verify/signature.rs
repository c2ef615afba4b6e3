//! Public keys, parsed once, that are bound to one algorithm: a key never verifies another's signature.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use serde_json::{Map, Value};

use super::compact::decode;
use crate::{
    algorithm::Algorithm,
    jwks::{Jwk, Material},
};

/// Why a published key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it has no kid")]
    NoKeyId,
    #[error("it is not for signatures")]
    Usage,
    #[error("it is of a kind or algorithm that Haetae does not use")]
    Kind,
    #[error("its alg does not fit its kind")]
    AlgorithmMismatch,
    #[error("it holds private or symmetric members")]
    Private,
    #[error("it is weaker than 2048 bits or has an unsafe exponent")]
    Weak,
    #[error("its members do not make a key")]
    Malformed,
}

/// A key to verify with.
#[derive(Debug)]
pub(crate) struct VerifyingKey {
    kid: String,
    algorithm: Algorithm,
    material: Material,
    parsed: ParsedPublicKey,
}

/// Members of private and symmetric keys (RFC 7518 6.2.2, 6.3.2, 6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

impl VerifyingKey {
    /// Reads a key as any issuer may publish it, ignoring members that say nothing here.
    pub(crate) fn from_json(jwk: &Map<String, Value>) -> Result<Self, Unusable> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str).map(str::to_owned);
        if PRIVATE.iter().any(|member| jwk.contains_key(*member)) {
            return Err(Unusable::Private);
        }
        let (algorithm, material) = match (text("kty").as_deref(), text("crv").as_deref()) {
            (Some("EC"), Some("P-256")) => {
                let (x, y) = text("x").zip(text("y")).ok_or(Unusable::Malformed)?;
                (Algorithm::Es256, Material::Ec { crv: "P-256".to_owned(), x, y })
            }
            (Some("OKP"), Some("Ed25519")) => {
                let x = text("x").ok_or(Unusable::Malformed)?;
                (Algorithm::EdDsa, Material::Okp { crv: "Ed25519".to_owned(), x })
            }
            (Some("RSA"), _) => {
                let (n, e) = text("n").zip(text("e")).ok_or(Unusable::Malformed)?;
                (Algorithm::Rs256, Material::Rsa { n, e })
            }
            _ => return Err(Unusable::Kind),
        };
        if let Some(alg) = jwk.get("alg") {
            match alg.as_str().map(str::parse::<Algorithm>) {
                Some(Ok(stated)) if stated == algorithm => {}
                Some(Err(_)) => return Err(Unusable::Kind),
                _ => return Err(Unusable::AlgorithmMismatch),
            }
        }
        if jwk.get("use").is_some_and(|usage| usage != "sig") {
            return Err(Unusable::Usage);
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array().ok_or(Unusable::Malformed)?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err(Unusable::Usage);
            }
        }
        let kid = text("kid").filter(|kid| !kid.is_empty()).ok_or(Unusable::NoKeyId)?;
        Self::new(kid, algorithm, material)
    }

    /// Reads a key of our own.
    pub(crate) fn from_jwk(jwk: &Jwk) -> Result<Self, Unusable> {
        let fits = matches!(
            (jwk.alg, &jwk.material),
            (Algorithm::Es256, Material::Ec { .. })
                | (Algorithm::Rs256, Material::Rsa { .. })
                | (Algorithm::EdDsa, Material::Okp { .. })
        );
        if !fits {
            return Err(Unusable::AlgorithmMismatch);
        }
        Self::new(jwk.kid.clone(), jwk.alg, jwk.material.clone())
    }

    fn new(kid: String, algorithm: Algorithm, material: Material) -> Result<Self, Unusable> {
        let malformed = Unusable::Malformed;
        let parsed = match &material {
            Material::Ec { x, y, .. } => {
                let (x, y) = decode(x).zip(decode(y)).ok_or(malformed)?;
                if x.len() != 32 || y.len() != 32 {
                    return Err(malformed);
                }
                // The library refuses a point that is not on the curve.
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| malformed)?
            }
            Material::Okp { x, .. } => {
                let x = decode(x).filter(|x| x.len() == 32).ok_or(malformed)?;
                ParsedPublicKey::new(&ED25519, x).map_err(|_| malformed)?
            }
            Material::Rsa { n, e } => {
                let (n, e) = decode(n).zip(decode(e)).ok_or(malformed)?;
                let (n, e) = (without_leading_zeros(&n), without_leading_zeros(&e));
                if !strong(n, e) {
                    return Err(Unusable::Weak);
                }
                RsaPublicKeyComponents { n, e }
                    .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                    .map_err(|_| malformed)?
            }
        };
        Ok(Self { kid, algorithm, material, parsed })
    }

    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `other` is the same key under the same name.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.kid == other.kid
            && self.algorithm == other.algorithm
            && self.material == other.material
    }

    /// Whether `signature` is this key's over `message`. ES256 takes the 64 bytes of RFC 7518 3.4 only,
    /// not DER.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.split_at(zeros).1
}

/// 2048 to 8192 bits, and an exponent that is odd, at least 3 and at most 32 bits long: with 1 everybody
/// could sign.
fn strong(n: &[u8], e: &[u8]) -> bool {
    let bits = n.first().map_or(0, |top| n.len() * 8 - top.leading_zeros() as usize);
    let exponent = e.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    (2048..=8192).contains(&bits) && e.len() <= 4 && exponent >= 3 && exponent % 2 == 1
}
