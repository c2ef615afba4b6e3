//! What is thrown away after a while: used idempotency keys and old events.

use std::time::Duration;

use haetae_base::shutdown::Shutdown;

use super::Worker;

/// How long an idempotency key is remembered.
const KEYS: Duration = Duration::from_hours(24);
/// How long an event can be resumed at.
const EVENTS: Duration = Duration::from_hours(30 * 24);
/// How often is looked.
const PAUSE: Duration = Duration::from_mins(10);

pub(super) async fn run(worker: Worker, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
        let now = worker.clock.now();
        for result in [
            worker.store.purge_keys(now.minus(KEYS)).await,
            worker.store.purge_events(now.minus(EVENTS)).await,
        ] {
            match result {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, "old rows removed"),
                Err(error) => tracing::warn!(%error, "old rows stay for now"),
            }
        }
    }
}
