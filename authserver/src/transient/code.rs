//! Authorization codes: each is redeemed once. A code that comes back a second time was stolen, from the
//! client or by it, and ends everything that the first use gave out (RFC 6749 4.1.2, RFC 9700 4.5).
//!
//! One hash per code, found by the code's own hash. Redeeming marks it in one step (`code_redeem.lua`) and keeps
//! the mark for ten minutes, with the names of what was issued. A replay that arrives while the first use is
//! still at work leaves a mark of its own, which the first use finds when it notes what it issued.

use std::time::Duration;

use haetae_base::{clock::Timestamp, entropy, redis::Redis, secret::SecretHash};
use redis::Script;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::TransientError;
use crate::domain::grant::Grant;

/// How long a redeemed code is remembered: as long as a code may live at most (RFC 6749 4.1.2). After that it is
/// refused as unknown.
const REMEMBERED: Duration = Duration::from_mins(10);
/// How many codes of one account are kept, redeemed or not; one more takes the place of the oldest.
const MOST: usize = 200;

/// What a code stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CodeGrant {
    /// What was authorized.
    pub(crate) grant: Grant,
    /// The redirect URI of the request; the token request has to repeat it.
    pub(crate) redirect_uri: String,
    /// The PKCE challenge, method S256 (RFC 7636 4.2). None from a client that may do without and did.
    pub(crate) code_challenge: Option<String>,
    /// For the ID token.
    pub(crate) nonce: Option<String>,
    /// When it was issued.
    pub(crate) issued_at: Timestamp,
}

/// What was issued for a code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Issued {
    /// The id of the access token.
    pub(crate) jti: String,
    /// When that token ends.
    pub(crate) until: Timestamp,
    /// The refresh family, when one was begun.
    pub(crate) family: Option<String>,
}

/// What came of presenting a code.
#[derive(Debug)]
pub(crate) enum Redeemed {
    /// The first use.
    Fresh(Box<CodeGrant>),
    /// It was used before; whoever sees this revokes what was issued.
    Replayed {
        /// What the code stood for.
        code: Box<CodeGrant>,
        /// What the first use gave out.
        issued: Issued,
    },
    /// Nobody knows it: never issued, expired, or made up.
    Unknown,
    /// It was issued to another client. It stays as it is.
    WrongClient,
}

/// The codes in Redis.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    redis: Redis,
    lifetime: Duration,
    issue: Script,
    redeem: Script,
    note: Script,
}

impl Codes {
    pub(crate) fn new(redis: Redis, lifetime: Duration) -> Self {
        Self {
            redis,
            lifetime,
            issue: Script::new(include_str!("code_issue.lua")),
            redeem: Script::new(include_str!("code_redeem.lua")),
            note: Script::new(include_str!("code_note.lua")),
        }
    }

    /// A new code for `grant`.
    pub(crate) async fn issue(&self, grant: &CodeGrant) -> Result<SecretString, TransientError> {
        let code = entropy::token();
        let json = to_json(grant)?;
        let () = self
            .issue
            .key(key(code.expose_secret()))
            .key(format!("haetae:auth:codes-of:{}", grant.grant.sub))
            .arg(&grant.grant.client_id)
            .arg(json)
            .arg(millis(self.lifetime))
            .arg(millis(self.lifetime + REMEMBERED))
            .arg(MOST)
            .invoke_async(&mut self.redis.connection())
            .await?;
        Ok(code)
    }

    /// Redeems `code` for `client_id`. `issued` is what the caller is about to give out.
    pub(crate) async fn redeem(
        &self,
        code: &str,
        client_id: &str,
        issued: &Issued,
    ) -> Result<Redeemed, TransientError> {
        let answer: Vec<Vec<u8>> = self
            .redeem
            .key(key(code))
            .arg(client_id)
            .arg(to_json(issued)?)
            .arg(millis(REMEMBERED))
            .invoke_async(&mut self.redis.connection())
            .await?;
        let mut answer = answer.into_iter();
        let verdict = answer.next().unwrap_or_default();
        let grant = answer.next().unwrap_or_default();
        Ok(match verdict.as_slice() {
            b"fresh" => Redeemed::Fresh(Box::new(from_json(&grant)?)),
            b"used" => Redeemed::Replayed {
                code: Box::new(from_json(&grant)?),
                issued: from_json(&answer.next().unwrap_or_default())?,
            },
            b"wrong_client" => Redeemed::WrongClient,
            _ => Redeemed::Unknown,
        })
    }

    /// Notes what was issued in the end. `true` when the code came back in the meantime: then the caller
    /// revokes what it just issued.
    pub(crate) async fn note(&self, code: &str, issued: &Issued) -> Result<bool, TransientError> {
        let replayed: i64 = self
            .note
            .key(key(code))
            .arg(to_json(issued)?)
            .invoke_async(&mut self.redis.connection())
            .await?;
        Ok(replayed == 1)
    }
}

fn key(code: &str) -> String {
    format!("haetae:auth:code:{}", SecretHash::of(code).to_base64url())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, TransientError> {
    serde_json::to_vec(value).map_err(|source| TransientError::Format { kind: "code", source })
}

fn from_json<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, TransientError> {
    serde_json::from_slice(json).map_err(|source| TransientError::Format { kind: "code", source })
}
