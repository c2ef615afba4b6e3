//! The bench of these tests: a Redis, a log in memory, writers and replicas.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use haetae_base::{
    clock::{Clock, SystemClock, Timestamp},
    id::{Id, Kind as IdKind},
};
use haetae_keys::{
    claims::{AccessClaims, Audience, Scope},
    verify::Revocations,
};

use super::*;
use crate::test_redis::TestRedis;

/// Longer than any pause of a test, shorter than its patience.
pub(super) const MAX_STALENESS: Duration = Duration::from_millis(1500);
pub(super) const LONGEST: Duration = Duration::from_mins(5);

pub(super) struct Bench {
    pub(super) redis: TestRedis,
    pub(super) log: Arc<MemoryLog>,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self { redis: TestRedis::start().await, log: Arc::default() }
    }

    pub(super) async fn writer(&self) -> Arc<DenylistWriter> {
        self.writer_at(Arc::new(SystemClock)).await
    }

    pub(super) async fn writer_at(&self, clock: Arc<dyn Clock>) -> Arc<DenylistWriter> {
        DenylistWriter::connect(self.redis.connect().await, self.log.clone(), LONGEST, clock)
            .await
            .expect("connects")
    }

    pub(super) async fn replica(&self) -> Arc<DenylistReplica> {
        let redis = self.redis.connect().await;
        DenylistReplica::start(redis, Arc::new(SystemClock), MAX_STALENESS)
    }

    /// How many elements the stream has.
    pub(super) async fn length(&self) -> usize {
        redis::cmd("XLEN")
            .arg("haetae:denylist")
            .query_async(&mut self.redis.raw().await)
            .await
            .expect("a length")
    }
}

pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

pub(super) fn soon() -> Timestamp {
    now().plus(LONGEST)
}

enum Token {}

impl IdKind for Token {
    const PREFIX: &'static str = "tok";
}

/// A token of `sub`, issued before the test began.
pub(super) fn token(sub: &str) -> AccessClaims {
    let issued = now().minus(Duration::from_mins(1));
    AccessClaims {
        iss: "https://issuer".to_owned(),
        aud: Audience::one("api"),
        sub: sub.to_owned(),
        client_id: "shop".to_owned(),
        scope: Scope::default(),
        exp: issued.plus(LONGEST),
        iat: issued,
        nbf: None,
        jti: Id::<Token>::new(issued).to_string(),
        sid: None,
        acr: None,
        amr: Vec::new(),
        auth_time: None,
        cnf: None,
        roles: Vec::new(),
    }
}

pub(super) fn refuses(replica: &DenylistReplica, claims: &AccessClaims) -> bool {
    replica.is_revoked(claims, "kid_1")
}

/// Waits for `condition`, ten seconds at most.
pub(super) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

type Interruption = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Clone)]
struct Row {
    recorded: Recorded,
    at: Timestamp,
    published: bool,
}

/// A log in memory that can be made to fail, and interrupted while it is read.
#[derive(Default)]
pub(super) struct MemoryLog {
    rows: Mutex<Vec<Row>>,
    pub(super) broken: AtomicBool,
    pub(super) while_reading: Mutex<Option<Interruption>>,
}

impl MemoryLog {
    fn rows(&self) -> Result<std::sync::MutexGuard<'_, Vec<Row>>, LogError> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(LogError::new("the disk is full"));
        }
        Ok(self.rows.lock().expect("no panic"))
    }

    /// As if another authserver had revoked long ago, before Redis lost it.
    pub(super) async fn record_as_published(&self, entry: &Entry) {
        let ids = self.append(std::slice::from_ref(entry), now()).await.expect("appends");
        self.mark_published(&ids).await.expect("marks");
    }

    pub(super) fn unpublished_count(&self) -> usize {
        let rows = self.rows.lock().expect("no panic");
        rows.iter().filter(|row| !row.published).count()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.lock().expect("no panic").len()
    }
}

fn first(rows: impl Iterator<Item = Row>, limit: u64) -> Vec<Recorded> {
    rows.map(|row| row.recorded).take(usize::try_from(limit).expect("small")).collect()
}

#[async_trait]
impl RevocationLog for MemoryLog {
    async fn append(&self, entries: &[Entry], now: Timestamp) -> Result<Vec<i64>, LogError> {
        let mut rows = self.rows()?;
        let mut ids = Vec::new();
        for entry in entries {
            let id = rows.last().map_or(1, |row| row.recorded.id + 1);
            let recorded = Recorded { id, entry: entry.clone() };
            rows.push(Row { recorded, at: now, published: false });
            ids.push(id);
        }
        Ok(ids)
    }

    async fn unpublished(&self, before: Timestamp, limit: u64) -> Result<Vec<Recorded>, LogError> {
        let rows = self.rows()?;
        Ok(first(rows.iter().filter(|row| !row.published && row.at < before).cloned(), limit))
    }

    async fn mark_published(&self, ids: &[i64]) -> Result<(), LogError> {
        for row in self.rows()?.iter_mut() {
            row.published |= ids.contains(&row.recorded.id);
        }
        Ok(())
    }

    async fn live(
        &self,
        ending_after: Timestamp,
        after: i64,
        limit: u64,
    ) -> Result<Vec<Recorded>, LogError> {
        let page = {
            let rows = self.rows()?;
            let live =
                |row: &&Row| row.recorded.id > after && row.recorded.entry.until > ending_after;
            first(rows.iter().filter(live).cloned(), limit)
        };
        let interruption = self.while_reading.lock().expect("no panic").take();
        if let Some(interruption) = interruption {
            interruption().await;
        }
        Ok(page)
    }

    async fn forget(&self, ended: Timestamp) -> Result<u64, LogError> {
        let mut rows = self.rows()?;
        let before = rows.len();
        rows.retain(|row| row.recorded.entry.until > ended);
        Ok((before - rows.len()) as u64)
    }
}
