//! Who waits for a reservation learns here that it changed. Workers and APIs write the ids of what they
//! committed to one stream; every API follows it and wakes those of its requests that wait for one of
//! them. They read SQL then. A message that gets lost costs them a second, no more: they also look by
//! themselves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use haetae_base::{redis::Redis, shutdown::Shutdown};
use redis::{RedisResult, aio::MultiplexedConnection, cmd, streams::StreamReadReply};
use tokio::sync::watch;

use crate::domain::reservation::ReservationId;

const KEY: &str = "haetae:reservation:changes";

/// How many messages the stream keeps, roughly: what an API could miss while it reconnects.
const LONGEST: usize = 4096;

/// Tells every API that these reservations changed.
///
/// # Errors
/// When Redis is away.
pub async fn publish(redis: &Redis, ids: &[ReservationId]) -> RedisResult<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let text: Vec<String> = ids.iter().map(ToString::to_string).collect();
    cmd("XADD")
        .arg(KEY)
        .arg("MAXLEN")
        .arg("~")
        .arg(LONGEST)
        .arg("*")
        .arg("ids")
        .arg(text.join(" "))
        .query_async(&mut redis.connection())
        .await
}

/// The requests of this process that wait. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Waiters(Arc<Mutex<HashMap<ReservationId, watch::Sender<u64>>>>);

/// Somebody who waits for a reservation.
#[derive(Debug)]
pub struct Waiter {
    list: Waiters,
    id: ReservationId,
    changes: watch::Receiver<u64>,
}

impl Waiters {
    /// Begins to wait for `id`. What changes from now on is not missed.
    pub fn wait_for(&self, id: ReservationId) -> Waiter {
        let changes = self.list().entry(id).or_insert_with(|| watch::Sender::new(0)).subscribe();
        Waiter { list: self.clone(), id, changes }
    }

    /// Wakes those who wait for `id`.
    pub fn wake(&self, id: ReservationId) {
        if let Some(sender) = self.list().get(&id) {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Wakes everybody: nobody knows what was missed.
    pub fn wake_all(&self) {
        for sender in self.list().values() {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    fn list(&self) -> MutexGuard<'_, HashMap<ReservationId, watch::Sender<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// Waits until the reservation may have changed, at most `longest`.
    pub async fn changed(&mut self, longest: Duration) {
        // Whether it was woken or the time ran out: either way it looks.
        let _either = tokio::time::timeout(longest, self.changes.changed()).await;
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut list = self.list.list();
        // This waiter's own receiver is still counted.
        if list.get(&self.id).is_some_and(|sender| sender.receiver_count() <= 1) {
            list.remove(&self.id);
        }
    }
}

/// Follows the stream until shutdown.
pub async fn follow(redis: Redis, waiters: Waiters, shutdown: Shutdown) {
    let mut last = None;
    while !shutdown.is_requested() {
        tokio::select! {
            () = shutdown.requested() => return,
            result = follow_connection(&redis, &waiters, &mut last) => {
                if let Err(error) = result {
                    tracing::debug!(%error, "the stream of changes broke off");
                }
                waiters.wake_all();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// Follows the stream on one connection. `last` is the entry after which it goes on; `None` when it is not known, and
/// then it begins at the end.
async fn follow_connection(
    redis: &Redis,
    waiters: &Waiters,
    last: &mut Option<String>,
) -> RedisResult<()> {
    const BLOCK: Duration = Duration::from_secs(5);
    let mut connection = redis.dedicated(BLOCK + Duration::from_secs(2)).await?;
    let mut after = if let Some(last) = last.take() {
        last
    } else {
        // Asked for once: `$` with every read would skip what came between two of them.
        let newest = newest(&mut connection).await?;
        waiters.wake_all();
        newest
    };
    loop {
        *last = Some(after.clone());
        let reply: Option<StreamReadReply> = cmd("XREAD")
            .arg("COUNT")
            .arg(1000)
            .arg("BLOCK")
            .arg(u64::try_from(BLOCK.as_millis()).unwrap_or(u64::MAX))
            .arg("STREAMS")
            .arg(KEY)
            .arg(&after)
            .query_async(&mut connection)
            .await?;
        let Some(reply) = reply else {
            // Nothing for a while. If the stream was wiped, its numbers may have begun anew below ours.
            *last = None;
            return Ok(());
        };
        for entry in reply.keys.into_iter().flat_map(|stream| stream.ids) {
            for id in entry.get::<String>("ids").unwrap_or_default().split(' ') {
                if let Ok(id) = id.parse() {
                    waiters.wake(id);
                }
            }
            after = entry.id;
        }
    }
}

/// The id of the newest entry; one before all others when there is none.
async fn newest(connection: &mut MultiplexedConnection) -> RedisResult<String> {
    let newest: Vec<(String, Vec<String>)> = cmd("XREVRANGE")
        .arg(KEY)
        .arg("+")
        .arg("-")
        .arg("COUNT")
        .arg(1)
        .query_async(connection)
        .await?;
    Ok(newest.into_iter().next().map_or_else(|| "0-0".to_owned(), |(id, _)| id))
}

#[cfg(test)]
mod tests {
    use haetae_base::clock::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_change_between_two_waits_is_not_missed_and_nobody_stays_listed() {
        let waiters = Waiters::default();
        let id = ReservationId::new(Timestamp::from_millis(1));
        let mut first = waiters.wait_for(id);
        let mut second = waiters.wait_for(id);
        waiters.wake(id);
        let forever = Duration::from_hours(1);
        first.changed(forever).await;
        second.changed(forever).await;
        waiters.wake(id);
        first.changed(forever).await;
        drop(first);
        assert_eq!(waiters.list().len(), 1);
        drop(second);
        assert_eq!(waiters.list().len(), 0);
    }
}
