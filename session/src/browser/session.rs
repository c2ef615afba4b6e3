//! What the gateway knows about a signed-in browser, and how that is sealed.

use std::fmt;

use haetae_base::{clock::Timestamp, secret::SecretHash};
use haetae_keys::seal::SealingKey;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::StoreError;

const BAD: StoreError = StoreError::Unreadable("a browser session");

/// The tokens of a browser session. They never leave the server side.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// What services get as `Authorization: Bearer`.
    pub access_token: SecretString,
    /// When that ends.
    pub access_expires_at: Timestamp,
    /// What it is renewed with, if the authserver gave one.
    pub refresh_token: Option<SecretString>,
    /// Who signed in, and the `id_token_hint` of the logout.
    pub id_token: SecretString,
}

/// What a session begins with: the outcome of a login.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// The `sid` claim: the SSO session at the authserver.
    pub sid: String,
    /// The account.
    pub sub: String,
    /// What to greet the person with: `preferred_username`.
    pub username: Option<String>,
    /// The tokens.
    pub tokens: Tokens,
}

/// A browser session, as found by its cookie.
#[derive(Clone, Debug)]
pub struct BrowserSession {
    /// The `sid` claim: the SSO session at the authserver.
    pub sid: String,
    /// The account.
    pub sub: String,
    /// What to greet the person with: `preferred_username`.
    pub username: Option<String>,
    /// The tokens, as of the last refresh.
    pub tokens: Tokens,
    /// When the person signed in here.
    pub created_at: Timestamp,
    /// When the session ends, used or not.
    pub expires_at: Timestamp,
    /// Counts the refreshes: a record is replaced only by who has seen its latest version.
    pub(super) version: u64,
}

/// What a cookie is good for: finding its record, and opening it.
pub(super) struct Holder {
    /// The name of the record.
    pub(super) id: String,
    key: SealingKey,
}

impl Holder {
    /// `None` when the text cannot be a cookie of ours.
    pub(super) fn of(cookie: &str, purpose: &str) -> Option<Self> {
        // 256 random bits in base64url. Anything else was never issued, and must not cost a look-up.
        let plausible = cookie.len() == 43
            && cookie
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        plausible.then(|| Self {
            id: SecretHash::of(cookie).to_base64url(),
            key: SealingKey::from_token(cookie, purpose),
        })
    }

    /// Seals `plain`, bound to this record.
    pub(super) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        self.key.seal(plain, self.id.as_bytes())
    }

    /// Opens what [`Holder::seal`] sealed.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        self.key.open(sealed, self.id.as_bytes()).map_err(|_| BAD)
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Holder(…)")
    }
}

/// What is inside the seal.
#[derive(Serialize, Deserialize)]
struct Plain {
    sid: String,
    sub: String,
    username: Option<String>,
    created_at: Timestamp,
    access_token: String,
    access_expires_at: Timestamp,
    refresh_token: Option<String>,
    id_token: String,
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.access_token.zeroize();
        self.refresh_token.zeroize();
        self.id_token.zeroize();
    }
}

impl BrowserSession {
    pub(super) fn begin(sign_in: SignIn, now: Timestamp, expires_at: Timestamp) -> Self {
        let SignIn { sid, sub, username, tokens } = sign_in;
        Self { sid, sub, username, tokens, created_at: now, expires_at, version: 0 }
    }

    pub(super) fn seal(&self, holder: &Holder) -> Result<Vec<u8>, StoreError> {
        let plain = Plain {
            sid: self.sid.clone(),
            sub: self.sub.clone(),
            username: self.username.clone(),
            created_at: self.created_at,
            access_token: self.tokens.access_token.expose_secret().to_owned(),
            access_expires_at: self.tokens.access_expires_at,
            refresh_token: self
                .tokens
                .refresh_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            id_token: self.tokens.id_token.expose_secret().to_owned(),
        };
        let json = Zeroizing::new(serde_json::to_vec(&plain).map_err(|_| BAD)?);
        Ok(holder.seal(&json))
    }

    pub(super) fn open(
        holder: &Holder,
        sealed: &[u8],
        version: u64,
        expires_at: Timestamp,
    ) -> Result<Self, StoreError> {
        let mut plain: Plain = serde_json::from_slice(&holder.open(sealed)?).map_err(|_| BAD)?;
        Ok(Self {
            sid: std::mem::take(&mut plain.sid),
            sub: std::mem::take(&mut plain.sub),
            username: plain.username.take(),
            tokens: Tokens {
                access_token: std::mem::take(&mut plain.access_token).into(),
                access_expires_at: plain.access_expires_at,
                refresh_token: plain.refresh_token.take().map(SecretString::from),
                id_token: std::mem::take(&mut plain.id_token).into(),
            },
            created_at: plain.created_at,
            expires_at,
            version,
        })
    }
}
