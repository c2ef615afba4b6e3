//! Every setting of Haetae: its type, its default, where it may come from and what it may be. The
//! annotated `config/haetae.toml` is the first layer and the reference at once; this crate owns how the
//! layers are put together and how each mistake in them is told, with its file and line.
//!
//! Layers, each over the one before: the built-in `haetae.toml`, the operator's file, the environment
//! (`HAETAE__SECTION__KEY`), flags.

pub mod auth;
pub mod database;
pub mod denylist;
pub mod gateway;
pub mod keys;
pub mod log;
pub mod redis;
pub mod reservation;
pub mod worker;

mod cidr;
mod duration;
mod listen;
mod load;
mod mistake;
mod schema;
mod secret_source;
mod size;
mod text_setting;
mod validate;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

pub use self::{
    cidr::Cidr,
    duration::{Duration, InvalidDuration},
    listen::ListenAddr,
    load::{FILE_NAME, Loaded, Override, PREFIX, Secrets, Sources, process_environment, variable},
    mistake::{Mistake, Mistakes, Origin},
    schema::schema,
    secret_source::{SecretSource, SecretUnavailable},
    size::Size,
};

/// The settings of one instance of Haetae. Every role reads the same file and takes what it needs.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address that people and clients use, as they see it: scheme, host and, when it is not the
    /// scheme's own, port. No path. Cookies are `Secure` exactly when it is https.
    pub public_url: Url,
    /// The folder of everything that one machine keeps: databases, the private Redis, keys, logs.
    /// A relative path is relative to the working directory.
    pub data_dir: PathBuf,
    /// The gateway: what everybody connects to.
    pub gateway: gateway::Gateway,
    /// The authserver: the `OpenID` Provider and its pages.
    pub auth: auth::Auth,
    /// The signing keys.
    pub keys: keys::Keys,
    /// The reservation service's API and pages.
    pub reservation: reservation::Reservation,
    /// The reservation service's worker.
    pub worker: worker::Worker,
    /// Redis, which all roles share.
    pub redis: redis::Redis,
    /// The SQL databases.
    pub database: database::Database,
    /// The revocation log as the gateways see it.
    pub denylist: denylist::Denylist,
    /// The log of every role.
    pub log: log::Log,
}

impl Config {
    /// Gives `public_url` the port that the gateway listens on, for an instance whose address nobody
    /// set. Port 0 changes nothing: it is not known yet.
    pub fn follow_gateway_port(&mut self) {
        let port = self.gateway.listen.port();
        // An http URL with a host takes any port.
        let _set = (port != 0).then(|| self.public_url.set_port(Some(port)));
    }

    /// The issuer identifier (`iss`): `auth.public_url`, or `public_url`, without a trailing slash.
    pub fn issuer(&self) -> String {
        bare(self.auth.public_url.as_ref().unwrap_or(&self.public_url))
    }

    /// The host of the authserver's pages, in lower case, when it is another than that of everything else:
    /// then no script on an application's page is on the origin of the login page.
    pub fn login_host(&self) -> Option<String> {
        let host = self.auth.public_url.as_ref()?.host_str()?;
        let own =
            self.public_url.host_str().is_none_or(|public| !public.eq_ignore_ascii_case(host));
        own.then(|| host.to_ascii_lowercase())
    }

    /// `public_url` without a trailing slash: what paths are appended to.
    pub fn public_origin(&self) -> String {
        bare(&self.public_url)
    }

    /// The audience (`aud`) of an access token for the reservation API: `reservation.audience`, or
    /// `<public_url>/api/v1`.
    pub fn api_audience(&self) -> String {
        self.reservation
            .audience
            .clone()
            .unwrap_or_else(|| format!("{}/api/v1", self.public_origin()))
    }

    /// Whether people reach Haetae by https, so that its cookies can be `Secure` and `__Host-Http-`.
    pub fn is_https(&self) -> bool {
        self.public_url.scheme() == "https"
    }

    /// A file or folder in `data_dir`.
    pub fn in_data_dir(&self, name: impl AsRef<Path>) -> PathBuf {
        self.data_dir.join(name)
    }

    /// The socket of the private Redis that `haetae up` runs.
    pub fn redis_socket(&self) -> PathBuf {
        self.in_data_dir("redis.sock")
    }

    /// Where Redis is: `redis.url`, or the private one of `haetae up` in `data_dir`.
    pub fn redis_url(&self) -> SecretString {
        match &self.redis.url {
            Some(url) => url.value_or_nothing(),
            None => format!("redis+unix://{}", url_path(&self.redis_socket())).into(),
        }
    }

    /// The authserver's database: `database.auth_url`, or `auth.db` in `data_dir`.
    pub fn auth_database_url(&self) -> SecretString {
        self.database_url(self.database.auth_url.as_ref(), "auth.db")
    }

    /// The reservation service's database: `database.reservation_url`, or `reservation.db` in
    /// `data_dir`.
    pub fn reservation_database_url(&self) -> SecretString {
        self.database_url(self.database.reservation_url.as_ref(), "reservation.db")
    }

    fn database_url(&self, setting: Option<&SecretSource>, file: &str) -> SecretString {
        match setting {
            Some(url) => url.value_or_nothing(),
            None => format!("sqlite://{}", url_path(&self.in_data_dir(file))).into(),
        }
    }

    /// The file of the master key when `keys.master_key` does not say otherwise.
    pub fn master_key_file(&self) -> PathBuf {
        self.in_data_dir("master.key")
    }

    /// The master key that seals the signing keys: `keys.master_key`, or the file `master.key` in
    /// `data_dir`.
    ///
    /// # Errors
    /// When it is not set and the file cannot be read.
    pub fn master_key(&self) -> Result<SecretString, SecretUnavailable> {
        let file = self.master_key_file();
        SecretSource::value_or_file(self.keys.master_key.as_ref(), "keys.master_key", &file)
    }

    /// The file of the gateway's client secret when `gateway.browser.client_secret` does not say
    /// otherwise.
    pub fn gateway_client_secret_file(&self) -> PathBuf {
        self.in_data_dir("gateway-client.secret")
    }

    /// The secret with which the gateway authenticates at the authserver:
    /// `gateway.browser.client_secret`, or the file `gateway-client.secret` in `data_dir`.
    ///
    /// # Errors
    /// When it is not set and the file cannot be read.
    pub fn gateway_client_secret(&self) -> Result<SecretString, SecretUnavailable> {
        let file = self.gateway_client_secret_file();
        let setting = self.gateway.browser.client_secret.as_ref();
        SecretSource::value_or_file(setting, "gateway.browser.client_secret", &file)
    }

    /// Every address that a role listens on, by its key.
    pub fn listeners(&self) -> [(&'static str, ListenAddr); 7] {
        [
            ("gateway.listen", self.gateway.listen),
            ("gateway.admin.listen", self.gateway.admin.listen),
            ("auth.listen", self.auth.listen),
            ("auth.admin.listen", self.auth.admin.listen),
            ("reservation.listen", self.reservation.listen),
            ("reservation.admin.listen", self.reservation.admin.listen),
            ("worker.admin.listen", self.worker.admin.listen),
        ]
    }

    /// The addresses of an upstream (`host:port`): its own, or the listener of the role of its name.
    pub fn upstream_addresses(&self, upstream: &gateway::Upstream) -> Vec<String> {
        if !upstream.addresses.is_empty() {
            return upstream.addresses.clone();
        }
        match upstream.name.as_str() {
            "auth" => vec![self.auth.listen.to_string()],
            "reservation" => vec![self.reservation.listen.to_string()],
            _ => Vec::new(),
        }
    }

    /// The cookies that go through to an upstream: its own list, or those of the pages of the role of its name, over
    /// https and over http on localhost.
    pub fn upstream_cookies(&self, upstream: &gateway::Upstream) -> Vec<String> {
        if let Some(cookies) = &upstream.cookies {
            return cookies.clone();
        }
        let names: &[&str] = match upstream.name.as_str() {
            // Who is signed in, and which sign-in is under way.
            "auth" => &[
                "__Host-Http-haetae-sso",
                "haetae-sso",
                "__Host-Http-haetae-flow",
                "haetae-flow",
                "haetae-lang",
            ],
            "reservation" => &["haetae-lang"],
            _ => &[],
        };
        names.iter().map(ToString::to_string).collect()
    }
}

fn bare(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// A file path as the path of a URL, with what a URL reserves written as `%XX`.
fn url_path(path: &Path) -> String {
    Url::from_file_path(path)
        .map_or_else(|()| path.display().to_string(), |url| url.path().to_owned())
}

/// The annotated defaults: the first layer, and the reference of every key.
pub const DEFAULTS: &str = include_str!("../haetae.toml");
