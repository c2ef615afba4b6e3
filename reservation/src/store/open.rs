//! How many units one person has in reservations that are open: accepted or held, not yet confirmed. An operator may
//! bound them, so that nobody keeps all of the stock from others without ever paying.

use std::{
    collections::{BTreeSet, HashMap},
    num::NonZeroU32,
};

use sea_orm::{DatabaseTransaction, DbBackend, FromQueryResult};

use super::{
    Kind, Store, StoreError,
    accept::{AcceptRefusal, NewReservation},
    batch::ids,
};

/// The open units of each subject in a batch of requests, those of the batch among them.
pub(super) struct OpenUnits {
    most: NonZeroU32,
    by_subject: HashMap<String, u64>,
}

#[derive(FromQueryResult)]
struct OpenRow {
    subject: String,
    units: i64,
}

impl OpenUnits {
    /// Counts the request in, if it stays within the bound.
    pub(super) fn take(&mut self, new: &NewReservation) -> Result<(), AcceptRefusal> {
        let wanted: u64 =
            new.basket.lines().iter().map(|line| u64::from(line.quantity.get())).sum();
        let open = self.by_subject.entry(new.subject.clone()).or_default();
        let sum = open.saturating_add(wanted);
        if sum > u64::from(self.most.get()) {
            return Err(AcceptRefusal::TooManyOpen { open: *open, wanted, most: self.most });
        }
        *open = sum;
        Ok(())
    }
}

impl Store {
    /// What `subjects` have open. Until the end of the transaction no other adds to it.
    pub(super) async fn open_units(
        &self,
        transaction: &DatabaseTransaction,
        subjects: BTreeSet<&str>,
        most: NonZeroU32,
    ) -> Result<OpenUnits, StoreError> {
        let subjects = ids(subjects)?;
        let want = self.table(1, "want", &[("id", Kind::Text)]);
        if self.backend() != DbBackend::Sqlite {
            // In order, so that nobody waits in a circle. On SQLite the write lock does the same.
            let text = format!(
                "SELECT pg_advisory_xact_lock({LOCKS}, s.hash) FROM \
                 (SELECT DISTINCT hashtext(want.id) AS hash FROM {want} ORDER BY hash) s"
            );
            self.execute(transaction, text, [subjects.clone().into()]).await?;
        }
        // The condition is that of the index `reservations_open`.
        let rows: Vec<OpenRow> = self
            .all(
                transaction,
                format!(
                    "SELECT r.subject, CAST(SUM(i.quantity) AS BIGINT) AS units FROM {want} \
                     CROSS JOIN reservations r CROSS JOIN reservation_items i \
                     WHERE r.subject = want.id AND r.status IN ('pending', 'held') \
                     AND i.reservation_id = r.id GROUP BY r.subject"
                ),
                [subjects.into()],
            )
            .await?;
        let by_subject = rows
            .into_iter()
            .map(|row| (row.subject, u64::try_from(row.units).unwrap_or_default()))
            .collect();
        Ok(OpenUnits { most, by_subject })
    }
}

/// The first half of these locks' keys: the other is made of a subject.
const LOCKS: i32 = 727_065;
