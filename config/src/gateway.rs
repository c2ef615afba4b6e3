//! The section `[gateway]`: what everybody connects to, and the tables of its routes, upstreams and
//! limits.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Cidr, Duration, ListenAddr, SecretSource, Size};

/// The gateway: what everybody connects to.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Where it listens.
    pub listen: ListenAddr,
    /// Worker threads; 0: one a core.
    pub threads: u16,
    /// Peers whose `X-Forwarded-*`, `Forwarded` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<Cidr>,
    /// Metrics, health and readiness.
    pub admin: Admin,
    /// How long a client may take to send the header of a request.
    pub header_timeout: Duration,
    /// How long a whole request may take, unless its route says otherwise.
    pub request_timeout: Duration,
    /// How long connecting to an upstream may take.
    pub upstream_connect_timeout: Duration,
    /// The largest header of a request.
    pub max_header_bytes: Size,
    /// How many fields a header may have.
    pub max_headers: usize,
    /// The longest request target (path and query).
    pub max_uri_bytes: Size,
    /// The largest body of a request, unless its route says otherwise.
    pub max_body_bytes: Size,
    /// How many connections of clients may be open at once.
    pub max_connections: usize,
    /// How many of them one client address may have; those of `trusted_proxies` may have all.
    pub max_connections_per_address: usize,
    /// How long an idle connection of a client stays open.
    pub keepalive_timeout: Duration,
    /// How long requests that are under way may take to finish when the gateway stops.
    pub drain: Duration,
    /// Whether each request is a line in the log.
    pub access_log: bool,
    /// How many verified tokens are remembered.
    pub token_cache: usize,
    /// Browser sessions (RFC 10017).
    pub browser: Browser,
    /// TLS at the listener. Without it the gateway speaks plain HTTP and something in front of it does
    /// TLS.
    pub tls: Option<Tls>,
    /// The services behind the gateway.
    pub upstreams: Vec<Upstream>,
    /// What each path needs and where it goes.
    pub routes: Vec<Route>,
    /// Rate limits, named by routes.
    pub limits: Vec<Limit>,
}

/// The admin listener of a role: `/metrics`, `/healthz`, `/readyz`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Where it listens. Keep it on loopback or on a private network.
    pub listen: ListenAddr,
}

/// Browser sessions: the gateway keeps the tokens, the browser a cookie (RFC 10017).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Browser {
    /// The gateway's own client at the authserver.
    pub client_id: String,
    /// That client's secret. Default: the file `gateway-client.secret` in `data_dir`.
    pub client_secret: Option<SecretSource>,
    /// A session ends when unused for this long.
    pub idle_timeout: Duration,
    /// A session ends in any case this long after the sign-in.
    pub absolute_timeout: Duration,
    /// An access token is refreshed when it has less than this left.
    pub refresh_before: Duration,
    /// How long a person may take from being sent to the login page until coming back.
    pub login_timeout: Duration,
    /// How many sessions one account may have at once.
    pub per_account: usize,
}

/// TLS at the gateway's listener.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

/// A service behind the gateway.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The name by which routes mean it.
    pub name: String,
    /// Its instances, `host:port`. Empty is allowed for `auth` and `reservation` only, and means the
    /// `listen` address of that role.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The path that is asked to see whether an instance lives; it must answer 200 to 299.
    #[serde(default = "default_health_path")]
    pub health_path: String,
    /// The cookies that go through to it, by name. All others stop at the gateway. Left out, for `auth` and
    /// `reservation`: those that their pages set; for others none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookies: Option<Vec<String>>,
}

fn default_health_path() -> String {
    "/healthz".to_owned()
}

/// What one path needs and where it goes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its name in logs and metrics. Unique.
    pub name: String,
    /// The path as a pattern: `{id}` stands for one segment, `{*rest}` for one or more at the end. The
    /// most specific pattern wins, in whatever order the routes stand.
    pub path: String,
    /// The methods; empty: all.
    #[serde(default)]
    pub methods: Vec<String>,
    /// The host that it is for, without port; absent: every host that no other route of this path
    /// names.
    #[serde(default)]
    pub host: Option<String>,
    /// The upstream that answers.
    pub upstream: String,
    /// Whether a request must, may, or need not say who it comes from.
    #[serde(default)]
    pub authenticate: Authenticate,
    /// The scopes that the token must have, all of them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The weakest authentication that is enough (RFC 9470).
    #[serde(default)]
    pub acr: Option<Acr>,
    /// The longest time since the person proved who they are (RFC 9470).
    #[serde(default)]
    pub max_age: Option<Duration>,
    /// The limits that count it, by name.
    #[serde(default)]
    pub limits: Vec<String>,
    /// What to do with a token while the gateway cannot tell whether it was revoked.
    #[serde(default)]
    pub when_stale: WhenStale,
    /// The largest body, when it is another than the gateway's.
    #[serde(default)]
    pub max_body_bytes: Option<Size>,
    /// How long a request may take, when it is another time than the gateway's.
    #[serde(default)]
    pub timeout: Option<Duration>,
    /// The origins of other sites whose scripts may call it (`https://app.example`).
    #[serde(default)]
    pub cors_origins: Vec<String>,
}

/// Whether a request must, may, or need not say who it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Authenticate {
    /// Credentials are not looked at. A bearer token goes through to the upstream as it came.
    None,
    /// A request without credentials goes through as nobody's; with bad ones it is refused. So does, to look and
    /// not to change, a browser whose session cannot be looked up now.
    Optional,
    /// A request without good credentials is refused.
    #[default]
    Required,
}

/// What to do with a token while the gateway's copy of the denylist is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenStale {
    /// Answer 503.
    #[default]
    Deny,
    /// Take it, if nothing else is wrong with it.
    Allow,
}

/// How strongly somebody proved who they are, weakest first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
pub enum Acr {
    /// One factor: a password.
    #[serde(rename = "1fa")]
    OneFactor,
    /// Two factors: a password and a one-time code.
    #[serde(rename = "2fa")]
    TwoFactor,
    /// Phishing-resistant: a passkey.
    #[serde(rename = "phr")]
    PhishingResistant,
}

impl Acr {
    /// The value as tokens carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneFactor => "1fa",
            Self::TwoFactor => "2fa",
            Self::PhishingResistant => "phr",
        }
    }
}

/// A rate limit: so many requests in a time, for each address, subject or client.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// The name by which routes mean it.
    pub name: String,
    /// Whose requests are counted together.
    pub key: LimitKey,
    /// How many requests.
    pub quota: u32,
    /// In which time.
    pub window: Duration,
    /// How many of them may come at once; default: the quota.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LimitKey {
    /// Those of one client address; an IPv6 address counts by its /64.
    Address,
    /// Those of one person or service (`sub`); of an address while nobody is known.
    Subject,
    /// Those of one client (`client_id`); of an address while none is known.
    Client,
}
