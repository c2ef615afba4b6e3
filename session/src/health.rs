//! Whether Redis answers, for readiness.

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
    let answer = redis::cmd("PING").query_async::<()>(&mut redis.connection()).await;
    metrics::gauge!("haetae_redis_up").set(if answer.is_ok() { 1.0 } else { 0.0 });
    answer.map_err(|error| format!("does not answer: {error}"))
}
