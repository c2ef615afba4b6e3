//! Filling the stream from SQL: everything that lives in SQL and is not in the stream is added to it, and
//! then the stream is declared whole.
//!
//! The lock only spares several authservers the same work. It is safe without: an element that is there
//! twice means the same, and a stream is declared whole only under the lock that was held since before
//! SQL was read, which a wipe in between takes away.

use std::{collections::HashSet, sync::atomic::Ordering, time::Duration};

use haetae_base::{clock::Timestamp, entropy};
use redis::streams::StreamRangeReply;
use secrecy::{ExposeSecret, SecretString};

use super::{DenylistWriter, MaintainError, PAGE};
use crate::{
    StoreError,
    denylist::{
        Entry, LEEWAY,
        stream::{self, EPOCH, FILLING, Position, STREAM},
    },
    index,
};

/// How long the lock holds if its owner dies.
const LEASE: Duration = Duration::from_secs(10);
/// How many elements are read at once.
const RANGE: usize = 1000;

impl DenylistWriter {
    /// Fills the stream; `anew` when Redis lost it, so that every replica reads it again. Does nothing
    /// when another writer is at it.
    pub(super) async fn fill(&self, anew: bool, now: Timestamp) -> Result<(), MaintainError> {
        let owner = entropy::token();
        if !self.lock(&owner).await? {
            return Ok(());
        }
        let known = self.recent_elements(now).await?;
        let (mut after, mut added) = (i64::MIN, 0);
        loop {
            let page = self.log.live(now.minus(LEEWAY), after, PAGE).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.id;
            let missing: Vec<_> =
                page.into_iter().filter(|recorded| !known.contains(&recorded.entry)).collect();
            if !missing.is_empty() {
                self.put(&missing).await?;
                added += missing.len();
            }
            if !self.keep(&owner).await? {
                return Ok(());
            }
        }
        let whole = self.declare(&owner, anew).await?;
        if let Some(position) = whole {
            self.whole.store(true, Ordering::Release);
            let mut state = self.state();
            // Not the greater of the two: if Redis lost data, its positions may have gone back.
            state.newest = Some(position);
            state.compared_at = Some(now);
        }
        if anew || added > 0 {
            tracing::info!(added, anew, whole = whole.is_some(), "the denylist stream is filled");
            metrics::counter!("haetae_denylist_fills_total").increment(1);
        }
        Ok(())
    }

    /// What the stream has, without the older half of what it keeps: that is added again before it is
    /// trimmed.
    async fn recent_elements(&self, now: Timestamp) -> Result<HashSet<Entry>, StoreError> {
        let half = now.minus(self.horizon() / 2);
        let mut from =
            Position { millis: u64::try_from(half.as_millis()).unwrap_or(0), sequence: 0 };
        let mut known = HashSet::new();
        loop {
            let page: StreamRangeReply = redis::cmd("XRANGE")
                .arg(STREAM)
                .arg(from.to_string())
                .arg("+")
                .arg("COUNT")
                .arg(RANGE)
                .query_async(&mut self.redis.connection())
                .await?;
            let full = page.ids.len() == RANGE;
            for element in &page.ids {
                let (position, entry) = stream::read(element)?;
                from = Position { sequence: position.sequence + 1, ..position };
                known.extend(entry);
            }
            if !full {
                return Ok(known);
            }
        }
    }

    async fn lock(&self, owner: &SecretString) -> Result<bool, StoreError> {
        let taken: Option<String> = redis::cmd("SET")
            .arg(FILLING)
            .arg(owner.expose_secret())
            .arg("NX")
            .arg("PX")
            .arg(index::millis(LEASE))
            .query_async(&mut self.redis.connection())
            .await?;
        Ok(taken.is_some())
    }

    async fn keep(&self, owner: &SecretString) -> Result<bool, StoreError> {
        let kept: i64 = self
            .keep_lock
            .key(FILLING)
            .arg(owner.expose_secret())
            .arg(index::millis(LEASE))
            .invoke_async(&mut self.redis.connection())
            .await?;
        Ok(kept == 1)
    }

    async fn declare(
        &self,
        owner: &SecretString,
        anew: bool,
    ) -> Result<Option<Position>, StoreError> {
        let position: Option<String> = self
            .declare_whole
            .key(&[FILLING, EPOCH, STREAM])
            .arg(owner.expose_secret())
            .arg(entropy::token().expose_secret())
            .arg(i32::from(anew))
            .invoke_async(&mut self.redis.connection())
            .await?;
        position.map(|position| position.parse()).transpose()
    }
}
