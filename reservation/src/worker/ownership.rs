//! Which partitions this worker owns. Each worker takes its fair share of them, and gives some back when
//! another one comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use haetae_base::{
    clock::{Clock, Timestamp},
    entropy,
    redis::Redis,
    shutdown::Shutdown,
};
use tokio::sync::watch;

use crate::{
    apply_batch::Fences,
    crash::crash_point,
    domain::fence::{Fence, Partition},
    lease,
    store::Store,
};

/// The partitions of this worker.
pub(super) struct Ownership {
    store: Store,
    redis: Redis,
    clock: Arc<dyn Clock>,
    token: String,
    count: u16,
    ttl: Duration,
    owned: Mutex<BTreeMap<Partition, Owned>>,
    changed: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Owned {
    fence: Fence,
    /// Until when the lease is certainly ours: counted from before Redis was asked.
    until: Timestamp,
    /// Whether what the owner before left was looked for.
    searched: bool,
}

impl Ownership {
    pub(super) fn new(worker: &super::Worker, token: String) -> Self {
        Self {
            store: worker.store.clone(),
            redis: worker.redis.clone(),
            clock: Arc::clone(&worker.clock),
            token,
            count: worker.partitions.max(1),
            ttl: worker.lease,
            owned: Mutex::new(BTreeMap::new()),
            changed: watch::Sender::new(0),
        }
    }

    /// Takes, renews and gives back until shutdown.
    pub(super) async fn keep(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            let satisfied = match self.tick().await {
                Ok(satisfied) => satisfied,
                Err(error) => {
                    tracing::debug!(%error, "leases cannot be renewed: Redis does not answer");
                    false
                }
            };
            self.drop_lapsed();
            // Here, so that it is told as well when the leases ran out because Redis is away.
            metrics::gauge!("haetae_reservation_partitions_owned")
                .set(u32::try_from(self.owned().len()).unwrap_or(u32::MAX));
            let renew = self.ttl / 3;
            // Whoever misses partitions asks more often: the owner before may have died just now.
            let pause = if satisfied { renew } else { renew.min(Duration::from_millis(250)) };
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The fences of the partitions whose lease is ours now.
    pub(super) fn fences(&self) -> Fences {
        let now = self.clock.now();
        self.owned()
            .iter()
            .filter(|(_, owned)| now < owned.until)
            .map(|(partition, owned)| (*partition, owned.fence))
            .collect()
    }

    /// The partitions whose lease is ours now.
    pub(super) fn partitions(&self) -> BTreeSet<Partition> {
        self.fences().into_keys().collect()
    }

    /// Partitions that were taken since the last call: what their owner before left is to be looked for.
    pub(super) fn newly_taken(&self) -> BTreeSet<Partition> {
        let mut owned = self.owned();
        let fresh = owned.iter_mut().filter(|(_, owned)| !owned.searched);
        fresh
            .map(|(partition, owned)| {
                owned.searched = true;
                *partition
            })
            .collect()
    }

    /// Notes that what these partitions' owner before left could not be looked for.
    pub(super) fn search_again(&self, partitions: &BTreeSet<Partition>) {
        for (partition, owned) in self.owned().iter_mut() {
            if partitions.contains(partition) {
                owned.searched = false;
            }
        }
    }

    /// Notes that SQL knows another owner of these.
    pub(super) fn lost(&self, partitions: &BTreeSet<Partition>) {
        self.owned().retain(|partition, _| !partitions.contains(partition));
        self.tell();
    }

    /// Ends when partitions were taken or given back.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Gives everything back.
    pub(super) async fn release_all(&self) {
        let partitions: Vec<Partition> = std::mem::take(&mut *self.owned()).into_keys().collect();
        for partition in partitions {
            if let Err(error) = lease::release(&self.redis, partition, &self.token).await {
                tracing::debug!(%error, %partition, "a lease runs out by itself");
            }
        }
        if let Err(error) = lease::depart(&self.redis, &self.token).await {
            tracing::debug!(%error, "the departure runs out by itself");
        }
    }

    /// One round. `false` when this worker has less than its share.
    async fn tick(&self) -> redis::RedisResult<bool> {
        let workers = lease::announce(&self.redis, &self.token, self.ttl).await?;
        self.renew().await?;
        let share = usize::from(self.count).div_ceil(workers.max(1));
        self.give_back(share).await?;
        let missing = share.saturating_sub(self.owned().len());
        let taken = self.take(missing).await?;
        Ok(taken == missing)
    }

    async fn renew(&self) -> redis::RedisResult<()> {
        let partitions: Vec<Partition> = self.owned().keys().copied().collect();
        let until = self.clock.now().plus(self.ttl);
        let ours = lease::renew(&self.redis, &partitions, &self.token, self.ttl).await?;
        let mut lost = BTreeSet::new();
        {
            let mut owned = self.owned();
            for (partition, ours) in partitions.into_iter().zip(ours) {
                if !ours {
                    owned.remove(&partition);
                    lost.insert(partition);
                } else if let Some(owned) = owned.get_mut(&partition) {
                    owned.until = until;
                }
            }
        }
        if !lost.is_empty() {
            tracing::warn!(?lost, "leases were lost");
            self.tell();
        }
        Ok(())
    }

    async fn give_back(&self, share: usize) -> redis::RedisResult<()> {
        loop {
            let surplus = {
                let mut owned = self.owned();
                if owned.len() <= share { None } else { owned.pop_last() }
            };
            let Some((partition, _)) = surplus else { return Ok(()) };
            self.tell();
            lease::release(&self.redis, partition, &self.token).await?;
            tracing::info!(%partition, "partition given back to be shared");
        }
    }

    async fn take(&self, wanted: usize) -> redis::RedisResult<usize> {
        let mut taken = 0;
        // From a random place on, or all workers would fight for the same one.
        let start = u16::try_from(entropy::below(u64::from(self.count))).unwrap_or(0);
        for offset in 0..self.count {
            if taken == wanted {
                break;
            }
            let number = (u32::from(start) + u32::from(offset)) % u32::from(self.count);
            let partition = Partition::new(u16::try_from(number).unwrap_or(0));
            if self.owned().contains_key(&partition) {
                continue;
            }
            let now = self.clock.now();
            if !lease::take(&self.redis, partition, &self.token, self.ttl).await? {
                continue;
            }
            crash_point!("partition-after-lease");
            match self.store.take_partition(partition, &self.token, now).await {
                Ok(fence) => {
                    crash_point!("partition-after-fence");
                    let until = now.plus(self.ttl);
                    self.owned().insert(partition, Owned { fence, until, searched: false });
                    self.tell();
                    tracing::debug!(%partition, fence = fence.get(), "partition taken");
                    taken += 1;
                }
                Err(error) => {
                    tracing::warn!(%error, %partition, "a partition cannot be taken without SQL");
                    lease::release(&self.redis, partition, &self.token).await?;
                    break;
                }
            }
        }
        Ok(taken)
    }

    fn drop_lapsed(&self) {
        let now = self.clock.now();
        let before = self.owned().len();
        self.owned().retain(|_, owned| now < owned.until);
        if self.owned().len() != before {
            tracing::warn!("leases ran out; work waits until Redis is back");
            self.tell();
        }
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn owned(&self) -> MutexGuard<'_, BTreeMap<Partition, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
