//! Cross-origin requests: scripts of registered clients may call the endpoints that this layer is put
//! around, without cookies.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

use crate::state::AppState;

/// Answers origins of registered clients; all others get the same answer without permission to read it.
pub(super) async fn answer_origins(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let permitted = match origin.as_ref().and_then(|origin| origin.to_str().ok()) {
        Some(origin) => state.clients.serves_origin(origin).await,
        None => false,
    };
    let preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let fields = response.headers_mut();
    fields.append(header::VARY, HeaderValue::from_static("Origin"));
    if let (Some(origin), true) = (origin, permitted) {
        permit(fields, origin, preflight);
    }
    response
}

fn permit(fields: &mut HeaderMap, origin: HeaderValue, preflight: bool) {
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if preflight {
        fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
        fields.insert(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static("authorization, content-type"),
        );
        fields.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    } else {
        fields.insert(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("www-authenticate, retry-after, x-request-id"),
        );
    }
}
