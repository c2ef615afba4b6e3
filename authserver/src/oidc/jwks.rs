//! The published signing keys (RFC 7517 5). Answers from memory, whatever else is away.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use haetae_keys::jwks::JwkSet;

use crate::state::AppState;

/// How long verifiers may keep the keys. Far shorter than a key is published before it signs.
const MAX_AGE: &str = "public, max-age=300, stale-while-revalidate=60";

pub(super) async fn show(
    State(state): State<AppState>,
) -> ([(HeaderName, &'static str); 1], Json<JwkSet>) {
    ([(header::CACHE_CONTROL, MAX_AGE)], Json(state.keys.jwks().as_ref().clone()))
}
