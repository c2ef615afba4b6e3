//! What the authserver's metrics mean.

/// Name and meaning of each.
pub(crate) const MEANINGS: &[(&str, &str)] = &[
    (
        "haetae_auth_audit_dropped_total",
        "Audit events that could not be stored; they are in the log",
    ),
    ("haetae_auth_audit_events_total", "Audit events, by event and outcome"),
    (
        "haetae_auth_audit_forgotten_total",
        "Audit events that were deleted after auth.audit.retention",
    ),
    (
        "haetae_auth_audit_strangers_total",
        "Refusals of strangers that were counted only: more than 1000 an hour from their network",
    ),
    ("haetae_auth_error_pages_total", "Error pages that people saw, by fault"),
    ("haetae_auth_oauth_errors_total", "Errors that clients were told, by RFC 6749 error code"),
    ("haetae_auth_panics_total", "Handlers that panicked: a defect, please report it"),
    (
        "haetae_auth_password_hash_refused_total",
        "Sign-ins answered 503 because too many passwords were waiting",
    ),
    ("haetae_auth_password_hash_total", "Passwords hashed or checked"),
    ("haetae_auth_refreshes_total", "Uses of refresh tokens, by outcome"),
    ("haetae_auth_request_seconds", "Time to answer a request, by method, path and status"),
    ("haetae_auth_sessions_ended_total", "SSO sessions that ended, by reason"),
    ("haetae_auth_sign_ins_total", "Sign-ins that succeeded, by acr"),
    ("haetae_auth_sql_up", "1 while the database answers"),
    ("haetae_auth_throttled_total", "Attempts that had to wait, by what was guessed at"),
    ("haetae_auth_token_responses_total", "Token responses, by grant"),
    ("haetae_auth_unavailable_total", "Requests answered 503, by the part that was away"),
];
