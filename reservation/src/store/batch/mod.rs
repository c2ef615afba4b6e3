//! One transaction of a worker: it checks the fences, reads what is asked about, and writes what was
//! decided. The stock comes last and in sorted order: a hot row is locked for the shortest time, and two
//! workers never wait for one another in a circle.

mod read;
mod write;

use std::collections::{BTreeSet, HashMap};

use haetae_base::clock::Timestamp;
use sea_orm::{DatabaseTransaction, DbErr, FromQueryResult};
use serde::Serialize;

use super::{Column, Kind, Store, StoreError};
#[cfg(test)]
use crate::domain::inventory::{ItemId, Stock};
use crate::domain::{
    basket::Basket,
    fence::{Fence, Partition},
    payment::Payment,
    reservation::{Refusal, Reservation, State},
    version::Version,
};

/// A reservation with all that decides what happens to it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Where it is.
    pub reservation: Reservation,
    /// Whose work it is.
    pub partition: Partition,
    /// What it asks for.
    pub basket: Basket,
    /// Its payment attempt, if there is one.
    pub payment: Option<Payment>,
    /// How often its present step failed.
    pub attempts: u32,
    /// When it has to be looked at, as it was read.
    pub due_at: Option<Timestamp>,
}

/// A state that was reached, for the history and the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The version that reached it.
    pub version: Version,
    /// The state.
    pub state: State,
    /// Why.
    pub reason: Option<String>,
}

/// What becomes of one reservation in this transaction.
#[derive(Clone, Debug)]
pub struct Change {
    /// The version that was read.
    pub before: Version,
    /// The reservation from now on.
    pub after: Reservation,
    /// The states that it went through.
    pub reached: Vec<Reached>,
    /// Why it did not come about.
    pub refusal: Option<Refusal>,
    /// When a worker has to look at it again at the latest.
    pub due_at: Option<Timestamp>,
    /// How often its present step failed.
    pub attempts: u32,
    /// The payment from now on, when it changed, with the last error of the provider.
    pub payment: Option<(Payment, Option<String>)>,
}

/// A worker's transaction.
#[derive(Debug)]
pub struct BatchTransaction {
    store: Store,
    pub(super) transaction: DatabaseTransaction,
}

/// What keeps stock from being sold twice. Only tests can take it away, to show that it is what keeps it.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) enum Guard {
    /// As in production.
    Checked,
    /// Stock is believed as it was seen once; the conditions of the update still stand.
    StaleRead(std::sync::Arc<HashMap<ItemId, Stock>>),
    /// Stock is believed as it was seen once, and the update has no conditions.
    Removed(std::sync::Arc<HashMap<ItemId, Stock>>),
}

#[derive(FromQueryResult)]
struct FenceRow {
    part: i64,
    fence: i64,
}

const IDS: [Column; 1] = [("id", Kind::Text)];

#[derive(Serialize)]
pub(super) struct IdLine<T> {
    pub(super) id: T,
}

pub(super) fn ids<T: Serialize>(of: impl IntoIterator<Item = T>) -> Result<String, StoreError> {
    Ok(serde_json::to_string(&of.into_iter().map(|id| IdLine { id }).collect::<Vec<_>>())?)
}

impl Store {
    /// Begins a worker's transaction.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_batch(&self) -> Result<BatchTransaction, StoreError> {
        let transaction = self.begin_write().await?;
        Ok(BatchTransaction { store: self.clone(), transaction })
    }
}

impl BatchTransaction {
    /// The fences of these partitions, which nobody can raise before this transaction ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fences(
        &self,
        partitions: &BTreeSet<Partition>,
    ) -> Result<HashMap<Partition, Fence>, StoreError> {
        let rows: Vec<FenceRow> = self
            .store
            .all(
                &self.transaction,
                format!(
                    "SELECT p.part, p.fence FROM {} CROSS JOIN partitions p WHERE p.part = want.id \
                     ORDER BY p.part{}",
                    self.store.table(1, "want", &[("id", Kind::Number)]),
                    self.store.lock(" FOR SHARE OF p")
                ),
                [ids(partitions)?.into()],
            )
            .await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let partition = Partition::new(u16::try_from(row.part).ok()?);
                Some((partition, Fence::new(u64::try_from(row.fence).ok()?)))
            })
            .collect())
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// When the database fails: then nothing of it happened, or all of it, and whoever asks again sees
    /// which.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.transaction.commit().await
    }

    /// Forgets it.
    ///
    /// # Errors
    /// When the database is away, which forgets it as well.
    pub async fn rollback(self) -> Result<(), DbErr> {
        self.transaction.rollback().await
    }
}
