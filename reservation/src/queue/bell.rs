//! Tells workers that there is new work, and the other APIs what has changed, after the API has committed it. A task of
//! its own does so, so that no request waits for Redis. When Redis is away, the message is dropped: workers also look
//! for due work in SQL, and those who wait for a change look by themselves.

use std::time::Duration;

use haetae_base::redis::Redis;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{changes, changes::Waiters, stream};
use crate::domain::{fence::Partition, reservation::ReservationId};

/// How many messages wait at most.
const QUEUE: usize = 1024;

/// How long nothing is tried after Redis did not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// The way to the ringing task. Clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Bell {
    sender: mpsc::Sender<Ring>,
    waiters: Waiters,
}

#[derive(Debug, Default)]
struct Ring {
    work: Vec<(Partition, ReservationId)>,
    changed: Vec<ReservationId>,
}

impl Bell {
    /// Starts the task; it ends when all who have a bell are gone.
    pub fn start(redis: Redis, waiters: Waiters) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let handle = tokio::spawn(run(redis, receiver));
        (Self { sender, waiters }, handle)
    }

    /// Says that there is work, and that reservations changed.
    pub fn ring(&self, work: Vec<(Partition, ReservationId)>, changed: Vec<ReservationId>) {
        for id in &changed {
            self.waiters.wake(*id);
        }
        if self.sender.try_send(Ring { work, changed }).is_err() {
            metrics::counter!("haetae_reservation_rings_dropped_total").increment(1);
        }
    }
}

async fn run(redis: Redis, mut receiver: mpsc::Receiver<Ring>) {
    let mut silent = false;
    while let Some(mut ring) = receiver.recv().await {
        while let Ok(more) = receiver.try_recv() {
            ring.work.extend(more.work);
            ring.changed.extend(more.changed);
        }
        let done = async {
            if !ring.work.is_empty() {
                stream::enqueue(&redis, &ring.work).await?;
            }
            changes::publish(&redis, &ring.changed).await
        };
        match done.await {
            Ok(()) => silent = false,
            Err(error) => {
                if !std::mem::replace(&mut silent, true) {
                    tracing::warn!(%error, "Redis is away; reservations wait in SQL");
                }
                metrics::counter!("haetae_reservation_rings_dropped_total").increment(1);
                tokio::time::sleep(PAUSE).await;
                // What came in the meantime is found in SQL as well; sending it late would only delay what is new.
                while receiver.try_recv().is_ok() {
                    metrics::counter!("haetae_reservation_rings_dropped_total").increment(1);
                }
            }
        }
    }
}
