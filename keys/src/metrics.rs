//! What the metrics of tokens and keys mean.

/// Name and meaning of each, for whoever serves them.
pub const MEANINGS: &[(&str, &str)] = &[
    (
        "haetae_keys_jwks_fetch_total",
        "Fetches of the issuer's key set, by outcome; a run of failures ends with tokens of new keys refused",
    ),
    (
        "haetae_keys_token_verified_total",
        "Tokens whose signature and claims were checked (not those remembered), by the rule that they broke or ok",
    ),
];
