//! Every change of a reservation as an event, written in the transaction of the change. The events of
//! one reservation are numbered in the order in which they happened: its row is locked before the
//! number is drawn. Between reservations PostgreSQL may let a higher number become visible first, so a
//! reader of all events must not take the highest that it saw for a place to resume at.

use haetae_base::{clock::Timestamp, sql::expect_rows};
use sea_orm::{DatabaseTransaction, FromQueryResult};
use serde::{Deserialize, Serialize};

use super::{Column, Kind, PURGED_AT_ONCE, Store, StoreError, batch::Reached};
use crate::domain::reservation::{ReservationId, State, Status};

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventBody {
    /// The reservation.
    #[schema(value_type = String)]
    pub id: ReservationId,
    /// The state that it reached.
    pub status: Status,
    /// The version that reached it.
    pub version: u64,
    /// When (RFC 3339).
    pub at: String,
    /// Until when the stock is kept, while it is held (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_expires_at: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An event with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number: the `id:` of a server-sent event.
    pub sequence: i64,
    /// `reservation.<status>`.
    pub kind: String,
    /// The body, as it is sent.
    pub payload: String,
}

#[derive(Serialize)]
pub(super) struct NewEvent {
    reservation_id: ReservationId,
    kind: String,
    payload: String,
}

impl NewEvent {
    pub(super) fn new(
        id: ReservationId,
        reached: &Reached,
        at: Timestamp,
    ) -> Result<Self, StoreError> {
        let status = reached.state.status();
        let hold_expires_at = match reached.state {
            State::Held { until, .. } => Some(until.to_rfc3339()),
            _ => None,
        };
        let body = EventBody {
            id,
            status,
            version: reached.version.get(),
            at: at.to_rfc3339(),
            hold_expires_at,
            reason: reached.reason.clone(),
        };
        Ok(Self {
            reservation_id: id,
            kind: format!("reservation.{}", status.as_str()),
            payload: serde_json::to_string(&body)?,
        })
    }
}

#[derive(FromQueryResult)]
struct EventRow {
    seq: i64,
    kind: String,
    payload: String,
}

impl Store {
    pub(super) async fn append_events(
        &self,
        transaction: &DatabaseTransaction,
        events: &[NewEvent],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        const COLUMNS: [Column; 3] =
            [("reservation_id", Kind::Text), ("kind", Kind::Text), ("payload", Kind::Text)];
        if events.is_empty() {
            return Ok(());
        }
        let written = self
            .execute(
                transaction,
                format!(
                    "INSERT INTO outbox (reservation_id, kind, payload, at) \
                     SELECT w.reservation_id, w.kind, w.payload, $2 FROM {}",
                    self.table(1, "w", &COLUMNS)
                ),
                [serde_json::to_string(events)?.into(), now.as_millis().into()],
            )
            .await?;
        Ok(expect_rows(events.len() as u64, written)?)
    }

    /// The events of a reservation after the number `after`, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events_after(
        &self,
        reservation: ReservationId,
        after: i64,
    ) -> Result<Vec<Event>, StoreError> {
        let rows: Vec<EventRow> = self
            .all(
                &self.sql.read,
                "SELECT seq, kind, payload FROM outbox WHERE reservation_id = $1 AND seq > $2 \
                 ORDER BY seq",
                [reservation.to_string().into(), after.into()],
            )
            .await?;
        Ok(rows
            .into_iter()
            .map(|row| Event { sequence: row.seq, kind: row.kind, payload: row.payload })
            .collect())
    }

    /// Forgets events from before `horizon`, at most [`PURGED_AT_ONCE`]. What happened stays in the history.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn purge_events(&self, horizon: Timestamp) -> Result<u64, StoreError> {
        let transaction = self.begin_write().await?;
        let gone = self
            .execute(
                &transaction,
                format!(
                    "DELETE FROM outbox WHERE seq IN (SELECT old.seq FROM (SELECT seq, at FROM outbox \
                     ORDER BY seq LIMIT {PURGED_AT_ONCE}) AS old WHERE old.at < $1)"
                ),
                [horizon.as_millis().into()],
            )
            .await?;
        transaction.commit().await?;
        Ok(gone)
    }
}
