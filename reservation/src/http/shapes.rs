//! What the API says: the shapes of its answers.

use haetae_base::clock::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::refusal_problem;
use crate::{
    domain::{money::Money, payment::PaymentState, reservation::Status},
    store::{
        accept::Accepted,
        inventory::InventoryItem,
        reservations::{HistoryEntry, Record},
    },
};

/// An inventory item.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ItemShape {
    /// `inv_…`
    pub(crate) id: String,
    /// The seller's own key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sku: Option<String>,
    /// What it is called.
    pub(crate) name: String,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// All units.
    pub(crate) quantity: u32,
    /// Units that can be reserved.
    pub(crate) available: u32,
    /// Units that reservations hold which are not confirmed yet.
    pub(crate) held: u32,
    /// Grows with every change; the `ETag` is made of it.
    pub(crate) version: u64,
    /// What one unit costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) price: Option<MoneyShape>,
    /// When it takes place (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) starts_at: Option<String>,
    /// Whatever else is known about it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub(crate) attributes: Map<String, Value>,
}

/// An amount of money.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct MoneyShape {
    /// In minor units.
    pub(crate) amount_minor: i64,
    /// ISO 4217.
    pub(crate) currency: String,
}

/// A page of items.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ItemPage {
    /// The items.
    pub(crate) items: Vec<ItemShape>,
    /// Where the next page begins; `null` on the last one.
    pub(crate) next_cursor: Option<String>,
}

/// A reservation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReservationShape {
    /// `rsv_…`
    pub(crate) id: String,
    /// Where it is.
    pub(crate) status: Status,
    /// What is in it.
    pub(crate) items: Vec<LineShape>,
    /// What it costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<MoneyShape>,
    /// What its owner added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// What is known about the payment, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payment: Option<PaymentShape>,
    /// Until when the stock is kept, while it is held (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub(crate) hold_expires_at: Option<String>,
    /// Grows with every change.
    pub(crate) version: u64,
    /// When it was accepted (RFC 3339).
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// When it changed last (RFC 3339).
    #[schema(format = DateTime)]
    pub(crate) updated_at: String,
    /// Why it did not come about (RFC 9457).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(crate) problem: Option<Value>,
    /// What happened, in order.
    pub(crate) history: Vec<HistoryShape>,
}

/// A line of a reservation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct LineShape {
    /// `inv_…`
    pub(crate) inventory_id: String,
    /// How many.
    pub(crate) quantity: u32,
}

/// A payment.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PaymentShape {
    /// `started`, `declined`, `authorized`, `capture_refused`, `captured`, `voided` or `refunded`.
    pub(crate) status: &'static str,
}

/// A state that was reached.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HistoryShape {
    /// The state.
    pub(crate) status: Status,
    /// When (RFC 3339).
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// A page of reservations.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ReservationPage {
    /// The reservations, the newest first.
    pub(crate) items: Vec<ReservationShape>,
    /// Where the next page begins; `null` on the last one.
    pub(crate) next_cursor: Option<String>,
}

impl From<Money> for MoneyShape {
    fn from(money: Money) -> Self {
        Self { amount_minor: money.minor(), currency: money.currency().into() }
    }
}

impl From<InventoryItem> for ItemShape {
    fn from(item: InventoryItem) -> Self {
        Self {
            id: item.id.to_string(),
            sku: item.about.sku,
            name: item.about.name,
            description: item.about.description,
            quantity: item.stock.quantity(),
            available: item.stock.available(),
            held: item.stock.held(),
            version: item.version.get(),
            price: item.about.price.map(Into::into),
            starts_at: item.about.starts_at.map(Timestamp::to_rfc3339),
            attributes: item.about.attributes,
        }
    }
}

impl From<HistoryEntry> for HistoryShape {
    fn from(entry: HistoryEntry) -> Self {
        Self { status: entry.status, at: entry.at.to_rfc3339(), reason: entry.reason }
    }
}

impl From<Record> for ReservationShape {
    fn from(record: Record) -> Self {
        let problem = record
            .refusal
            .as_ref()
            .and_then(|refusal| serde_json::from_str(&refusal_problem(refusal).to_json()).ok());
        let items = record
            .items
            .into_iter()
            .map(|line| LineShape { inventory_id: line.item.to_string(), quantity: line.quantity });
        Self {
            id: record.id.to_string(),
            status: record.status,
            items: items.collect(),
            total: record.total.map(Into::into),
            note: record.note,
            payment: record.payment.map(Into::into),
            hold_expires_at: record.hold_expires_at.map(Timestamp::to_rfc3339),
            version: record.version,
            created_at: record.created_at.to_rfc3339(),
            updated_at: record.updated_at.to_rfc3339(),
            problem,
            history: record.history.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<PaymentState> for PaymentShape {
    fn from(state: PaymentState) -> Self {
        Self { status: state.as_str() }
    }
}

impl From<&Accepted> for ReservationShape {
    fn from(accepted: &Accepted) -> Self {
        let request = &accepted.request;
        let at = accepted.at.to_rfc3339();
        let items = request.basket.lines().iter().map(|line| LineShape {
            inventory_id: line.item.to_string(),
            quantity: line.quantity.get(),
        });
        Self {
            id: request.id.to_string(),
            status: Status::Pending,
            items: items.collect(),
            total: accepted.total.map(Into::into),
            note: request.note.clone(),
            payment: request.payment_token.as_ref().map(|_| PaymentState::Started.into()),
            hold_expires_at: None,
            version: 1,
            created_at: at.clone(),
            updated_at: at.clone(),
            problem: None,
            history: vec![HistoryShape { status: Status::Pending, at, reason: None }],
        }
    }
}
