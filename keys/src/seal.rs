//! Sealing secrets at rest: AES-256-GCM under keys derived from one master key by purpose, so that what
//! was sealed for one purpose or place cannot be opened as another.
//!
//! A sealed value is `version (1 byte) | nonce (12) | ciphertext | tag (16)`.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{self, HKDF_SHA256, KeyType, Salt},
    hmac,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use haetae_base::{entropy, secret::constant_time_eq};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

const KEY_LEN: usize = 32;
/// The first byte of everything sealed: AES-256-GCM with a random nonce.
const VERSION: u8 = 1;

/// A master key that cannot be used, in a line for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// The text is not base64.
    #[error("the master key is not base64; make one with `head -c 32 /dev/urandom | base64`")]
    NotBase64,
    /// It decodes to another number of bytes than 32.
    #[error(
        "the master key has {0} bytes instead of 32; make one with `head -c 32 /dev/urandom | base64`"
    )]
    Length(usize),
    /// All bytes are the same: a placeholder, not a key.
    #[error("the master key is a placeholder; make one with `head -c 32 /dev/urandom | base64`")]
    Placeholder,
}

/// The key that all sealing keys are derived from. It lives in a file or the environment, never in the
/// database that it protects.
pub struct MasterKey(Zeroizing<[u8; KEY_LEN]>);

impl MasterKey {
    /// Reads the text form: base64 of 32 bytes, standard or URL-safe, with or without padding.
    ///
    /// # Errors
    /// [`MasterKeyError`] when it is anything else.
    pub fn from_secret(text: &SecretString) -> Result<Self, MasterKeyError> {
        let text = text.expose_secret().trim();
        let bytes = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(text).ok())
            .map(Zeroizing::new)
            .ok_or(MasterKeyError::NotBase64)?;
        let key: [u8; KEY_LEN] =
            bytes.as_slice().try_into().map_err(|_| MasterKeyError::Length(bytes.len()))?;
        let key = Zeroizing::new(key);
        if key.iter().all(|byte| Some(byte) == key.first()) {
            return Err(MasterKeyError::Placeholder);
        }
        Ok(Self(key))
    }

    /// The text form of a new master key.
    pub fn generate() -> SecretString {
        STANDARD.encode(*Zeroizing::new(entropy::bytes::<KEY_LEN>())).into()
    }

    /// The sealing key for one purpose (`signing keys`, `totp secrets`). Other purposes give other keys.
    pub fn derive(&self, purpose: &str) -> SealingKey {
        SealingKey::derived(self.0.as_slice(), "haetae master key", purpose)
    }

    /// The key for tags of one purpose (`refresh tokens`).
    pub fn derive_tag_key(&self, purpose: &str) -> TagKey {
        TagKey(hmac::Key::new(
            hmac::HMAC_SHA256,
            expand(self.0.as_slice(), "haetae master key", purpose).as_slice(),
        ))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey(…)")
    }
}

/// Seals and opens values for one purpose. The cipher's key schedule is kept, so sealing is cheap.
pub struct SealingKey(LessSafeKey);

/// Marks what the holders of a key made, so that what others made up is known at sight (HMAC-SHA256, cut to
/// as many bytes as are wanted).
pub struct TagKey(hmac::Key);

impl TagKey {
    /// The first `N` bytes of the tag of `message`.
    pub fn tag<const N: usize>(&self, message: &[u8]) -> [u8; N] {
        let whole = hmac::sign(&self.0, message);
        let mut tag = [0; N];
        for (to, from) in tag.iter_mut().zip(whole.as_ref()) {
            *to = *from;
        }
        tag
    }

    /// Whether `tag` is that of `message`; takes the same time wherever they differ.
    pub fn is_tag<const N: usize>(&self, message: &[u8], tag: &[u8; N]) -> bool {
        constant_time_eq(&self.tag::<N>(message), tag)
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TagKey(…)")
    }
}

/// A sealed value that does not open. Deliberately does not tell a wrong key, a wrong context and a
/// changed byte apart: nobody can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is too short to be a sealed value.
    #[error("not a sealed value")]
    Malformed,
    /// It was sealed by a version of Haetae that this one does not know.
    #[error("sealed in an unknown format (version {0})")]
    UnknownVersion(u8),
    /// It was sealed under another key or for another context, or it was changed.
    #[error("does not open: sealed under another key or for another context, or changed")]
    Refused,
}

impl SealingKey {
    /// A key from 32 bytes that are already uniform.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self::with(&Zeroizing::new(bytes))
    }

    /// The key that only the holder of a bearer secret can make: what is sealed with it is unreadable in
    /// the store that keeps no more than the secret's hash. The secret must have 256 random bits.
    pub fn from_token(token: &str, purpose: &str) -> Self {
        Self::derived(token.as_bytes(), "haetae bearer secret", purpose)
    }

    /// Seals `plain`. Opening needs the same `aad`, which binds the value to its place: the id of its
    /// row, the name of its column.
    ///
    /// # Panics
    /// With a value of 64 GiB or more.
    #[expect(clippy::expect_used, reason = "GCM refuses only messages that fit no row or key")]
    pub fn seal(&self, plain: &[u8], aad: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = entropy::bytes();
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + MAX_TAG_LEN);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = self
            .0
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(bound(aad)),
                &mut body,
            )
            .expect("less than 64 GiB can be sealed");
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what [`SealingKey::seal`] sealed under the same key with the same `aad`.
    ///
    /// # Errors
    /// [`OpenError`] when it does not open.
    pub fn open(&self, sealed: &[u8], aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (version, rest) = sealed.split_first().ok_or(OpenError::Malformed)?;
        if *version != VERSION {
            return Err(OpenError::UnknownVersion(*version));
        }
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(OpenError::Malformed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Malformed)?;
        let mut buffer = Zeroizing::new(body.to_vec());
        let length = self
            .0
            .open_in_place(nonce, Aad::from(bound(aad)), &mut buffer)
            .map_err(|_| OpenError::Refused)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn derived(secret: &[u8], domain: &str, purpose: &str) -> Self {
        Self::with(&expand(secret, domain, purpose))
    }

    #[expect(clippy::expect_used, reason = "AES-256 takes every key of 32 bytes")]
    fn with(key: &Zeroizing<[u8; KEY_LEN]>) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("32 bytes are an AES key");
        Self(LessSafeKey::new(key))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SealingKey(…)")
    }
}

/// The version is authenticated too, so that a later format cannot be passed off as this one.
fn bound(aad: &[u8]) -> Vec<u8> {
    let mut bound = Vec::with_capacity(aad.len() + 1);
    bound.push(VERSION);
    bound.extend_from_slice(aad);
    bound
}

/// 32 bytes out of a secret, others for each domain and purpose.
fn expand(secret: &[u8], domain: &str, purpose: &str) -> Zeroizing<[u8; KEY_LEN]> {
    let mut key = Zeroizing::new([0; KEY_LEN]);
    let prk = Salt::new(HKDF_SHA256, domain.as_bytes()).extract(secret);
    derive_into(&prk, purpose, &mut key);
    key
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

#[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes; 32 are asked for")]
fn derive_into(prk: &hkdf::Prk, purpose: &str, key: &mut [u8; KEY_LEN]) {
    prk.expand(&[purpose.as_bytes()], KeyLength)
        .and_then(|okm| okm.fill(key))
        .expect("HKDF gives 32 bytes");
}

#[cfg(test)]
mod tests;
