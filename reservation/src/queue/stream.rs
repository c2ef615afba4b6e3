//! The queue of a partition: a Redis stream of reservation ids, read by its owner as the only consumer of
//! a group, acknowledged after the commit.

use std::{collections::BTreeSet, time::Duration};

use haetae_base::redis::Redis;
use redis::{
    AsyncCommands, RedisError, RedisResult,
    aio::{ConnectionLike, MultiplexedConnection},
    cmd, pipe,
    streams::{StreamAutoClaimReply, StreamId, StreamReadReply},
};

use crate::domain::{fence::Partition, reservation::ReservationId};

const GROUP: &str = "workers";

/// How many entries a partition's stream keeps at most, roughly. More wait in SQL alone.
const LONGEST: usize = 100_000;

/// An entry of a queue that was delivered and has to be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The partition.
    pub partition: Partition,
    /// The entry's id in the stream.
    pub entry: String,
    /// The reservation; `None` when the entry says nothing that makes sense.
    pub id: Option<ReservationId>,
}

fn key(partition: Partition) -> String {
    format!("haetae:reservation:queue:{partition}")
}

/// Says that these reservations want to be looked at. One round trip.
///
/// # Errors
/// When Redis does not take it; a worker then finds them in SQL.
pub async fn enqueue(redis: &Redis, entries: &[(Partition, ReservationId)]) -> RedisResult<()> {
    let mut pipeline = pipe();
    for (partition, id) in entries {
        pipeline
            .cmd("XADD")
            .arg(key(*partition))
            .arg("MAXLEN")
            .arg("~")
            .arg(LONGEST)
            .arg("*")
            .arg("id")
            .arg(id.to_string())
            .ignore();
    }
    pipeline.query_async(&mut redis.connection()).await
}

/// The owner's side of the queues.
pub struct Reader {
    redis: Redis,
    consumer: String,
    connection: Option<MultiplexedConnection>,
    /// The partitions whose group is known to exist.
    joined: BTreeSet<Partition>,
}

impl Reader {
    /// A reader that calls itself `consumer`.
    pub const fn new(redis: Redis, consumer: String) -> Self {
        Self { redis, consumer, connection: None, joined: BTreeSet::new() }
    }

    /// Waits at most `block` for entries of these partitions, at most `count` of each. What an owner
    /// before took and never acknowledged comes first: there is no other consumer that could still be
    /// at it, the lease saw to that, and the fence if the lease did not.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn read(
        &mut self,
        partitions: &BTreeSet<Partition>,
        count: usize,
        block: Duration,
    ) -> RedisResult<Vec<Delivery>> {
        self.joined.retain(|partition| partitions.contains(partition));
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let result = self.try_read(partitions, count, block).await;
        if let Err(error) = &result {
            // Gone with Redis' data, or the connection is: begin anew.
            self.joined.clear();
            if error.code() == Some("NOGROUP") {
                return Ok(Vec::new());
            }
            self.connection = None;
        }
        result
    }

    async fn try_read(
        &mut self,
        partitions: &BTreeSet<Partition>,
        count: usize,
        block: Duration,
    ) -> RedisResult<Vec<Delivery>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.redis.dedicated(block + Duration::from_secs(2)).await?,
        };
        let mut deliveries = Vec::new();
        for partition in partitions {
            if !self.joined.contains(partition) {
                join(&mut connection, *partition).await?;
                claim(&mut connection, *partition, &self.consumer, &mut deliveries).await?;
                self.joined.insert(*partition);
            }
        }
        if deliveries.is_empty() {
            let mut read = cmd("XREADGROUP");
            read.arg("GROUP").arg(GROUP).arg(&self.consumer);
            read.arg("COUNT").arg(count).arg("BLOCK");
            read.arg(u64::try_from(block.as_millis()).unwrap_or(1000).max(1)).arg("STREAMS");
            for partition in partitions {
                read.arg(key(*partition));
            }
            for _ in partitions {
                read.arg(">");
            }
            let reply: Option<StreamReadReply> = read.query_async(&mut connection).await?;
            for stream in reply.into_iter().flat_map(|reply| reply.keys) {
                let partition = partitions.iter().find(|partition| key(**partition) == stream.key);
                if let Some(partition) = partition {
                    deliveries
                        .extend(stream.ids.into_iter().map(|entry| delivery(*partition, entry)));
                }
            }
        }
        self.connection = Some(connection);
        Ok(deliveries)
    }
}

/// Says that these entries are done with, and removes them: the stream holds what is left to do.
///
/// # Errors
/// When Redis is away; the entries come again, and find nothing to do.
pub async fn acknowledge(redis: &Redis, deliveries: &[Delivery]) -> RedisResult<()> {
    if deliveries.is_empty() {
        return Ok(());
    }
    let mut pipeline = pipe();
    for delivery in deliveries {
        let key = key(delivery.partition);
        pipeline.cmd("XACK").arg(&key).arg(GROUP).arg(&delivery.entry).ignore();
        pipeline.cmd("XDEL").arg(&key).arg(&delivery.entry).ignore();
    }
    pipeline.query_async(&mut redis.connection()).await
}

async fn join(connection: &mut MultiplexedConnection, partition: Partition) -> RedisResult<()> {
    let created: RedisResult<()> =
        connection.xgroup_create_mkstream(key(partition), GROUP, "0").await;
    match created {
        Err(error) if !exists_already(&error) => Err(error),
        _ => Ok(()),
    }
}

fn exists_already(error: &RedisError) -> bool {
    error.code() == Some("BUSYGROUP")
}

async fn claim(
    connection: &mut (impl ConnectionLike + Send),
    partition: Partition,
    consumer: &str,
    deliveries: &mut Vec<Delivery>,
) -> RedisResult<()> {
    let mut cursor = "0-0".to_owned();
    loop {
        let reply: StreamAutoClaimReply = cmd("XAUTOCLAIM")
            .arg(key(partition))
            .arg(GROUP)
            .arg(consumer)
            .arg(0)
            .arg(&cursor)
            .arg("COUNT")
            .arg(1000)
            .query_async(connection)
            .await?;
        deliveries.extend(reply.claimed.into_iter().map(|entry| delivery(partition, entry)));
        cursor = reply.next_stream_id;
        if cursor == "0-0" {
            return Ok(());
        }
    }
}

fn delivery(partition: Partition, entry: StreamId) -> Delivery {
    let id = entry.get::<String>("id").and_then(|id| id.parse().ok());
    Delivery { partition, entry: entry.id, id }
}
