//! What a worker's transaction reads: reservations with all that belongs to them, and stock.

use std::collections::{BTreeSet, HashMap};

use haetae_base::clock::Timestamp;
use sea_orm::FromQueryResult;

#[cfg(test)]
use super::Guard;
use super::{BatchTransaction, IDS, Loaded, ids};
use crate::{
    domain::{
        basket::{Basket, Line},
        fence::Partition,
        inventory::{ItemId, Stock},
        payment::{Payment, PaymentState},
        quantity::Quantity,
        reservation::{Reservation, ReservationId},
        version::Version,
    },
    store::{StoreError, mapping},
};

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

impl BatchTransaction {
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
