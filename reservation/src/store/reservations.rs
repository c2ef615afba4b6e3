//! Reservations as they are read: by id, and page by page.

use std::collections::HashMap;

use haetae_base::clock::Timestamp;
use sea_orm::{FromQueryResult, Value};

use super::{Kind, Number, Store, StoreError, batch::ids, mapping};
use crate::domain::{
    inventory::ItemId,
    money::Money,
    payment::PaymentState,
    reservation::{Goal, Refusal, ReservationId, Status},
};

/// A reservation with everything that its owner may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its id.
    pub id: ReservationId,
    /// Whose it is.
    pub subject: String,
    /// Where it is.
    pub status: Status,
    /// What is being worked towards.
    pub confirming: bool,
    /// What is in it.
    pub items: Vec<RecordLine>,
    /// What it costs.
    pub total: Option<Money>,
    /// What the person added.
    pub note: Option<String>,
    /// Until when the stock is kept, while it is held.
    pub hold_expires_at: Option<Timestamp>,
    /// Why it did not come about.
    pub refusal: Option<Refusal>,
    /// What is known about its payment.
    pub payment: Option<PaymentState>,
    /// Grows with every change.
    pub version: u64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// What happened, in order.
    pub history: Vec<HistoryEntry>,
}

/// One line of a reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordLine {
    /// The item.
    pub item: ItemId,
    /// What it is called now.
    pub name: String,
    /// How many.
    pub quantity: u32,
}

/// One state that a reservation reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The state.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}

/// Whose reservations are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'a> {
    /// This subject's.
    Of(&'a str),
    /// Everybody's that need an administrator.
    Attention,
}

#[derive(FromQueryResult)]
struct Row {
    id: String,
    subject: String,
    status: String,
    goal: String,
    total_minor: Option<i64>,
    currency: Option<String>,
    note: Option<String>,
    hold_expires_at: Option<i64>,
    refusal: Option<String>,
    version: i64,
    created_at: i64,
    updated_at: i64,
}

#[derive(FromQueryResult)]
struct LineRow {
    reservation_id: String,
    inventory_id: String,
    name: String,
    quantity: i64,
}

#[derive(FromQueryResult)]
struct HistoryRow {
    reservation_id: String,
    version: i64,
    status: String,
    reason: Option<String>,
    at: i64,
}

#[derive(FromQueryResult)]
struct PaymentRow {
    reservation_id: String,
    state: String,
}

#[derive(FromQueryResult)]
struct StatusRow {
    subject: String,
    status: String,
    goal: String,
}

/// Where a reservation is, without everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub subject: String,
    /// Where it is.
    pub status: Status,
    /// Whether it is on its way to be confirmed.
    pub confirming: bool,
}

const ROW: &str = "r.id, r.subject, r.status, r.goal, r.total_minor, r.currency, r.note, \
     r.hold_expires_at, r.refusal, r.version, r.created_at, r.updated_at";

impl Store {
    /// The reservation of this id, whosever it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_reservation(&self, id: ReservationId) -> Result<Option<Record>, StoreError> {
        let rows: Vec<Row> = self
            .all(
                &self.sql.read,
                format!("SELECT {ROW} FROM reservations r WHERE r.id = $1"),
                [id.to_string().into()],
            )
            .await?;
        Ok(self.complete(rows).await?.pop())
    }

    /// Where the reservation of this id is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(&self, id: ReservationId) -> Result<Option<Standing>, StoreError> {
        let row: Option<StatusRow> = self
            .one(
                &self.sql.read,
                "SELECT subject, status, goal FROM reservations WHERE id = $1",
                [id.to_string().into()],
            )
            .await?;
        row.map(|row| {
            let status = Status::parse(&row.status).ok_or_else(|| StoreError::Inconsistent {
                table: "reservations",
                column: "status",
                id: id.to_string(),
            })?;
            let confirming = row.goal == mapping::goal_name(Goal::Confirm);
            Ok(Standing { subject: row.subject, status, confirming })
        })
        .transpose()
    }

    /// How many reservations wait for an administrator.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_attention(&self) -> Result<u64, StoreError> {
        let row: Option<Number> = self
            .one(
                &self.sql.read,
                // Written out, so that the partial index serves it.
                "SELECT COUNT(*) AS number FROM reservations WHERE status = 'attention'",
                [],
            )
            .await?;
        Ok(row.and_then(|row| u64::try_from(row.number).ok()).unwrap_or_default())
    }

    /// At most `limit` reservations, the newest first, older than `before`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_reservations(
        &self,
        scope: Scope<'_>,
        status: Option<Status>,
        before: Option<ReservationId>,
        limit: u32,
    ) -> Result<Vec<Record>, StoreError> {
        let mut values: Vec<Value> = vec![i64::from(limit).into()];
        let mut conditions = String::new();
        let mut condition = |text: &str, value: Value| {
            values.push(value);
            let join = if conditions.is_empty() { " WHERE " } else { " AND " };
            conditions.push_str(join);
            conditions.push_str(text);
            conditions.push_str(&values.len().to_string());
        };
        match scope {
            Scope::Of(subject) => condition("r.subject = $", subject.to_owned().into()),
            // Written out, so that the partial index serves it.
            Scope::Attention => condition("r.status = 'attention' AND r.id > $", "".into()),
        }
        if let Some(status) = status {
            condition("r.status = $", status.as_str().into());
        }
        if let Some(before) = before {
            condition("r.id < $", before.to_string().into());
        }
        let text =
            format!("SELECT {ROW} FROM reservations r{conditions} ORDER BY r.id DESC LIMIT $1");
        let rows: Vec<Row> = self.all(&self.sql.read, text, values).await?;
        self.complete(rows).await
    }

    /// The reservations of these rows with all that belongs to them. It is read in statements of its own: what
    /// happened after the rows were read is left out of the history, or it would be ahead of the status.
    async fn complete(&self, rows: Vec<Row>) -> Result<Vec<Record>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = ids(rows.iter().map(|row| row.id.as_str()))?;
        let want = self.table(1, "want", &[("id", Kind::Text)]);
        let lines: Vec<LineRow> = self
            .all(
                &self.sql.read,
                format!(
                    "SELECT i.reservation_id, i.inventory_id, v.name, i.quantity FROM {want} \
                     CROSS JOIN reservation_items i CROSS JOIN inventory v \
                     WHERE i.reservation_id = want.id AND v.id = i.inventory_id \
                     ORDER BY i.reservation_id, i.line"
                ),
                [wanted.clone().into()],
            )
            .await?;
        let history: Vec<HistoryRow> = self
            .all(
                &self.sql.read,
                format!(
                    "SELECT h.reservation_id, h.version, h.status, h.reason, h.at FROM {want} \
                     CROSS JOIN reservation_history h WHERE h.reservation_id = want.id \
                     ORDER BY h.reservation_id, h.version"
                ),
                [wanted.clone().into()],
            )
            .await?;
        let payments: Vec<PaymentRow> = self
            .all(
                &self.sql.read,
                format!(
                    "SELECT p.reservation_id, p.state FROM {want} CROSS JOIN payments p \
                     WHERE p.reservation_id = want.id ORDER BY p.id"
                ),
                [wanted.into()],
            )
            .await?;
        let mut items: HashMap<String, Vec<RecordLine>> = HashMap::new();
        for line in lines {
            let wrong = |column| StoreError::Inconsistent {
                table: "reservation_items",
                column,
                id: line.reservation_id.clone(),
            };
            let item = line.inventory_id.parse().map_err(|_| wrong("inventory_id"))?;
            let quantity = u32::try_from(line.quantity).map_err(|_| wrong("quantity"))?;
            let line_of = RecordLine { item, name: line.name, quantity };
            items.entry(line.reservation_id).or_default().push(line_of);
        }
        let versions: HashMap<&str, i64> =
            rows.iter().map(|row| (row.id.as_str(), row.version)).collect();
        let mut histories: HashMap<String, Vec<HistoryEntry>> = HashMap::new();
        for entry in history {
            if versions.get(entry.reservation_id.as_str()).is_some_and(|read| entry.version > *read)
            {
                continue;
            }
            let status = Status::parse(&entry.status).ok_or_else(|| StoreError::Inconsistent {
                table: "reservation_history",
                column: "status",
                id: entry.reservation_id.clone(),
            })?;
            let at = Timestamp::from_millis(entry.at);
            let entry_of = HistoryEntry { status, at, reason: entry.reason };
            histories.entry(entry.reservation_id).or_default().push(entry_of);
        }
        let mut paid: HashMap<String, PaymentState> = HashMap::new();
        for payment in payments {
            let state =
                PaymentState::parse(&payment.state).ok_or_else(|| StoreError::Inconsistent {
                    table: "payments",
                    column: "state",
                    id: payment.reservation_id.clone(),
                })?;
            paid.insert(payment.reservation_id, state);
        }
        rows.into_iter()
            .map(|row| {
                let payment = paid.remove(&row.id);
                let items = items.remove(&row.id).unwrap_or_default();
                let history = histories.remove(&row.id).unwrap_or_default();
                record(row, items, history, payment)
            })
            .collect()
    }
}

fn record(
    row: Row,
    items: Vec<RecordLine>,
    history: Vec<HistoryEntry>,
    payment: Option<PaymentState>,
) -> Result<Record, StoreError> {
    let wrong =
        |column| StoreError::Inconsistent { table: "reservations", column, id: row.id.clone() };
    let refusal = row
        .refusal
        .as_deref()
        .map(serde_json::from_str)
        .transpose()
        .map_err(|_| wrong("refusal"))?;
    let total = mapping::money("reservations", &row.id, row.total_minor, row.currency.as_deref())?;
    Ok(Record {
        id: row.id.parse().map_err(|_| wrong("id"))?,
        status: Status::parse(&row.status).ok_or_else(|| wrong("status"))?,
        confirming: row.goal == mapping::goal_name(Goal::Confirm),
        items,
        total,
        hold_expires_at: row.hold_expires_at.map(Timestamp::from_millis),
        refusal,
        payment,
        version: u64::try_from(row.version).map_err(|_| wrong("version"))?,
        created_at: Timestamp::from_millis(row.created_at),
        updated_at: Timestamp::from_millis(row.updated_at),
        history,
        subject: row.subject,
        note: row.note,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        store::intent::Decider,
        tests::bench::{Bench, now},
    };

    #[tokio::test]
    async fn the_history_is_never_ahead_of_the_status() {
        for bench in Bench::each().await {
            let item = bench.item(1).await;
            let id = bench.accept(&[(item, 1)], None).await;
            let text = format!("SELECT {ROW} FROM reservations r WHERE r.id = $1");
            let store = &bench.store;
            let rows: Vec<Row> =
                store.all(&store.sql.read, text, [id.to_string().into()]).await.expect("its row");
            // Between the row and what belongs to it, its owner cancels.
            let owner = Decider::Owner("usr_test");
            let at = now().plus(Duration::from_millis(1));
            store.decide_cancel(id, owner, None, at).await.expect("cancelled");
            let record = store.complete(rows).await.expect("complete").pop().expect("a record");
            let history: Vec<Status> = record.history.iter().map(|entry| entry.status).collect();
            assert_eq!((record.status, history), (Status::Pending, vec![Status::Pending]));
            let record = store.find_reservation(id).await.expect("read").expect("there");
            assert_eq!((record.status, record.history.len()), (Status::Cancelling, 2));
        }
    }
}
