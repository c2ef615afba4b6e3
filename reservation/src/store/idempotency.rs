//! Idempotency keys (draft-ietf-httpapi-idempotency-key-header-07): which request a key stands for, and
//! what was answered. Only a committed outcome has a row, so a crash before the commit frees the key.

use std::{collections::HashMap, mem::take};

use haetae_base::clock::Timestamp;
use sea_orm::{DatabaseTransaction, FromQueryResult};
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

/// What keys stand for, by subject and key.
pub(super) type UsedKeys = HashMap<(String, String), UsedKey>;

#[derive(FromQueryResult)]
struct KeyRow {
    subject: String,
    idempotency_key: String,
    fingerprint: String,
    reservation_id: String,
    answer_status: Option<i64>,
    answer: Option<String>,
}

impl TryFrom<KeyRow> for UsedKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
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
        Ok(Self {
            reservation: row.reservation_id.parse().map_err(|_| wrong("reservation_id"))?,
            fingerprint: row.fingerprint,
            answer,
        })
    }
}

impl Store {
    /// What these keys, each with its subject, stand for: those of them that were used.
    pub(super) async fn find_keys<'a>(
        &self,
        on: &DatabaseTransaction,
        wanted: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<UsedKeys, StoreError> {
        #[derive(Serialize)]
        struct Wanted<'a> {
            subject: &'a str,
            idempotency_key: &'a str,
        }
        const COLUMNS: [Column; 2] = [("subject", Kind::Text), ("idempotency_key", Kind::Text)];
        let wanted: Vec<Wanted<'a>> = wanted
            .into_iter()
            .map(|(subject, idempotency_key)| Wanted { subject, idempotency_key })
            .collect();
        if wanted.is_empty() {
            return Ok(UsedKeys::new());
        }
        let rows: Vec<KeyRow> = self
            .all(
                on,
                format!(
                    "SELECT k.subject, k.idempotency_key, k.fingerprint, k.reservation_id, \
                     k.answer_status, k.answer FROM {} CROSS JOIN idempotency_keys k \
                     WHERE k.subject = want.subject AND k.idempotency_key = want.idempotency_key",
                    self.table(1, "want", &COLUMNS)
                ),
                [serde_json::to_string(&wanted)?.into()],
            )
            .await?;
        rows.into_iter()
            .map(|mut row| {
                let key = (take(&mut row.subject), take(&mut row.idempotency_key));
                Ok((key, row.try_into()?))
            })
            .collect()
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
