//! What has to be done now and then though no request asks for it: old idempotency keys and events are deleted,
//! work in partitions that no longer exist is moved to those that do, and what waits for a person is counted.

use std::time::Duration;

use haetae_base::shutdown::Shutdown;

use super::Worker;
use crate::store::{PURGED_AT_ONCE, StoreError};

/// How long an idempotency key is remembered.
const KEYS: Duration = Duration::from_hours(24);
/// How long an event can be resumed at.
const EVENTS: Duration = Duration::from_hours(30 * 24);
/// How long to wait between two searches for what is old.
const PAUSE: Duration = Duration::from_mins(10);
/// How long to wait between two searches for work that nobody owns.
const FOLD: Duration = Duration::from_secs(5);
/// How long to wait between two counts of what waits for an administrator.
const COUNT: Duration = Duration::from_secs(10);

/// What grows old.
#[derive(Clone, Copy, Debug)]
enum Old {
    Keys,
    Events,
}

/// Deletes all that is old, a page at a time: nobody else waits long for the database.
pub(super) async fn purge(worker: Worker, shutdown: Shutdown) {
    loop {
        for old in [Old::Keys, Old::Events] {
            match all_pages(&worker, old, &shutdown).await {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, ?old, "old rows removed"),
                Err(error) => tracing::warn!(%error, ?old, "old rows stay for now"),
            }
        }
        if !pause(&shutdown, PAUSE).await {
            return;
        }
    }
}

async fn all_pages(worker: &Worker, old: Old, shutdown: &Shutdown) -> Result<u64, StoreError> {
    let mut gone = 0;
    while !shutdown.is_requested() {
        let rows = page(worker, old).await?;
        gone += rows;
        if rows < PURGED_AT_ONCE {
            break;
        }
    }
    Ok(gone)
}

async fn page(worker: &Worker, old: Old) -> Result<u64, StoreError> {
    let now = worker.clock.now();
    match old {
        Old::Keys => worker.store.purge_keys(now.minus(KEYS)).await,
        Old::Events => worker.store.purge_events(now.minus(EVENTS)).await,
    }
}

/// Gives work of partitions that do not exist any more to those that do: a reservation that was confirmed
/// when there were more of them may be cancelled now, and an API may not know yet that there are fewer.
pub(super) async fn fold(worker: Worker, shutdown: Shutdown) {
    while pause(&shutdown, FOLD).await {
        match worker.store.fold_partitions(worker.partitions).await {
            Ok(0) => {}
            Ok(folded) => {
                tracing::info!(folded, "unfinished reservations moved to other partitions");
            }
            Err(error) => tracing::warn!(%error, "work of former partitions stays there for now"),
        }
    }
}

/// Counts what waits for an administrator, so that it can be seen for as long as it does.
pub(super) async fn count_attention(worker: Worker, shutdown: Shutdown) {
    loop {
        match worker.store.count_attention().await {
            #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
            Ok(count) => metrics::gauge!("haetae_reservation_attention").set(count as f64),
            Err(error) => tracing::debug!(%error, "what waits for a person cannot be counted"),
        }
        if !pause(&shutdown, COUNT).await {
            return;
        }
    }
}

/// Waits; `false` when it is time to stop.
async fn pause(shutdown: &Shutdown, pause: Duration) -> bool {
    tokio::select! {
        () = shutdown.requested() => false,
        () = tokio::time::sleep(pause) => true,
    }
}
