//! The metrics of sessions and of the denylist, by the part that records them: a role declares those of the
//! parts that it runs.

use haetae_base::telemetry::metrics::Metric;

use crate::family::OUTCOMES;

/// Of whoever asks whether Redis lives.
pub const REDIS: &[Metric] =
    &[Metric::gauge("haetae_redis_up", "1 while Redis answers this process and takes what is new")];

/// Of a copy of the denylist.
pub const REPLICA: &[Metric] = &[
    Metric::gauge("haetae_denylist_entries", "Values that this process refuses, by kind"),
    Metric::counter(
        "haetae_denylist_loads_total",
        "Times that this process read the whole stream anew",
    ),
    Metric::histogram(
        "haetae_denylist_propagation_seconds",
        "From a revocation's entry into the stream until this process refuses the token",
    ),
    Metric::gauge(
        "haetae_denylist_silent_seconds",
        "How long ago Redis was heard from; beyond denylist.max_staleness the copy is not trusted",
    ),
    Metric::gauge(
        "haetae_denylist_stale",
        "1 while the copy of the denylist is not trusted: routes decide by when_stale",
    ),
];

/// Of whoever writes the denylist.
pub const WRITER: &[Metric] = &[
    Metric::counter(
        "haetae_denylist_fills_total",
        "Times that this authserver filled an empty stream from SQL",
    ),
    Metric::counter(
        "haetae_denylist_revocations_total",
        "Revocations that this authserver recorded",
    ),
    Metric::gauge(
        "haetae_denylist_unpublished_entries",
        "Revocations in SQL that Redis does not have yet; more than 0 for long means that Redis is away",
    ),
];

/// Of whoever begins sign-ins and rotates refresh tokens.
pub const SIGN_INS: &[Metric] = &[
    Metric::counter(
        "haetae_refresh_families_displaced_total",
        "Refresh token families that ended because their account began too many at one client \
         (auth.tokens.refresh_per_client)",
    )
    .from_zero(),
    Metric::counter(
        "haetae_refresh_rotations_total",
        "Refresh tokens presented, by outcome; reused is a stolen token or a broken client",
    )
    .by(&[("outcome", || OUTCOMES.to_vec())]),
    Metric::counter(
        "haetae_sso_sessions_displaced_total",
        "Sign-ins that ended because their account began too many (auth.session.per_account)",
    )
    .from_zero(),
];

/// Of whoever begins browser sessions.
pub const BROWSERS: &[Metric] = &[Metric::counter(
    "haetae_browser_sessions_displaced_total",
    "Browser sessions that ended because their account began too many (gateway.browser.per_account)",
)
.from_zero()];
