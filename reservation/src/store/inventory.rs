//! Inventory items: one by one. What moves their stock is [`super::batch`]; finding them is
//! [`super::search`].

use haetae_base::{clock::Timestamp, sql::expect_rows};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult, SqlErr, Value};
use serde_json::{Map, Value as Json};

use super::{Store, StoreError, mapping, search};
use crate::domain::{
    inventory::{ItemId, Stock, StockError},
    money::Money,
    version::Version,
};

/// What an item is, apart from its stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The seller's own key for it, unique.
    pub sku: Option<String>,
    /// What it is called.
    pub name: String,
    /// More about it.
    pub description: Option<String>,
    /// What one unit costs.
    pub price: Option<Money>,
    /// When it takes place.
    pub starts_at: Option<Timestamp>,
    /// Whatever else is known about it.
    pub attributes: Map<String, Json>,
}

/// An inventory item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryItem {
    /// Its id.
    pub id: ItemId,
    /// Its place in lists.
    pub num: i64,
    /// What it is.
    pub about: Description,
    /// Its units.
    pub stock: Stock,
    /// Grows with every change, of the stock too.
    pub version: Version,
}

impl InventoryItem {
    /// How much memory it takes, in bytes: about, and rather more than less.
    pub(crate) fn size(&self) -> usize {
        let about = &self.about;
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let texts = text(&about.sku) + about.name.len() + text(&about.description);
        size_of::<Self>() + texts + members(&about.attributes)
    }
}

/// How much memory members take, with what the map needs for each.
fn members(map: &Map<String, Json>) -> usize {
    const EACH: usize = 96;
    map.iter().map(|(name, value)| EACH + name.len() + json_size(value)).sum()
}

fn json_size(value: &Json) -> usize {
    let inside = match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len(),
        Json::Array(values) => values.iter().map(json_size).sum(),
        Json::Object(map) => members(map),
    };
    size_of::<Json>() + inside
}

/// The most attributes.
pub const MAX_ATTRIBUTES: usize = 64;
/// All attributes together, in bytes of JSON.
pub const MAX_ATTRIBUTES_BYTES: usize = 16 * 1024;

/// About how many bytes of JSON this is. `None` when there is a NUL in it: PostgreSQL has no such text.
pub(crate) fn weigh_attributes(attributes: &Map<String, Json>) -> Option<usize> {
    fn text(text: &str) -> Option<usize> {
        if text.as_bytes().contains(&0) { None } else { Some(text.len() + 3) }
    }
    fn value(of: &Json) -> Option<usize> {
        match of {
            Json::Null | Json::Bool(_) => Some(6),
            Json::Number(_) => Some(20),
            Json::String(of) => text(of),
            Json::Object(members) => weigh_attributes(members),
            Json::Array(values) => {
                values.iter().try_fold(2_usize, |sum, of| Some(sum + value(of)?))
            }
        }
    }
    let members = attributes.iter();
    members.into_iter().try_fold(2_usize, |sum, (name, of)| Some(sum + text(name)? + value(of)?))
}

/// Whether attributes are within their bounds.
pub(crate) fn attributes_fit(attributes: &Map<String, Json>) -> bool {
    attributes.len() <= MAX_ATTRIBUTES
        && weigh_attributes(attributes).is_some_and(|bytes| bytes <= MAX_ATTRIBUTES_BYTES)
}

/// A change of an item: what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemPatch {
    /// The seller's own key.
    pub sku: Option<Option<String>>,
    /// What it is called.
    pub name: Option<String>,
    /// More about it.
    pub description: Option<Option<String>>,
    /// All units; what is held and sold stays.
    pub quantity: Option<u32>,
    /// What one unit costs.
    pub price: Option<Option<Money>>,
    /// When it takes place.
    pub starts_at: Option<Option<Timestamp>>,
    /// Attributes to merge (RFC 7396); none instead of them removes all.
    pub attributes: Option<Option<Map<String, Json>>>,
}

/// Why an item cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteItemError {
    /// There is no such item.
    #[error("no such inventory item")]
    NotFound,
    /// Somebody else changed it.
    #[error("the item is at version {0} now")]
    Stale(Version),
    /// Another item has that sku.
    #[error("another item has this sku")]
    SkuTaken,
    /// The quantity is out of bounds.
    #[error(transparent)]
    Stock(#[from] StockError),
    /// With those that were there already, there are too many attributes.
    #[error(
        "an item has at most {MAX_ATTRIBUTES} attributes and {MAX_ATTRIBUTES_BYTES} bytes of them"
    )]
    Attributes,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DbErr> for WriteItemError {
    fn from(error: DbErr) -> Self {
        // The id is new and random, so the only unique column that can collide is the sku.
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::SkuTaken,
            _ => Self::Store(error.into()),
        }
    }
}

#[derive(FromQueryResult)]
pub(super) struct ItemRow {
    num: i64,
    id: String,
    sku: Option<String>,
    name: String,
    description: Option<String>,
    quantity: i64,
    available: i64,
    held: i64,
    sold: i64,
    version: i64,
    price_minor: Option<i64>,
    currency: Option<String>,
    starts_at: Option<i64>,
    attributes: Option<String>,
}

pub(super) const ITEM: &str = "v.num, v.id, v.sku, v.name, v.description, v.quantity, v.available, \
     v.held, v.sold, v.version, v.price_minor, v.currency, v.starts_at, v.attributes";

impl Store {
    /// The item of this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_item(&self, id: ItemId) -> Result<Option<InventoryItem>, StoreError> {
        self.item_on(&self.sql.read, id, "").await
    }

    async fn item_on(
        &self,
        on: &impl ConnectionTrait,
        id: ItemId,
        lock: &str,
    ) -> Result<Option<InventoryItem>, StoreError> {
        let row: Option<ItemRow> = self
            .one(
                on,
                format!("SELECT {ITEM} FROM inventory v WHERE v.id = $1{lock}"),
                [id.to_string().into()],
            )
            .await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Writes a new item down.
    ///
    /// # Errors
    /// [`WriteItemError::SkuTaken`], or when the database fails.
    pub async fn create_item(
        &self,
        about: Description,
        stock: Stock,
        now: Timestamp,
    ) -> Result<InventoryItem, WriteItemError> {
        let id = ItemId::new(now);
        let transaction = self.begin_write().await?;
        let quantity = i64::from(stock.quantity());
        let mut values: Vec<Value> = vec![id.to_string().into(), quantity.into()];
        values.extend(columns(&about).map_err(StoreError::from)?);
        values.push(now.as_millis().into());
        let written = self
            .execute(
                &transaction,
                "INSERT INTO inventory (id, quantity, available, held, sold, version, sku, name, \
                 description, price_minor, currency, starts_at, attributes, terms, created_at, \
                 updated_at) VALUES ($1, $2, $2, 0, 0, 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
                values,
            )
            .await?;
        expect_rows(1, written).map_err(StoreError::from)?;
        let item = self.item_on(&transaction, id, "").await?.ok_or(WriteItemError::NotFound)?;
        transaction.commit().await?;
        Ok(item)
    }

    /// Changes an item that is still at version `expected`.
    ///
    /// # Errors
    /// [`WriteItemError`].
    pub async fn patch_item(
        &self,
        id: ItemId,
        expected: Version,
        patch: ItemPatch,
        now: Timestamp,
    ) -> Result<InventoryItem, WriteItemError> {
        let transaction = self.begin_write().await?;
        let lock = self.lock(" FOR NO KEY UPDATE OF v");
        let item = self.item_on(&transaction, id, lock).await?.ok_or(WriteItemError::NotFound)?;
        if item.version != expected {
            return Err(WriteItemError::Stale(item.version));
        }
        let stock = match patch.quantity {
            Some(quantity) => item.stock.resize(quantity)?,
            None => item.stock,
        };
        let about = patch.onto(item.about);
        if !attributes_fit(&about.attributes) {
            return Err(WriteItemError::Attributes);
        }
        let mut values: Vec<Value> = vec![
            id.to_string().into(),
            i64::from(stock.quantity()).into(),
            i64::from(stock.available()).into(),
            i64::try_from(expected.get()).unwrap_or(i64::MAX).into(),
            now.as_millis().into(),
        ];
        values.extend(columns(&about).map_err(StoreError::from)?);
        let changed = self
            .execute(
                &transaction,
                "UPDATE inventory SET quantity = $2, available = $3, version = version + 1, \
                 updated_at = $5, sku = $6, name = $7, description = $8, price_minor = $9, \
                 currency = $10, starts_at = $11, attributes = $12, terms = $13 \
                 WHERE id = $1 AND version = $4",
                values,
            )
            .await?;
        expect_rows(1, changed).map_err(StoreError::from)?;
        let item = self.item_on(&transaction, id, "").await?.ok_or(WriteItemError::NotFound)?;
        transaction.commit().await?;
        Ok(item)
    }
}

impl ItemPatch {
    fn onto(self, mut about: Description) -> Description {
        about.sku = self.sku.unwrap_or(about.sku);
        about.name = self.name.unwrap_or(about.name);
        about.description = self.description.unwrap_or(about.description);
        about.price = self.price.unwrap_or(about.price);
        about.starts_at = self.starts_at.unwrap_or(about.starts_at);
        match self.attributes {
            None => {}
            Some(None) => about.attributes.clear(),
            Some(Some(patch)) => merge(&mut about.attributes, patch),
        }
        about
    }
}

/// A merge patch (RFC 7396 2).
fn merge(target: &mut Map<String, Json>, patch: Map<String, Json>) {
    for (name, value) in patch {
        match value {
            Json::Null => {
                target.remove(&name);
            }
            Json::Object(inner) => {
                let place = target.entry(name).or_insert(Json::Null);
                if !place.is_object() {
                    *place = Json::Object(Map::new());
                }
                if let Json::Object(place) = place {
                    merge(place, inner);
                }
            }
            value => {
                target.insert(name, value);
            }
        }
    }
}

/// The columns `sku` to `terms`, in the order of both statements.
fn columns(about: &Description) -> Result<[Value; 8], serde_json::Error> {
    Ok([
        about.sku.clone().into(),
        about.name.clone().into(),
        about.description.clone().into(),
        about.price.map(Money::minor).into(),
        about.price.map(|price| String::from(price.currency())).into(),
        about.starts_at.map(Timestamp::as_millis).into(),
        attributes_column(&about.attributes)?.into(),
        search::terms(about).into(),
    ])
}

pub(crate) fn attributes_column(
    attributes: &Map<String, Json>,
) -> Result<Option<String>, serde_json::Error> {
    if attributes.is_empty() { Ok(None) } else { serde_json::to_string(attributes).map(Some) }
}

impl TryFrom<ItemRow> for InventoryItem {
    type Error = StoreError;

    fn try_from(row: ItemRow) -> Result<Self, StoreError> {
        let wrong =
            |column| StoreError::Inconsistent { table: "inventory", column, id: row.id.clone() };
        let price = mapping::money("inventory", &row.id, row.price_minor, row.currency.as_deref())?;
        let attributes = match &row.attributes {
            Some(text) => serde_json::from_str(text).map_err(|_| wrong("attributes"))?,
            None => Map::new(),
        };
        Ok(Self {
            id: row.id.parse().map_err(|_| wrong("id"))?,
            num: row.num,
            stock: Stock::stored(row.quantity, row.available, row.held, row.sold)
                .ok_or_else(|| wrong("quantity"))?,
            version: u64::try_from(row.version)
                .ok()
                .and_then(Version::new)
                .ok_or_else(|| wrong("version"))?,
            about: Description {
                sku: row.sku,
                name: row.name,
                description: row.description,
                price,
                starts_at: row.starts_at.map(Timestamp::from_millis),
                attributes,
            },
        })
    }
}
