//! The metrics of tokens and keys, by the part that records them: a role declares those of the parts that it
//! runs.

use haetae_base::telemetry::metrics::Metric;

use crate::verify::VerifyError;

/// Of whoever verifies tokens.
pub const VERIFIER: &[Metric] = &[Metric::counter(
    "haetae_keys_token_verified_total",
    "Tokens whose signature and claims were checked (not those remembered), by the rule that they broke or ok",
)
.by(&[("outcome", || [&["ok"][..], &VerifyError::names()].concat())])];

/// Of whoever fetches the issuer's keys.
pub const FETCH: &[Metric] = &[Metric::counter(
    "haetae_keys_jwks_fetch_total",
    "Fetches of the issuer's key set, by outcome; a run of failures ends with tokens of new keys refused",
)
.by(&[("outcome", || vec!["ok", "failed"])])];
