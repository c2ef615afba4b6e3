//! The clients as requests see them: from memory. A change reaches every authserver at once
//! ([`crate::changes`]). While SQL is away, what is known goes on being served.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use haetae_base::clock::{Clock, Timestamp};
use moka::sync::Cache;

use crate::{
    domain::client::Client,
    store::{StoreError, clients::Clients},
};

/// How old an answer may be while changes are heard of.
pub(crate) const FRESH: Duration = Duration::from_mins(1);
/// The same for "there is no such client", which anybody can ask for.
const FRESH_ABSENCE: Duration = Duration::from_secs(5);
/// How long a request waits for SQL when it could be answered from memory.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long nobody asks SQL again after it did not answer.
const PAUSE: Duration = Duration::from_secs(2);

/// The clients, cached. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ClientRegistry(Arc<Parts>);

struct Parts {
    clients: Clients,
    clock: Arc<dyn Clock>,
    known: Cache<String, Known>,
    origins: ArcSwapOption<Origins>,
    /// Raised when everything has to be looked up again. What was read under an older one is served only
    /// while SQL is away.
    generation: AtomicU64,
    /// Whether changes are heard of. While they are not, SQL is asked each time: a client that was shut meanwhile gets
    /// nothing.
    hears: AtomicBool,
    /// Until when, in ms, SQL is taken to be away.
    away_until: AtomicI64,
}

#[derive(Clone)]
struct Known {
    client: Option<Arc<Client>>,
    read_at: Timestamp,
    generation: u64,
}

struct Origins {
    all: HashSet<String>,
    read_at: Timestamp,
    generation: u64,
}

impl ClientRegistry {
    pub(crate) fn new(clients: Clients, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Parts {
            clients,
            clock,
            known: Cache::new(10_000),
            origins: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            hears: AtomicBool::new(true),
            away_until: AtomicI64::new(i64::MIN),
        }))
    }

    /// The client of this id; `None` when there is none or it is shut.
    pub(crate) async fn find(&self, client_id: &str) -> Result<Option<Arc<Client>>, StoreError> {
        let now = self.0.clock.now();
        let generation = self.0.generation.load(Ordering::Acquire);
        let known = self.0.known.get(client_id);
        if let Some(known) = &known {
            let fresh = match &known.client {
                Some(_) if !self.0.hears.load(Ordering::Acquire) => Duration::ZERO,
                Some(_) => FRESH,
                None => FRESH_ABSENCE,
            };
            if known.generation == generation && now.since(known.read_at) < fresh {
                return Ok(known.client.clone());
            }
        }
        if let Some(known) = &known
            && self.is_away(now)
        {
            return Ok(known.client.clone());
        }
        match self.ask(self.0.clients.find(client_id), known.is_some()).await {
            Ok(Some(client)) => {
                let client = client.filter(|client| client.disabled_at.is_none()).map(Arc::new);
                // Stamped with the generation from before the read: a change that came meanwhile makes
                // this outdated, as it should.
                let known = Known { client: client.clone(), read_at: now, generation };
                self.0.known.insert(client_id.to_owned(), known);
                Ok(client)
            }
            Ok(None) => Ok(known.and_then(|known| known.client)),
            Err(error) => Err(error),
        }
    }

    /// Whether scripts of `origin` belong to any client.
    pub(crate) async fn serves_origin(&self, origin: &str) -> bool {
        let now = self.0.clock.now();
        let generation = self.0.generation.load(Ordering::Acquire);
        let known = self.0.origins.load_full();
        let outdated = known.as_ref().is_none_or(|known| {
            known.generation != generation || now.since(known.read_at) >= FRESH
        });
        if !outdated {
            return known.is_some_and(|known| known.all.contains(origin));
        }
        let asked =
            if self.is_away(now) { Ok(None) } else { self.ask(self.0.clients.list(), true).await };
        match asked {
            Ok(Some(clients)) => {
                let all = clients
                    .iter()
                    .filter(|client| client.disabled_at.is_none())
                    .flat_map(Client::origins)
                    .collect();
                let origins = Arc::new(Origins { all, read_at: now, generation });
                self.0.origins.store(Some(Arc::clone(&origins)));
                origins.all.contains(origin)
            }
            Ok(None) => known.is_some_and(|known| known.all.contains(origin)),
            Err(error) => {
                tracing::error!(%error, "the origins of the clients cannot be read");
                known.is_some_and(|known| known.all.contains(origin))
            }
        }
    }

    /// The clients that were shut at `since` or later and still are, from SQL.
    pub(crate) async fn shut_since(&self, since: Timestamp) -> Result<Vec<String>, StoreError> {
        let mut clients = self.0.clients.list().await?;
        clients.retain(|client| client.disabled_at.is_some_and(|at| at >= since));
        Ok(clients.into_iter().map(|client| client.client_id).collect())
    }

    /// Asks SQL. With something to fall back on it is not waited for long, and `None` means that it is
    /// away.
    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, StoreError>>,
        fallback: bool,
    ) -> Result<Option<T>, StoreError> {
        if !fallback {
            return question.await.map(Some);
        }
        match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(error @ StoreError::Unavailable(_))) => {
                tracing::debug!(%error, "clients from memory: SQL is away");
                self.pause();
                Ok(None)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                tracing::debug!("clients from memory: SQL does not answer in time");
                self.pause();
                Ok(None)
            }
        }
    }

    fn is_away(&self, now: Timestamp) -> bool {
        now.as_millis() < self.0.away_until.load(Ordering::Acquire)
    }

    fn pause(&self) {
        let until = self.0.clock.now().plus(PAUSE).as_millis();
        self.0.away_until.store(until, Ordering::Release);
    }

    /// Changes are heard of from now on, or are not.
    pub(crate) fn set_hearing(&self, hears: bool) {
        self.0.hears.store(hears, Ordering::Release);
    }

    /// Looks everything up again when it is asked for next: something changed.
    pub(crate) fn forget(&self) {
        self.0.generation.fetch_add(1, Ordering::AcqRel);
    }
}
