//! What can go wrong with every store here.

use redis::RedisError;

/// Redis does not do what it was asked to, or holds what cannot be read. Whoever meets it answers 503: it
/// says nothing about the session.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Redis is away, too slow, or refuses.
    #[error("Redis does not answer as it should: {0}")]
    Redis(#[from] RedisError),
    /// A record that another version wrote, or that somebody changed.
    #[error("a record in Redis cannot be read: {0}")]
    Unreadable(&'static str),
}
