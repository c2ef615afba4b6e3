//! Instants in a token: whole seconds since the epoch (RFC 7519 2). RFC 7519 permits fractions; no issuer
//! needs them, and refusing them leaves no rounding to argue about.

use haetae_base::clock::Timestamp;
use serde::{Deserialize, Deserializer, Serializer, de};

/// The last second of the year 9999. What lies beyond is a mistake or an attack, not an instant.
const LAST: i64 = 253_402_300_799;

/// The instant of `seconds`; `None` before the epoch or after the year 9999.
pub(crate) fn from_seconds(seconds: i64) -> Option<Timestamp> {
    (0..=LAST).contains(&seconds).then(|| Timestamp::from_seconds(seconds))
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
pub(crate) fn serialize<S: Serializer>(
    instant: &Timestamp,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(instant.as_seconds())
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Timestamp, D::Error> {
    let seconds = i64::deserialize(deserializer)?;
    from_seconds(seconds).ok_or_else(|| de::Error::custom("not an instant"))
}

/// The same for a claim that may be absent.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Serializer, Timestamp, de, from_seconds};

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(
        instant: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match instant {
            Some(instant) => serializer.serialize_i64(instant.as_seconds()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        Option::<i64>::deserialize(deserializer)?
            .map(|seconds| from_seconds(seconds).ok_or_else(|| de::Error::custom("not an instant")))
            .transpose()
    }
}
