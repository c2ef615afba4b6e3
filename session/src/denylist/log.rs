//! The durable side of the denylist: what the authserver's SQL store does for it.

use std::{error::Error, fmt};

use async_trait::async_trait;
use haetae_base::clock::Timestamp;

use super::Entry;

/// An entry in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its number in the log, by which the log is paged.
    pub id: i64,
    /// The entry.
    pub entry: Entry,
}

/// The log cannot be read or written.
#[derive(Debug)]
pub struct LogError(Box<dyn Error + Send + Sync>);

impl LogError {
    /// Wraps the store's own error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the revocation log cannot be used: {}", self.0)
    }
}

impl Error for LogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.as_ref())
    }
}

/// The log of revocations in SQL. Several authservers use one log at once. An entry is unpublished until it
/// is marked; numbers grow, but may become visible out of order.
#[async_trait]
pub trait RevocationLog: Send + Sync + 'static {
    /// Commits entries, all or none, as recorded at `now` and unpublished; returns their numbers in the
    /// same order.
    async fn append(&self, entries: &[Entry], now: Timestamp) -> Result<Vec<i64>, LogError>;

    /// At most `limit` unpublished entries recorded before `recorded_before`, in the order of their
    /// numbers.
    async fn unpublished(
        &self,
        recorded_before: Timestamp,
        limit: u64,
    ) -> Result<Vec<Recorded>, LogError>;

    /// Marks entries as published. Those that are marked already or gone don't matter.
    async fn mark_published(&self, ids: &[i64]) -> Result<(), LogError>;

    /// At most `limit` entries, published or not, whose `until` lies after `ending_after` and whose number
    /// is greater than `after`, in the order of their numbers.
    async fn live(
        &self,
        ending_after: Timestamp,
        after: i64,
        limit: u64,
    ) -> Result<Vec<Recorded>, LogError>;

    /// Deletes the entries whose `until` lies at or before `ended`; returns how many.
    async fn forget(&self, ended: Timestamp) -> Result<u64, LogError>;
}
