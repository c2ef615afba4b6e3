//! The worker: owns partitions, collects what is to be done in them from three sides (the queue, what is
//! due in SQL, the answers of the payment provider), and applies it batch by batch.

mod engine;
mod gather;
mod housekeeping;
mod ownership;
mod underway;

use std::{sync::Arc, time::Duration};

use haetae_base::{
    background::Background, clock::Clock, entropy, redis::Redis, secret::ExposeSecret,
    shutdown::Shutdown,
};
use tokio::sync::mpsc;

use crate::{
    apply_batch::{Policy, Work},
    ports::PaymentProvider,
    queue::stream::Delivery,
    run::RunError,
    store::Store,
};

use self::{engine::Engine, ownership::Ownership, underway::Underway};
pub use crate::run::run_worker as run;

/// What a worker is given.
#[derive(Clone)]
pub struct Worker {
    /// The database.
    pub store: Store,
    /// Redis.
    pub redis: Redis,
    /// Who moves money.
    pub provider: Arc<dyn PaymentProvider>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How it decides.
    pub policy: Policy,
    /// Into how many partitions the work is divided.
    pub partitions: u16,
    /// How long a partition is owned without renewing.
    pub lease: Duration,
    /// How many requests share a commit at most.
    pub batch: usize,
}

/// Something to do, and the queue entry that said so.
#[derive(Debug)]
struct Task {
    work: Work,
    delivery: Option<Delivery>,
    /// Whether [`Underway`] counts it as waiting.
    found: bool,
}

impl Worker {
    /// Works until shutdown, and then finishes what it has begun.
    ///
    /// # Errors
    /// When the database cannot be used at all at the start, and when a part of the worker dies.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let folded = self.store.fold_partitions(self.partitions).await?;
        if folded > 0 {
            tracing::info!(folded, "unfinished reservations moved to other partitions");
        }
        metrics::gauge!("haetae_reservation_partitions").set(self.partitions);
        let token = entropy::token().expose_secret().to_owned();
        let ownership = Arc::new(Ownership::new(&self, token.clone()));
        let underway = Underway::default();
        let (sender, receiver) = mpsc::channel::<Task>(self.batch.max(1) * 4);
        let mut parts = Background::new();
        parts.spawn("ownership", Arc::clone(&ownership).keep(shutdown.clone()));
        let from_queue = gather::from_queue(
            self.clone(),
            Arc::clone(&ownership),
            token,
            sender.clone(),
            shutdown.clone(),
        );
        parts.spawn("from_queue", from_queue);
        let from_sql = gather::from_sql(
            self.clone(),
            Arc::clone(&ownership),
            underway.clone(),
            sender.clone(),
            shutdown.clone(),
            gather::LOOK,
        );
        parts.spawn("from_sql", from_sql);
        parts.spawn("purge", housekeeping::purge(self.clone(), shutdown.clone()));
        parts.spawn("fold", housekeeping::fold(self.clone(), shutdown.clone()));
        parts.spawn("count", housekeeping::count_attention(self.clone(), shutdown.clone()));
        let engine = Engine::new(self, Arc::clone(&ownership), underway, sender);
        let outcome = tokio::select! {
            () = engine.run(receiver, &shutdown) => Ok(()),
            ended = parts.failed(&shutdown) => Err(ended),
        };
        if outcome.is_ok() {
            parts.ended().await;
        }
        // In both cases somebody else may have the partitions at once.
        ownership.release_all().await;
        Ok(outcome?)
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Worker")
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}
