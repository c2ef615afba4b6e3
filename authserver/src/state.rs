//! What every handler reaches: the parts of the running authserver, put together once by [`crate::run()`].
//!
//! The router is `oidc::router()` and the routers of the pages, each a `Router<AppState>`, merged in
//! `run.rs` under the layers of `http_stack.rs`. Handlers take `State<AppState>`, `RequestContext`
//! (address, user agent, request id: [`crate::context`]) and axum-extra's `CookieJar`.

use std::{ops::Deref, sync::Arc, time::Duration};

use haetae_base::{
    clock::{Clock, Timestamp},
    redis::Redis,
    sql::Sql,
};
use haetae_config::Config;
use haetae_keys::{
    Algorithm,
    ring::KeyRing,
    seal::MasterKey,
    verify::{Expectation, IdExpectation, IdVerifier, Verifier},
};
use haetae_session::{
    denylist::{DenylistReplica, DenylistWriter},
    family::FamilyStore,
    sso::SsoStore,
};

use crate::{
    audit::Audit,
    client_registry::ClientRegistry,
    cookies::Cookies,
    sign_in::SignIn,
    sql_health::SqlHealth,
    store::{accounts::Accounts, consents::Consents, factors::Factors},
    transient::{Transient, code::Codes},
};

/// The parts of the running authserver. Cheap to clone.
#[derive(Clone)]
pub(crate) struct AppState(Arc<Parts>);

/// One field a part.
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    /// The issuer identifier: `iss`, and what the addresses of the endpoints begin with.
    pub(crate) issuer: String,
    /// The audience of every access token.
    pub(crate) audience: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sql: Sql,
    pub(crate) sql_health: SqlHealth,
    pub(crate) redis: Redis,
    pub(crate) cookies: Cookies,
    pub(crate) accounts: Accounts,
    pub(crate) factors: Factors,
    pub(crate) consents: Consents,
    pub(crate) clients: ClientRegistry,
    pub(crate) audit: Audit,
    /// Derive a key for your own purpose with [`MasterKey::derive`].
    pub(crate) master: MasterKey,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) sso: SsoStore,
    pub(crate) families: FamilyStore,
    pub(crate) denylist: Arc<DenylistWriter>,
    pub(crate) replica: Arc<DenylistReplica>,
    pub(crate) transient: Transient,
    pub(crate) codes: Codes,
    /// Verifies access tokens that come back to the authserver.
    pub(crate) verifier: Verifier,
    /// What the sign-in pages share: `SignIn::start(&config, &master, clock, redis)`.
    pub(crate) sign_in: SignIn,
}

impl AppState {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The current instant.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The algorithm of access tokens for clients that ask for none.
    pub(crate) fn default_algorithm(&self) -> Algorithm {
        self.config
            .keys
            .algorithms
            .first()
            .and_then(|first| first.as_str().parse().ok())
            .unwrap_or_default()
    }

    /// Verifies ID tokens that come back as hints, for the client that got them.
    pub(crate) fn id_verifier(&self, client_id: &str) -> IdVerifier {
        let expect = IdExpectation {
            issuer: self.issuer.clone(),
            client_id: client_id.to_owned(),
            algorithms: Algorithm::ALL.to_vec(),
            leeway: *self.config.auth.tokens.leeway,
        };
        IdVerifier::new(expect, self.keys.issuer_keys(), Arc::clone(&self.clock))
    }

    /// The address of one of our own pages or endpoints, `path` beginning with a slash.
    pub(crate) fn address_of(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What an access token of ours has to be.
pub(crate) fn expectation(config: &Config) -> Expectation {
    let mut expect = Expectation::new(config.issuer(), config.api_audience());
    expect.leeway = *config.auth.tokens.leeway;
    expect
}

/// The longest life of any access token: how long a revocation has to be remembered.
pub(crate) fn longest_token(config: &Config) -> Duration {
    let tokens = &config.auth.tokens;
    (*tokens.access).max(*tokens.client_credentials).max(*tokens.id)
}
