//! Whether Redis answers and takes what is new, for readiness.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use haetae_base::{admin::Check, redis::Redis};
use tokio_util::task::AbortOnDropHandle;

/// Asks Redis every second and remembers the answer. Stops when it is dropped.
#[derive(Debug)]
pub struct RedisHealth {
    state: Arc<Mutex<Result<(), String>>>,
    _task: AbortOnDropHandle<()>,
}

impl RedisHealth {
    /// Asks once and begins to ask every second.
    pub async fn start(redis: Redis) -> Self {
        let state = Arc::new(Mutex::new(ask(&redis).await));
        let task = tokio::spawn({
            let state = state.clone();
            async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let answer = ask(&redis).await;
                    *state.lock().unwrap_or_else(PoisonError::into_inner) = answer;
                }
            }
        });
        Self { state, _task: AbortOnDropHandle::new(task) }
    }

    /// The last answer, as `/readyz` shows it.
    pub fn check(&self) -> Check {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Check { name: "redis", state }
    }
}

async fn ask(redis: &Redis) -> Result<(), String> {
    let answer = redis.takes_writes().await;
    metrics::gauge!("haetae_redis_up").set(if answer.is_ok() { 1.0 } else { 0.0 });
    answer.map_err(|error| match error.code() {
        Some("OOM") => "its memory is full: raise maxmemory, or make room".to_owned(),
        Some("READONLY") => "is a replica: redis.url has to lead to the primary".to_owned(),
        _ => format!("does not answer: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_redis::TestRedis;

    #[tokio::test]
    async fn a_full_redis_is_told() {
        let redis = TestRedis::start().await;
        let connection = redis.connect().await;
        assert_eq!(ask(&connection).await, Ok(()));
        redis.fill_up().await;
        assert!(ask(&connection).await.expect_err("full").contains("memory is full"));
        redis.have_room().await;
        assert_eq!(ask(&connection).await, Ok(()));
    }
}
