//! The published signing keys (RFC 7517 5). Answers from memory, whatever else is away.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use haetae_keys::jwks::JwkSet;

use crate::state::AppState;

/// How long verifiers may keep the keys, the second part while they ask again. Both together are
/// [`haetae_keys::ring::KEPT_FOR`], by which a rotation by hand goes.
const MAX_AGE: &str = "public, max-age=300, stale-while-revalidate=60";

pub(super) async fn show(
    State(state): State<AppState>,
) -> ([(HeaderName, &'static str); 1], Json<JwkSet>) {
    ([(header::CACHE_CONTROL, MAX_AGE)], Json(state.keys.jwks().as_ref().clone()))
}

#[cfg(test)]
mod tests {
    use haetae_keys::ring::KEPT_FOR;

    use super::*;

    #[test]
    fn verifiers_are_told_to_keep_the_keys_for_as_long_as_a_rotation_by_hand_waits_for() {
        let seconds = MAX_AGE.split([',', '=']).filter_map(|part| part.parse::<u64>().ok());
        assert_eq!(seconds.sum::<u64>(), KEPT_FOR.as_secs());
    }
}
