//! What a worker's transaction writes: the reservations first, the hot rows of the stock last.

use std::collections::BTreeMap;

use haetae_base::{clock::Timestamp, sql::expect_rows};
use serde::Serialize;

#[cfg(test)]
use super::Guard;
use super::{BatchTransaction, Change, Reached};
use crate::{
    domain::{
        inventory::{ItemId, Movement},
        reservation::{ReservationId, State, Status},
    },
    store::{Column, Kind, StoreError, Text, mapping, outbox::NewEvent},
};

impl BatchTransaction {
    /// Writes what became of the reservations, of their payments, their history and the outbox.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when one of them is not as it was read.
    pub async fn write(&self, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.write_reservations(changes, now).await?;
        let reached: Vec<(&Change, &Reached)> = changes
            .iter()
            .flat_map(|change| change.reached.iter().map(move |reached| (change, reached)))
            .collect();
        self.write_history(&reached, now).await?;
        self.write_outbox(&reached, now).await?;
        self.write_payments(changes, now).await
    }

    async fn write_reservations(
        &self,
        changes: &[Change],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row {
            id: ReservationId,
            before: u64,
            version: u64,
            status: &'static str,
            keeps: &'static str,
            goal: &'static str,
            hold_expires_at: Option<i64>,
            refusal: Option<String>,
            due_at: Option<i64>,
            attempts: u32,
        }
        const COLUMNS: [Column; 10] = [
            ("id", Kind::Text),
            ("before", Kind::Number),
            ("version", Kind::Number),
            ("status", Kind::Text),
            ("keeps", Kind::Text),
            ("goal", Kind::Text),
            ("hold_expires_at", Kind::Number),
            ("refusal", Kind::Text),
            ("due_at", Kind::Number),
            ("attempts", Kind::Number),
        ];
        let rows = changes
            .iter()
            .map(|change| {
                let state = change.after.state;
                let refusal = change.refusal.as_ref().map(serde_json::to_string).transpose()?;
                Ok(Row {
                    id: change.after.id,
                    before: change.before.get(),
                    version: change.after.version.get(),
                    status: state.status().as_str(),
                    keeps: mapping::keeps_name(state.keeps()),
                    goal: mapping::goal_name(state.goal()),
                    hold_expires_at: hold_end(state),
                    refusal,
                    due_at: change.due_at.map(Timestamp::as_millis),
                    attempts: change.attempts,
                })
            })
            .collect::<Result<Vec<Row>, serde_json::Error>>()?;
        let written = self
            .store
            .execute(
                &self.transaction,
                format!(
                    "UPDATE reservations AS r SET version = w.version, status = w.status, \
                     keeps = w.keeps, goal = w.goal, hold_expires_at = w.hold_expires_at, \
                     refusal = COALESCE(w.refusal, r.refusal), due_at = w.due_at, \
                     attempts = w.attempts, updated_at = $2 FROM {} \
                     WHERE r.id = w.id AND r.version = w.before",
                    self.store.table(1, "w", &COLUMNS)
                ),
                [serde_json::to_string(&rows)?.into(), now.as_millis().into()],
            )
            .await?;
        Ok(expect_rows(rows.len() as u64, written)?)
    }

    async fn write_history(
        &self,
        reached: &[(&Change, &Reached)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            id: ReservationId,
            version: u64,
            status: Status,
            reason: Option<&'a str>,
        }
        const COLUMNS: [Column; 4] = [
            ("id", Kind::Text),
            ("version", Kind::Number),
            ("status", Kind::Text),
            ("reason", Kind::Text),
        ];
        if reached.is_empty() {
            return Ok(());
        }
        let rows: Vec<Row<'_>> = reached
            .iter()
            .map(|(change, reached)| Row {
                id: change.after.id,
                version: reached.version.get(),
                status: reached.state.status(),
                reason: reached.reason.as_deref(),
            })
            .collect();
        let written = self
            .store
            .execute(
                &self.transaction,
                format!(
                    "INSERT INTO reservation_history (reservation_id, version, status, reason, at) \
                     SELECT w.id, w.version, w.status, w.reason, $2 FROM {}",
                    self.store.table(1, "w", &COLUMNS)
                ),
                [serde_json::to_string(&rows)?.into(), now.as_millis().into()],
            )
            .await?;
        Ok(expect_rows(rows.len() as u64, written)?)
    }

    async fn write_outbox(
        &self,
        reached: &[(&Change, &Reached)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let events: Vec<NewEvent> = reached
            .iter()
            .map(|(change, reached)| NewEvent::new(change.after.id, reached, now))
            .collect::<Result<_, _>>()?;
        self.store.append_events(&self.transaction, &events, now).await
    }

    async fn write_payments(&self, changes: &[Change], now: Timestamp) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            id: String,
            state: &'static str,
            reference: Option<&'a str>,
            refusal: Option<&'a str>,
            last_error: Option<&'a str>,
        }
        const COLUMNS: [Column; 5] = [
            ("id", Kind::Text),
            ("state", Kind::Text),
            ("reference", Kind::Text),
            ("refusal", Kind::Text),
            ("last_error", Kind::Text),
        ];
        let rows: Vec<Row<'_>> = changes
            .iter()
            .filter_map(|change| change.payment.as_ref())
            .map(|(payment, error)| Row {
                id: payment.id.to_string(),
                state: payment.state.as_str(),
                reference: payment.reference.as_deref(),
                refusal: payment.refusal.as_deref(),
                last_error: error.as_deref(),
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let written = self
            .store
            .execute(
                &self.transaction,
                format!(
                    "UPDATE payments AS p SET state = w.state, reference = w.reference, \
                     refusal = w.refusal, last_error = w.last_error, updated_at = $2 FROM {} \
                     WHERE p.id = w.id",
                    self.store.table(1, "w", &COLUMNS)
                ),
                [serde_json::to_string(&rows)?.into(), now.as_millis().into()],
            )
            .await?;
        Ok(expect_rows(rows.len() as u64, written)?)
    }

    /// Moves the stock: the last thing in the transaction. The conditions stand in the update itself, so
    /// whatever was read before, no unit is sold twice.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when an item has less than was believed.
    pub async fn move_stock(
        &self,
        movements: &BTreeMap<ItemId, Movement>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row {
            id: ItemId,
            available: i64,
            held: i64,
            sold: i64,
        }
        const COLUMNS: [Column; 4] = [
            ("id", Kind::Text),
            ("available", Kind::Number),
            ("held", Kind::Number),
            ("sold", Kind::Number),
        ];
        let rows: Vec<Row> = movements
            .iter()
            .filter(|(_, movement)| !movement.is_nothing())
            .map(|(id, movement)| Row {
                id: *id,
                available: movement.available,
                held: movement.held,
                sold: movement.sold,
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let parameter = serde_json::to_string(&rows)?;
        let table = self.store.table(1, "m", &COLUMNS);
        if rows.len() > 1 && !self.store.lock(" FOR NO KEY UPDATE").is_empty() {
            // An UPDATE of many rows locks them in the order of its plan. Sorted, nobody waits in a circle.
            let _locked: Vec<Text> = self
                .store
                .all(
                    &self.transaction,
                    format!(
                        "SELECT v.id AS text FROM {table} CROSS JOIN inventory v \
                         WHERE v.id = m.id ORDER BY v.id FOR NO KEY UPDATE OF v"
                    ),
                    [parameter.clone().into()],
                )
                .await?;
        }
        let conditions = " AND v.available + m.available >= 0 AND v.held + m.held >= 0 \
             AND v.sold + m.sold >= 0";
        #[cfg(test)]
        let conditions =
            if matches!(self.store.guard, Guard::Removed(_)) { "" } else { conditions };
        let written = self
            .store
            .execute(
                &self.transaction,
                format!(
                    "UPDATE inventory AS v SET available = v.available + m.available, \
                     held = v.held + m.held, sold = v.sold + m.sold, version = v.version + 1, \
                     updated_at = $2 FROM {table} WHERE v.id = m.id{conditions}"
                ),
                [parameter.into(), now.as_millis().into()],
            )
            .await?;
        Ok(expect_rows(rows.len() as u64, written)?)
    }
}

fn hold_end(state: State) -> Option<i64> {
    match state {
        State::Held { until, .. } => Some(until.as_millis()),
        _ => None,
    }
}
