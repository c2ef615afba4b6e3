//! Revoking as an authserver does, without its database.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use haetae_base::{
    clock::{SystemClock, Timestamp},
    redis::Redis,
};
use haetae_session::denylist::{DenylistWriter, Entry, Kind, LogError, Recorded, RevocationLog};

/// The writing side of the denylist.
#[derive(Clone)]
pub(crate) struct Denylist(Arc<DenylistWriter>);

impl Denylist {
    /// Connects. Until the stream is [filled](Self::fill) no gateway trusts it.
    pub(crate) async fn connect(url: String) -> Self {
        let redis = Redis::connect(&url.into(), Duration::from_secs(1)).await.expect("connects");
        let clock = Arc::new(SystemClock);
        let log = Arc::new(Forgetful(AtomicI64::new(1)));
        let writer = DenylistWriter::connect(redis, log, Duration::from_mins(5), clock).await;
        Self(writer.expect("connects"))
    }

    /// Fills the stream.
    pub(crate) async fn fill(&self) {
        self.0.maintain().await.expect("filled");
    }

    /// Revokes every token of `value` that was issued until now.
    pub(crate) async fn revoke(&self, kind: Kind, value: &str) {
        self.0.revoke_everything(kind, value).await.expect("revoked");
    }
}

/// A log of revocations that nobody will ask for again.
struct Forgetful(AtomicI64);

#[async_trait]
impl RevocationLog for Forgetful {
    async fn append(&self, entries: &[Entry], _: Timestamp) -> Result<Vec<i64>, LogError> {
        Ok(entries.iter().map(|_| self.0.fetch_add(1, Ordering::SeqCst)).collect())
    }

    async fn unpublished(&self, _: Timestamp, _: u64) -> Result<Vec<Recorded>, LogError> {
        Ok(Vec::new())
    }

    async fn mark_published(&self, _: &[i64]) -> Result<(), LogError> {
        Ok(())
    }

    async fn live(&self, _: Timestamp, _: i64, _: u64) -> Result<Vec<Recorded>, LogError> {
        Ok(Vec::new())
    }

    async fn forget(&self, _: Timestamp) -> Result<u64, LogError> {
        Ok(0)
    }
}
