//! One revocation.

use std::{fmt, str::FromStr, time::Duration};

use haetae_base::clock::Timestamp;
use serde::{Deserialize, Serialize};

/// How long an entry is obeyed after its `until`, and a stream kept beyond the longest token lifetime: more
/// than any verifier's leeway for `exp` and any two clocks' disagreement. All tokens that an entry is
/// about are over by then, so obeying it longer refuses nobody.
pub const LEEWAY: Duration = Duration::from_mins(2);

/// Which claim of a token an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One token, by its `jti`.
    Jti,
    /// The tokens of one SSO session.
    Sid,
    /// The tokens of one account.
    Sub,
    /// The tokens of one client.
    ClientId,
    /// The tokens signed with one key.
    Kid,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Jti, Self::Sid, Self::Sub, Self::ClientId, Self::Kid];

    /// The name, in SQL and in the stream: `jti`, `sid`, `sub`, `client_id`, `kid`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jti => "jti",
            Self::Sid => "sid",
            Self::Sub => "sub",
            Self::ClientId => "client_id",
            Self::Kid => "kid",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that names none of the kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of revocation; use jti, sid, sub, client_id or kid")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

/// One revocation: tokens of that value issued before `issued_before` are refused until `until`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Which claim.
    pub kind: Kind,
    /// Its value.
    pub value: String,
    /// Tokens issued at this instant or later are not meant.
    pub issued_before: Timestamp,
    /// When the last token that is meant has ended.
    pub until: Timestamp,
}

/// Later than every token.
const ALWAYS: Timestamp = Timestamp::from_millis(i64::MAX);

impl Entry {
    /// One token, which ends at `expires_at`.
    pub fn token(jti: impl Into<String>, expires_at: Timestamp) -> Self {
        Self { kind: Kind::Jti, value: jti.into(), issued_before: ALWAYS, until: expires_at }
    }

    /// Every token signed with a key, whenever it says it was issued: who stole the key writes what they
    /// like. `until` is when no verifier has the key any more.
    pub fn key(kid: impl Into<String>, until: Timestamp) -> Self {
        Self { kind: Kind::Kid, value: kid.into(), issued_before: ALWAYS, until }
    }

    /// Every token of an account or a client that was issued up to and including `now`, and every token of an
    /// SSO session, when no token lives longer than `longest`. A token of the same millisecond is meant too: nobody
    /// signs out and in again within one, but a token may be issued while its session is being ended.
    pub fn everything(
        kind: Kind,
        value: impl Into<String>,
        now: Timestamp,
        longest: Duration,
    ) -> Self {
        let issued_before = match kind {
            // It never comes back, so there is no token of later that would be meant by mistake.
            Kind::Sid => ALWAYS,
            _ => now.plus(Duration::from_millis(1)),
        };
        Self { kind, value: value.into(), issued_before, until: now.plus(longest) }
    }

    /// Whether no token that is meant can still be in use anywhere.
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.until.plus(LEEWAY)
    }
}
