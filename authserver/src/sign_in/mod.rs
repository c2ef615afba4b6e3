//! Signing in: the password, then the one-time code when the account has one; and what slows down
//! guessing. What they lead to (the SSO session, the application's request) is [`crate::interaction`]'s.

pub mod hash_pool;
mod login;
pub(crate) mod password;
pub(crate) mod recovery_code;
pub(crate) mod second_factor;
pub(crate) mod throttle;
pub(crate) mod totp;
mod way;

use std::{num::NonZero, sync::Arc, thread};

use axum::{Router, routing::get};
use haetae_base::{clock::Clock, redis::Redis};
use haetae_config::Config;
use haetae_keys::seal::{MasterKey, SealingKey};

use self::{
    hash_pool::{HashCost, HashError, HashPool},
    throttle::Throttle,
};
pub(crate) use self::{login::finish, way::Way};
use crate::{pages::FormKey, state::AppState};

/// What the sign-in pages share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SignIn {
    /// Where passwords are hashed.
    pub(crate) hashes: HashPool,
    /// What slows down guessing.
    pub(crate) throttle: Throttle,
    /// What the tokens of forms are sealed with.
    pub(crate) forms: FormKey,
    /// What the secrets of authenticators are sealed with.
    pub(crate) totp_key: Arc<SealingKey>,
    /// The web origin of these pages.
    pub(crate) origin: String,
}

impl SignIn {
    /// Starts the hashing threads.
    ///
    /// # Errors
    /// [`HashError`] when Argon2 refuses the configured cost or the system gives no threads.
    pub(crate) fn start(
        config: &Config,
        master: &MasterKey,
        clock: Arc<dyn Clock>,
        redis: Redis,
    ) -> Result<Self, HashError> {
        let password = &config.auth.password;
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = if password.concurrency == 0 { cores } else { password.concurrency };
        let login = &config.auth.login;
        Ok(Self {
            hashes: HashPool::start(hash_cost(config), threads, password.queue)?,
            throttle: Throttle::new(redis, clock, login.attempts, *login.window),
            forms: FormKey::new(master.derive("forms")),
            totp_key: Arc::new(master.derive("totp secrets")),
            origin: origin(config),
        })
    }
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SignIn")
    }
}

/// The configured cost of a password hash.
pub fn hash_cost(config: &Config) -> HashCost {
    let password = &config.auth.password;
    HashCost {
        memory_kib: password.memory_kib,
        iterations: password.iterations,
        parallelism: password.parallelism,
    }
}

/// The web origin (RFC 6454 4) of the issuer.
fn origin(config: &Config) -> String {
    let issuer = config.auth.public_url.as_ref().unwrap_or(&config.public_url);
    issuer.origin().ascii_serialization()
}

/// `/login` and `/mfa`.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/login", get(login::show).post(login::submit))
        .route("/mfa", get(second_factor::show_code).post(second_factor::submit_code))
        .route(
            "/mfa/recovery",
            get(second_factor::show_recovery).post(second_factor::submit_recovery),
        )
}

#[cfg(test)]
mod tests;
