//! The metrics of tokens and keys, by the part that records them: a role declares those of the parts that it
//! runs.

use haetae_base::telemetry::metrics::Metric;

use crate::{Algorithm, ring::IN_RING, verify::VerifyError};

/// Of whoever holds the ring of signing keys.
pub const RING: &[Metric] = &[Metric::gauge(
    "haetae_keys_ring_keys",
    "Signing keys, by algorithm and what they do now: active (signs), upcoming (published ahead of its turn), retired (published until its last token is over)",
)
.by(&[
    ("algorithm", || Algorithm::ALL.map(Algorithm::as_str).to_vec()),
    ("state", || IN_RING.to_vec()),
])];

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
