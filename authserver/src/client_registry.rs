//! The clients as requests see them: from memory. A change reaches every authserver at once
//! ([`crate::changes`]). While SQL is away, what is known goes on being served.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
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

/// How old an answer may be when no change was heard of: the bound for a Redis that is away.
const FRESH: Duration = Duration::from_mins(1);
/// The same for "there is no such client", which anybody can ask for.
const FRESH_ABSENCE: Duration = Duration::from_secs(5);

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
        }))
    }

    /// The client of this id; `None` when there is none or it is shut.
    pub(crate) async fn find(&self, client_id: &str) -> Result<Option<Arc<Client>>, StoreError> {
        let now = self.0.clock.now();
        let generation = self.0.generation.load(Ordering::Acquire);
        let known = self.0.known.get(client_id);
        if let Some(known) = &known {
            let fresh = if known.client.is_some() { FRESH } else { FRESH_ABSENCE };
            if known.generation == generation && now.since(known.read_at) < fresh {
                return Ok(known.client.clone());
            }
        }
        match self.0.clients.find(client_id).await {
            Ok(client) => {
                let client = client.filter(|client| client.disabled_at.is_none()).map(Arc::new);
                // Stamped with the generation from before the read: a change that came meanwhile makes
                // this outdated, as it should.
                let known = Known { client: client.clone(), read_at: now, generation };
                self.0.known.insert(client_id.to_owned(), known);
                Ok(client)
            }
            Err(error @ StoreError::Unavailable(_)) => match known {
                Some(known) => {
                    tracing::debug!(%error, client_id, "served from memory: SQL is away");
                    Ok(known.client)
                }
                None => Err(error),
            },
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
        match self.0.clients.list().await {
            Ok(clients) => {
                let all = clients
                    .iter()
                    .filter(|client| client.disabled_at.is_none())
                    .flat_map(Client::origins)
                    .collect();
                let origins = Arc::new(Origins { all, read_at: now, generation });
                self.0.origins.store(Some(Arc::clone(&origins)));
                origins.all.contains(origin)
            }
            Err(error) => {
                tracing::debug!(%error, "origins from memory: SQL cannot be asked");
                known.is_some_and(|known| known.all.contains(origin))
            }
        }
    }

    /// Looks everything up again when it is asked for next: something changed.
    pub(crate) fn forget(&self) {
        self.0.generation.fetch_add(1, Ordering::AcqRel);
    }
}
