//! The accounts of one limit in this process: a map in shards, bounded, idle keys forgotten.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
};

use foldhash::quality::RandomState;
use haetae_base::clock::Timestamp;

use super::{
    Verdict,
    gcra::{Account, Rate},
    key::Key,
};

/// Accounts by key.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Seeded at random, so that nobody can aim at one shard or one bucket.
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    addresses: HashMap<u128, Account, RandomState>,
    names: HashMap<Box<str>, Account, RandomState>,
}

const SHARDS: usize = 64;
/// A shard holds at most this many keys: 64 × 16,384 is a million, some 50 MB.
const MOST_KEYS: usize = 16_384;

impl Counters {
    /// No accounts.
    pub(crate) fn new() -> Self {
        let hasher = RandomState::default();
        let shard = || {
            Mutex::new(Shard {
                addresses: HashMap::with_hasher(hasher.clone()),
                names: HashMap::with_hasher(hasher.clone()),
            })
        };
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), hasher }
    }

    /// Counts one request of `key`.
    pub(crate) fn count(&self, rate: &Rate, key: &Key<'_>, now: Timestamp) -> Verdict {
        let at = usize::try_from(self.hasher.hash_one(key) >> 48).unwrap_or(0) % SHARDS;
        let Some(shard) = self.shards.get(at) else {
            return Verdict { admitted: true, remaining: 0, seconds: 0 };
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let account = match *key {
            Key::Address(address) => shard.addresses.get_mut(&address),
            Key::Name(name) => shard.names.get_mut(name),
        };
        if let Some(account) = account {
            return rate.count(account, now);
        }
        if shard.len() >= MOST_KEYS {
            shard.make_room(rate, now);
        }
        let mut account = Account::default();
        let verdict = rate.count(&mut account, now);
        match *key {
            Key::Address(address) => shard.addresses.insert(address, account),
            Key::Name(name) => shard.names.insert(name.into(), account),
        };
        verdict
    }

    /// Forgets idle keys, one shard after the other.
    pub(crate) fn sweep(&self, rate: &Rate, now: Timestamp) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).forget_idle(rate, now);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().expect("lock").len()).sum()
    }
}

impl Shard {
    fn len(&self) -> usize {
        self.addresses.len() + self.names.len()
    }

    fn forget_idle(&mut self, rate: &Rate, now: Timestamp) {
        self.addresses.retain(|_, account| !rate.is_idle(*account, now));
        self.names.retain(|_, account| !rate.is_idle(*account, now));
        if self.addresses.len() * 4 < self.addresses.capacity() {
            self.addresses.shrink_to_fit();
        }
        if self.names.len() * 4 < self.names.capacity() {
            self.names.shrink_to_fit();
        }
    }

    /// Room for new keys: idle ones go first, and when an attack has filled the shard with busy ones, the
    /// half of them that has the least on its account.
    fn make_room(&mut self, rate: &Rate, now: Timestamp) {
        self.forget_idle(rate, now);
        if self.len() < MOST_KEYS {
            return;
        }
        let mut accounts: Vec<Account> =
            self.addresses.values().chain(self.names.values()).copied().collect();
        let middle = accounts.len() / 2;
        let (_, &mut median, _) = accounts.select_nth_unstable(middle);
        let mut excess = accounts.len() - middle;
        let mut keep = |account: &Account| {
            let forget = *account <= median && excess > 0;
            if forget {
                excess -= 1;
            }
            !forget
        };
        self.addresses.retain(|_, account| keep(account));
        self.names.retain(|_, account| keep(account));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn keys_do_not_share_accounts() {
        let rate = Rate::new(1, Duration::from_mins(1), 1).expect("rate");
        let counters = Counters::new();
        for key in 0..10_000_u128 {
            assert!(counters.count(&rate, &Key::Address(key), NOW).admitted);
            let name = format!("sub-{key}");
            assert!(counters.count(&rate, &Key::Name(&name), NOW).admitted);
            assert!(!counters.count(&rate, &Key::Name(&name), NOW).admitted);
        }
        assert_eq!(counters.len(), 20_000);
        counters.sweep(&rate, NOW.plus(Duration::from_secs(59)));
        assert_eq!(counters.len(), 20_000);
        counters.sweep(&rate, NOW.plus(Duration::from_mins(1)));
        assert_eq!(counters.len(), 0);
    }

    #[test]
    fn a_flood_of_keys_cannot_fill_the_memory() {
        let rate = Rate::new(1, Duration::from_hours(1), 1).expect("rate");
        let counters = Counters::new();
        for key in 0..(SHARDS * MOST_KEYS * 5 / 4) {
            counters.count(&rate, &Key::Address(key as u128), NOW);
        }
        assert!(counters.len() <= SHARDS * MOST_KEYS);
    }

    #[test]
    fn many_threads_admit_exactly_the_burst() {
        let rate = Rate::new(100, Duration::from_hours(1), 100).expect("rate");
        let counters = Arc::new(Counters::new());
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let counters = Arc::clone(&counters);
                std::thread::spawn(move || {
                    (0..100)
                        .filter(|_| counters.count(&rate, &Key::Name("one"), NOW).admitted)
                        .count()
                })
            })
            .collect();
        let admitted: usize =
            threads.into_iter().map(|thread| thread.join().expect("thread")).sum();
        assert_eq!(admitted, 100);
    }
}
