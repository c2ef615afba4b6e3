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

/// Says that the worker `token` is alive for another `ttl`, and counts those that are. By the clock of Redis,
/// which is the same for all: by its own, a worker whose clock was ahead would be counted long after its death,
/// and nobody would take its share. Should that clock itself be set back, nobody is believed to live for more
/// than a few leases; whoever does says so again in a moment.
///
/// # Errors
/// When Redis is away.
pub async fn announce(redis: &Redis, token: &str, ttl: Duration) -> RedisResult<usize> {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000 + math.floor(time[2] / 1000)
         redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
         redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
         redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. now + 4 * ARGV[2], '+inf')
         return redis.call('ZCARD', KEYS[1])",
    )
    .key(WORKERS)
    .arg(token)
    .arg(millis(ttl))
    .invoke_async(&mut redis.connection())
    .await
}

/// Says that the worker `token` goes.
///
/// # Errors
/// When Redis is away.
pub async fn depart(redis: &Redis, token: &str) -> RedisResult<()> {
    cmd("ZREM").arg(WORKERS).arg(token).query_async(&mut redis.connection()).await
}

#[cfg(test)]
mod tests {
    use redis::AsyncCommands;

    use super::*;
    use crate::tests::stand::RedisServer;

    #[tokio::test]
    async fn the_dead_are_not_counted_whatever_their_clocks_said() {
        let server = RedisServer::start();
        let redis = server.connect().await;
        let ttl = Duration::from_secs(5);
        assert_eq!(announce(&redis, "a", ttl).await.expect("Redis"), 1);
        assert_eq!(announce(&redis, "b", ttl).await.expect("Redis"), 2);
        assert_eq!(announce(&redis, "a", ttl).await.expect("Redis"), 2);
        // Died an hour ahead of its time, or the clock of Redis was set back since; and one long ago.
        let alive_until: i64 = redis.connection().zscore(WORKERS, "a").await.expect("a score");
        for (ghost, hours) in [("ahead", 1), ("long gone", -1)] {
            let until = alive_until + hours * 3_600_000;
            let _added: i64 = redis.connection().zadd(WORKERS, ghost, until).await.expect("added");
        }
        assert_eq!(announce(&redis, "b", ttl).await.expect("Redis"), 2);
        depart(&redis, "a").await.expect("Redis");
        assert_eq!(announce(&redis, "b", ttl).await.expect("Redis"), 1);
    }
}
