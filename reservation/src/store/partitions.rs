//! Who owns which partition, as SQL knows it: taking one raises its fence, for good.

use haetae_base::clock::Timestamp;
use sea_orm::{ConnectionTrait, DbBackend};

use super::{Number, Store, StoreError};
use crate::domain::fence::{Fence, Partition};

impl Store {
    /// Takes the partition for `owner` and returns its new fence. It waits for the transaction of the
    /// owner before, if one is running, at most a second, and makes every later one of it fail.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_partition(
        &self,
        partition: Partition,
        owner: &str,
        now: Timestamp,
    ) -> Result<Fence, StoreError> {
        let transaction = self.begin_write().await?;
        if self.backend() != DbBackend::Sqlite {
            // The other leases have to be renewed meanwhile: this one is tried again later.
            transaction.execute_unprepared("SET LOCAL lock_timeout = '1s'").await?;
        }
        let row: Option<Number> = self
            .one(
                &transaction,
                "INSERT INTO partitions (part, fence, owner, taken_at) VALUES ($1, 1, $2, $3) \
                 ON CONFLICT (part) DO UPDATE SET fence = partitions.fence + 1, \
                 owner = excluded.owner, taken_at = excluded.taken_at \
                 RETURNING fence AS number",
                [
                    i64::from(partition.number()).into(),
                    owner.to_owned().into(),
                    now.as_millis().into(),
                ],
            )
            .await?;
        transaction.commit().await?;
        row.and_then(|row| u64::try_from(row.number).ok()).map(Fence::new).ok_or_else(|| {
            StoreError::Inconsistent {
                table: "partitions",
                column: "fence",
                id: partition.to_string(),
            }
        })
    }

    /// Brings unfinished work of partitions that do not exist any more, since there are only `count`
    /// now, into those that do. Where work belongs is a matter of who does it, never of what is right.
    /// When there is none, nothing is locked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fold_partitions(&self, count: u16) -> Result<u64, StoreError> {
        let stray: Option<Number> = self
            .one(
                &self.sql.read,
                "SELECT part AS number FROM reservations WHERE part >= $1 AND due_at IS NOT NULL \
                 LIMIT 1",
                [i64::from(count.max(1)).into()],
            )
            .await?;
        if stray.is_none() {
            return Ok(0);
        }
        let transaction = self.begin_write().await?;
        let folded = self
            .execute(
                &transaction,
                "UPDATE reservations SET part = part % $1 WHERE part >= $1 AND due_at IS NOT NULL",
                [i64::from(count.max(1)).into()],
            )
            .await?;
        transaction.commit().await?;
        Ok(folded)
    }
}
