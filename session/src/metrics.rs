//! What the metrics of sessions and of the denylist mean.

/// Name and meaning of each, for whoever serves them.
pub const MEANINGS: &[(&str, &str)] = &[
    ("haetae_denylist_entries", "Values that this process refuses, by kind"),
    ("haetae_denylist_fills_total", "Times that this authserver filled an empty stream from SQL"),
    ("haetae_denylist_loads_total", "Times that this process read the whole stream anew"),
    (
        "haetae_denylist_propagation_seconds",
        "From a revocation's entry into the stream until this process refuses the token",
    ),
    ("haetae_denylist_revocations_total", "Revocations that this authserver recorded"),
    (
        "haetae_denylist_silent_seconds",
        "How long ago Redis was heard from; beyond denylist.max_staleness the copy is not trusted",
    ),
    (
        "haetae_denylist_stale",
        "1 while the copy of the denylist is not trusted: routes decide by when_stale",
    ),
    (
        "haetae_denylist_unpublished_entries",
        "Revocations in SQL that Redis does not have yet; more than 0 for long means that Redis is away",
    ),
    ("haetae_redis_up", "1 while Redis answers this process"),
    (
        "haetae_refresh_rotations_total",
        "Refresh tokens presented, by verdict; reused is a stolen token or a broken client",
    ),
];
