//! Typed ids. An id is a kind's prefix and a ULID (`inv_01JD…`): it sorts by time of creation, and an id
//! of one kind can be neither passed nor parsed where another is meant.

use std::{cmp::Ordering, fmt, hash, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

use crate::{clock::Timestamp, entropy};

/// A kind of thing that has ids. Implemented by empty marker types or by the thing itself.
pub trait Kind {
    /// What its ids start with, before the underscore: `inv`, `rsv`, `usr`.
    const PREFIX: &'static str;
}

/// The id of a `K`.
pub struct Id<K>(Ulid, PhantomData<fn() -> K>);

impl<K: Kind> Id<K> {
    /// A new id, made at `now`: 48 bits of time, 80 random bits.
    pub fn new(now: Timestamp) -> Self {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        Self::from_ulid(Ulid::from_parts(millis, u128::from_le_bytes(entropy::bytes()) >> 48))
    }

    /// When the id was made, to the millisecond.
    pub fn created_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.timestamp_ms()).unwrap_or(i64::MAX))
    }

    /// The 16 bytes of the id, without its prefix: for places where the text would be too long, such as
    /// the inside of a token.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The id that has these 16 bytes. Every 16 bytes are one.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self::from_ulid(Ulid::from_bytes(bytes))
    }

    const fn from_ulid(ulid: Ulid) -> Self {
        Self(ulid, PhantomData)
    }
}

/// A text that is not an id of the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id of the form {prefix}_…")]
pub struct InvalidId {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

impl<K: Kind> FromStr for Id<K> {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let invalid = InvalidId { prefix: K::PREFIX };
        let ulid = text
            .strip_prefix(K::PREFIX)
            .and_then(|rest| rest.strip_prefix('_'))
            .and_then(|rest| Ulid::from_string(rest).ok())
            .ok_or(invalid)?;
        let id = Self::from_ulid(ulid);
        // Crockford's alphabet reads lower case, I, L and O too. One thing has one spelling here, so that
        // an id can be compared as text in SQL, Redis and logs.
        if id.to_string() == text { Ok(id) } else { Err(invalid) }
    }
}

impl<K: Kind> fmt::Display for Id<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}_{}", K::PREFIX, self.0)
    }
}

impl<K: Kind> fmt::Debug for Id<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

// Written out because a derive would ask `K` for each of these too.
impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}
impl<K> hash::Hash for Id<K> {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl<K: Kind> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item;
    impl Kind for Item {
        const PREFIX: &'static str = "inv";
    }
    struct Reservation;
    impl Kind for Reservation {
        const PREFIX: &'static str = "rsv";
    }

    #[test]
    fn an_id_survives_text_and_json() {
        let id = Id::<Item>::new(Timestamp::from_millis(1_700_000_000_250));
        let text = id.to_string();
        assert!(text.starts_with("inv_"));
        assert_eq!(text.len(), "inv_".len() + 26);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(id.created_at(), Timestamp::from_millis(1_700_000_000_250));
        assert_eq!(Id::from_bytes(id.to_bytes()), id);
        let json = serde_json::to_string(&id).expect("an id is a string");
        assert_eq!(serde_json::from_str::<Id<Item>>(&json).expect("its own json"), id);
    }

    #[test]
    fn another_kind_another_spelling_and_junk_are_refused() {
        let item = Id::<Item>::new(Timestamp::from_millis(1)).to_string();
        assert!(item.parse::<Id<Reservation>>().is_err());
        assert!(item.to_lowercase().parse::<Id<Item>>().is_err());
        for junk in
            ["", "inv", "inv_", "inv_1", "inv_' OR 1=1 --", "inv_ZZZZZZZZZZZZZZZZZZZZZZZZZZ"]
        {
            assert!(junk.parse::<Id<Item>>().is_err(), "{junk}");
        }
    }

    #[test]
    fn ids_sort_by_time_as_text_too() {
        let older = Id::<Item>::new(Timestamp::from_millis(1_000));
        let newer = Id::<Item>::new(Timestamp::from_millis(2_000));
        assert!(older < newer);
        assert!(older.to_string() < newer.to_string());
    }
}
