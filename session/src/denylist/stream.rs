//! The Redis side: names, positions, and how an entry looks in the stream.

use std::{collections::HashMap, fmt, str::FromStr};

use haetae_base::clock::Timestamp;
use redis::{FromRedisValue, Script, Value, streams::StreamId};

use super::{Entry, Kind};
use crate::{StoreError, script};

/// The stream.
pub(super) const STREAM: &str = "haetae:denylist";
// A script takes these three keys together: in a Redis Cluster the braces put them into the stream's slot.
/// Says that the stream is whole, and which filling of it this is.
pub(super) const EPOCH: &str = "haetae:{haetae:denylist}:epoch";
/// Held by whoever fills the stream.
pub(super) const FILLING: &str = "haetae:{haetae:denylist}:filling";

/// Where in the stream: a Redis stream id. The first part is Redis's clock in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) millis: u64,
    pub(super) sequence: u64,
}

impl Position {
    /// When it was added, by Redis's clock.
    pub(super) fn added_at(self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.millis).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.millis, self.sequence)
    }
}

impl FromStr for Position {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        text.split_once('-')
            .and_then(|(millis, sequence)| {
                Some(Self { millis: millis.parse().ok()?, sequence: sequence.parse().ok()? })
            })
            .ok_or(StoreError::Unreadable("a stream id"))
    }
}

/// Reads one element of the stream. `None` in place of the entry: the marker of a filling, or a kind that
/// a newer version writes.
pub(super) fn read(element: &StreamId) -> Result<(Position, Option<Entry>), StoreError> {
    let position = element.id.parse()?;
    Ok((position, entry(&element.map)))
}

fn entry(fields: &HashMap<String, Value>) -> Option<Entry> {
    fn field<T: FromRedisValue>(fields: &HashMap<String, Value>, name: &str) -> Option<T> {
        T::from_redis_value(fields.get(name)?.clone()).ok()
    }
    Some(Entry {
        kind: field::<String>(fields, "kind")?.parse::<Kind>().ok()?,
        value: field(fields, "value")?,
        issued_before: Timestamp::from_millis(field(fields, "issued_before")?),
        until: Timestamp::from_millis(field(fields, "until")?),
    })
}

/// Appends entries and trims what is older than the horizon, by Redis's own clock: that of an authserver
/// may be wrong. `KEYS` the stream, the epoch; `ARGV[1]` the horizon (ms), then kind, value, `issued_before`
/// and `until` of each entry. Returns the position of the last, and whether the stream is whole.
pub(super) fn publish() -> Script {
    script::despite_full_memory(
        r"
        local time = redis.call('TIME')
        local floor = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
        local last
        for at = 2, #ARGV, 4 do
            last = redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', floor), '*',
                'kind', ARGV[at], 'value', ARGV[at + 1],
                'issued_before', ARGV[at + 2], 'until', ARGV[at + 3])
        end
        return {last, redis.call('EXISTS', KEYS[2])}
        ",
    )
}

/// Declares the stream whole, if the caller still holds the lock under which it filled it: a wipe in
/// between took the lock away. `KEYS` the lock, the epoch, the stream; `ARGV` 1 the owner, 2 a new epoch,
/// 3 whether to replace an epoch that is there. The stream gets an element if it has none, so that a
/// stream that exists can be told from one that was deleted; and with a new epoch, so that who waits for it
/// wakes. Returns the position of the last element, or nothing when the lock was lost.
pub(super) fn declare_whole() -> Script {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
        if ARGV[3] == '1' or redis.call('XLEN', KEYS[3]) == 0 then
            redis.call('XADD', KEYS[3], '*', 'kind', 'filled', 'epoch', ARGV[2])
        end
        if ARGV[3] == '1' or redis.call('EXISTS', KEYS[2]) == 0 then
            redis.call('SET', KEYS[2], ARGV[2])
        end
        redis.call('DEL', KEYS[1])
        return redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1][1]
        ",
    )
}

/// Makes the lock last longer, if it is still the caller's. `KEYS[1]` the lock; `ARGV` 1 the owner, 2 for
/// how long (ms).
pub(super) fn keep_lock() -> Script {
    Script::new(
        r"
        if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        return redis.call('PEXPIRE', KEYS[1], ARGV[2])
        ",
    )
}
