//! What a reservation asks for: some of one item or of several, all of it or nothing.

use std::collections::BTreeMap;

use super::{
    fence::Partition,
    inventory::ItemId,
    quantity::{InvalidQuantity, Quantity},
};

/// One line of a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The item.
    pub item: ItemId,
    /// How many of it.
    pub quantity: Quantity,
}

/// The lines of a reservation: at least one, at most [`Basket::MAX_LINES`], each item once. The order is
/// that of the request, so its first item decides the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Basket(Vec<Line>);

/// Lines that are not a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBasket {
    /// No line.
    #[error("a reservation needs at least one item")]
    Empty,
    /// Too many different items.
    #[error("a reservation has at most {} different items", Basket::MAX_LINES)]
    TooManyLines,
    /// The lines of one item add up to too many.
    #[error("{0}")]
    Quantity(#[from] InvalidQuantity),
}

impl Basket {
    /// How many different items a reservation may have.
    pub const MAX_LINES: usize = 20;

    /// A basket of these lines. Lines of the same item are merged first: two lines that each find
    /// enough stock could together want more than there is (medusajs/medusa#16502).
    ///
    /// # Errors
    /// [`InvalidBasket`].
    pub fn new(lines: impl IntoIterator<Item = Line>) -> Result<Self, InvalidBasket> {
        let mut merged: Vec<Line> = Vec::new();
        let mut places: BTreeMap<ItemId, usize> = BTreeMap::new();
        for line in lines {
            let known = places.get(&line.item).and_then(|place| merged.get_mut(*place));
            if let Some(known) = known {
                known.quantity = known.quantity.plus(line.quantity)?;
            } else if merged.len() == Self::MAX_LINES {
                return Err(InvalidBasket::TooManyLines);
            } else {
                places.insert(line.item, merged.len());
                merged.push(line);
            }
        }
        if merged.is_empty() { Err(InvalidBasket::Empty) } else { Ok(Self(merged)) }
    }

    /// The lines, in the order of the request.
    pub fn lines(&self) -> &[Line] {
        &self.0
    }

    /// The partition whose owner applies this basket: that of its first item.
    pub fn partition(&self, count: u16) -> Partition {
        self.0.first().map_or(Partition::new(0), |line| Partition::of(line.item, count))
    }
}

#[cfg(test)]
mod tests {
    use haetae_base::clock::Timestamp;

    use super::*;

    fn line(item: ItemId, units: u32) -> Line {
        Line { item, quantity: Quantity::new(units).expect("a quantity") }
    }

    #[test]
    fn lines_of_the_same_item_become_one() {
        let (a, b) =
            (ItemId::new(Timestamp::from_millis(1)), ItemId::new(Timestamp::from_millis(2)));
        let basket = Basket::new([line(b, 1), line(a, 2), line(b, 3)]).expect("a basket");
        assert_eq!(basket.lines(), [line(b, 4), line(a, 2)]);
    }

    #[test]
    fn bounds_hold_after_merging() {
        let item = ItemId::new(Timestamp::from_millis(1));
        assert_eq!(Basket::new([]), Err(InvalidBasket::Empty));
        assert_eq!(
            Basket::new([line(item, Quantity::MAX), line(item, 1)]),
            Err(InvalidBasket::Quantity(InvalidQuantity))
        );
        let items =
            |count| (0..count).map(|millis| line(ItemId::new(Timestamp::from_millis(millis)), 1));
        assert!(Basket::new(items(20)).is_ok());
        assert_eq!(Basket::new(items(21)), Err(InvalidBasket::TooManyLines));
    }
}
