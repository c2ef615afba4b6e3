//! The heart of the worker: takes what has gathered, applies it in one transaction, and only then says so:
//! to the queue, to those who wait, and to the payment provider. While one batch is committed the next
//! one gathers, so batches grow with the load by themselves.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use haetae_base::{redis::Redis, shutdown::Shutdown};
use tokio::sync::mpsc;

use super::{Ownership, Task, Underway, Worker};
use crate::{
    apply_batch::{Applied, Work, apply},
    crash::crash_point,
    domain::{
        fence::Partition,
        reservation::{ReservationId, Status},
    },
    queue::{
        changes,
        stream::{self, Delivery},
    },
    saga::{self, Charge},
    store::StoreError,
};

/// How long a reservation that cannot be worked on is left alone.
const SET_ASIDE: Duration = Duration::from_secs(5);

/// How long open calls of the payment provider may hold up the end.
const FAREWELL: Duration = Duration::from_secs(5);

pub(super) struct Engine {
    worker: Worker,
    ownership: Arc<Ownership>,
    underway: Underway,
    sender: mpsc::Sender<Task>,
}

impl Engine {
    pub(super) const fn new(
        worker: Worker,
        ownership: Arc<Ownership>,
        underway: Underway,
        sender: mpsc::Sender<Task>,
    ) -> Self {
        Self { worker, ownership, underway, sender }
    }

    /// Runs until shutdown; then until nothing is open any more, or [`FAREWELL`] is over.
    pub(super) async fn run(self, mut receiver: mpsc::Receiver<Task>, shutdown: &Shutdown) {
        loop {
            let first = tokio::select! {
                biased;
                task = receiver.recv() => task,
                () = shutdown.requested() => break,
            };
            let Some(first) = first else { return };
            self.turn(first, &mut receiver, shutdown).await;
        }
        let farewell = async {
            while self.underway.open_calls() > 0 || !receiver.is_empty() {
                let Some(first) = receiver.recv().await else { return };
                self.turn(first, &mut receiver, shutdown).await;
            }
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("payments are left in the middle; the next owner goes on with them");
        }
    }

    async fn turn(&self, first: Task, receiver: &mut mpsc::Receiver<Task>, shutdown: &Shutdown) {
        let mut tasks = vec![first];
        while tasks.len() < self.worker.batch
            && let Ok(task) = receiver.try_recv()
        {
            tasks.push(task);
        }
        let mut work = Vec::with_capacity(tasks.len());
        let mut deliveries = Vec::new();
        let mut found = Vec::new();
        for task in tasks {
            deliveries.extend(task.delivery);
            if task.found {
                found.push(task.work.id);
            }
            if task.work.answer.is_some() {
                self.underway.paid(task.work.id);
                work.push(task.work);
            } else if !self.underway.is_paying(task.work.id) {
                work.push(task.work);
            }
        }
        self.apply(work, deliveries, shutdown).await;
        for id in found {
            self.underway.taken(id);
        }
    }

    async fn apply(&self, work: Vec<Work>, deliveries: Vec<Delivery>, shutdown: &Shutdown) {
        let mut groups = vec![work];
        let mut pause = Duration::from_millis(20);
        let mut stale = BTreeSet::new();
        while let Some(group) = groups.pop() {
            if group.is_empty() {
                continue;
            }
            let fences = self.ownership.fences();
            let (clock, policy) = (&self.worker.clock, &self.worker.policy);
            metrics::histogram!("haetae_reservation_batch_size")
                .record(u32::try_from(group.len()).unwrap_or(u32::MAX));
            let begin = clock.now();
            match apply(&self.worker.store, &fences, &group, policy, begin).await {
                Ok(applied) => {
                    metrics::histogram!("haetae_reservation_batch_seconds")
                        .record(clock.now().since(begin));
                    stale.extend(applied.stale.iter().copied());
                    self.after(applied);
                }
                Err(error) if error.is_temporary() => {
                    tracing::warn!(%error, "a batch failed and is tried again");
                    if shutdown.is_requested() {
                        // Nothing was acknowledged: the next owner finds all of it.
                        return;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                    groups.push(group);
                }
                Err(error) => match <[Work; 1]>::try_from(group) {
                    Ok([work]) => self.set_aside(&work, &error).await,
                    // One of them is broken; the others must not suffer for it, nor be written one by one.
                    Err(mut group) => {
                        let half = group.split_off(group.len() / 2);
                        groups.extend([group, half]);
                    }
                },
            }
        }
        if !stale.is_empty() {
            self.ownership.lost(&stale);
        }
        // What belongs to somebody else by now is theirs to acknowledge.
        let done: Vec<Delivery> = deliveries
            .into_iter()
            .filter(|delivery| !stale.contains(&delivery.partition))
            .collect();
        acknowledge(self.worker.redis.clone(), done);
    }

    /// Leaves a reservation alone that cannot be worked on. It is still due: without this, the next look into SQL
    /// would bring it again at once, and every batch would have to be taken apart to find it.
    async fn set_aside(&self, work: &Work, error: &StoreError) {
        tracing::error!(%error, reservation = %work.id, "cannot be worked on");
        metrics::counter!("haetae_reservation_contradictions_total").increment(1);
        let until = self.worker.clock.now().plus(SET_ASIDE);
        if let Err(error) = self.worker.store.postpone(work.id, until).await {
            tracing::warn!(%error, reservation = %work.id, "cannot be set aside");
        }
    }

    fn after(&self, applied: Applied) {
        let mut changed = HashSet::new();
        let now = self.worker.clock.now();
        for (id, status) in &applied.changed {
            if matches!(status, Status::Held | Status::Rejected) {
                // An id is made when its request comes in.
                metrics::histogram!("haetae_reservation_decision_seconds")
                    .record(now.since(id.created_at()));
            }
            changed.insert(*id);
            metrics::counter!("haetae_reservation_states_total", "status" => status.as_str())
                .increment(1);
        }
        let redis = self.worker.redis.clone();
        let ids: Vec<ReservationId> = changed.into_iter().collect();
        tokio::spawn(async move {
            if let Err(error) = changes::publish(&redis, &ids).await {
                tracing::debug!(%error, "changes are found by those who wait, a moment later");
            }
            if !ids.is_empty() {
                crash_point!("after-publish");
            }
        });
        for (partition, charge) in applied.charges {
            if self.underway.pays(charge.reservation) {
                tokio::spawn(ask(self.worker.clone(), partition, charge, self.sender.clone()));
            }
        }
    }
}

fn acknowledge(redis: Redis, done: Vec<Delivery>) {
    if done.is_empty() {
        return;
    }
    tokio::spawn(async move {
        if let Err(error) = stream::acknowledge(&redis, &done).await {
            tracing::debug!(%error, "queue entries come again and find nothing to do");
        }
        crash_point!("after-ack");
    });
}

/// Asks the payment provider: no lock is held, no transaction is open.
async fn ask(worker: Worker, partition: Partition, charge: Charge, sender: mpsc::Sender<Task>) {
    crash_point!("payment-before-call");
    let outcome = saga::run(worker.provider.as_ref(), &charge, worker.policy.patience).await;
    crash_point!("payment-after-call");
    let answered = !matches!(outcome, crate::domain::payment::Outcome::Unknown { .. });
    metrics::counter!(
        "haetae_reservation_payment_calls_total",
        "call" => charge.call.as_str(),
        "answered" => if answered { "yes" } else { "no" }
    )
    .increment(1);
    let answer = Some((charge.payment.id, outcome));
    let work = Work { id: charge.reservation, partition, answer };
    // Nobody listens any more only when the worker has ended.
    let _listening = sender.send(Task { work, delivery: None, found: false }).await;
}
