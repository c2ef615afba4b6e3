//! Partitions of the work, and the fence that keeps a former owner of one out.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::inventory::ItemId;

/// One of the queues into which the work is divided. An item belongs to exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(u16);

impl Partition {
    /// The partition `number`.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The partition, of `count`, that the item belongs to. The same on every machine and in every
    /// version: FNV-1a of the id's text.
    pub fn of(item: ItemId, count: u16) -> Self {
        let hash = item.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // The high bits of FNV are the well mixed ones.
        Self(u16::try_from((hash >> 32) % u64::from(count.max(1))).unwrap_or(0))
    }

    /// Its number, from 0.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// How often a partition changed hands. It is raised in SQL whenever a worker takes the partition, and
/// every transaction of an owner checks its own: whoever holds an older one changes nothing, however
/// long it was paused and whatever Redis said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// The fence `number`.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use haetae_base::clock::Timestamp;

    use super::*;

    #[test]
    fn items_spread_over_all_partitions_and_stay_where_they_are() {
        let mut counts = [0_u32; 16];
        for millis in 0..16_000 {
            let item = ItemId::new(Timestamp::from_millis(millis));
            let partition = Partition::of(item, 16);
            assert_eq!(partition, Partition::of(item, 16));
            counts[usize::from(partition.number())] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_place_of_an_item_never_changes_between_versions() {
        let item: ItemId = "inv_01JD0000000000000000000000".parse().expect("an id");
        assert_eq!(Partition::of(item, 16), Partition::new(7));
    }
}
