//! The endpoints of OAuth and OpenID Connect.

pub(crate) mod authorize;
mod bearer;
mod client_authentication;
mod cors;
mod discovery;
mod error;
mod introspect;
mod jwks;
mod logout;
mod logout_by_client;
pub(crate) mod params;
mod revoke;
mod token;
mod userinfo;

#[cfg(test)]
mod tests;

use axum::{
    Router, middleware,
    routing::{get, post},
};

pub(crate) use self::error::Code as ErrorCode;
use crate::state::AppState;

/// The endpoints. Those that scripts of clients may call answer their origins (CORS).
pub(crate) fn router(state: &AppState) -> Router<AppState> {
    let open_to_scripts = Router::new()
        .route("/.well-known/openid-configuration", get(discovery::show))
        .route("/.well-known/oauth-authorization-server", get(discovery::show))
        .route("/oauth2/jwks", get(jwks::show))
        .route("/oauth2/token", post(token::exchange))
        .route("/oauth2/revoke", post(revoke::revoke))
        .route("/oauth2/userinfo", get(userinfo::by_get).post(userinfo::by_post))
        .route_layer(middleware::from_fn_with_state(state.clone(), cors::answer_origins));
    Router::new()
        .route("/oauth2/authorize", get(authorize::by_get).post(authorize::by_post))
        .route("/oauth2/authorize/resume", get(authorize::resume))
        .route("/oauth2/form_post.js", get(authorize::form_post_script))
        .route("/oauth2/introspect", post(introspect::introspect))
        .route("/oauth2/logout", get(logout::by_get).post(logout::by_post))
        .route("/oauth2/logout/confirm", post(logout::confirm))
        .merge(open_to_scripts)
}
