//! How much of the trail strangers may fill. Whoever is nobody here can be refused a hundred times a second, and each
//! refusal is an event that is kept for a year: of one network so many an hour are written, the rest is counted.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use haetae_base::clock::Timestamp;
use moka::sync::Cache;

use crate::sign_in::throttle::network;

/// Events of one network in an hour: enough to see what somebody is at.
const MOST: u32 = 1000;
const HOUR_MS: i64 = 3_600_000;
/// How many networks are counted at once.
const NETWORKS: u64 = 20_000;

/// The events of this hour, by network.
#[derive(Clone)]
pub(super) struct Strangers(Cache<(String, i64), Arc<AtomicU32>>);

impl Strangers {
    pub(super) fn new() -> Self {
        Self(Cache::new(NETWORKS))
    }

    /// Whether another event of this network is written.
    pub(super) fn may_write(&self, address: IpAddr, now: Timestamp) -> bool {
        let hour = now.as_millis() / HOUR_MS;
        let written = self.0.get_with((network(address), hour), Arc::default);
        let before = written.fetch_add(1, Ordering::Relaxed);
        if before == MOST {
            tracing::warn!(%address, "a stranger fills the audit trail; more is counted, not written");
        }
        // Never back to the beginning by an overflow.
        if before > MOST {
            written.store(MOST + 1, Ordering::Relaxed);
        }
        before < MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_share_of_each_hour() {
        let strangers = Strangers::new();
        let at = |seconds: i64| Timestamp::from_seconds(1_800_000_000 + seconds);
        let one: IpAddr = "192.0.2.1".parse().expect("an address");
        let written = |address, seconds| {
            (0..3000).filter(|_| strangers.may_write(address, at(seconds))).count()
        };
        assert_eq!(written(one, 0), 1000);
        assert_eq!(written(one, 60), 0);
        assert_eq!(written("192.0.2.2".parse().expect("an address"), 60), 1000);
        assert_eq!(written(one, 3600), 1000);
        let in_one_house: [IpAddr; 2] =
            ["2001:db8::1", "2001:db8::2"].map(|text| text.parse().expect("an address"));
        assert_eq!(in_one_house.map(|address| written(address, 0)), [1000, 0]);
    }
}
