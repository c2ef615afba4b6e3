//! One transaction of a worker: it checks the fences, reads what is asked about, and writes what was
//! decided. The stock comes last and in sorted order: a hot row is locked for the shortest time, and two
//! workers never wait for one another in a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use haetae_base::{clock::Timestamp, sql::expect_rows};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult};
use serde::Serialize;

use super::{Column, Kind, Store, StoreError, Text, mapping};
use crate::domain::{
    basket::{Basket, Line},
    fence::{Fence, Partition},
    inventory::{ItemId, Movement, Stock},
    payment::{Payment, PaymentState},
    quantity::Quantity,
    reservation::{Refusal, Reservation, ReservationId, State, Status},
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
struct ReservationRow {
    id: String,
    status: String,
    keeps: String,
    goal: String,
    hold_expires_at: Option<i64>,
    version: i64,
    part: i64,
    attempts: i64,
    due_at: Option<i64>,
}

#[derive(FromQueryResult)]
struct LineRow {
    reservation_id: String,
    inventory_id: String,
    quantity: i64,
}

#[derive(FromQueryResult)]
struct PaymentRow {
    id: String,
    reservation_id: String,
    state: String,
    token: String,
    amount_minor: Option<i64>,
    currency: Option<String>,
    reference: Option<String>,
    refusal: Option<String>,
}

#[derive(FromQueryResult)]
struct StockRow {
    id: String,
    quantity: i64,
    available: i64,
    held: i64,
    sold: i64,
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
        let transaction = self.sql.begin_write().await?;
        if self.backend() != DbBackend::Sqlite {
            // A process that is stopped in the middle must not hold its locks for ever.
            let bound = "SET LOCAL idle_in_transaction_session_timeout = '10s'";
            transaction.execute_unprepared(bound).await?;
        }
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

    /// These reservations, which nobody else can change before this transaction ends.
    ///
    /// # Errors
    /// When the database fails or a row makes no sense.
    pub async fn reservations(
        &self,
        wanted: &[ReservationId],
    ) -> Result<HashMap<ReservationId, Loaded>, StoreError> {
        let wanted = ids(wanted)?;
        let want = self.store.table(1, "want", &IDS);
        let rows: Vec<ReservationRow> = self
            .store
            .all(
                &self.transaction,
                format!(
                    "SELECT r.id, r.status, r.keeps, r.goal, r.hold_expires_at, r.version, r.part, \
                     r.attempts, r.due_at FROM {want} CROSS JOIN reservations r WHERE r.id = want.id \
                     ORDER BY r.id{}",
                    self.store.lock(" FOR NO KEY UPDATE OF r")
                ),
                [wanted.clone().into()],
            )
            .await?;
        let lines: Vec<LineRow> = self
            .store
            .all(
                &self.transaction,
                format!(
                    "SELECT i.reservation_id, i.inventory_id, i.quantity FROM {want} \
                     CROSS JOIN reservation_items i WHERE i.reservation_id = want.id \
                     ORDER BY i.reservation_id, i.line"
                ),
                [wanted.clone().into()],
            )
            .await?;
        let payments: Vec<PaymentRow> = self
            .store
            .all(
                &self.transaction,
                format!(
                    "SELECT p.id, p.reservation_id, p.state, p.token, p.amount_minor, p.currency, \
                     p.reference, p.refusal FROM {want} CROSS JOIN payments p \
                     WHERE p.reservation_id = want.id ORDER BY p.id"
                ),
                [wanted.into()],
            )
            .await?;
        assemble(rows, lines, payments)
    }

    /// The stock of these items as it is now. Without `lock` PostgreSQL lets others change it before it
    /// is written; the conditions of [`Self::move_stock`] then find out.
    ///
    /// # Errors
    /// When the database fails or a row makes no sense.
    pub async fn stocks(
        &self,
        items: &BTreeSet<ItemId>,
        lock: bool,
    ) -> Result<HashMap<ItemId, Stock>, StoreError> {
        #[cfg(test)]
        if let Guard::StaleRead(seen) | Guard::Removed(seen) = &self.store.guard
            && !lock
        {
            return Ok(seen.as_ref().clone());
        }
        let rows: Vec<StockRow> = self
            .store
            .all(
                &self.transaction,
                format!(
                    "SELECT v.id, v.quantity, v.available, v.held, v.sold FROM {} \
                     CROSS JOIN inventory v WHERE v.id = want.id ORDER BY v.id{}",
                    self.store.table(1, "want", &IDS),
                    if lock { self.store.lock(" FOR NO KEY UPDATE OF v") } else { "" }
                ),
                [ids(items)?.into()],
            )
            .await?;
        rows.into_iter()
            .map(|row| {
                let inconsistent = |column| StoreError::Inconsistent {
                    table: "inventory",
                    column,
                    id: row.id.clone(),
                };
                let id = row.id.parse().map_err(|_| inconsistent("id"))?;
                let stock = Stock::stored(row.quantity, row.available, row.held, row.sold)
                    .ok_or_else(|| inconsistent("quantity"))?;
                Ok((id, stock))
            })
            .collect()
    }

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
        let events: Vec<super::outbox::NewEvent> = reached
            .iter()
            .map(|(change, reached)| super::outbox::NewEvent::new(change.after.id, reached, now))
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

pub(super) fn hold_end(state: State) -> Option<i64> {
    match state {
        State::Held { until, .. } => Some(until.as_millis()),
        _ => None,
    }
}

fn assemble(
    rows: Vec<ReservationRow>,
    lines: Vec<LineRow>,
    payments: Vec<PaymentRow>,
) -> Result<HashMap<ReservationId, Loaded>, StoreError> {
    let mut baskets: HashMap<String, Vec<Line>> = HashMap::with_capacity(rows.len());
    for line in lines {
        let quantity =
            u32::try_from(line.quantity).ok().and_then(|units| Quantity::new(units).ok());
        let (Ok(item), Some(quantity)) = (line.inventory_id.parse(), quantity) else {
            return Err(StoreError::Inconsistent {
                table: "reservation_items",
                column: "quantity",
                id: line.reservation_id,
            });
        };
        baskets.entry(line.reservation_id).or_default().push(Line { item, quantity });
    }
    let mut paid: HashMap<String, Payment> = HashMap::new();
    for row in payments {
        let payment = payment(&row)?;
        paid.insert(row.reservation_id, payment);
    }
    rows.into_iter()
        .map(|row| {
            let wrong = |column| StoreError::Inconsistent {
                table: "reservations",
                column,
                id: row.id.clone(),
            };
            let id: ReservationId = row.id.parse().map_err(|_| wrong("id"))?;
            let state =
                mapping::state(&row.id, &row.status, &row.keeps, &row.goal, row.hold_expires_at)?;
            let version = u64::try_from(row.version)
                .ok()
                .and_then(Version::new)
                .ok_or_else(|| wrong("version"))?;
            let basket = Basket::new(baskets.remove(&row.id).unwrap_or_default())
                .map_err(|_| wrong("items"))?;
            let loaded = Loaded {
                reservation: Reservation { id, version, state },
                partition: Partition::new(u16::try_from(row.part).map_err(|_| wrong("part"))?),
                basket,
                payment: paid.remove(&row.id),
                attempts: u32::try_from(row.attempts).map_err(|_| wrong("attempts"))?,
                due_at: row.due_at.map(Timestamp::from_millis),
            };
            Ok((id, loaded))
        })
        .collect()
}

fn payment(row: &PaymentRow) -> Result<Payment, StoreError> {
    let wrong = |column| StoreError::Inconsistent { table: "payments", column, id: row.id.clone() };
    Ok(Payment {
        id: row.id.parse().map_err(|_| wrong("id"))?,
        token: row.token.clone(),
        amount: mapping::money("payments", &row.id, row.amount_minor, row.currency.as_deref())?,
        state: PaymentState::parse(&row.state).ok_or_else(|| wrong("state"))?,
        reference: row.reference.clone(),
        refusal: row.refusal.clone(),
    })
}
