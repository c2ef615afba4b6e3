//! A span of time as a setting: `250ms`, `10s`, `5m`, `1h30m`, `30d`.

use std::{borrow::Cow, fmt, ops::Deref, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text_setting;

/// A span of time, written as numbers with the units `ms`, `s`, `m`, `h`, `d`: `250ms`, `5m`, `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// A text that is not a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// Something else than numbers with units.
    #[error("not a duration; write numbers with units, such as 250ms, 10s, 5m, 1h30m or 30d")]
    Malformed,
    /// A number alone.
    #[error("a duration needs a unit: ms, s, m, h or d")]
    NoUnit,
    /// More than can be counted.
    #[error("a duration this long cannot be counted")]
    TooLong,
}

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Duration {
    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(time::Duration::from_millis(millis))
    }

    /// A span of `seconds` seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(time::Duration::from_secs(seconds))
    }

    /// The same span as the standard library has it.
    pub const fn get(self) -> time::Duration {
        self.0
    }
}

impl Deref for Duration {
    type Target = time::Duration;

    fn deref(&self) -> &time::Duration {
        &self.0
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl From<time::Duration> for Duration {
    fn from(duration: time::Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for Duration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(InvalidDuration::Malformed);
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            if number.is_empty() {
                return Err(InvalidDuration::Malformed);
            }
            let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            if unit.is_empty() {
                return Err(InvalidDuration::NoUnit);
            }
            let (_, millis) =
                UNITS.iter().find(|(name, _)| *name == unit).ok_or(InvalidDuration::Malformed)?;
            total = number
                .parse::<u64>()
                .ok()
                .and_then(|count| count.checked_mul(*millis))
                .and_then(|part| total.checked_add(part))
                .filter(|total| i64::try_from(*total).is_ok())
                .ok_or(InvalidDuration::TooLong)?;
            rest = after;
        }
        Ok(Self::from_millis(total))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return formatter.write_str("0s");
        }
        for (unit, millis) in UNITS {
            let count = left / millis;
            if count > 0 {
                write!(formatter, "{count}{unit}")?;
            }
            left %= millis;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_setting::deserialize(deserializer, "a duration such as \"10s\" or \"5m\"")
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_writes_it_back() {
        for (text, millis, written) in [
            ("250ms", 250, "250ms"),
            ("10s", 10_000, "10s"),
            ("5m", 300_000, "5m"),
            ("90m", 5_400_000, "1h30m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("30d", 2_592_000_000, "30d"),
            (" 0s ", 0, "0s"),
            ("1s500ms", 1500, "1s500ms"),
        ] {
            let duration: Duration = text.parse().expect(text);
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.to_string(), written);
        }
    }

    #[test]
    fn refuses_what_it_would_have_to_guess() {
        use InvalidDuration::{Malformed, NoUnit, TooLong};
        for (text, error) in [
            ("", Malformed),
            ("10", NoUnit),
            ("1h30", NoUnit),
            ("s", Malformed),
            ("-5s", Malformed),
            ("1.5h", Malformed),
            ("5 m", Malformed),
            ("5min", Malformed),
            ("99999999999999999999d", TooLong),
            ("9223372036854775807d", TooLong),
        ] {
            assert_eq!(text.parse::<Duration>(), Err(error), "{text}");
        }
    }
}
