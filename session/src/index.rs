//! Indexes: which records belong to an account or a session. Sorted sets of record names by the instant at
//! which the record ends at the latest.
//!
//! A record and its entries begin in one step (`index/place.lua`), which also keeps an account from having
//! more of them than it may. An entry is removed after its record is gone: every living record is listed, and
//! an entry without a record is skipped by whoever reads it, and swept when its place is needed or its time is
//! over.

use std::time::Duration;

use haetae_base::clock::Timestamp;
use redis::{Pipeline, RedisError, aio::ConnectionManager};

/// The members of an index whose records may still live, the one that ends first at the head.
pub(crate) async fn members(
    connection: &mut ConnectionManager,
    index: &str,
    now: Timestamp,
) -> Result<Vec<String>, RedisError> {
    redis::cmd("ZRANGEBYSCORE")
        .arg(index)
        .arg(format!("({}", now.as_millis()))
        .arg("+inf")
        .query_async(connection)
        .await
}

/// Removes `member` from each of `indexes`. To be called after its record is gone.
pub(crate) async fn remove(
    connection: &mut ConnectionManager,
    indexes: &[String],
    member: &str,
) -> Result<(), RedisError> {
    let mut pipeline = Pipeline::new();
    for index in indexes {
        pipeline.zrem(index, member).ignore();
    }
    pipeline.query_async(connection).await
}

/// Milliseconds for `PEXPIRE`: at least one, since zero would delete the key.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX).clamp(1, 1 << 52)
}
