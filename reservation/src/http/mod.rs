//! The reservation API over HTTP (`/api/v1`): requests become domain types here, and what came of them
//! becomes JSON or a problem.

mod authenticate;
mod away;
mod cursor;
mod decide;
mod error;
mod etag;
mod events;
mod extract;
mod idempotency_key;
mod inventory;
mod openapi;
mod prefer;
mod request_id;
mod reservations;
mod reserve;
mod shapes;
mod state;
mod wait;

use axum::{Router, extract::DefaultBodyLimit, routing::get};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::{
    authenticate::{Authenticate, AuthenticateError, Identity, TokenVerifier},
    away::DatabaseUp,
    state::{ApiParts, ApiState},
};
pub(crate) use self::{
    authenticate::{Caller, scope},
    cursor::Cursor,
    decide::{MAX_REASON, decide_cancel, decide_confirm},
    error::ApiError,
    events::{EventStreams, stream_of},
    extract::id_or_not_found,
    idempotency_key::fingerprint,
    reservations::find_own,
    reserve::{MAX_NOTE, MAX_TOKEN},
    state::decider_of,
};

/// The API and the page.
pub fn router(state: ApiState) -> Router {
    let (api, description) = OpenApiRouter::with_openapi(openapi::base())
        .routes(routes!(inventory::list, inventory::create))
        .routes(routes!(inventory::import))
        .routes(routes!(inventory::get, inventory::patch))
        .routes(routes!(reservations::list, reserve::create))
        .routes(routes!(reservations::get))
        .routes(routes!(decide::confirm))
        .routes(routes!(decide::cancel))
        .routes(routes!(events::events))
        .split_for_parts();
    let description = openapi::finish(description);
    let api = api.route(
        "/api/v1/openapi.json",
        get(async move || axum::Json(std::sync::Arc::clone(&description))),
    );
    api.merge(crate::page::router())
        .route("/healthz", get(async || "ok\n"))
        .fallback(crate::page::no_page)
        .method_not_allowed_fallback(error::no_method)
        .layer(axum::middleware::from_fn_with_state(state.clone(), away::layer))
        .layer(DefaultBodyLimit::max(extract::MAX_BODY))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(axum::middleware::from_fn(extract::hear_out))
        .layer(axum::middleware::from_fn(request_id::layer))
        .with_state(state)
}
