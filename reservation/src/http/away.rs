//! When the database is away, nobody waits for it: what can be browsed comes from memory, everything else
//! is answered 503 at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use haetae_base::problem::Problem;
use http::{Method, request::Parts};

use super::{ApiError, ApiState};

/// Whether the database answers, as whoever watches it last saw. Clones are the same.
#[derive(Clone, Debug)]
pub struct DatabaseUp(Arc<AtomicBool>);

impl Default for DatabaseUp {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl DatabaseUp {
    /// Whether it answers.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Notes whether it answers; returns what was noted before.
    pub fn set(&self, up: bool) -> bool {
        self.0.swap(up, Ordering::Relaxed)
    }
}

pub(super) async fn layer(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if state.database.get() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    if does_without(&parts) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    if parts.uri.path().starts_with("/api/") {
        return ApiError::from(Problem::unavailable(2)).into_response();
    }
    crate::page::unavailable(&state, parts).await
}

/// Whether the request needs no database, or can be answered from memory.
fn does_without(parts: &Parts) -> bool {
    let path = parts.uri.path();
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let browses = path == "/"
        || ["/inventory/", "/api/v1/inventory", "/assets/", "/healthz", "/api/v1/openapi.json"]
            .iter()
            .any(|prefix| path.starts_with(prefix));
    reads && browses
}
