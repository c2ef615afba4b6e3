//! The page: find something, reserve it, follow what becomes of it, cancel. Rendered here; it works
//! without JavaScript, and with it a reservation is followed live.
//!
//! Who comes, comes through the gateway, which turns the browser's cookie into the access token that
//! arrives here. A form cannot be forged by another site: the cookie is `SameSite=Strict`, the gateway
//! checks `Origin` on every unsafe request that it turns into one with a token, and [`visit`] checks it
//! once more. So forms carry no token of their own against forgery, only the random idempotency key of
//! their rendering, which keeps a double click from reserving twice.

mod assets;
mod find;
mod instead;
mod item;
mod locale;
mod reservation;
mod reservations;
mod reserve;
mod visit;

use axum::{
    Router,
    routing::{get, post},
};

pub(crate) use self::instead::{no_page, unavailable};
use crate::http::ApiState;

pub(crate) fn router() -> Router<ApiState> {
    Router::new()
        .route("/", get(find::find))
        .route("/inventory/{id}", get(item::show))
        .route("/reservations", get(reservations::list).post(reserve::reserve))
        .route("/reservations/{id}", get(reservation::show))
        .route("/reservations/{id}/events", get(reservation::events))
        .route("/reservations/{id}/confirm", post(reservation::confirm))
        .route("/reservations/{id}/cancel", post(reservation::cancel))
        .route("/assets/{name}", get(assets::serve))
}
