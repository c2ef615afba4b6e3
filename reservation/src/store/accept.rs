//! Accepting many requests in one transaction: keys, reservations, lines, payments, history and events,
//! one statement each however many there are.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    num::NonZeroU32,
    time::Duration,
};

use haetae_base::{clock::Timestamp, sql::expect_rows};
use sea_orm::{DatabaseTransaction, FromQueryResult};
use serde::Serialize;

use super::{
    Column, Kind, Store, StoreError, Text,
    batch::{Reached, ids},
    idempotency::{Answer, UsedKey, UsedKeys},
    mapping,
    outbox::NewEvent,
};
use crate::domain::{
    basket::Basket,
    fence::Partition,
    inventory::ItemId,
    money::{InvalidMoney, Money},
    payment::PaymentId,
    reservation::{Reservation, ReservationId},
};

/// A request for a reservation, checked as far as it can be without looking anything up.
#[derive(Clone, Debug)]
pub struct NewReservation {
    /// The id that it will have.
    pub id: ReservationId,
    /// Who it is for.
    pub subject: String,
    /// The client that asks on their behalf.
    pub client_id: String,
    /// What is wanted.
    pub basket: Basket,
    /// Whose work it is.
    pub partition: Partition,
    /// What stands for the card, if it is to be paid at once.
    pub payment_token: Option<String>,
    /// What the person adds.
    pub note: Option<String>,
    /// The idempotency key and the fingerprint of the request.
    pub key: IdempotencyKey,
}

/// An idempotency key with the request that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// As the client sent it.
    pub key: String,
    /// A hash of everything that makes the request the same.
    pub fingerprint: String,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Acceptance {
    /// It is written down; a worker will look at it.
    Accepted(Accepted),
    /// Its key was used before.
    KnownKey(UsedKey),
    /// It can never be fulfilled.
    Refused(AcceptRefusal),
}

/// A reservation that was written down.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// As requested.
    pub request: NewReservation,
    /// What it costs, if anything in it has a price.
    pub total: Option<Money>,
    /// When.
    pub at: Timestamp,
}

/// Why a request can never be fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptRefusal {
    /// There are no such items.
    #[error("no such inventory item")]
    UnknownItems(Vec<ItemId>),
    /// The prices do not add up.
    #[error("the prices of the items cannot be added: {0}")]
    Price(InvalidMoney),
    /// With it the person would have more units open than anybody may.
    #[error("{open} units are open and {wanted} more are wanted, of {most} at most")]
    TooManyOpen {
        /// The units in their reservations that are not confirmed yet.
        open: u64,
        /// The units of the request.
        wanted: u64,
        /// How many may be open.
        most: NonZeroU32,
    },
}

/// What holds for every request that is accepted.
#[derive(Clone, Copy, Debug)]
pub struct AcceptRules {
    /// How long a worker leaves a reservation to the queue before it looks in SQL.
    pub grace: Duration,
    /// How many units a person may have in reservations that are not confirmed yet; `None`: any number.
    pub max_open: Option<NonZeroU32>,
}

/// What is answered at once, if the client does not want to wait; it is kept with the key.
pub type AnswerNow = fn(&Accepted) -> Result<Answer, serde_json::Error>;

/// A request with what is to be answered at once.
#[derive(Clone, Debug)]
pub struct AcceptRequest {
    /// The request.
    pub new: NewReservation,
    /// `None` when the client waits for the outcome.
    pub answer: Option<AnswerNow>,
}

#[derive(FromQueryResult)]
struct PriceRow {
    id: String,
    price_minor: Option<i64>,
    currency: Option<String>,
}

type Prices = HashMap<ItemId, Option<Money>>;

/// A request that is good so far, with its place among the others.
type Claim = (usize, Accepted, Option<AnswerNow>);

impl Store {
    /// Writes the requests down in one transaction. The answers are in the order of the requests.
    ///
    /// # Errors
    /// When the database fails: then none of them is written.
    pub async fn accept(
        &self,
        requests: Vec<AcceptRequest>,
        rules: AcceptRules,
        now: Timestamp,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let transaction = self.begin_write().await?;
        let prices = self.prices(&transaction, &requests).await?;
        let mut outcomes: Vec<Option<Acceptance>> = Vec::with_capacity(requests.len());
        let mut good = Vec::with_capacity(requests.len());
        for (place, request) in requests.into_iter().enumerate() {
            match total(&request.new.basket, &prices) {
                Ok(total) => {
                    outcomes.push(None);
                    let answer = request.answer;
                    good.push((place, Accepted { request: request.new, total, at: now }, answer));
                }
                Err(refusal) => outcomes.push(Some(Acceptance::Refused(refusal))),
            }
        }
        if let Some(most) = rules.max_open {
            good = self.within_bound(&transaction, good, most, &mut outcomes).await?;
        }
        let won = self.claim_keys(&transaction, &good, now).await?;
        let is_won = |new: &Accepted| won.contains(&new.request.id.to_string());
        let lost = good.iter().map(|(_, new, _)| new).filter(|new| !is_won(new));
        let used = self.find_keys(&transaction, lost.map(subject_and_key)).await?;
        let mut accepted = Vec::with_capacity(good.len());
        for (place, new, _) in good {
            let outcome = if is_won(&new) {
                accepted.push(new.clone());
                Acceptance::Accepted(new)
            } else {
                let known = known(&used, &new).ok_or_else(|| StoreError::Inconsistent {
                    table: "idempotency_keys",
                    column: "idempotency_key",
                    id: new.request.key.key.clone(),
                })?;
                Acceptance::KnownKey(known)
            };
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = Some(outcome);
            }
        }
        if !accepted.is_empty() {
            self.insert_reservations(&transaction, &accepted, now.plus(rules.grace)).await?;
            self.insert_lines(&transaction, &accepted).await?;
            self.insert_payments(&transaction, &accepted).await?;
            self.insert_beginnings(&transaction, &accepted, now).await?;
        }
        transaction.commit().await?;
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// The requests that leave their person within the bound. To one that does not, whatever was done
    /// with its key before is still the answer.
    async fn within_bound(
        &self,
        transaction: &DatabaseTransaction,
        good: Vec<Claim>,
        most: NonZeroU32,
        outcomes: &mut [Option<Acceptance>],
    ) -> Result<Vec<Claim>, StoreError> {
        let subjects = good.iter().map(|(_, new, _)| new.request.subject.as_str()).collect();
        let mut open = self.open_units(transaction, subjects, most).await?;
        let (mut within, mut refused) = (Vec::with_capacity(good.len()), Vec::new());
        for claim in good {
            match open.take(&claim.1.request) {
                Ok(()) => within.push(claim),
                Err(refusal) => refused.push((claim, refusal)),
            }
        }
        let keys = refused.iter().map(|((_, new, _), _)| subject_and_key(new));
        let used = self.find_keys(transaction, keys).await?;
        for ((place, new, _), refusal) in refused {
            let known = known(&used, &new);
            if let Some(slot) = outcomes.get_mut(place) {
                *slot = Some(known.map_or(Acceptance::Refused(refusal), Acceptance::KnownKey));
            }
        }
        Ok(within)
    }

    async fn prices(
        &self,
        transaction: &DatabaseTransaction,
        requests: &[AcceptRequest],
    ) -> Result<Prices, StoreError> {
        let wanted: BTreeSet<ItemId> = requests
            .iter()
            .flat_map(|request| request.new.basket.lines())
            .map(|line| line.item)
            .collect();
        let rows: Vec<PriceRow> = self
            .all(
                transaction,
                format!(
                    "SELECT v.id, v.price_minor, v.currency FROM {} CROSS JOIN inventory v \
                     WHERE v.id = want.id",
                    self.table(1, "want", &[("id", Kind::Text)])
                ),
                [ids(wanted)?.into()],
            )
            .await?;
        rows.into_iter()
            .map(|row| {
                let price =
                    mapping::money("inventory", &row.id, row.price_minor, row.currency.as_deref())?;
                let id = row.id.parse().map_err(|_| StoreError::Inconsistent {
                    table: "inventory",
                    column: "id",
                    id: row.id.clone(),
                })?;
                Ok((id, price))
            })
            .collect()
    }

    /// Writes the keys; those that somebody else has already are left out of what is returned.
    async fn claim_keys(
        &self,
        transaction: &DatabaseTransaction,
        good: &[Claim],
        now: Timestamp,
    ) -> Result<HashSet<String>, StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            subject: &'a str,
            idempotency_key: &'a str,
            fingerprint: &'a str,
            reservation_id: ReservationId,
            answer_status: Option<u16>,
            answer: Option<String>,
        }
        const COLUMNS: [Column; 6] = [
            ("subject", Kind::Text),
            ("idempotency_key", Kind::Text),
            ("fingerprint", Kind::Text),
            ("reservation_id", Kind::Text),
            ("answer_status", Kind::Number),
            ("answer", Kind::Text),
        ];
        if good.is_empty() {
            return Ok(HashSet::new());
        }
        // Sorted, so that two processes that claim the same keys never wait for one another in a circle.
        let mut sorted: Vec<_> = good.iter().collect();
        sorted.sort_by_key(|(_, new, _)| (&new.request.subject, &new.request.key.key));
        let rows = sorted
            .into_iter()
            .map(|(_, new, answer)| {
                let answer = answer.map(|answer| answer(new)).transpose()?;
                Ok(Row {
                    subject: &new.request.subject,
                    idempotency_key: &new.request.key.key,
                    fingerprint: &new.request.key.fingerprint,
                    reservation_id: new.request.id,
                    answer_status: answer.as_ref().map(|answer| answer.status),
                    answer: answer.map(|answer| answer.body),
                })
            })
            .collect::<Result<Vec<_>, serde_json::Error>>()?;
        let won: Vec<Text> = self
            .all(
                transaction,
                format!(
                    "INSERT INTO idempotency_keys (subject, idempotency_key, fingerprint, \
                     reservation_id, answer_status, answer, created_at) \
                     SELECT w.subject, w.idempotency_key, w.fingerprint, w.reservation_id, \
                     w.answer_status, w.answer, $2 FROM {} WHERE true \
                     ON CONFLICT DO NOTHING RETURNING reservation_id AS text",
                    self.table(1, "w", &COLUMNS)
                ),
                [serde_json::to_string(&rows)?.into(), now.as_millis().into()],
            )
            .await?;
        Ok(won.into_iter().map(|row| row.text).collect())
    }

    async fn insert_reservations(
        &self,
        transaction: &DatabaseTransaction,
        accepted: &[Accepted],
        due_at: Timestamp,
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row<'a> {
            id: ReservationId,
            subject: &'a str,
            client_id: &'a str,
            part: u16,
            total_minor: Option<i64>,
            currency: Option<String>,
            note: Option<&'a str>,
            at: i64,
        }
        const COLUMNS: [Column; 8] = [
            ("id", Kind::Text),
            ("subject", Kind::Text),
            ("client_id", Kind::Text),
            ("part", Kind::Number),
            ("total_minor", Kind::Number),
            ("currency", Kind::Text),
            ("note", Kind::Text),
            ("at", Kind::Number),
        ];
        let rows: Vec<Row<'_>> = accepted
            .iter()
            .map(|new| Row {
                id: new.request.id,
                subject: &new.request.subject,
                client_id: &new.request.client_id,
                part: new.request.partition.number(),
                total_minor: new.total.map(Money::minor),
                currency: new.total.map(|total| total.currency().into()),
                note: new.request.note.as_deref(),
                at: new.at.as_millis(),
            })
            .collect();
        let written = self
            .execute(
                transaction,
                format!(
                    "INSERT INTO reservations (id, subject, client_id, status, keeps, goal, part, \
                     version, total_minor, currency, note, due_at, attempts, created_at, updated_at) \
                     SELECT w.id, w.subject, w.client_id, 'pending', 'nothing', 'wait', w.part, 1, \
                     w.total_minor, w.currency, w.note, $2, 0, w.at, w.at FROM {}",
                    self.table(1, "w", &COLUMNS)
                ),
                [serde_json::to_string(&rows)?.into(), due_at.as_millis().into()],
            )
            .await?;
        Ok(expect_rows(rows.len() as u64, written)?)
    }

    async fn insert_lines(
        &self,
        transaction: &DatabaseTransaction,
        accepted: &[Accepted],
    ) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Row {
            id: ReservationId,
            line: usize,
            item: ItemId,
            quantity: u32,
        }
        const COLUMNS: [Column; 4] = [
            ("id", Kind::Text),
            ("line", Kind::Number),
            ("item", Kind::Text),
            ("quantity", Kind::Number),
        ];
        let rows: Vec<Row> = accepted
            .iter()
            .flat_map(|new| {
                new.request.basket.lines().iter().enumerate().map(|(line, of)| Row {
                    id: new.request.id,
                    line,
                    item: of.item,
                    quantity: of.quantity.get(),
                })
            })
            .collect();
        let written = self
            .execute(
                transaction,
                format!(
                    "INSERT INTO reservation_items (reservation_id, line, inventory_id, quantity) \
                     SELECT w.id, w.line, w.item, w.quantity FROM {}",
                    self.table(1, "w", &COLUMNS)
                ),
                [serde_json::to_string(&rows)?.into()],
            )
            .await?;
        Ok(expect_rows(rows.len() as u64, written)?)
    }

    async fn insert_payments(
        &self,
        transaction: &DatabaseTransaction,
        accepted: &[Accepted],
    ) -> Result<(), StoreError> {
        let payments: Vec<NewPayment<'_>> = accepted
            .iter()
            .filter_map(|new| {
                let token = new.request.payment_token.as_deref()?;
                Some(NewPayment::new(new.request.id, token, new.total, new.at))
            })
            .collect();
        self.insert_new_payments(transaction, &payments).await
    }

    pub(super) async fn insert_new_payments(
        &self,
        transaction: &DatabaseTransaction,
        payments: &[NewPayment<'_>],
    ) -> Result<(), StoreError> {
        const COLUMNS: [Column; 6] = [
            ("id", Kind::Text),
            ("reservation_id", Kind::Text),
            ("token", Kind::Text),
            ("amount_minor", Kind::Number),
            ("currency", Kind::Text),
            ("at", Kind::Number),
        ];
        if payments.is_empty() {
            return Ok(());
        }
        let written = self
            .execute(
                transaction,
                format!(
                    "INSERT INTO payments (id, reservation_id, state, token, amount_minor, currency, \
                     created_at, updated_at) SELECT w.id, w.reservation_id, 'started', w.token, \
                     w.amount_minor, w.currency, w.at, w.at FROM {}",
                    self.table(1, "w", &COLUMNS)
                ),
                [serde_json::to_string(payments)?.into()],
            )
            .await?;
        Ok(expect_rows(payments.len() as u64, written)?)
    }

    /// The first line of each history, and the first event.
    async fn insert_beginnings(
        &self,
        transaction: &DatabaseTransaction,
        accepted: &[Accepted],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let written = self
            .execute(
                transaction,
                format!(
                    "INSERT INTO reservation_history (reservation_id, version, status, at) \
                     SELECT w.id, 1, 'pending', $2 FROM {}",
                    self.table(1, "w", &[("id", Kind::Text)])
                ),
                [ids(accepted.iter().map(|new| new.request.id))?.into(), now.as_millis().into()],
            )
            .await?;
        expect_rows(accepted.len() as u64, written)?;
        let events = accepted
            .iter()
            .map(|new| {
                let Reservation { version, state, .. } = Reservation::accepted(new.request.id);
                NewEvent::new(new.request.id, &Reached { version, state, reason: None }, now)
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.append_events(transaction, &events, now).await
    }
}

/// A payment attempt that begins.
#[derive(Serialize)]
pub(super) struct NewPayment<'a> {
    id: PaymentId,
    reservation_id: ReservationId,
    token: &'a str,
    amount_minor: Option<i64>,
    currency: Option<String>,
    at: i64,
}

impl<'a> NewPayment<'a> {
    pub(super) fn new(
        reservation: ReservationId,
        token: &'a str,
        amount: Option<Money>,
        now: Timestamp,
    ) -> Self {
        Self {
            id: PaymentId::new(now),
            reservation_id: reservation,
            token,
            amount_minor: amount.map(Money::minor),
            currency: amount.map(|amount| amount.currency().into()),
            at: now.as_millis(),
        }
    }
}

fn subject_and_key(new: &Accepted) -> (&str, &str) {
    (&new.request.subject, &new.request.key.key)
}

/// What the key of this request stands for already.
fn known(used: &UsedKeys, new: &Accepted) -> Option<UsedKey> {
    used.get(&(new.request.subject.clone(), new.request.key.key.clone())).cloned()
}

/// What the basket costs: the sum of what has a price.
fn total(basket: &Basket, prices: &Prices) -> Result<Option<Money>, AcceptRefusal> {
    let unknown: Vec<ItemId> = basket
        .lines()
        .iter()
        .map(|line| line.item)
        .filter(|item| !prices.contains_key(item))
        .collect();
    if !unknown.is_empty() {
        return Err(AcceptRefusal::UnknownItems(unknown));
    }
    let mut sum: Option<Money> = None;
    for line in basket.lines() {
        let Some(price) = prices.get(&line.item).copied().flatten() else { continue };
        let cost = price.times(line.quantity.get()).map_err(AcceptRefusal::Price)?;
        sum = Some(match sum {
            None => cost,
            Some(sum) => sum.plus(cost).map_err(AcceptRefusal::Price)?,
        });
    }
    Ok(sum)
}
