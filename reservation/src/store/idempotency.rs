//! Idempotency keys (draft-ietf-httpapi-idempotency-key-header-07): which request a key stands for, and
//! what was answered. Only a committed outcome has a row, so a crash before the commit frees the key.

use haetae_base::clock::Timestamp;
use sea_orm::{ConnectionTrait, FromQueryResult};
use serde::Serialize;

use super::{Column, Kind, PURGED_AT_ONCE, Store, StoreError};
use crate::domain::reservation::ReservationId;

/// What was answered to the first request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// An answer that is to be kept with its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeptAnswer {
    /// Whose key.
    pub subject: String,
    /// The key.
    pub idempotency_key: String,
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// A key that was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedKey {
    /// The fingerprint of the request that used it.
    pub fingerprint: String,
    /// The reservation that came of it.
    pub reservation: ReservationId,
    /// What was answered. `None` when nobody lived to answer.
    pub answer: Option<Answer>,
}

#[derive(FromQueryResult)]
struct KeyRow {
    fingerprint: String,
    reservation_id: String,
    answer_status: Option<i64>,
    answer: Option<String>,
}

impl Store {
    /// What this subject's key stands for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_key(&self, subject: &str, key: &str) -> Result<Option<UsedKey>, StoreError> {
        self.find_key_on(&self.sql.read, subject, key).await
    }

    pub(super) async fn find_key_on(
        &self,
        on: &impl ConnectionTrait,
        subject: &str,
        key: &str,
    ) -> Result<Option<UsedKey>, StoreError> {
        let row: Option<KeyRow> = self
            .one(
                on,
                "SELECT fingerprint, reservation_id, answer_status, answer FROM idempotency_keys \
                 WHERE subject = $1 AND idempotency_key = $2",
                [subject.to_owned().into(), key.to_owned().into()],
            )
            .await?;
        row.map(|row| {
            let wrong = |column| StoreError::Inconsistent {
                table: "idempotency_keys",
                column,
                id: row.reservation_id.clone(),
            };
            let answer = match (row.answer_status, &row.answer) {
                (Some(status), Some(body)) => Some(Answer {
                    status: u16::try_from(status).map_err(|_| wrong("answer_status"))?,
                    body: body.clone(),
                }),
                _ => None,
            };
            Ok(UsedKey {
                reservation: row.reservation_id.parse().map_err(|_| wrong("reservation_id"))?,
                fingerprint: row.fingerprint,
                answer,
            })
        })
        .transpose()
    }

    /// Keeps what was answered, unless something was kept already. A row that does not change belongs to
    /// an answer that another process was faster with; then that one counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_answers(&self, answers: &[KeptAnswer]) -> Result<(), StoreError> {
        const COLUMNS: [Column; 4] = [
            ("subject", Kind::Text),
            ("idempotency_key", Kind::Text),
            ("status", Kind::Number),
            ("body", Kind::Text),
        ];
        let transaction = self.begin_write().await?;
        self.execute(
            &transaction,
            format!(
                "UPDATE idempotency_keys AS k SET answer_status = w.status, answer = w.body FROM {} \
                 WHERE k.subject = w.subject AND k.idempotency_key = w.idempotency_key \
                 AND k.answer_status IS NULL",
                self.table(1, "w", &COLUMNS)
            ),
            [serde_json::to_string(answers)?.into()],
        )
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets keys that were used before `horizon`, at most [`PURGED_AT_ONCE`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge_keys(&self, horizon: Timestamp) -> Result<u64, StoreError> {
        let transaction = self.begin_write().await?;
        let gone = self
            .execute(
                &transaction,
                format!(
                    "DELETE FROM idempotency_keys WHERE (subject, idempotency_key) IN (SELECT subject, \
                     idempotency_key FROM idempotency_keys WHERE created_at < $1 LIMIT {PURGED_AT_ONCE})"
                ),
                [horizon.as_millis().into()],
            )
            .await?;
        transaction.commit().await?;
        Ok(gone)
    }
}
