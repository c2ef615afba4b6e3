//! Indexes: which records belong to a subject or a session. Sorted sets of record names by the instant at
//! which the record ends at the latest.
//!
//! An index lies in another slot of a Redis Cluster than its records, so the two cannot change in one step.
//! It is safe all the same, because an entry is added before its record is written and removed after it is
//! gone: every living record is listed, and an entry without a record is skipped by whoever reads it and
//! swept by the next addition once its time is over.

use std::time::Duration;

use haetae_base::clock::Timestamp;
use redis::{Pipeline, RedisError, aio::ConnectionManager};

/// Adds `member`, which ends at `ends` at the latest, to each of `indexes`.
pub(crate) async fn add(
    connection: &mut ConnectionManager,
    indexes: &[String],
    member: &str,
    ends: Timestamp,
    now: Timestamp,
) -> Result<(), RedisError> {
    let live = millis(ends.since(now));
    let mut pipeline = Pipeline::new();
    for index in indexes {
        pipeline.zrembyscore(index, "-inf", now.as_millis()).ignore();
        pipeline.zadd(index, member, ends.as_millis()).ignore();
        // The longest-lived entry decides. `GT` alone leaves a key that has no time to live as it is.
        pipeline.cmd("PEXPIRE").arg(index).arg(live).arg("NX").ignore();
        pipeline.cmd("PEXPIRE").arg(index).arg(live).arg("GT").ignore();
    }
    pipeline.query_async(connection).await
}

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
