//! How much of something one address may have at once: open connections, heads that are half sent. What is held by
//! an address is taken from all others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::limit::key::network;

/// What each address has (IPv6 by /64).
#[derive(Debug)]
pub(super) struct Shares {
    most: usize,
    counts: Mutex<HashMap<u128, usize>>,
}

impl Shares {
    /// An address may have `most`.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, counts: Mutex::default() })
    }

    /// Counts one for `address`. `None` when it has all that it may.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Share> {
        let network = network(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share { shares: Arc::clone(self), network })
    }
}

/// One of them; counted until dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    network: u128,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shares.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_share_and_gets_it_back() {
        let shares = Shares::new(3);
        let one: IpAddr = "2001:db8::1".parse().expect("address");
        let neighbour: IpAddr = "2001:db8::2".parse().expect("address");
        let mut held: Vec<_> = (0..3).map(|_| shares.enter(one).expect("room")).collect();
        assert!(shares.enter(one).is_none() && shares.enter(neighbour).is_none());
        assert!(shares.enter("192.0.2.2".parse().expect("address")).is_some());
        held.pop();
        assert!(shares.enter(neighbour).is_some());
        held.clear();
        assert!(shares.counts.lock().expect("lock").is_empty());
    }
}
