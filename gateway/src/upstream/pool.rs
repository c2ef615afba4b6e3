//! The instances of one upstream, asked in turn.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use haetae_base::clock::Timestamp;
use haetae_config::{Config, gateway};
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};

use super::breaker::Breaker;
use crate::{browser::Cookies, metrics};

/// One upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    name: Arc<str>,
    /// `host:port`, as configured.
    addresses: Vec<String>,
    /// Which of them could not be looked up the last time.
    unknown: Vec<AtomicBool>,
    look_up: LookUp,
    health_path: String,
    cookies: Vec<String>,
    connect_timeout: Duration,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    next: AtomicUsize,
    /// How many requests bypassed the idle connections.
    bypasses: AtomicU64,
}

/// One instance of an upstream.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    /// Resolved once: Pingora would look a name up in the middle of a request, and block.
    peer: HttpPeer,
    breaker: Breaker,
}

/// What tells the instances of `host:port`.
pub(super) type LookUp = fn(&str) -> io::Result<Vec<SocketAddr>>;

/// How long an idle connection to an instance is kept. Shorter than what servers commonly allow, so that
/// they don't close one that is just being used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

impl Pool {
    /// All upstreams by name.
    pub(crate) fn all(config: &Config) -> HashMap<String, Arc<Self>> {
        config
            .gateway
            .upstreams
            .iter()
            .map(|setting| {
                let look_up: LookUp = |name| Ok(name.to_socket_addrs()?.collect());
                (setting.name.clone(), Arc::new(Self::new(config, setting, look_up)))
            })
            .collect()
    }

    pub(super) fn new(config: &Config, setting: &gateway::Upstream, look_up: LookUp) -> Self {
        let addresses = config.upstream_addresses(setting);
        let pool = Self {
            name: setting.name.as_str().into(),
            unknown: addresses.iter().map(|_| AtomicBool::new(false)).collect(),
            addresses,
            look_up,
            health_path: setting.health_path.clone(),
            // The gateway's own cookies never go upstream, whatever is configured.
            cookies: config
                .upstream_cookies(setting)
                .into_iter()
                .filter(|name| !Cookies::is_own(name))
                .collect(),
            connect_timeout: *config.gateway.upstream_connect_timeout,
            endpoints: ArcSwap::default(),
            next: AtomicUsize::new(0),
            bypasses: AtomicU64::new(0),
        };
        pool.resolve();
        pool
    }

    /// Looks the names up again. Instances that are still there keep their state. Blocks.
    pub(crate) fn resolve(&self) {
        let before = self.endpoints.load();
        let mut found = Vec::new();
        for (name, unknown) in self.addresses.iter().zip(&self.unknown) {
            match (self.look_up)(name) {
                Ok(addresses) => {
                    unknown.store(false, Ordering::Relaxed);
                    found.extend(addresses);
                }
                // Once, not at each try.
                Err(error) if !unknown.swap(true, Ordering::Relaxed) => {
                    tracing::warn!(upstream = %self.name, address = name, %error, "cannot resolve");
                }
                Err(_) => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        // A name server that is away takes no instance away.
        if found.is_empty() || found.iter().eq(before.iter().map(|endpoint| &endpoint.address)) {
            return;
        }
        let endpoints: Vec<_> = found
            .into_iter()
            .map(|address| {
                let known = before.iter().find(|endpoint| endpoint.address == address);
                known.map_or_else(|| self.endpoint(address), Arc::clone)
            })
            .collect();
        self.endpoints.store(Arc::new(endpoints));
    }

    /// Whether an address is a name, which may come to mean other instances.
    pub(crate) fn has_names(&self) -> bool {
        self.addresses.iter().any(|address| address.parse::<SocketAddr>().is_err())
    }

    /// Whether an instance did not answer when it was last asked, or none is known.
    pub(crate) fn misses_one(&self) -> bool {
        let endpoints = self.endpoints.load();
        endpoints.is_empty() || endpoints.iter().any(|endpoint| endpoint.is_suspect())
    }

    fn endpoint(&self, address: SocketAddr) -> Arc<Endpoint> {
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.connection_timeout = Some(self.connect_timeout);
        peer.options.total_connection_timeout = Some(self.connect_timeout);
        peer.options.idle_timeout = Some(IDLE_TIMEOUT);
        // No route needs an upgrade, and with one its bytes could pass unchecked.
        peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        Arc::new(Endpoint { address, peer, breaker: Breaker::default() })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its addresses, `host:port`.
    pub(crate) fn names(&self) -> &[String] {
        &self.addresses
    }

    /// The path that tells whether an instance lives.
    pub(crate) fn health_path(&self) -> &str {
        &self.health_path
    }

    /// The cookies that go through to it.
    pub(crate) fn cookies(&self) -> &[String] {
        &self.cookies
    }

    /// Its instances now.
    pub(crate) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// The instance to ask, other than those in `tried`. `None` when no instance lives.
    pub(crate) fn pick(&self, now: Timestamp, tried: &[SocketAddr]) -> Option<Arc<Endpoint>> {
        let endpoints = self.endpoints.load();
        let count = endpoints.len();
        let start = if count > 1 { self.next.fetch_add(1, Ordering::Relaxed) % count } else { 0 };
        endpoints
            .iter()
            .cycle()
            .skip(start)
            .take(count)
            .find(|endpoint| !tried.contains(&endpoint.address) && endpoint.breaker.admits(now))
            .map(Arc::clone)
    }

    /// Makes `peer` one that no idle connection belongs to, and that leaves none behind.
    pub(crate) fn bypass_idle_connections(&self, peer: &mut HttpPeer) {
        // All others are in group 0.
        peer.group_key = self.bypasses.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        peer.options.idle_timeout = Some(Duration::ZERO);
    }

    /// Whether [`Pool::pick`] might find another instance than those in `tried`.
    pub(crate) fn has_another(&self, tried: &[SocketAddr]) -> bool {
        self.endpoints
            .load()
            .iter()
            .any(|endpoint| !tried.contains(&endpoint.address) && !endpoint.breaker.is_open())
    }

    /// After how many seconds asking again may be worth it, at least one.
    pub(crate) fn retry_after(&self, now: Timestamp) -> u64 {
        let endpoints = self.endpoints.load();
        let soonest = endpoints.iter().map(|endpoint| endpoint.breaker.pause_left(now)).min();
        soonest.unwrap_or_default().as_millis().div_ceil(1000).clamp(1, 60).try_into().unwrap_or(1)
    }
}

impl Endpoint {
    /// Where it is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The peer as Pingora wants it, with `timeout` for every answer.
    pub(crate) fn peer(&self, timeout: Duration) -> Box<HttpPeer> {
        let mut peer = Box::new(self.peer.clone());
        peer.options.read_timeout = Some(timeout);
        peer.options.write_timeout = Some(timeout);
        peer
    }

    /// It answered.
    pub(crate) fn succeeded(&self, upstream: &Pool) {
        if self.breaker.is_open() {
            tracing::info!(upstream = upstream.name(), address = %self.address, "answers again");
            metrics::upstream_up(upstream.name(), self.address, true);
        }
        self.breaker.succeeded();
    }

    /// It could not be reached, or broke off.
    pub(crate) fn failed(&self, upstream: &Pool, now: Timestamp) {
        let was_open = self.breaker.is_open();
        self.breaker.failed(now);
        if !was_open && self.breaker.is_open() {
            tracing::warn!(upstream = upstream.name(), address = %self.address, "does not answer");
            metrics::upstream_up(upstream.name(), self.address, false);
        }
    }

    /// Whether it failed when it was last asked: that is looked into at once.
    pub(crate) fn is_suspect(&self) -> bool {
        self.breaker.is_suspect()
    }

    /// Whether it is taken for dead.
    pub(crate) fn is_down(&self) -> bool {
        self.breaker.is_open()
    }
}
