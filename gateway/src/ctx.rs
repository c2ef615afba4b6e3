//! What is known about one request, from its head to its log line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use haetae_base::{clock::Timestamp, problem::Problem};
use http::HeaderValue;

use std::sync::Arc;

use crate::{
    authorize::Authorized,
    clean::Clean,
    forwarded::Origin,
    front::{Arriving, Stream},
    limit,
    metrics::{Blame, Stopwatch},
    request_id::RequestId,
    route::Route,
    upstream::Endpoint,
};

/// The context that Pingora carries through its phases.
#[derive(Debug)]
pub(crate) struct Ctx {
    /// Since the head was complete.
    pub(crate) watch: Stopwatch,
    /// When that was.
    pub(crate) arrived: Timestamp,
    /// The request's id.
    pub(crate) request_id: RequestId,
    /// The scheme of `public_url`, by which people reach the gateway.
    pub(crate) scheme: &'static str,
    /// The verdict of the front door, for the next step to take.
    pub(crate) clean: Option<Clean>,
    /// Where the request comes from.
    pub(crate) origin: Origin,
    /// Its route, once found; for metrics and the log whatever becomes of it.
    pub(crate) route: Option<Arc<Route>>,
    /// The permission to go upstream. Without it no upstream is chosen.
    pub(crate) authorized: Option<Authorized>,
    /// What the limits said.
    pub(crate) limits: limit::Fields,
    /// The origin to which the answer may be shown.
    pub(crate) cors_origin: Option<HeaderValue>,
    /// How long the answer may be kept, whatever the service says.
    pub(crate) cache_control: Option<HeaderValue>,
    /// Cookies to set with the answer.
    pub(crate) set_cookies: Vec<HeaderValue>,
    /// Bytes of the body so far.
    pub(crate) body_bytes: u64,
    /// Whether that is all of it. Until then the instance waits for the client, and not we for the instance.
    pub(crate) body_complete: bool,
    /// Over HTTP/2, of a body that is still being sent although the answer has begun.
    pub(crate) arriving: Option<Arc<Arriving>>,
    /// Over HTTP/2, what tells its connection that it is under way.
    pub(crate) stream: Option<Stream>,
    /// The instances that were tried.
    pub(crate) tried: Vec<SocketAddr>,
    /// The instance that is being asked.
    pub(crate) endpoint: Option<Arc<Endpoint>>,
    /// Whether the answer is a stream of events, which may outlive the token that it was asked for with.
    pub(crate) is_event_stream: bool,
    /// When that token was last seen to be good.
    pub(crate) token_good_at: Timestamp,
    /// Whether the next attempt takes no pooled connection: one of them had died.
    pub(crate) fresh_connection: bool,
    /// Whose fault a failure is.
    pub(crate) blame: Blame,
    /// The answer to give when Pingora reports the failure.
    pub(crate) failure: Option<Problem>,
}

impl Ctx {
    /// The context of a request that is just beginning.
    pub(crate) fn new(now: Timestamp, scheme: &'static str) -> Self {
        Self {
            watch: Stopwatch::start(),
            arrived: now,
            request_id: RequestId::make(),
            scheme,
            clean: None,
            origin: Origin::direct(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            route: None,
            authorized: None,
            limits: limit::Fields::default(),
            cors_origin: None,
            cache_control: None,
            set_cookies: Vec::new(),
            body_bytes: 0,
            body_complete: false,
            arriving: None,
            stream: None,
            tried: Vec::new(),
            endpoint: None,
            is_event_stream: false,
            token_good_at: now,
            fresh_connection: false,
            blame: Blame::Nobody,
            failure: None,
        }
    }
}
