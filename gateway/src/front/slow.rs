//! How many heads one address may have half sent. Each of them holds a connection and a buffer until its
//! deadline; an honest client sends a head at once and is never counted.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use crate::limit::key::network;

/// The half-sent heads by address (IPv6 by /64).
#[derive(Debug, Default)]
pub(crate) struct SlowHeads(Mutex<HashMap<u128, u32>>);

/// An address may have this many.
const MOST: u32 = 256;

impl SlowHeads {
    /// Counts one for `address`. `None` when it has too many.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<SlowHead> {
        let network = network(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= MOST {
            return None;
        }
        *count += 1;
        Some(SlowHead { heads: Arc::clone(self), network })
    }
}

/// One half-sent head; counted until dropped.
#[derive(Debug)]
pub(super) struct SlowHead {
    heads: Arc<SlowHeads>,
    network: u128,
}

impl Drop for SlowHead {
    fn drop(&mut self) {
        let mut counts = self.heads.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let heads = Arc::new(SlowHeads::default());
        let one: IpAddr = "192.0.2.1".parse().expect("address");
        let mut held: Vec<_> = (0..MOST).map(|_| heads.enter(one).expect("room")).collect();
        assert!(heads.enter(one).is_none());
        assert!(heads.enter("192.0.2.2".parse().expect("address")).is_some());
        held.pop();
        assert!(heads.enter(one).is_some());
        held.clear();
        assert!(heads.0.lock().expect("lock").is_empty());
    }
}
