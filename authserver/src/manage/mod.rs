//! What the command line does beside a running authserver, on the same SQL and Redis: accounts, clients,
//! sign-ins, signing keys, the audit trail. The running one hears of every change at once, and each is in
//! the audit trail.

mod accounts;
mod clients;
mod follow;
mod keys;
mod sessions;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use haetae_base::{
    clock::{Clock, SystemClock, Timestamp},
    redis::Redis,
    sql::Sql,
};
use haetae_config::{Config, SecretUnavailable};
use haetae_keys::{
    ring::RingError,
    seal::{MasterKey, MasterKeyError},
};
use haetae_session::denylist::{DenylistWriter, RevokeError};
use redis::RedisError;
use tokio::sync::OnceCell;

pub use self::{accounts::NewAccount, clients::RegisteredClient, follow::Follow, keys::KeyManager};
use crate::{
    audit::{Event, Recorded},
    domain::{
        account::{InvalidUsername, UnknownRole},
        client::InvalidMetadata,
    },
    run::{self, RunError},
    sign_in::hash_pool::HashError,
    state::longest_token,
    store::{
        StoreError,
        accounts::Accounts,
        audit::{AuditQuery, AuditTrail},
        clients::Clients,
        factors::Factors,
        installation::Installation,
        revocations::Revocations,
    },
};

/// The authserver's things, opened for an operator. Redis is connected to only by what needs it.
pub struct Manage {
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
    sql: Sql,
    master: MasterKey,
    accounts: Accounts,
    factors: Factors,
    clients: Clients,
    trail: AuditTrail,
    redis: OnceCell<Redis>,
}

/// Why something could not be done: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// The database or the tables are not as they must be.
    #[error(transparent)]
    Open(#[from] RunError),
    /// The master key is not there.
    #[error(transparent)]
    Secret(#[from] SecretUnavailable),
    /// The master key is not one.
    #[error("keys.master_key: {0}")]
    MasterKey(#[from] MasterKeyError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis cannot be reached.
    #[error(transparent)]
    Redis(#[from] haetae_base::redis::ConnectError),
    /// Redis failed.
    #[error("Redis failed: {0}")]
    RedisFailed(#[from] RedisError),
    /// Sessions or refresh tokens could not be read or ended.
    #[error(transparent)]
    Session(#[from] haetae_session::StoreError),
    /// A revocation did not go all the way.
    #[error(transparent)]
    Revoke(#[from] RevokeError),
    /// The ring of signing keys could not be read or changed.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A password could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// Nobody has this username.
    #[error("there is no account {0}")]
    NoSuchAccount(String),
    /// Somebody has this username already.
    #[error("there is an account {0} already")]
    UsernameTaken(String),
    /// The username cannot be one.
    #[error("{0:?} cannot be a username: {1}")]
    Username(String, #[source] InvalidUsername),
    /// The role is not one.
    #[error("{0:?}: {1}")]
    Role(String, #[source] UnknownRole),
    /// The password may not be one.
    #[error("this password may not be used: it is {0}")]
    Password(String),
    /// There is no such client.
    #[error("there is no client {0}")]
    NoSuchClient(String),
    /// A public client authenticates with nothing.
    #[error("{0} is a public client: it has no secret")]
    NoSecret(String),
    /// The configuration has the secret of the gateway's client.
    #[error(
        "the secret of {0} is the setting gateway.browser.client_secret: change it there, then start the authservers \
         and the gateways again"
    )]
    GatewayClient(String),
    /// There is such a client already.
    #[error("there is a client {0} already")]
    ClientExists(String),
    /// What is to be registered is no client: which one of the list, from 1, and why.
    #[error("client {number}: {reason}")]
    ClientMalformed {
        /// Its place in the list, from 1.
        number: usize,
        /// Why.
        reason: String,
    },
    /// The members of a client do not fit together.
    #[error("client {0}: {1}")]
    Client(String, #[source] InvalidMetadata),
    /// There is no such sign-in.
    #[error("there is no sign-in {0}")]
    NoSuchSession(String),
}

impl Manage {
    /// Opens the authserver's database. With `database.migrate`, migrations that are missing are applied.
    ///
    /// # Errors
    /// [`ManageError`] when the database cannot be opened or there is no master key.
    pub async fn open(config: &Arc<Config>) -> Result<Self, ManageError> {
        let master = MasterKey::from_secret(&config.master_key()?)?;
        let sql = run::open_sql(config).await?;
        Ok(Self {
            config: Arc::clone(config),
            clock: Arc::new(SystemClock),
            accounts: Accounts::new(sql.clone()),
            factors: Factors::new(sql.clone()),
            clients: Clients::new(sql.clone(), &master),
            trail: AuditTrail::new(sql.clone()),
            master,
            sql,
            redis: OnceCell::new(),
        })
    }

    /// Whether nobody has been here: no account, and no client but the gateway's own.
    pub async fn is_empty(&self) -> Result<bool, ManageError> {
        let own = &self.config.gateway.browser.client_id;
        Ok(self.accounts.count().await? == 0
            && self.clients.list().await?.iter().all(|client| client.client_id == *own))
    }

    /// Whether this installation is a demo.
    pub async fn is_demo(&self) -> Result<bool, ManageError> {
        Ok(Installation::new(self.sql.clone()).is_demo().await?)
    }

    /// Marks this installation as a demo.
    pub async fn mark_as_demo(&self) -> Result<(), ManageError> {
        Ok(Installation::new(self.sql.clone()).mark_as_demo().await?)
    }

    /// The events of the audit trail that `query` asks for, the oldest first.
    pub async fn audit(&self, query: &AuditQuery) -> Result<Vec<Recorded>, ManageError> {
        Ok(self.trail.list(query).await?)
    }

    /// The current instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Writes an event into the audit trail.
    async fn record(&self, event: Event) -> Result<(), ManageError> {
        let event = event.with("by", "command line").at(self.now());
        Ok(self.trail.append(&[event]).await?)
    }

    async fn redis(&self) -> Result<&Redis, ManageError> {
        let (url, timeout) = (self.config.redis_url(), *self.config.redis.timeout);
        let connect = async || Redis::connect(&url, timeout).await;
        Ok(self.redis.get_or_try_init(connect).await?)
    }

    async fn denylist(&self) -> Result<Arc<DenylistWriter>, ManageError> {
        let log = Arc::new(Revocations::new(self.sql.clone()));
        let (redis, clock) = (self.redis().await?.clone(), Arc::clone(&self.clock));
        Ok(DenylistWriter::connect(redis, log, longest_token(&self.config), clock).await?)
    }
}

impl std::fmt::Debug for Manage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Manage")
    }
}
