//! Where work comes from: the queue, which is quick and may forget, and SQL, which never forgets.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use haetae_base::shutdown::Shutdown;
use tokio::sync::mpsc;

use super::{Ownership, Task, Underway, Worker};
use crate::{
    apply_batch::Work,
    domain::fence::Partition,
    queue::stream::Reader,
    store::{StoreError, due::Due},
};

/// How often SQL is asked what is due.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Reads the queues of what this worker owns.
pub(super) async fn from_queue(
    worker: Worker,
    ownership: Arc<Ownership>,
    token: String,
    sender: mpsc::Sender<Task>,
    shutdown: Shutdown,
) {
    let mut reader = Reader::new(worker.redis.clone(), token);
    let mut changes = ownership.changes();
    while !shutdown.is_requested() {
        let partitions = ownership.partitions();
        if partitions.is_empty() {
            tokio::select! {
                () = shutdown.requested() => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            continue;
        }
        let read = tokio::select! {
            () = shutdown.requested() => return,
            read = reader.read(&partitions, worker.batch.max(1), Duration::from_millis(500)) => read,
        };
        let deliveries = match read {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::debug!(%error, "the queue cannot be read");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        for delivery in deliveries {
            let Some(id) = delivery.id else {
                tracing::warn!(?delivery, "a queue entry makes no sense");
                let _kept_until_next_time =
                    crate::queue::stream::acknowledge(&worker.redis, &[delivery]).await;
                continue;
            };
            let work = Work { id, partition: delivery.partition, answer: None };
            if sender.send(Task { work, delivery: Some(delivery), found: false }).await.is_err() {
                return;
            }
        }
    }
}

/// Looks for what is due, and at a new partition for all that was left unfinished in it. When nothing more is due
/// than was found, it looks again after `pause`.
pub(super) async fn from_sql(
    worker: Worker,
    ownership: Arc<Ownership>,
    underway: Underway,
    sender: mpsc::Sender<Task>,
    shutdown: Shutdown,
    pause: Duration,
) {
    let mut changes = ownership.changes();
    while !shutdown.is_requested() {
        let fresh = ownership.newly_taken();
        if !fresh.is_empty()
            && let Err(error) = search(&worker, &fresh, &underway, &sender).await
        {
            tracing::warn!(%error, "what was left unfinished cannot be read");
            ownership.search_again(&fresh);
        }
        let partitions = ownership.partitions();
        if !partitions.is_empty() {
            // What was found before is due until its batch has come: it must not take the place of the others.
            let limit = worker.batch.max(1) + underway.waiting();
            let now = worker.clock.now();
            match worker.store.due(&partitions, now, limit).await {
                Ok(due) => {
                    // Also when nothing is due: the gauge goes back to zero.
                    let longest = due.first().map_or(Duration::ZERO, |due| now.since(due.since));
                    metrics::gauge!("haetae_reservation_overdue_seconds").set(longest);
                    let full = due.len() == limit;
                    let handed_over = hand_over(due, &underway, &sender).await;
                    if full && handed_over > 0 {
                        // There is more. Handing over has waited for those who do the work.
                        continue;
                    }
                }
                Err(error) => tracing::warn!(%error, "what is due cannot be read"),
            }
        }
        tokio::select! {
            () = shutdown.requested() => return,
            _ = changes.changed() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn search(
    worker: &Worker,
    partitions: &BTreeSet<Partition>,
    underway: &Underway,
    sender: &mpsc::Sender<Task>,
) -> Result<(), StoreError> {
    let page = worker.batch.max(1);
    let mut after = None;
    loop {
        let found = worker.store.unfinished(partitions, after, page).await?;
        let Some(last) = found.last() else { return Ok(()) };
        after = Some(last.id);
        let complete = found.len() < page;
        hand_over(found, underway, sender).await;
        if complete {
            return Ok(());
        }
    }
}

/// Hands over what is not underway yet, and tells how many that were.
async fn hand_over(due: Vec<Due>, underway: &Underway, sender: &mpsc::Sender<Task>) -> usize {
    let mut handed_over = 0;
    for Due { id, partition, .. } in due {
        if !underway.found(id) {
            continue;
        }
        let work = Work { id, partition, answer: None };
        if sender.send(Task { work, delivery: None, found: true }).await.is_err() {
            underway.taken(id);
            break;
        }
        handed_over += 1;
    }
    handed_over
}
