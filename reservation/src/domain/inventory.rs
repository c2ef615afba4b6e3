//! An inventory item's stock: how many there are, and where each of them is.

use haetae_base::id::{Id, Kind};
use serde::{Deserialize, Serialize};

/// Marks the ids of inventory items (`inv_…`).
#[derive(Clone, Copy, Debug)]
pub struct Item;

impl Kind for Item {
    const PREFIX: &'static str = "inv";
}

/// The id of an inventory item.
pub type ItemId = Id<Item>;

/// The units of one item. `quantity = available + held + sold`, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    available: u32,
    held: u32,
    sold: u32,
}

/// What may not happen to stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StockError {
    /// More is wanted than there is.
    #[error("{wanted} wanted, {available} available")]
    Shortage {
        /// How many were wanted.
        wanted: u32,
        /// How many there are.
        available: u32,
    },
    /// More is given back or sold than was held or sold: a reservation and the stock contradict each
    /// other.
    #[error("more units move than are there to be moved")]
    Contradiction,
    /// A quantity below what is held and sold, or above [`Stock::MAX`].
    #[error("the quantity must be from {least} (held and sold) to {}", Stock::MAX)]
    Resize {
        /// What is held and sold.
        least: u32,
    },
}

impl Stock {
    /// The largest quantity of an item.
    pub const MAX: u32 = 1_000_000_000;

    /// `quantity` units, all of them available.
    ///
    /// # Errors
    /// [`StockError::Resize`] above [`Stock::MAX`].
    pub const fn new(quantity: u32) -> Result<Self, StockError> {
        if quantity > Self::MAX {
            return Err(StockError::Resize { least: 0 });
        }
        Ok(Self { available: quantity, held: 0, sold: 0 })
    }

    /// The stock as it was stored. `None` when the numbers contradict one another.
    pub fn stored(quantity: i64, available: i64, held: i64, sold: i64) -> Option<Self> {
        let stock = Self {
            available: u32::try_from(available).ok()?,
            held: u32::try_from(held).ok()?,
            sold: u32::try_from(sold).ok()?,
        };
        (i64::from(stock.quantity()) == quantity).then_some(stock)
    }

    /// All units.
    pub const fn quantity(self) -> u32 {
        self.available.saturating_add(self.held).saturating_add(self.sold)
    }

    /// Units that can be reserved.
    pub const fn available(self) -> u32 {
        self.available
    }

    /// Units that a reservation holds.
    pub const fn held(self) -> u32 {
        self.held
    }

    /// Units of confirmed reservations.
    pub const fn sold(self) -> u32 {
        self.sold
    }

    /// Available units become held.
    ///
    /// # Errors
    /// [`StockError::Shortage`] when there are fewer.
    pub fn hold(self, units: u32) -> Result<Self, StockError> {
        let available = self.available.checked_sub(units);
        let shortage = StockError::Shortage { wanted: units, available: self.available };
        Ok(Self { available: available.ok_or(shortage)?, held: self.held + units, ..self })
    }

    /// Held units become available again.
    ///
    /// # Errors
    /// [`StockError::Contradiction`] when fewer are held.
    pub fn release(self, units: u32) -> Result<Self, StockError> {
        let held = self.held.checked_sub(units).ok_or(StockError::Contradiction)?;
        Ok(Self { available: self.available + units, held, ..self })
    }

    /// Held units are sold.
    ///
    /// # Errors
    /// [`StockError::Contradiction`] when fewer are held.
    pub fn sell(self, units: u32) -> Result<Self, StockError> {
        let held = self.held.checked_sub(units).ok_or(StockError::Contradiction)?;
        Ok(Self { held, sold: self.sold + units, ..self })
    }

    /// Sold units become available again.
    ///
    /// # Errors
    /// [`StockError::Contradiction`] when fewer were sold.
    pub fn take_back(self, units: u32) -> Result<Self, StockError> {
        let sold = self.sold.checked_sub(units).ok_or(StockError::Contradiction)?;
        Ok(Self { available: self.available + units, sold, ..self })
    }

    /// The item has `quantity` units from now on; what is held and sold stays.
    ///
    /// # Errors
    /// [`StockError::Resize`] when that is less than what is held and sold, or too many.
    pub fn resize(self, quantity: u32) -> Result<Self, StockError> {
        let least = self.held.saturating_add(self.sold);
        if quantity > Self::MAX {
            return Err(StockError::Resize { least });
        }
        let available = quantity.checked_sub(least).ok_or(StockError::Resize { least })?;
        Ok(Self { available, ..self })
    }

    /// What changed between `before` and this.
    pub fn since(self, before: Self) -> Movement {
        let difference = |now: u32, then: u32| i64::from(now) - i64::from(then);
        Movement {
            available: difference(self.available, before.available),
            held: difference(self.held, before.held),
            sold: difference(self.sold, before.sold),
        }
    }
}

/// A change of stock as SQL applies it: each number is added to its column, under the condition that
/// none becomes negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Movement {
    /// Added to `available`.
    pub available: i64,
    /// Added to `held`.
    pub held: i64,
    /// Added to `sold`.
    pub sold: i64,
}

impl Movement {
    /// Whether nothing moves.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}
