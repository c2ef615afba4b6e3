//! Short-lived things in Redis: pending requests, half-done sign-ins, authorization codes. Each is found
//! by the hash of an unguessable key, so a dump of Redis hands nobody a key to anything, and each has a
//! time to live, so nothing needs a janitor.

pub(crate) mod code;

use std::time::Duration;

use haetae_base::{redis::Redis, secret::SecretHash};
use redis::{AsyncCommands, RedisError, Script};
use serde::{Serialize, de::DeserializeOwned};

/// Redis did not do what it was asked: a 503 for whoever asks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransientError {
    /// Redis is away or refuses.
    #[error("Redis does not answer as it should: {0}")]
    Redis(#[from] RedisError),
    /// What is stored cannot be read, or what is to be stored cannot be written.
    #[error("a {kind} cannot be read from or written to Redis: {source}")]
    Format {
        /// What kind of thing.
        kind: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// Values that live for a while under an unguessable key. `kind` keeps different things apart
/// (`request`, `login`, `enrolment`); the key is the secret that the browser holds, never stored itself.
#[derive(Clone, Debug)]
pub(crate) struct Transient(Redis);

impl Transient {
    pub(crate) const fn new(redis: Redis) -> Self {
        Self(redis)
    }

    /// Stores `value` under `key` for `lifetime`, in place of what was there.
    pub(crate) async fn put<T: Serialize + Sync>(
        &self,
        kind: &'static str,
        key: &str,
        value: &T,
        lifetime: Duration,
    ) -> Result<(), TransientError> {
        let json =
            serde_json::to_vec(value).map_err(|source| TransientError::Format { kind, source })?;
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).max(1);
        let () = self.0.connection().pset_ex(name(kind, key), json, millis).await?;
        Ok(())
    }

    /// The same for what strangers store: of those of one `crowd` only the `most` newest are kept.
    pub(crate) async fn put_in_crowd<T: Serialize + Sync>(
        &self,
        kind: &'static str,
        key: &str,
        value: &T,
        lifetime: Duration,
        (crowd, most): (&str, usize),
    ) -> Result<(), TransientError> {
        let json =
            serde_json::to_vec(value).map_err(|source| TransientError::Format { kind, source })?;
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).max(1);
        let () = Script::new(include_str!("put_in_crowd.lua"))
            .key(name(kind, key))
            .key(format!("haetae:auth:{kind}-crowd:{}", SecretHash::of(crowd).to_base64url()))
            .arg(json)
            .arg(millis)
            .arg(most)
            .invoke_async(&mut self.0.connection())
            .await?;
        Ok(())
    }

    /// What is stored under `key`.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        key: &str,
    ) -> Result<Option<T>, TransientError> {
        read(kind, self.0.connection().get(name(kind, key)).await?)
    }

    /// Takes out what is stored under `key`. Of two who try at once, one gets it.
    pub(crate) async fn take<T: DeserializeOwned>(
        &self,
        kind: &'static str,
        key: &str,
    ) -> Result<Option<T>, TransientError> {
        read(kind, self.0.connection().get_del(name(kind, key)).await?)
    }

    /// Removes what is stored under `key`.
    pub(crate) async fn remove(&self, kind: &'static str, key: &str) -> Result<(), TransientError> {
        let () = self.0.connection().del(name(kind, key)).await?;
        Ok(())
    }
}

fn name(kind: &str, key: &str) -> String {
    format!("haetae:auth:{kind}:{}", SecretHash::of(key).to_base64url())
}

fn read<T: DeserializeOwned>(
    kind: &'static str,
    json: Option<Vec<u8>>,
) -> Result<Option<T>, TransientError> {
    json.map(|json| {
        serde_json::from_slice(&json).map_err(|source| TransientError::Format { kind, source })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::OwnRedis;

    #[tokio::test]
    async fn of_a_crowd_the_newest_are_kept() {
        let (_redis, connection) = OwnRedis::start().await;
        let transient = Transient::new(connection);
        let put = async |key: String, crowd| {
            let lifetime = Duration::from_mins(1);
            transient.put_in_crowd("request", &key, &key, lifetime, (crowd, 3)).await.expect("put");
        };
        put("other".to_owned(), "192.0.2.2").await;
        for number in 0..8 {
            put(number.to_string(), "192.0.2.1").await;
        }
        let mut left = Vec::new();
        for key in ["0", "1", "2", "3", "4", "5", "6", "7", "other"] {
            let found: Option<String> = transient.get("request", key).await.expect("asked");
            left.extend(found);
        }
        assert_eq!(left, ["5", "6", "7", "other"]);
    }
}
