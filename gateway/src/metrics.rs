//! What Prometheus sees. The handles of what happens at each request are made once and kept; looking a
//! metric up by its labels costs more than counting it.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use haetae_base::telemetry::metrics::{Label, Metric};
use haetae_config::gateway;
use haetae_keys::verify::VerifyError;
use http::StatusCode;
use metrics::{Counter, Histogram, counter, gauge, histogram};

use crate::{clean::Refusal, pages::Failure};

/// What the gateway records, besides what its parts of other crates do.
pub(crate) const METRICS: &[Metric] = &[
    Metric::counter(
        "haetae_gateway_requests_total",
        "Answered requests, by route, status, and whose fault a failure was (client, gateway, upstream, nobody)",
    )
    .as_labels_come(),
    Metric::histogram(
        "haetae_gateway_request_seconds",
        "From the complete head of a request to the end of its answer, by route",
    )
    .as_labels_come(),
    Metric::counter(
        "haetae_gateway_authentications_total",
        "How looking at credentials ended, by method (bearer, browser, login, ...) and outcome",
    )
    .by_any_of(AUTHENTICATIONS),
    Metric::counter(
        "haetae_gateway_sessions_passed_over_total",
        "Requests that were served as nobody's because their browser session could not be judged",
    )
    .from_zero(),
    Metric::counter(
        "haetae_gateway_limited_total",
        "Requests that a rate limit refused, by limit",
    )
    .as_labels_come(),
    Metric::counter(
        "haetae_gateway_front_door_refusals_total",
        "Malformed or forbidden requests that were refused unseen, by the rule that they broke",
    )
    .by(&[("rule", || Refusal::ALL.map(Refusal::name).to_vec())]),
    Metric::gauge("haetae_gateway_connections", "Open connections of clients").from_zero(),
    Metric::counter(
        "haetae_gateway_connections_refused_total",
        "Connections that were not taken, by reason; accept-failed is mostly a lack of file descriptors",
    )
    .by(&[("reason", || {
        vec!["too-many", "too-many-from-address", "too-many-slow", "tls", "tls-too-slow", "accept-failed"]
    })]),
    Metric::counter(
        "haetae_gateway_idle_connections_closed_total",
        "Idle connections that were closed before their time to make room for new ones",
    )
    .from_zero(),
    Metric::gauge(
        "haetae_gateway_upstream_up",
        "1 while an instance of an upstream answers its health check, 0 also when its name no longer leads there",
    ),
    Metric::gauge(
        "haetae_gateway_upstream_instances",
        "Instances of an upstream that its names lead to now, by state (up, down)",
    ),
    Metric::counter(
        "haetae_gateway_upstream_retries_total",
        "Further attempts at an upstream, by upstream",
    )
    .as_labels_come(),
    Metric::counter(
        "haetae_gateway_session_refreshes_total",
        "Refreshes of browser sessions, by outcome",
    )
    .by(&[("outcome", || vec!["refreshed", "invalid_grant", "ended", "failed"])]),
];

/// What [`authenticated`] is told.
const AUTHENTICATIONS: &[&[Label]] = &[
    &[
        ("method", || vec!["bearer"]),
        ("outcome", || {
            [&["accepted", "malformed", "sender_constrained"][..], &VerifyError::names()].concat()
        }),
    ],
    &[
        ("method", || vec!["browser"]),
        ("outcome", || {
            let own = ["accepted", "unavailable", "ended", "cross_site"];
            [&own[..], &VerifyError::names()].concat()
        }),
    ],
    &[
        ("method", || vec!["login"]),
        ("outcome", || [&["signed_in"][..], &Failure::ALL.map(Failure::name)].concat()),
    ],
    &[("method", || vec!["logout"]), ("outcome", || vec!["signed_out"])],
    &[("method", || vec!["none", "both", "other", "query"]), ("outcome", || vec!["refused"])],
    &[
        ("method", || vec!["any"]),
        ("outcome", || {
            vec!["denylist_stale", "insufficient_scope", "insufficient_user_authentication"]
        }),
    ],
];

/// Begins at zero what is counted by the names of the configuration. Routes do it themselves
/// ([`RouteMetrics::new`]).
pub(crate) fn begin(config: &gateway::Gateway) {
    for limit in &config.limits {
        drop(counter_limited(&limit.name));
    }
    for upstream in &config.upstreams {
        drop(counter_retried(&upstream.name));
    }
}

/// Whose fault a failed request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Blame {
    /// It did not fail.
    #[default]
    Nobody,
    /// What was asked cannot be answered, or the client went away.
    Client,
    /// The gateway, or something that it needs.
    Gateway,
    /// The service behind.
    Upstream,
}

impl Blame {
    /// The value of the label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}

const BLAMES: usize = 4;

/// The statuses that have a counter of their own; any other is counted by its class.
const STATUSES: [u16; 40] = [
    101, 200, 201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405,
    406, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 422, 428, 429, 431, 499, 500, 501, 502,
    503, 504,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const SLOTS: usize = STATUSES.len() + CLASSES.len();

/// What is counted for one route.
pub(crate) struct RouteMetrics {
    route: Arc<str>,
    requests: Box<[[OnceLock<Counter>; BLAMES]]>,
    seconds: Histogram,
}

/// The failures that are alerted on, so that the first of them is seen: a counter that appears with its first
/// event did not rise for Prometheus.
const FAILURES: [u16; 4] = [500, 502, 503, 504];

impl RouteMetrics {
    /// The metrics of `route`. What went well and what clients did wrong appears as it comes: forty statuses a
    /// route would be too much to keep for what nobody alerts on.
    pub(crate) fn new(route: &str) -> Self {
        let metrics = Self {
            route: route.into(),
            requests: (0..SLOTS).map(|_| Default::default()).collect(),
            seconds: histogram!("haetae_gateway_request_seconds", "route" => route.to_owned()),
        };
        for code in FAILURES {
            for blame in [Blame::Gateway, Blame::Upstream] {
                let _begun_at_zero = metrics.counter(code, blame);
            }
        }
        metrics
    }

    /// Counts one answered request.
    pub(crate) fn answered(&self, status: StatusCode, blame: Blame, took: Duration) {
        self.seconds.record(took);
        if let Some(counter) = self.counter(status.as_u16(), blame) {
            counter.increment(1);
        }
    }

    fn counter(&self, code: u16, blame: Blame) -> Option<&Counter> {
        let slot = STATUSES.binary_search(&code).unwrap_or_else(|_| {
            STATUSES.len() + usize::from(code / 100).clamp(1, CLASSES.len()) - 1
        });
        let counter = self.requests.get(slot)?.get(blame as usize)?;
        Some(counter.get_or_init(|| {
            let class = slot.checked_sub(STATUSES.len()).and_then(|at| CLASSES.get(at));
            let status = class.map_or_else(|| code.to_string(), |&class| class.to_owned());
            counter!("haetae_gateway_requests_total", "route" => self.route.to_string(),
                "status" => status, "blame" => blame.as_str())
        }))
    }
}

impl std::fmt::Debug for RouteMetrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RouteMetrics({})", self.route)
    }
}

/// Measures how long something takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(
        clippy::disallowed_methods,
        reason = "measures microseconds that the injected clock does not have, and decides nothing"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// How looking at the credentials of a request ended.
pub(crate) fn authenticated(method: &'static str, outcome: &'static str) {
    counter!("haetae_gateway_authentications_total", "method" => method, "outcome" => outcome)
        .increment(1);
}

/// A bearer token that was accepted: every request of the hot path, so the handle is kept.
pub(crate) fn bearer_accepted() {
    static ACCEPTED: OnceLock<Counter> = OnceLock::new();
    ACCEPTED
        .get_or_init(|| {
            counter!("haetae_gateway_authentications_total", "method" => "bearer", "outcome" => "accepted")
        })
        .increment(1);
}

/// A request that is served as nobody's because its browser session cannot be judged.
pub(crate) fn session_passed_over() {
    counter!("haetae_gateway_sessions_passed_over_total").increment(1);
}

/// A request that a rate limit refused.
pub(crate) fn limited(limit: &str) {
    counter_limited(limit).increment(1);
}

fn counter_limited(limit: &str) -> Counter {
    counter!("haetae_gateway_limited_total", "limit" => limit.to_owned())
}

/// A request that broke a rule of the front door.
pub(crate) fn front_door_refusal(refusal: Refusal) {
    counter!("haetae_gateway_front_door_refusals_total", "rule" => refusal.name()).increment(1);
}

/// A connection that was not taken.
pub(crate) fn connection_refused(reason: &'static str) {
    counter!("haetae_gateway_connections_refused_total", "reason" => reason).increment(1);
}

/// An idle connection that was closed before its time to make room.
pub(crate) fn idle_connection_closed() {
    counter!("haetae_gateway_idle_connections_closed_total").increment(1);
}

/// How many client connections are open.
pub(crate) fn connections(open: usize) {
    #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 connections")]
    gauge!("haetae_gateway_connections").set(open as f64);
}

/// Whether an instance of an upstream answers.
pub(crate) fn upstream_up(upstream: &str, address: SocketAddr, up: bool) {
    gauge!("haetae_gateway_upstream_up", "upstream" => upstream.to_owned(), "address" => address.to_string())
        .set(if up { 1.0 } else { 0.0 });
}

/// How many instances of an upstream there are, and how many of them answer.
pub(crate) fn upstream_instances(upstream: &str, up: usize, down: usize) {
    for (state, count) in [("up", up), ("down", down)] {
        #[expect(clippy::cast_precision_loss, reason = "there are never 2^52 instances")]
        gauge!("haetae_gateway_upstream_instances", "upstream" => upstream.to_owned(), "state" => state)
            .set(count as f64);
    }
}

/// How a refresh of a browser session ended.
pub(crate) fn refreshed(outcome: &'static str) {
    counter!("haetae_gateway_session_refreshes_total", "outcome" => outcome).increment(1);
}

/// A further attempt at an upstream.
pub(crate) fn retried(upstream: &str) {
    counter_retried(upstream).increment(1);
}

fn counter_retried(upstream: &str) -> Counter {
    counter!("haetae_gateway_upstream_retries_total", "upstream" => upstream.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_in_order_to_be_searched() {
        assert!(STATUSES.is_sorted());
    }
}
