//! Signing: key pairs that are parsed once and kept, and compact tokens made with them (RFC 7515 3.1).

mod rsa_public;

use std::{collections::BTreeMap, fmt, sync::Arc};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
        RsaKeyPair,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    algorithm::Algorithm,
    jwks::{Jwk, JwkSet, Material},
};

/// A private key that cannot be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The library could not make one.
    #[error("cannot generate a {0} key")]
    Generate(Algorithm),
    /// The PKCS#8 text does not hold a key of that algorithm.
    #[error("not a PKCS#8 {0} key")]
    Parse(Algorithm),
}

/// A token that cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The ring has no key of that algorithm: it is not in `keys.algorithms`.
    #[error("no {0} key to sign with; add it to keys.algorithms")]
    NoKey(Algorithm),
    /// The claims are not JSON.
    #[error("the claims cannot be written as JSON")]
    Claims(#[source] serde_json::Error),
    /// The library could not sign.
    #[error("cannot sign with {0}")]
    Sign(Algorithm),
}

/// A private key, parsed, with its public half.
pub(crate) struct SigningKey {
    pair: Pair,
    jwk: Jwk,
    /// The base64url header for `at+jwt`, ready to be copied: the one that is written all the time.
    access_header: String,
}

enum Pair {
    Es256(Box<EcdsaKeyPair>),
    Rs256(Box<RsaKeyPair>),
    EdDsa(Box<Ed25519KeyPair>),
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'a str,
    kid: &'a str,
}

/// The type of an access token (RFC 9068 2.1).
pub const ACCESS_TOKEN: &str = "at+jwt";
/// The type of an ID token (RFC 7519 5.1).
pub const ID_TOKEN: &str = "JWT";

impl SigningKey {
    /// Makes a new key. RSA has 2048 bits and takes a noticeable part of a second.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let failed = KeyError::Generate(algorithm);
        let pair = match algorithm {
            Algorithm::Es256 => Pair::Es256(Box::new(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| failed)?,
            )),
            Algorithm::Rs256 => {
                Pair::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| failed)?))
            }
            Algorithm::EdDsa => {
                Pair::EdDsa(Box::new(Ed25519KeyPair::generate().map_err(|_| failed)?))
            }
        };
        Self::new(pair).ok_or(failed)
    }

    /// Reads what [`SigningKey::to_pkcs8`] wrote.
    pub(crate) fn from_pkcs8(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let failed = KeyError::Parse(algorithm);
        let pair = match algorithm {
            Algorithm::Es256 => Pair::Es256(Box::new(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                    .map_err(|_| failed)?,
            )),
            Algorithm::Rs256 => {
                Pair::Rs256(Box::new(RsaKeyPair::from_pkcs8(pkcs8).map_err(|_| failed)?))
            }
            Algorithm::EdDsa => Pair::EdDsa(Box::new(
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| failed)?,
            )),
        };
        Self::new(pair).ok_or(failed)
    }

    /// The private key as unencrypted PKCS#8: only ever on its way to be sealed.
    pub(crate) fn to_pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1().ok()?.as_ref().to_vec(),
            Pair::Rs256(pair) => pair.as_der().ok()?.as_ref().to_vec(),
            Pair::EdDsa(pair) => pair.to_pkcs8v1().ok()?.as_ref().to_vec(),
        };
        Some(Zeroizing::new(bytes))
    }

    /// The public half.
    pub(crate) const fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Signs `claims` as a compact token of type `typ`.
    pub(crate) fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, SignError> {
        let claims = serde_json::to_vec(claims).map_err(SignError::Claims)?;
        // One allocation: header, payload, the longest signature (RS256, 342 characters), two dots.
        let mut token = String::with_capacity(
            self.access_header.len() + typ.len() * 2 + claims.len() * 4 / 3 + 360,
        );
        if typ == ACCESS_TOKEN {
            token.push_str(&self.access_header);
        } else {
            encode_header(self.jwk.alg, typ, &self.jwk.kid, &mut token);
        }
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&claims, &mut token);
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// The signature over `message`, in the form of RFC 7518 3.
    pub(crate) fn signature(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let failed = |_| SignError::Sign(self.jwk.alg);
        // The library takes no notice of the generator it is given: it has its own.
        let random = SystemRandom::new();
        Ok(match &self.pair {
            Pair::Es256(pair) => pair.sign(&random, message).map_err(failed)?.as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(failed)?;
                signature
            }
            Pair::EdDsa(pair) => pair.try_sign(message).map_err(failed)?.as_ref().to_vec(),
        })
    }

    fn new(pair: Pair) -> Option<Self> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = match &pair {
            Pair::Es256(pair) => {
                // An uncompressed point: 0x04, x, y (SEC 1 2.3.3).
                let (x, y) = pair.public_key().as_ref().strip_prefix(&[4])?.split_at_checked(32)?;
                Jwk::new(
                    Algorithm::Es256,
                    Material::Ec { crv: "P-256".to_owned(), x: encode(x), y: encode(y) },
                )
            }
            Pair::Rs256(pair) => {
                let (n, e) = rsa_public::numbers(pair.public_key().as_ref())?;
                Jwk::new(Algorithm::Rs256, Material::Rsa { n: encode(n), e: encode(e) })
            }
            Pair::EdDsa(pair) => Jwk::new(
                Algorithm::EdDsa,
                Material::Okp { crv: "Ed25519".to_owned(), x: encode(pair.public_key().as_ref()) },
            ),
        };
        let mut access_header = String::new();
        encode_header(jwk.alg, ACCESS_TOKEN, &jwk.kid, &mut access_header);
        Some(Self { pair, jwk, access_header })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({} {})", self.jwk.alg, self.jwk.kid)
    }
}

fn encode_header(algorithm: Algorithm, typ: &str, kid: &str, into: &mut String) {
    // A struct of three strings always serialises.
    let header = serde_json::to_vec(&Header { alg: algorithm.as_str(), typ, kid });
    URL_SAFE_NO_PAD.encode_string(header.unwrap_or_default(), into);
}

/// The keys that sign now: one an algorithm. A snapshot; take a new one from the ring for each token, so
/// that a rotation is followed at once.
#[derive(Clone, Debug, Default)]
pub struct Signer(BTreeMap<Algorithm, Arc<SigningKey>>);

impl Signer {
    /// New keys that exist in this value only: for tests, and for whoever wants no ring.
    ///
    /// # Errors
    /// [`KeyError`] when a key cannot be made.
    pub fn generate(algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        let keys =
            algorithms.iter().map(|algorithm| SigningKey::generate(*algorithm).map(Arc::new));
        Ok(Self::of(keys.collect::<Result<Vec<_>, _>>()?))
    }

    pub(crate) fn of(keys: impl IntoIterator<Item = Arc<SigningKey>>) -> Self {
        Self(keys.into_iter().map(|key| (key.jwk().alg, key)).collect())
    }

    /// Signs `claims` as a compact token of type `typ`: [`ACCESS_TOKEN`], [`ID_TOKEN`].
    ///
    /// # Errors
    /// [`SignError`] when there is no key of that algorithm or the claims are not JSON.
    pub fn sign(
        &self,
        algorithm: Algorithm,
        typ: &str,
        claims: &impl Serialize,
    ) -> Result<String, SignError> {
        self.0.get(&algorithm).ok_or(SignError::NoKey(algorithm))?.sign(typ, claims)
    }

    /// The name of the key that signs with `algorithm` now.
    pub fn kid(&self, algorithm: Algorithm) -> Option<&str> {
        self.0.get(&algorithm).map(|key| key.jwk().kid.as_str())
    }

    /// The algorithms that it can sign with.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.0.keys().copied()
    }

    /// The public halves of these keys.
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: self.0.values().map(|key| key.jwk().clone()).collect() }
    }
}

#[cfg(test)]
mod tests;
