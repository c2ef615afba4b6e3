//! The lease of a partition: `SET key token NX PX ttl`, renewed and released only by who holds it. It
//! keeps two workers from doing the same work; what keeps the work right is the fence in SQL.

use std::time::Duration;

use haetae_base::redis::Redis;
use redis::{RedisResult, Script, cmd};

use crate::domain::fence::Partition;

fn key(partition: Partition) -> String {
    format!("haetae:reservation:owner:{partition}")
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Takes the lease if nobody has it.
///
/// # Errors
/// When Redis is away.
pub async fn take(
    redis: &Redis,
    partition: Partition,
    token: &str,
    ttl: Duration,
) -> RedisResult<bool> {
    let answer: Option<String> = cmd("SET")
        .arg(key(partition))
        .arg(token)
        .arg("NX")
        .arg("PX")
        .arg(millis(ttl))
        .query_async(&mut redis.connection())
        .await?;
    Ok(answer.is_some())
}

/// Keeps these leases for another `ttl`; answers which of them are still ours, in the same order.
///
/// # Errors
/// When Redis is away.
pub async fn renew(
    redis: &Redis,
    partitions: &[Partition],
    token: &str,
    ttl: Duration,
) -> RedisResult<Vec<bool>> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let script = Script::new(
        "local ours = {}
         for i, key in ipairs(KEYS) do
             if redis.call('GET', key) == ARGV[1] then
                 redis.call('PEXPIRE', key, ARGV[2])
                 ours[i] = 1
             else
                 ours[i] = 0
             end
         end
         return ours",
    );
    let mut call = script.prepare_invoke();
    for partition in partitions {
        call.key(key(*partition));
    }
    call.arg(token).arg(millis(ttl)).invoke_async(&mut redis.connection()).await
}

/// Gives the lease back, if it is still ours.
///
/// # Errors
/// When Redis is away; the lease then runs out by itself.
pub async fn release(redis: &Redis, partition: Partition, token: &str) -> RedisResult<bool> {
    Script::new(
        "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
         return 0",
    )
    .key(key(partition))
    .arg(token)
    .invoke_async(&mut redis.connection())
    .await
}

const WORKERS: &str = "haetae:reservation:workers";

/// Says that the worker `token` is alive until `until_millis`, and counts those that are at
/// `now_millis`.
///
/// # Errors
/// When Redis is away.
pub async fn announce(
    redis: &Redis,
    token: &str,
    now_millis: i64,
    until_millis: i64,
) -> RedisResult<usize> {
    let (count,): (usize,) = redis::pipe()
        .cmd("ZADD")
        .arg(WORKERS)
        .arg(until_millis)
        .arg(token)
        .ignore()
        .cmd("ZREMRANGEBYSCORE")
        .arg(WORKERS)
        .arg("-inf")
        .arg(now_millis)
        .ignore()
        .cmd("ZCARD")
        .arg(WORKERS)
        .query_async(&mut redis.connection())
        .await?;
    Ok(count)
}

/// Says that the worker `token` goes.
///
/// # Errors
/// When Redis is away.
pub async fn depart(redis: &Redis, token: &str) -> RedisResult<()> {
    cmd("ZREM").arg(WORKERS).arg(token).query_async(&mut redis.connection()).await
}
