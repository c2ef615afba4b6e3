//! One route, ready for use: every name of the configuration resolved, every field value made once.

use std::{sync::Arc, time::Duration};

use haetae_config::gateway::{Authenticate, WhenStale};
use haetae_keys::claims::Acr;
use http::{HeaderValue, Method};

use crate::{limit::Limit, metrics::RouteMetrics, upstream::Pool};

/// What one path needs and where it goes.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its name in logs and metrics.
    pub(crate) name: Arc<str>,
    /// The methods; empty: all.
    pub(crate) methods: Vec<Method>,
    /// Where it goes.
    pub(crate) upstream: Arc<Pool>,
    /// Whether a request must, may, or need not say who it comes from.
    pub(crate) authenticate: Authenticate,
    /// The scopes that the token must have.
    pub(crate) scopes: Vec<String>,
    /// The weakest authentication that is enough.
    pub(crate) acr: Option<Acr>,
    /// The longest time since the person proved who they are.
    pub(crate) max_age: Option<Duration>,
    /// The limits that count it.
    pub(crate) limits: Vec<Arc<Limit>>,
    /// `RateLimit-Policy`.
    pub(crate) limit_policy: Option<HeaderValue>,
    /// What to do with a token while revocations cannot be seen.
    pub(crate) when_stale: WhenStale,
    /// The largest body.
    pub(crate) max_body_bytes: u64,
    /// How long the whole request may take.
    pub(crate) timeout: Duration,
    /// The origins whose scripts may call it.
    pub(crate) cors_origins: Vec<HeaderValue>,
    /// Whether it belongs to the API, where a cookie alone is not enough (RFC 10017 6.1.3.3) and nobody
    /// is sent to a login page.
    pub(crate) is_api: bool,
    /// What is counted for it.
    pub(crate) metrics: RouteMetrics,
}

impl Route {
    /// Whether it takes `method`. A route for GET takes HEAD.
    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }
}
