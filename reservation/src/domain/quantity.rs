//! How many of one item a line of a reservation asks for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How many units of one item are reserved: from 1 to [`Quantity::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quantity(u32);

/// A number that is not a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quantity is a whole number from 1 to {}", Quantity::MAX)]
pub struct InvalidQuantity;

impl Quantity {
    /// The largest quantity of one line.
    pub const MAX: u32 = 10_000;

    /// The quantity `units`.
    ///
    /// # Errors
    /// When it is 0 or more than [`Quantity::MAX`].
    pub const fn new(units: u32) -> Result<Self, InvalidQuantity> {
        if units == 0 || units > Self::MAX { Err(InvalidQuantity) } else { Ok(Self(units)) }
    }

    /// The number of units.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Both together.
    ///
    /// # Errors
    /// When the sum is more than [`Quantity::MAX`].
    pub fn plus(self, other: Self) -> Result<Self, InvalidQuantity> {
        Self::new(self.0.saturating_add(other.0))
    }
}

impl TryFrom<u32> for Quantity {
    type Error = InvalidQuantity;

    fn try_from(units: u32) -> Result<Self, InvalidQuantity> {
        Self::new(units)
    }
}

impl From<Quantity> for u32 {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
