//! Connecting to Redis: one multiplexed connection a role that comes back by itself, short deadlines, and
//! connections of their own for blocking reads.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use secrecy::{ExposeSecret, SecretString};

/// A way to Redis. Clones share one multiplexed connection.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    manager: ConnectionManager,
}

/// A Redis that cannot be used, in a line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is not one.
    #[error("redis.url is not a Redis URL (redis://, rediss:// or redis+unix://): {0}")]
    Url(#[source] RedisError),
    /// Nobody answers there.
    #[error("Redis does not answer at {address}: {source}; start it, or correct redis.url")]
    Unreachable {
        /// Where, without the password.
        address: String,
        /// Why.
        source: RedisError,
    },
}

impl Redis {
    /// Connects, and later reconnects by itself with backoff. Every command has `timeout` to answer.
    ///
    /// # Errors
    /// [`ConnectError`] when the URL is wrong or nobody answers now.
    pub async fn connect(url: &SecretString, timeout: Duration) -> Result<Self, ConnectError> {
        choose_tls_provider();
        let client = Client::open(url.expose_secret()).map_err(ConnectError::Url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(timeout.max(Duration::from_millis(100))))
            .set_response_timeout(Some(timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(5))
            .set_max_delay(Duration::from_millis(100));
        let manager =
            ConnectionManager::new_with_config(client.clone(), config).await.map_err(|source| {
                ConnectError::Unreachable {
                    address: client.get_connection_info().addr().to_string(),
                    source,
                }
            })?;
        Ok(Self { client, manager })
    }

    /// The shared connection. Cheap: a handle to the one pipe.
    pub fn connection(&self) -> ConnectionManager {
        self.manager.clone()
    }

    /// Whether Redis takes something new: it answers, its memory is not full, it is no replica, its disk takes what it
    /// writes. Writes nothing itself.
    ///
    /// # Errors
    /// What Redis says instead.
    pub async fn takes_writes(&self) -> Result<(), RedisError> {
        // Redis refuses a script that might write when nothing may be written. `PING` it always answers.
        Script::new("#!lua\nreturn 1").invoke_async(&mut self.connection()).await
    }

    /// A connection of one's own, for a command that blocks (`XREAD BLOCK`) and would hold up everybody
    /// else on the shared one. `longest` bounds the wait for any answer on it.
    ///
    /// # Errors
    /// When Redis cannot be reached.
    pub async fn dedicated(&self, longest: Duration) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(longest));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}

/// Names the cryptography of this process's TLS. The libraries bring two into the program, and with more
/// than one there rustls has no default: `rediss://` would panic.
fn choose_tls_provider() {
    // An error means that one was chosen already.
    let _chosen = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Redis({})", self.client.get_connection_info().addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_redis_that_is_away_is_told_without_the_password_over_tls_too() {
        for url in ["redis://:hunter2@127.0.0.1:1", "rediss://:hunter2@127.0.0.1:1"] {
            let timeout = Duration::from_millis(250);
            let error = Redis::connect(&url.to_owned().into(), timeout).await.expect_err(url);
            let text = format!("{error} {error:?}");
            assert!(text.contains("127.0.0.1:1") && !text.contains("hunter2"), "{text}");
        }
    }
}
