//! The section `[auth]`: the authserver.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Cidr, Duration, ListenAddr, gateway::Admin};

/// The authserver: the `OpenID` Provider and its pages.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Where it listens. The gateway stands in front of it: keep it on a private network.
    pub listen: ListenAddr,
    /// The issuer, when it has a host of its own. Default: the `public_url` of the installation.
    pub public_url: Option<Url>,
    /// Metrics, health and readiness.
    pub admin: Admin,
    /// Peers whose `X-Forwarded-For` and `X-Request-Id` are believed: the gateways.
    pub trusted_proxies: Vec<Cidr>,
    /// Lifetimes of what it issues.
    pub tokens: Tokens,
    /// The single-sign-on session.
    pub session: Session,
    /// Passwords and what hashing them may cost.
    pub password: Password,
    /// What slows down guessing.
    pub login: Login,
    /// Whether people may open an account themselves.
    pub registration: Registration,
    /// The audit trail.
    pub audit: Audit,
}

/// Lifetimes of what the authserver issues.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// An access token of a person.
    pub access: Duration,
    /// An access token of a service (`client_credentials`).
    pub client_credentials: Duration,
    /// An ID token.
    pub id: Duration,
    /// An authorization code (RFC 6749 4.1.2 allows at most ten minutes).
    pub code: Duration,
    /// A refresh token that is not used.
    pub refresh_idle: Duration,
    /// A refresh family, however often it is used.
    pub refresh_absolute: Duration,
    /// How long a rotated refresh token still returns its successor.
    pub refresh_grace: Duration,
    /// How many refresh families (sign-ins with a refresh token) one person may have at one client.
    pub refresh_per_client: usize,
    /// How far apart the clocks of two machines may be when the time in a token is checked.
    pub leeway: Duration,
}

/// The single-sign-on session.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Ends when unused for this long.
    pub idle: Duration,
    /// Ends in any case this long after the sign-in.
    pub absolute: Duration,
    /// How many one account may have at once.
    pub per_account: usize,
}

/// Passwords and what hashing them may cost (argon2id).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Password {
    /// The shortest password that is accepted, in characters. At least 8.
    pub min_length: usize,
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes of one hash.
    pub parallelism: u32,
    /// How many hashes are computed at once; 0: one a core.
    pub concurrency: usize,
    /// How many more may wait before a login is answered 503.
    pub queue: usize,
}

/// What slows down guessing.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Failed attempts, for one account and for one address, before the next has to wait.
    pub attempts: u32,
    /// The time in which they count.
    pub window: Duration,
}

/// Whether people may open an account themselves.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// `true`: the page `/register` opens accounts. `false`: only `haetae user create` does.
    pub enabled: bool,
}

/// The audit trail.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// How long an event is kept.
    pub retention: Duration,
}
