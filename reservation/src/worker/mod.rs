//! The worker: owns partitions, collects what is to be done in them from three sides (the queue, what is
//! due in SQL, the answers of the payment provider), and applies it batch by batch.

mod engine;
mod gather;
mod housekeeping;
mod ownership;
mod underway;

use std::{sync::Arc, time::Duration};

use haetae_base::{clock::Clock, entropy, redis::Redis, secret::ExposeSecret, shutdown::Shutdown};
use tokio::sync::mpsc;

use crate::{
    apply_batch::{Policy, Work},
    ports::PaymentProvider,
    queue::stream::Delivery,
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
    /// When the database cannot be used at all at the start.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), crate::store::StoreError> {
        let folded = self.store.fold_partitions(self.partitions).await?;
        if folded > 0 {
            tracing::info!(folded, "unfinished reservations moved to other partitions");
        }
        let token = entropy::token().expose_secret().to_owned();
        let ownership = Arc::new(Ownership::new(&self, token.clone()));
        let underway = Underway::default();
        let (sender, receiver) = mpsc::channel::<Task>(self.batch.max(1) * 4);
        let owner = tokio::spawn(Arc::clone(&ownership).keep(shutdown.clone()));
        let from_queue = tokio::spawn(gather::from_queue(
            self.clone(),
            Arc::clone(&ownership),
            token,
            sender.clone(),
            shutdown.clone(),
        ));
        let from_sql = tokio::spawn(gather::from_sql(
            self.clone(),
            Arc::clone(&ownership),
            underway.clone(),
            sender.clone(),
            shutdown.clone(),
        ));
        let purge = tokio::spawn(housekeeping::purge(self.clone(), shutdown.clone()));
        let fold = tokio::spawn(housekeeping::fold(self.clone(), shutdown.clone()));
        Engine::new(self, Arc::clone(&ownership), underway, sender).run(receiver, &shutdown).await;
        for task in [owner, from_queue, from_sql, purge, fold] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a part of the worker died");
            }
        }
        ownership.release_all().await;
        Ok(())
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
