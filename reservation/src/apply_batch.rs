//! Many reservations moved one step on in one transaction: the hot path. Whatever a worker read from its
//! queue, found due, or heard from the payment provider goes through here. One commit pays for all of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    time::Duration,
};

use haetae_base::{clock::Timestamp, entropy};

use crate::{
    crash::crash_point,
    domain::{
        advance::{Next, next},
        fence::{Fence, Partition},
        hold::HoldPolicy,
        inventory::{ItemId, Stock, StockError},
        payment::{Outcome, Payment, PaymentId},
        reservation::{Illegal, Moved, Refusal, Reservation, ReservationId, Status, StockMove},
    },
    saga::Charge,
    store::{
        Store, StoreError,
        batch::{BatchTransaction, Change, Loaded, Reached},
    },
};

/// How the worker decides what the domain leaves open.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long stock is kept.
    pub hold: HoldPolicy,
    /// How long a call of the payment provider may take.
    pub patience: Duration,
    /// How often a step is tried before an administrator is asked.
    pub attempts: u32,
    /// How long the second try waits; each later one twice as long, with jitter, at most a minute.
    pub backoff: Duration,
}

/// A reservation to look at.
#[derive(Clone, Debug)]
pub struct Work {
    /// Which.
    pub id: ReservationId,
    /// Whose work it is, as whoever found it knows.
    pub partition: Partition,
    /// What the payment provider said, if that is why.
    pub answer: Option<(PaymentId, Outcome)>,
}

/// The partitions that a worker owns, with the fence under which it owns each.
pub type Fences = BTreeMap<Partition, Fence>;

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Applied {
    /// Reservations that reached another state, and which.
    pub changed: Vec<(ReservationId, Status)>,
    /// Calls to be made now.
    pub charges: Vec<(Partition, Charge)>,
    /// Partitions that belong to somebody else by now. Nothing of theirs was touched.
    pub stale: BTreeSet<Partition>,
}

/// Looks at each of `work` and does what can be done in SQL, all in one transaction.
///
/// # Errors
/// When the database fails, or rows kept moving: then nothing was done.
pub async fn apply(
    store: &Store,
    fences: &Fences,
    work: &[Work],
    policy: &Policy,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    // First without locks on the stock, so that a hot row is locked only while it is written. If it moved
    // meanwhile (a basket of another partition took some), once more with the rows locked from the start.
    match attempt(store, fences, work, policy, now, false).await {
        Err(StoreError::Moved(_)) => attempt(store, fences, work, policy, now, true).await,
        done => done,
    }
}

async fn attempt(
    store: &Store,
    fences: &Fences,
    work: &[Work],
    policy: &Policy,
    now: Timestamp,
    lock: bool,
) -> Result<Applied, StoreError> {
    let batch = store.begin_batch().await?;
    let concerned: BTreeSet<Partition> = work.iter().map(|work| work.partition).collect();
    let current = batch.fences(&concerned).await?;
    let owned: HashSet<Partition> = concerned
        .iter()
        .filter(|partition| {
            let mine = fences.get(partition);
            mine.is_some() && mine == current.get(partition)
        })
        .copied()
        .collect();
    let mut applied = Applied {
        stale: concerned.into_iter().filter(|partition| !owned.contains(partition)).collect(),
        ..Applied::default()
    };
    let mut seen = HashSet::with_capacity(work.len());
    let wanted: Vec<ReservationId> = work
        .iter()
        .filter(|work| owned.contains(&work.partition) && seen.insert(work.id))
        .map(|work| work.id)
        .collect();
    if wanted.is_empty() {
        batch.rollback().await?;
        return Ok(applied);
    }
    let mut loaded = batch.reservations(&wanted).await?;
    loaded.retain(|_, loaded| owned.contains(&loaded.partition));
    let items: BTreeSet<ItemId> =
        loaded.values().flat_map(|loaded| loaded.basket.lines()).map(|line| line.item).collect();
    let before = batch.stocks(&items, lock).await?;
    let mut stocks = before.clone();
    let mut answers: HashMap<ReservationId, &(PaymentId, Outcome)> = HashMap::new();
    for work in work {
        if let Some(answer) = &work.answer {
            answers.insert(work.id, answer);
        }
    }
    let mut changes = Vec::with_capacity(wanted.len());
    for id in wanted {
        // Not found: it was never committed, or is another's by now.
        let Some(loaded) = loaded.remove(&id) else { continue };
        let partition = loaded.partition;
        let mut steps = Steps::of(loaded, &mut stocks, policy, now);
        steps.hear(answers.get(&id).copied());
        let (change, call) = steps.run();
        applied.charges.extend(call.map(|charge| (partition, charge)));
        if let Some(change) = change {
            applied
                .changed
                .extend(change.reached.iter().map(|reached| (id, reached.state.status())));
            changes.push(change);
        }
    }
    finish(batch, &changes, &before, &stocks, now).await?;
    Ok(applied)
}

async fn finish(
    batch: BatchTransaction,
    changes: &[Change],
    before: &HashMap<ItemId, Stock>,
    after: &HashMap<ItemId, Stock>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(batch.rollback().await?);
    }
    let movements: BTreeMap<ItemId, _> = after
        .iter()
        .filter_map(|(item, stock)| Some((*item, stock.since(*before.get(item)?))))
        .collect();
    batch.write(changes, now).await?;
    batch.move_stock(&movements, now).await?;
    crash_point!("batch-before-commit");
    batch.commit().await?;
    crash_point!("batch-after-commit");
    Ok(())
}

/// The steps of one reservation within a batch.
struct Steps<'a> {
    loaded: Loaded,
    reservation: Reservation,
    payment: Option<Payment>,
    stocks: &'a mut HashMap<ItemId, Stock>,
    policy: &'a Policy,
    now: Timestamp,
    attempts: u32,
    reached: Vec<Reached>,
    refusal: Option<Refusal>,
    last_error: Option<String>,
    retry_at: Option<Timestamp>,
}

/// A step that cannot be taken though it is due: rows contradict one another.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Illegal(#[from] Illegal),
    #[error(transparent)]
    Stock(#[from] StockError),
}

impl<'a> Steps<'a> {
    fn of(
        loaded: Loaded,
        stocks: &'a mut HashMap<ItemId, Stock>,
        policy: &'a Policy,
        now: Timestamp,
    ) -> Self {
        Self {
            reservation: loaded.reservation,
            payment: loaded.payment.clone(),
            attempts: loaded.attempts,
            loaded,
            stocks,
            policy,
            now,
            reached: Vec::new(),
            refusal: None,
            last_error: None,
            retry_at: None,
        }
    }

    /// Takes in what the provider said.
    fn hear(&mut self, answer: Option<&(PaymentId, Outcome)>) {
        let Some((id, outcome)) = answer else { return };
        let Some(payment) = self.payment.take_if(|payment| payment.id == *id) else { return };
        if let Outcome::Unknown { error } = outcome {
            self.payment = Some(payment);
            return self.try_again(error.clone());
        }
        match payment.clone().answered(outcome) {
            Ok(answered) => {
                self.attempts = 0;
                self.payment = Some(answered);
            }
            Err(unfitting) => {
                tracing::warn!(payment = %id, ?outcome, %unfitting, "an answer does not fit");
                self.payment = Some(payment);
                // A late answer to an earlier question does no harm. But a provider that contradicts itself
                // would be asked the same again at once, for ever.
                self.try_again(unfitting.to_string());
            }
        }
    }

    /// The step failed; it is tried again later, so many times.
    fn try_again(&mut self, error: String) {
        self.attempts = self.attempts.saturating_add(1);
        self.last_error = Some(error);
        self.retry_at = Some(self.now.plus(backoff(self.policy.backoff, self.attempts)));
    }

    /// Goes on as far as SQL alone can go.
    fn run(mut self) -> (Option<Change>, Option<Charge>) {
        if let Some(retry_at) = self.retry_at {
            return if self.attempts < self.policy.attempts {
                (self.change(Some(retry_at)), None)
            } else {
                self.give_up();
                (self.change(None), None)
            };
        }
        loop {
            let step = next(&self.reservation, self.payment.as_ref(), self.now);
            let done = match step {
                Next::Hold => self.hold(),
                Next::Expire => self.move_on(self.reservation.expire(self.now), None),
                Next::Confirm => self.move_on(self.reservation.confirm(), None),
                Next::Fail => self.fail(),
                Next::FinishCancel => self.move_on(self.reservation.finish_cancel(), None),
                Next::Pay(call) => {
                    let Some(payment) = self.payment.clone() else { return (None, None) };
                    let charge = Charge { reservation: self.reservation.id, payment, call };
                    // If nobody lives to hear the answer, the call is made again after this.
                    let due_at = self.now.plus(self.policy.patience * 2);
                    return (self.change(Some(due_at)), Some(charge));
                }
                Next::Sleep(until) => return (self.change(Some(until)), None),
                Next::Rest => return (self.change(None), None),
            };
            if let Err(error) = done {
                tracing::error!(reservation = %self.reservation.id, %error, "a due step is impossible");
                metrics::counter!("haetae_reservation_contradictions_total").increment(1);
                self.give_up();
                return (self.change(None), None);
            }
        }
    }

    /// Leaves it to an administrator.
    fn give_up(&mut self) {
        if let Ok(moved) = self.reservation.call_for_attention() {
            let reason = "a step keeps failing; an administrator will look at it";
            self.arrive(moved, Some(reason.to_owned()));
        }
    }

    fn hold(&mut self) -> Result<(), StepError> {
        let mut taken = Vec::with_capacity(self.loaded.basket.lines().len());
        for line in self.loaded.basket.lines() {
            let units = line.quantity.get();
            let held = self
                .stocks
                .get(&line.item)
                .map_or(Err(StockError::Shortage { wanted: units, available: 0 }), |stock| {
                    stock.hold(units)
                });
            match held {
                Ok(stock) => taken.push((line.item, stock)),
                Err(StockError::Shortage { wanted, available }) => {
                    let moved = self.reservation.reject()?;
                    self.refusal =
                        Some(Refusal::NotEnoughStock { item: line.item, wanted, available });
                    self.arrive(moved, Some(format!("{wanted} wanted, {available} available")));
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        let until = self.policy.hold.until(self.now);
        let moved = self.reservation.hold(until, self.payment.is_some())?;
        self.stocks.extend(taken);
        self.arrive(moved, None);
        Ok(())
    }

    fn fail(&mut self) -> Result<(), StepError> {
        let reason = self.payment.as_ref().and_then(|payment| payment.refusal.clone());
        let reason = reason.unwrap_or_else(|| "the payment was not possible".to_owned());
        self.refusal = Some(Refusal::PaymentRefused { reason: reason.clone() });
        self.move_on(self.reservation.fail(), Some(reason))
    }

    fn move_on(
        &mut self,
        moved: Result<Moved, Illegal>,
        reason: Option<String>,
    ) -> Result<(), StepError> {
        let moved = moved?;
        let mut after = Vec::with_capacity(self.loaded.basket.lines().len());
        for line in self.loaded.basket.lines() {
            let stock = *self.stocks.get(&line.item).ok_or(StockError::Contradiction)?;
            let units = line.quantity.get();
            let stock = match moved.stock {
                StockMove::None => stock,
                StockMove::Hold => stock.hold(units)?,
                StockMove::Release => stock.release(units)?,
                StockMove::Sell => stock.sell(units)?,
                StockMove::TakeBack => stock.take_back(units)?,
            };
            after.push((line.item, stock));
        }
        self.stocks.extend(after);
        self.arrive(moved, reason);
        Ok(())
    }

    fn arrive(&mut self, moved: Moved, reason: Option<String>) {
        self.reservation = moved.reservation;
        self.attempts = 0;
        let Reservation { version, state, .. } = moved.reservation;
        self.reached.push(Reached { version, state, reason });
    }

    /// What is to be written; `None` when nothing is.
    fn change(self, due_at: Option<Timestamp>) -> Option<Change> {
        let payment = self.payment.filter(|payment| {
            self.last_error.is_some() || Some(payment) != self.loaded.payment.as_ref()
        });
        if self.reached.is_empty() && payment.is_none() && due_at == self.loaded.due_at {
            return None;
        }
        Some(Change {
            before: self.loaded.reservation.version,
            after: self.reservation,
            reached: self.reached,
            refusal: self.refusal,
            due_at,
            attempts: self.attempts,
            payment: payment.map(|payment| (payment, self.last_error)),
        })
    }
}

/// `base`, doubled with each attempt after the first, at most a minute; half of it is left to chance, so
/// that what failed together is not tried together again.
fn backoff(base: Duration, attempt: u32) -> Duration {
    let doubled = base.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    let whole = doubled.min(Duration::from_mins(1));
    let half = u64::try_from(whole.as_millis() / 2).unwrap_or(0);
    Duration::from_millis(half + entropy::below(half + 1))
}
