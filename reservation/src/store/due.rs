//! What a worker has to look at: everything unfinished has a `due_at`, so a lost queue entry, a hold that
//! runs out, and a payment that is to be tried again are found by one indexed query.

use std::collections::BTreeSet;

use haetae_base::clock::Timestamp;
use sea_orm::FromQueryResult;

use super::{Kind, Store, StoreError, batch::ids};
use crate::domain::{fence::Partition, reservation::ReservationId};

/// A reservation that is due, or will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub id: ReservationId,
    /// Whose work.
    pub partition: Partition,
    /// Since when.
    pub since: Timestamp,
}

#[derive(FromQueryResult)]
struct DueRow {
    id: String,
    part: i64,
    due_at: i64,
}

impl Store {
    /// At most `limit` reservations of these partitions that are due at `now`, the longest waiting first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due(
        &self,
        partitions: &BTreeSet<Partition>,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let text = format!(
            "SELECT r.id, r.part, r.due_at FROM {} CROSS JOIN reservations r \
             WHERE r.part = want.id AND r.due_at IS NOT NULL AND r.due_at <= $2 \
             ORDER BY r.due_at LIMIT $3",
            self.table(1, "want", &[("id", Kind::Number)])
        );
        self.due_rows(text, partitions, [now.as_millis(), clamp(limit)]).await
    }

    /// At most `limit` reservations of these partitions that are being worked on, due or not: what the
    /// owner before may have left in the middle. `after` is where the last such page ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfinished(
        &self,
        partitions: &BTreeSet<Partition>,
        after: Option<ReservationId>,
        limit: usize,
    ) -> Result<Vec<Due>, StoreError> {
        let text = format!(
            "SELECT r.id, r.part, r.due_at FROM {} CROSS JOIN reservations r \
             WHERE r.part = want.id AND r.due_at IS NOT NULL AND r.id > $2 \
             AND (r.status = 'pending' OR r.goal <> 'wait') ORDER BY r.id LIMIT $3",
            self.table(1, "want", &[("id", Kind::Number)])
        );
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let rows: Vec<DueRow> = self
            .all(&self.sql.read, text, [ids(partitions)?.into(), after.into(), clamp(limit).into()])
            .await?;
        rows.iter().map(parse).collect()
    }

    /// Lets a reservation that is due rest until `until`. That it is not there any more, or not due, is no mistake.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn postpone(&self, id: ReservationId, until: Timestamp) -> Result<(), StoreError> {
        let transaction = self.begin_write().await?;
        self.execute(
            &transaction,
            "UPDATE reservations SET due_at = $2 WHERE id = $1 AND due_at < $2",
            [id.to_string().into(), until.as_millis().into()],
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn due_rows(
        &self,
        text: String,
        partitions: &BTreeSet<Partition>,
        numbers: [i64; 2],
    ) -> Result<Vec<Due>, StoreError> {
        let [now, limit] = numbers;
        let rows: Vec<DueRow> = self
            .all(&self.sql.read, text, [ids(partitions)?.into(), now.into(), limit.into()])
            .await?;
        rows.iter().map(parse).collect()
    }
}

fn clamp(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn parse(row: &DueRow) -> Result<Due, StoreError> {
    let wrong =
        |column| StoreError::Inconsistent { table: "reservations", column, id: row.id.clone() };
    Ok(Due {
        id: row.id.parse().map_err(|_| wrong("id"))?,
        partition: Partition::new(u16::try_from(row.part).map_err(|_| wrong("part"))?),
        since: Timestamp::from_millis(row.due_at),
    })
}
