//! Revoking, and keeping the stream as whole as SQL: published what is not, filled again when Redis lost it.

mod fill;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use haetae_base::{
    admin::Check,
    clock::{Clock, Timestamp},
    redis::Redis,
    shutdown::Shutdown,
};
use redis::{Script, streams::StreamRangeReply};
use tokio::sync::Notify;

use super::{
    Entry, Kind, LEEWAY, LogError, Recorded, RevocationLog,
    stream::{self, EPOCH, Position, STREAM},
};
use crate::{StoreError, index, script};

/// How often the stream is looked after.
const TICK: Duration = Duration::from_millis(500);
/// How many entries are published in one step.
const PAGE: u64 = 500;
/// How many entries are put into the stream in one step: Redis does nothing else meanwhile.
const PUT_AT_ONCE: usize = 500;
/// How many entries are marked in one statement.
const MARKED_AT_ONCE: usize = 500;
/// How old an unpublished entry must be before a writer that did not record it publishes it: its own
/// writer may be at it.
const ORPHANED: Duration = Duration::from_secs(3);

/// A revocation that did not go all the way.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// Nothing is revoked: try again.
    #[error("not revoked: {0}")]
    NotRecorded(#[source] LogError),
    /// It is committed and will be published as soon as Redis answers, by this authserver or another; but
    /// the gateways don't know it yet.
    #[error("recorded, not yet propagated: {0}")]
    NotPropagated(#[source] StoreError),
}

/// The writing side of the denylist, in every authserver.
pub struct DenylistWriter {
    redis: Redis,
    log: Arc<dyn RevocationLog>,
    clock: Arc<dyn Clock>,
    longest_token: Duration,
    publish: Script,
    declare_whole: Script,
    keep_lock: Script,
    state: Mutex<State>,
    /// Whether the stream was whole when it was last looked at.
    whole: AtomicBool,
    wake: Notify,
}

#[derive(Default)]
struct State {
    /// Published by this writer, not yet marked in SQL.
    to_mark: Vec<i64>,
    /// Recorded by this writer, not yet published.
    to_publish: Vec<Recorded>,
    /// The last element that this writer published or saw: if Redis loses it, it lost more.
    newest: Option<Position>,
    /// When the stream and SQL were last compared.
    compared_at: Option<Timestamp>,
    /// When SQL was last swept.
    swept_at: Option<Timestamp>,
}

impl DenylistWriter {
    /// A writer to `log` and `redis`; loads its scripts there. `longest_token` is the lifetime of the
    /// longest-lived token that the denylist is for. Nothing is filled before [`run`](Self::run) or
    /// [`maintain`](Self::maintain).
    ///
    /// # Errors
    /// [`StoreError`] when Redis does not answer.
    pub async fn connect(
        redis: Redis,
        log: Arc<dyn RevocationLog>,
        longest_token: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let (publish, declare_whole, keep_lock) =
            (stream::publish(), stream::declare_whole(), stream::keep_lock());
        script::load(&redis, &[&publish, &declare_whole, &keep_lock]).await?;
        Ok(Arc::new(Self {
            redis,
            log,
            clock,
            longest_token,
            publish,
            declare_whole,
            keep_lock,
            state: Mutex::default(),
            whole: AtomicBool::new(false),
            wake: Notify::new(),
        }))
    }

    /// Revokes every token of an SSO session, an account or a client that was issued until now.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke_everything(&self, kind: Kind, value: &str) -> Result<(), RevokeError> {
        let entry = Entry::everything(kind, value, self.clock.now(), self.longest_token);
        self.revoke(entry).await
    }

    /// Revokes: when this returns `Ok`, the entry is committed to SQL and in the stream.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(&self, entry: Entry) -> Result<(), RevokeError> {
        self.revoke_all(vec![entry]).await
    }

    /// The same for several entries at once: recorded all or none.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke_all(&self, entries: Vec<Entry>) -> Result<(), RevokeError> {
        if entries.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let ids = self.log.append(&entries, now).await.map_err(RevokeError::NotRecorded)?;
        let recorded: Vec<_> =
            ids.into_iter().zip(entries).map(|(id, entry)| Recorded { id, entry }).collect();
        metrics::counter!("haetae_denylist_revocations_total").increment(recorded.len() as u64);
        match self.put(&recorded).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.state().to_publish.extend(recorded);
                self.wake.notify_one();
                Err(RevokeError::NotPropagated(error))
            }
        }
    }

    /// Looks after the stream until shutdown.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        let mut failing = false;
        loop {
            match self.maintain().await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!("the denylist stream is looked after again");
                }
                Ok(()) => {}
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "cannot look after the denylist stream; trying on");
                    }
                }
            }
            let pending = self.state().to_publish.len();
            #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
            metrics::gauge!("haetae_denylist_unpublished_entries").set(pending as f64);
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                // A moment later: what failed just now fails at once again.
                () = self.woken() => {}
                () = shutdown.requested() => break,
            }
        }
        // What was published and not marked would be published again by somebody else.
        if let Err(error) = self.mark().await {
            tracing::debug!(%error, "entries stay unmarked");
        }
    }

    async fn woken(&self) {
        self.wake.notified().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// One round of looking after the stream: publishes what is recorded and not published, fills the
    /// stream when Redis lost it, forgets what is over. [`run`](Self::run) calls it twice a second.
    ///
    /// # Errors
    /// The first failure, of SQL or of Redis. One of them alone does not keep the other's work from being
    /// done, and the next round goes on.
    pub async fn maintain(&self) -> Result<(), MaintainError> {
        let now = self.clock.now();
        let left = std::mem::take(&mut self.state().to_publish);
        let round = [
            self.publish_again(left).await.map_err(MaintainError::from),
            self.mark().await.map_err(MaintainError::from),
            self.publish_orphans(now).await,
            self.mend(now).await,
            self.sweep(now).await.map_err(MaintainError::from),
        ];
        round.into_iter().collect()
    }

    async fn publish_orphans(&self, now: Timestamp) -> Result<(), MaintainError> {
        let orphans = self.log.unpublished(now.minus(ORPHANED), PAGE).await?;
        Ok(self.publish_again(orphans).await?)
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), LogError> {
        if self.state().swept_at.is_some_and(|at| now.since(at) <= self.longest_token / 4) {
            return Ok(());
        }
        self.log.forget(now.minus(LEEWAY)).await?;
        self.state().swept_at = Some(now);
        Ok(())
    }

    /// Fills the stream when it is not whole, and compares it with SQL at the start and now and then.
    async fn mend(&self, now: Timestamp) -> Result<(), MaintainError> {
        let (newest, compared_at) = {
            let state = self.state();
            (state.newest, state.compared_at)
        };
        let newest = newest.unwrap_or_default().to_string();
        let (elements, epoch, here): (usize, Option<String>, StreamRangeReply) = redis::pipe()
            .xlen(STREAM)
            .get(EPOCH)
            .xrange(STREAM, &newest, &newest)
            .query_async(&mut self.redis.connection())
            .await
            .map_err(StoreError::from)?;
        let whole = elements > 0 && epoch.is_some();
        self.whole.store(whole, Ordering::Release);
        // Entries that live longer than the stream is kept are in it again before they are trimmed.
        let due = compared_at.is_none_or(|at| now.since(at) > self.horizon() / 4);
        if !whole || here.ids.is_empty() || due {
            self.fill(!whole, now).await?;
        }
        Ok(())
    }

    async fn publish_again(&self, recorded: Vec<Recorded>) -> Result<(), StoreError> {
        if recorded.is_empty() {
            return Ok(());
        }
        let published = self.put(&recorded).await;
        match &published {
            Ok(()) => tracing::info!(entries = recorded.len(), "late revocations are propagated"),
            Err(_) => self.state().to_publish.extend(recorded),
        }
        published
    }

    /// Appends to the stream.
    async fn put(&self, recorded: &[Recorded]) -> Result<(), StoreError> {
        for part in recorded.chunks(PUT_AT_ONCE) {
            self.put_part(part).await?;
        }
        Ok(())
    }

    /// In one round trip.
    async fn put_part(&self, recorded: &[Recorded]) -> Result<(), StoreError> {
        let mut call = self.publish.key(&[STREAM, EPOCH]);
        call.arg(index::millis(self.horizon()));
        for Recorded { entry, .. } in recorded {
            call.arg(entry.kind.as_str())
                .arg(&entry.value)
                .arg(entry.issued_before.as_millis())
                .arg(entry.until.as_millis());
        }
        let (last, whole): (String, bool) = call.invoke_async(&mut self.redis.connection()).await?;
        if !whole {
            // Redis lost it since the last look: the gateways trust their copies again after the filling.
            self.whole.store(false, Ordering::Release);
            self.wake.notify_one();
        }
        let mut state = self.state();
        state.newest = state.newest.max(Some(last.parse()?));
        state.to_mark.extend(recorded.iter().map(|recorded| recorded.id));
        Ok(())
    }

    async fn mark(&self) -> Result<(), LogError> {
        let ids = std::mem::take(&mut self.state().to_mark);
        // In parts that fit into one SQL statement.
        let mut parts = ids.chunks(MARKED_AT_ONCE);
        while let Some(part) = parts.next() {
            if let Err(error) = self.log.mark_published(part).await {
                let left = std::iter::once(part).chain(parts).flatten();
                self.state().to_mark.extend(left);
                return Err(error);
            }
        }
        Ok(())
    }

    /// How long the stream is kept.
    fn horizon(&self) -> Duration {
        self.longest_token + 2 * LEEWAY
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the stream is, as `/readyz` shows it.
    pub fn check(&self) -> Check {
        let pending = self.state().to_publish.len();
        let state = match (pending, self.whole.load(Ordering::Acquire)) {
            (0, true) => Ok(()),
            (0, false) => Err("the stream is being filled".to_owned()),
            (pending, _) => Err(format!("{pending} revocations are not yet propagated")),
        };
        Check { name: "denylist", state }
    }
}

impl std::fmt::Debug for DenylistWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "DenylistWriter({:?})", self.redis)
    }
}

/// A round of looking after the stream that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// SQL.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Redis.
    #[error(transparent)]
    Store(#[from] StoreError),
}
