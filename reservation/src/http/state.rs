//! What the handlers share.

use std::{sync::Arc, time::Duration};

use haetae_base::{clock::Clock, shutdown::Shutdown};
use moka::sync::Cache;

use super::{Authenticate, Caller, DatabaseUp, EventStreams, scope};
use crate::{
    accept::Committer,
    domain::{hold::HoldPolicy, inventory::ItemId},
    queue::{bell::Bell, changes::Waiters},
    store::{Store, StoreError, intent::Decider, inventory::InventoryItem, search::Query},
};

/// What the handlers share. Clones are the same.
#[derive(Clone)]
pub struct ApiState {
    /// The database.
    pub store: Store,
    /// The way of requests into it.
    pub committer: Committer,
    /// Tells workers and other APIs.
    pub bell: Bell,
    /// Those who wait here.
    pub waiters: Waiters,
    /// Verifies tokens.
    pub authenticate: Arc<dyn Authenticate>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long stock is kept.
    pub hold: HoldPolicy,
    /// Into how many partitions the work is divided.
    pub partitions: u16,
    /// The public origin, such as `https://reserve.example`.
    pub origin: Arc<str>,
    /// The issuer's origin, where signing out leads.
    pub login_origin: Arc<str>,
    /// Whether the database answers.
    pub database: DatabaseUp,
    /// Whether to stop.
    pub shutdown: Shutdown,
    pub(crate) recent: Recent,
    pub(crate) streams: EventStreams,
}

/// What was browsed lately, for when the database is away. Never used while it answers.
#[derive(Clone, Debug)]
pub(crate) struct Recent {
    pages: Cache<(String, i64, u32), Arc<Vec<InventoryItem>>>,
    items: Cache<ItemId, Arc<InventoryItem>>,
}

/// What was found, and whether it may have changed since.
#[derive(Clone, Debug)]
pub(crate) struct Browsed<T> {
    pub(crate) found: T,
    pub(crate) stale: bool,
}

/// What is kept of lists at most, in bytes.
const PAGES: u64 = 48 << 20;
/// What is kept of single items at most, in bytes.
const ITEMS: u64 = 16 << 20;

impl Recent {
    fn new() -> Self {
        let kept = Duration::from_hours(1);
        Self {
            pages: Cache::builder()
                .weigher(|key: &(String, i64, u32), page: &Arc<Vec<InventoryItem>>| {
                    weight(key.0.len() + page.iter().map(InventoryItem::size).sum::<usize>())
                })
                .max_capacity(PAGES)
                .time_to_live(kept)
                .build(),
            items: Cache::builder()
                .weigher(|_, item: &Arc<InventoryItem>| weight(item.size()))
                .max_capacity(ITEMS)
                .time_to_live(kept)
                .build(),
        }
    }

    /// The item as it was looked at lately, alone or in a list.
    fn find(&self, id: ItemId) -> Option<Arc<InventoryItem>> {
        let in_lists = || {
            let listed = self
                .pages
                .iter()
                .find_map(|(_, page)| page.iter().find(|item| item.id == id).cloned());
            listed.map(Arc::new)
        };
        self.items.get(&id).or_else(in_lists)
    }
}

/// So many bytes, with what the cache itself needs for an entry.
fn weight(bytes: usize) -> u32 {
    const ENTRY: usize = 256;
    u32::try_from(bytes.saturating_add(ENTRY)).unwrap_or(u32::MAX)
}

/// What an API is made of.
pub struct ApiParts {
    /// The database.
    pub store: Store,
    /// The way of requests into it.
    pub committer: Committer,
    /// Tells workers and other APIs.
    pub bell: Bell,
    /// Those who wait here.
    pub waiters: Waiters,
    /// Verifies tokens.
    pub authenticate: Arc<dyn Authenticate>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long stock is kept.
    pub hold: HoldPolicy,
    /// Into how many partitions the work is divided.
    pub partitions: u16,
    /// The public origin.
    pub origin: String,
    /// The issuer's origin.
    pub login_origin: String,
    /// Whether the database answers.
    pub database: DatabaseUp,
    /// Whether to stop.
    pub shutdown: Shutdown,
}

impl From<ApiParts> for ApiState {
    fn from(parts: ApiParts) -> Self {
        Self {
            store: parts.store,
            committer: parts.committer,
            bell: parts.bell,
            waiters: parts.waiters,
            authenticate: parts.authenticate,
            clock: parts.clock,
            hold: parts.hold,
            partitions: parts.partitions,
            origin: parts.origin.into(),
            login_origin: parts.login_origin.into(),
            database: parts.database,
            shutdown: parts.shutdown,
            recent: Recent::new(),
            streams: EventStreams::default(),
        }
    }
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ApiState").field("origin", &self.origin).finish_non_exhaustive()
    }
}

impl ApiState {
    /// A page of the inventory: from the database, or as it was lately when that is away.
    pub(crate) async fn browse(
        &self,
        query: Option<&str>,
        after: i64,
        limit: u32,
    ) -> Result<Browsed<Arc<Vec<InventoryItem>>>, StoreError> {
        let key = (query.unwrap_or_default().to_owned(), after, limit);
        if !self.database.get() {
            let found = self.recent.pages.get(&key).ok_or(StoreError::Away)?;
            return Ok(Browsed { found, stale: true });
        }
        let words = query.map(Query::parse);
        let found = match &words {
            // Words that are none find nothing.
            Some(None) => Ok(Vec::new()),
            Some(Some(words)) => self.store.list_items(Some(words), after, limit).await,
            None => self.store.list_items(None, after, limit).await,
        };
        match found {
            Ok(found) => {
                let found = Arc::new(found);
                self.recent.pages.insert(key, Arc::clone(&found));
                Ok(Browsed { found, stale: false })
            }
            Err(error) => match self.recent.pages.get(&key) {
                Some(found) if error.is_temporary() => Ok(Browsed { found, stale: true }),
                _ => Err(error),
            },
        }
    }

    /// An item: from the database, or as it was lately when that is away.
    pub(crate) async fn look_at(
        &self,
        id: ItemId,
    ) -> Result<Browsed<Option<Arc<InventoryItem>>>, StoreError> {
        if !self.database.get() {
            let item = self.recent.find(id).ok_or(StoreError::Away)?;
            return Ok(Browsed { found: Some(item), stale: true });
        }
        match self.store.find_item(id).await {
            Ok(None) => Ok(Browsed { found: None, stale: false }),
            Ok(Some(item)) => {
                let item = Arc::new(item);
                self.recent.items.insert(id, Arc::clone(&item));
                Ok(Browsed { found: Some(item), stale: false })
            }
            Err(error) => match self.recent.find(id) {
                Some(item) if error.is_temporary() => {
                    Ok(Browsed { found: Some(item), stale: true })
                }
                _ => Err(error),
            },
        }
    }
}

/// As whom the caller decides.
pub(crate) fn decider_of(caller: &Caller) -> Decider<'_> {
    if caller.has(scope::INVENTORY) {
        Decider::Administrator(caller.subject())
    } else {
        Decider::Owner(caller.subject())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::{
        domain::{inventory::Stock, version::Version},
        store::inventory::Description,
    };

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let now = haetae_base::clock::SystemClock.now();
        let note = "x".repeat(16 << 10);
        let item = |num| InventoryItem {
            id: ItemId::new(now),
            num,
            about: Description {
                sku: None,
                name: "large".to_owned(),
                description: Some(note.clone()),
                price: None,
                starts_at: None,
                attributes: Map::from_iter([("note".to_owned(), json!([{"text": note}]))]),
            },
            stock: Stock::new(1).expect("a quantity"),
            version: Version::FIRST,
        };
        assert!(item(1).size() > 2 * (16 << 10), "texts and attributes count");
        let recent = Recent::new();
        // 48 MiB are filled by some 15 of these.
        for number in 0..40_i64 {
            let page: Vec<_> = (0..100).map(item).collect();
            recent.pages.insert((String::new(), number, 100), Arc::new(page));
        }
        recent.pages.run_pending_tasks();
        assert!(recent.pages.weighted_size() <= PAGES);
        assert!((5..20).contains(&recent.pages.entry_count()), "{}", recent.pages.entry_count());
    }
}
