//! A gateway's copy of the denylist: loads the stream, follows it, and knows how much it can be trusted.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use haetae_base::{
    admin::Check,
    clock::{Clock, Timestamp},
    redis::Redis,
};
use haetae_keys::{claims::AccessClaims, verify::Revocations};
use redis::{
    aio::MultiplexedConnection,
    streams::{StreamRangeReply, StreamReadReply},
};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Entry, Kind,
    stream::{self, EPOCH, Position, STREAM},
    table::Table,
};
use crate::StoreError;

/// How many elements are read at once.
const PAGE: usize = 1000;
/// How often entries that are over are forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(10);

/// The copy of the denylist in this process. It follows the stream until it is dropped.
#[derive(Debug)]
pub struct DenylistReplica {
    shared: Arc<Shared>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

/// How a replica is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// How many values are refused, by kind.
    pub entries: [(Kind, usize); 5],
    /// Whether the copy may be trusted now.
    pub fresh: bool,
    /// Which filling of the stream was loaded; none before the first.
    pub epoch: Option<String>,
    /// How long ago Redis was heard from; none if never.
    pub silent_for: Option<Duration>,
}

struct Shared {
    redis: Redis,
    clock: Arc<dyn Clock>,
    max_staleness: Duration,
    table: Table,
    /// Whether the copy has everything of the filling that Redis has now.
    whole: watch::Sender<bool>,
    /// The same, for the path of requests.
    is_whole: AtomicBool,
    /// Whether it ever had.
    has_loaded: AtomicBool,
    /// When Redis was last heard from, in ms; `NEVER` before that.
    heard: AtomicI64,
    epoch: Mutex<Option<String>>,
}

const NEVER: i64 = i64::MIN;

impl DenylistReplica {
    /// Begins to load and to follow. Until [`wait_loaded`](Self::wait_loaded) ends it is not
    /// [fresh](Self::is_fresh). Call inside a runtime that lives as long as the replica.
    pub fn start(redis: Redis, clock: Arc<dyn Clock>, max_staleness: Duration) -> Arc<Self> {
        let shared = Arc::new(Shared {
            redis,
            clock,
            max_staleness,
            table: Table::new(),
            whole: watch::Sender::new(false),
            is_whole: AtomicBool::new(false),
            has_loaded: AtomicBool::new(false),
            heard: AtomicI64::new(NEVER),
            epoch: Mutex::new(None),
        });
        let follow = tokio::spawn(follow(shared.clone()));
        let tend = tokio::spawn(tend(shared.clone()));
        Arc::new(Self {
            shared,
            _tasks: [AbortOnDropHandle::new(follow), AbortOnDropHandle::new(tend)],
        })
    }

    /// Whether the copy may be trusted: it holds everything that was acknowledged, up to at most the
    /// maximal staleness ago. Costs one look at the clock.
    pub fn is_fresh(&self) -> bool {
        self.shared.is_fresh()
    }

    /// Whether the copy was ever whole. A stale copy still refuses everything that it knew; one that never
    /// was loaded knows nothing, and no route may ask for it to be trusted.
    pub fn has_loaded(&self) -> bool {
        self.shared.has_loaded.load(Ordering::Acquire)
    }

    /// Ends when the copy has been loaded.
    pub async fn wait_loaded(&self) {
        // The sender lives in `shared`, so this ends with a value only.
        let _ = self.shared.whole.subscribe().wait_for(|whole| *whole).await;
    }

    /// Whether this copy refuses all that `entry` refuses: then it has been recorded and published.
    pub fn holds(&self, entry: &Entry) -> bool {
        self.shared.table.holds(entry)
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        Status {
            entries: self.shared.table.sizes(),
            fresh: self.is_fresh(),
            epoch: self.shared.epoch().clone(),
            silent_for: self.shared.silent_for(),
        }
    }

    /// How it is doing, as `/readyz` shows it.
    pub fn check(&self) -> Check {
        let state = if self.is_fresh() { Ok(()) } else { Err(self.shared.trouble()) };
        Check { name: "denylist", state }
    }
}

impl Revocations for DenylistReplica {
    #[inline]
    fn is_revoked(&self, claims: &AccessClaims, kid: &str) -> bool {
        self.shared.table.refuses(claims, kid, || self.shared.clock.now())
    }
}

impl Shared {
    fn is_fresh(&self) -> bool {
        if !self.is_whole.load(Ordering::Acquire) {
            return false;
        }
        // In both directions: after the clock was set back, "heard in the future" proves nothing.
        let heard = self.heard.load(Ordering::Acquire);
        let apart = self.clock.now().as_millis().abs_diff(heard);
        u128::from(apart) <= self.max_staleness.as_millis()
    }

    fn silent_for(&self) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Acquire);
        (heard != NEVER).then(|| self.clock.now().since(Timestamp::from_millis(heard)))
    }

    fn trouble(&self) -> String {
        match self.silent_for() {
            None => "not loaded yet".to_owned(),
            Some(silent) if silent > self.max_staleness => {
                format!("Redis has been silent for {} ms", silent.as_millis())
            }
            Some(_) => "the stream is not whole: waiting for an authserver to fill it".to_owned(),
        }
    }

    /// Redis answered a request that was sent at `sent`, and everything before it is in the table.
    fn hear(&self, sent: Timestamp) {
        self.heard.store(sent.as_millis(), Ordering::Release);
    }

    fn set_whole(&self, whole: bool) {
        self.has_loaded.fetch_or(whole, Ordering::AcqRel);
        self.is_whole.store(whole, Ordering::Release);
        self.whole.send_if_modified(|was| std::mem::replace(was, whole) != whole);
    }

    fn epoch(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a read waits for news: well below the staleness that is allowed, so that silence is told
    /// from quiet in time.
    fn block(&self) -> Duration {
        (self.max_staleness / 4).clamp(Duration::from_millis(20), Duration::from_secs(1))
    }

    /// How long to wait for an answer beyond that.
    fn patience(&self) -> Duration {
        (self.max_staleness / 4).clamp(Duration::from_millis(100), Duration::from_secs(2))
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Shared({:?})", self.table.sizes())
    }
}

/// Connects, follows, and connects again, for ever.
async fn follow(shared: Arc<Shared>) {
    let mut follower = Follower { shared, position: Position::default() };
    let mut pause = Duration::from_millis(20);
    loop {
        match follower.connect().await {
            Ok(mut connection) => {
                let error = follower.run(&mut connection).await;
                tracing::debug!(%error, "the denylist is not heard from");
                pause = Duration::from_millis(20);
            }
            Err(error) => {
                tracing::debug!(%error, "no connection for the denylist");
                pause = (pause * 2).min(Duration::from_millis(500));
            }
        }
        tokio::time::sleep(pause).await;
    }
}

struct Follower {
    shared: Arc<Shared>,
    /// The last element that is in the table.
    position: Position,
}

/// What Redis says about the stream.
struct View {
    epoch: Option<String>,
    /// Whether the element at the follower's position is still there. If it is, the stream is the one
    /// that was read so far, and everything new comes after it.
    continues: bool,
}

impl Follower {
    async fn connect(&self) -> Result<MultiplexedConnection, StoreError> {
        let longest = self.shared.block() + self.shared.patience();
        Ok(self.shared.redis.dedicated(longest).await?)
    }

    /// Follows until the connection breaks.
    async fn run(&mut self, connection: &mut MultiplexedConnection) -> StoreError {
        loop {
            let step = if *self.shared.whole.borrow() {
                self.step(connection).await
            } else {
                self.load(connection).await
            };
            if let Err(error) = step {
                return error;
            }
        }
    }

    /// Reads the whole stream, and trusts the copy if Redis did not lose its data meanwhile.
    async fn load(&mut self, connection: &mut MultiplexedConnection) -> Result<(), StoreError> {
        let before = self.await_filling(connection).await?;
        self.position = Position::default();
        loop {
            let sent = self.shared.clock.now();
            let page: StreamReadReply = redis::cmd("XREAD")
                .arg("COUNT")
                .arg(PAGE)
                .arg("STREAMS")
                .arg(STREAM)
                .arg(self.position.to_string())
                .query_async(connection)
                .await?;
            if self.apply(page, false)? < PAGE {
                self.shared.hear(sent);
                break;
            }
        }
        let view = self.view(connection).await?;
        if view.continues && view.epoch.as_ref() == Some(&before) {
            tracing::info!(entries = ?self.shared.table.sizes(), "the denylist is loaded");
            metrics::counter!("haetae_denylist_loads_total").increment(1);
            *self.shared.epoch() = Some(before);
            self.shared.set_whole(true);
        } else {
            tokio::time::sleep(self.shared.block() / 4).await;
        }
        Ok(())
    }

    /// Waits until somebody has filled the stream; returns which filling it is. What is revoked meanwhile
    /// is in the stream though the stream is not whole, and counts at once: the copy is not trusted yet,
    /// but routes that are served without trust should refuse it too.
    async fn await_filling(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> Result<String, StoreError> {
        self.position = Position::default();
        loop {
            if let Some(epoch) = epoch(connection).await? {
                return Ok(epoch);
            }
            let news: StreamReadReply = redis::cmd("XREAD")
                .arg("COUNT")
                .arg(PAGE)
                .arg("BLOCK")
                .arg((self.shared.block() / 4).as_millis().to_string())
                .arg("STREAMS")
                .arg(STREAM)
                .arg(self.position.to_string())
                .query_async(connection)
                .await?;
            self.apply(news, true)?;
        }
    }

    /// One round trip: is it still the same stream, and what is new in it?
    async fn step(&mut self, connection: &mut MultiplexedConnection) -> Result<(), StoreError> {
        let sent = self.shared.clock.now();
        let position = self.position.to_string();
        let (epoch, here, news): (Option<String>, StreamRangeReply, StreamReadReply) =
            redis::pipe()
                .get(EPOCH)
                .xrange(STREAM, &position, &position)
                .cmd("XREAD")
                .arg("COUNT")
                .arg(PAGE)
                .arg("BLOCK")
                .arg(self.shared.block().as_millis().to_string())
                .arg("STREAMS")
                .arg(STREAM)
                .arg(&position)
                .query_async(connection)
                .await?;
        let view = View { epoch, continues: !here.ids.is_empty() };
        // Whatever it is, it is a revocation: it counts even if the stream turns out to be another.
        let read = self.apply(news, true)?;
        if !view.continues || view.epoch != *self.shared.epoch() {
            tracing::warn!("Redis lost the denylist or a part of it: the copy is read anew");
            self.shared.set_whole(false);
        } else if read < PAGE {
            self.shared.hear(sent);
        }
        Ok(())
    }

    async fn view(&self, connection: &mut MultiplexedConnection) -> Result<View, StoreError> {
        let position = self.position.to_string();
        let (epoch, here): (Option<String>, StreamRangeReply) = redis::pipe()
            .get(EPOCH)
            .xrange(STREAM, &position, &position)
            .query_async(connection)
            .await?;
        Ok(View { epoch, continues: !here.ids.is_empty() })
    }

    /// Takes elements into the table; returns how many there were.
    fn apply(&mut self, page: StreamReadReply, live: bool) -> Result<usize, StoreError> {
        let elements: Vec<_> = page.keys.into_iter().flat_map(|key| key.ids).collect();
        let count = elements.len();
        let now = self.shared.clock.now();
        let mut entries = Vec::with_capacity(count);
        for element in &elements {
            let (position, entry) = stream::read(element)?;
            self.position = position;
            entries.extend(entry.map(|entry| (position, entry)));
        }
        self.shared.table.insert(entries.iter().map(|(_, entry)| entry), now);
        if live {
            let lag = metrics::histogram!("haetae_denylist_propagation_seconds");
            for (position, _) in &entries {
                lag.record(now.since(position.added_at()).as_secs_f64());
            }
        }
        Ok(count)
    }
}

async fn epoch(connection: &mut MultiplexedConnection) -> Result<Option<String>, StoreError> {
    Ok(redis::cmd("GET").arg(EPOCH).query_async(connection).await?)
}

/// Forgets what is over, and says aloud when the copy stops or begins to be trusted.
async fn tend(shared: Arc<Shared>) {
    let every = shared.block();
    let mut since_prune = Duration::ZERO;
    let mut was_fresh = None;
    loop {
        let fresh = shared.is_fresh();
        match (was_fresh, fresh) {
            (Some(true), false) => tracing::warn!(
                reason = shared.trouble(),
                "the denylist is stale: routes decide by when_stale"
            ),
            (Some(false), true) => tracing::info!("the denylist is fresh"),
            _ => {}
        }
        was_fresh = Some(fresh);
        metrics::gauge!("haetae_denylist_stale").set(if fresh { 0.0 } else { 1.0 });
        if let Some(silent) = shared.silent_for() {
            metrics::gauge!("haetae_denylist_silent_seconds").set(silent.as_secs_f64());
        }
        if since_prune >= PRUNE_EVERY {
            since_prune = Duration::ZERO;
            shared.table.prune(shared.clock.now());
        }
        for (kind, values) in shared.table.sizes() {
            #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
            metrics::gauge!("haetae_denylist_entries", "kind" => kind.as_str()).set(values as f64);
        }
        tokio::time::sleep(every).await;
        since_prune += every;
    }
}
