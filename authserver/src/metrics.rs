//! What the authserver records, besides what its parts of other crates do.

use haetae_base::telemetry::metrics::Metric;
use haetae_keys::claims::Acr;

use crate::{
    audit::{Outcome, What},
    domain::client::GrantType,
    interaction::SignOutReason,
    oidc::ErrorCode,
    pages::Fault,
    sign_in::throttle::Guess,
};

/// Each of them.
pub(crate) const METRICS: &[Metric] = &[
    Metric::counter(
        "haetae_auth_audit_dropped_total",
        "Audit events that could not be stored; they are in the log",
    ),
    Metric::counter("haetae_auth_audit_events_total", "Audit events, by event and outcome").by(&[
        ("event", || What::ALL.map(What::as_str).to_vec()),
        ("outcome", || Outcome::ALL.map(Outcome::as_str).to_vec()),
    ]),
    Metric::counter(
        "haetae_auth_audit_forgotten_total",
        "Audit events that were deleted after auth.audit.retention",
    ),
    Metric::counter(
        "haetae_auth_audit_strangers_total",
        "Refusals of strangers that were counted only: more than 1000 an hour from their network",
    ),
    Metric::gauge(
        "haetae_auth_audit_waiting",
        "Audit events that SQL has not taken yet; beyond 8192 they are dropped",
    )
    .from_zero(),
    Metric::counter("haetae_auth_error_pages_total", "Error pages that people saw, by fault")
        .by(&[("fault", || Fault::NAMES.to_vec())]),
    Metric::counter(
        "haetae_auth_oauth_errors_total",
        "Errors that clients were told, by RFC 6749 error code",
    )
    .by(&[("error", || ErrorCode::ALL.map(ErrorCode::as_str).to_vec())]),
    Metric::counter(
        "haetae_auth_panics_total",
        "Handlers that panicked: a defect, please report it",
    ),
    Metric::counter(
        "haetae_auth_password_hash_refused_total",
        "Sign-ins answered 503 because too many passwords were waiting",
    ),
    Metric::counter("haetae_auth_password_hash_total", "Passwords hashed or checked"),
    Metric::counter(
        "haetae_auth_refreshes_total",
        "Refresh tokens taken, by kind: rotated, or replayed within the grace window",
    )
    .by(&[("kind", || vec!["rotated", "replayed"])]),
    Metric::histogram(
        "haetae_auth_request_seconds",
        "Time to answer a request, by method, route and status",
    )
    .as_labels_come(),
    Metric::counter("haetae_auth_sessions_ended_total", "SSO sessions that ended, by reason")
        .by(&[("reason", || SignOutReason::ALL.map(SignOutReason::as_str).to_vec())]),
    Metric::counter("haetae_auth_sign_ins_total", "Sign-ins that succeeded, by acr")
        .by(&[("acr", || Acr::ALL.map(Acr::as_str).to_vec())]),
    Metric::gauge("haetae_auth_sql_up", "1 while the database answers"),
    Metric::counter(
        "haetae_auth_throttled_total",
        "Attempts that had to wait, by what was guessed at",
    )
    .by(&[("guess", || Guess::ALL.map(Guess::name).to_vec())]),
    Metric::counter("haetae_auth_token_responses_total", "Token responses, by grant")
        .by(&[("grant", || GrantType::ALL.map(GrantType::as_str).to_vec())]),
    Metric::counter(
        "haetae_auth_unavailable_total",
        "Requests answered 503, by the part that was away",
    )
    .by(&[("part", || vec!["sql", "redis", "keys"])]),
];
