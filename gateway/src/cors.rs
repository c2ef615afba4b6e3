//! CORS for the API (Fetch 3.2): origins by route, preflights answered here, never with credentials. The
//! cookie is for our own pages only.

use std::sync::Arc;

use bytes::Bytes;
use haetae_base::problem::Problem;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use pingora::http::ResponseHeader;

use crate::route::{Route, table};

/// What a script on another site may send.
const ALLOWED_FIELDS: &str = "authorization, content-type, idempotency-key, if-match, if-none-match, \
    last-event-id, prefer, traceparent, tracestate";
/// What it may read beyond the safelisted.
const EXPOSED_FIELDS: &str = "etag, location, preference-applied, ratelimit, ratelimit-policy, retry-after, \
    www-authenticate, x-request-id";
/// How long a browser may remember the answer to a preflight.
const MAX_AGE: &str = "600";

/// Whether a request is a preflight.
pub(crate) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The origin of a request when `route` may show it its answer.
pub(crate) fn permitted(route: &Route, headers: &HeaderMap) -> Option<HeaderValue> {
    if route.cors_origins.is_empty() {
        return None;
    }
    let origin = headers.get(header::ORIGIN)?;
    route.cors_origins.contains(origin).then(|| origin.clone())
}

/// Lets `permitted` read an answer of `route`, and tells caches that another origin may get another one: also
/// when this one may not read it, or what was stored for us would be shown to those who may (Fetch, "CORS
/// protocol and HTTP caches").
///
/// # Errors
/// Never in practice.
pub(crate) fn finish(
    head: &mut ResponseHeader,
    route: &Route,
    permitted: Option<HeaderValue>,
) -> pingora::Result<()> {
    if route.cors_origins.is_empty() {
        return Ok(());
    }
    head.append_header(header::VARY, HeaderValue::from_static("origin"))?;
    if let Some(origin) = permitted {
        head.insert_header(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin)?;
        head.insert_header(
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED_FIELDS),
        )?;
    }
    Ok(())
}

/// Answers a preflight for the routes of one path.
pub(crate) fn preflight(routes: &[Arc<Route>], headers: &HeaderMap) -> Response<Bytes> {
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD);
    let wanted = wanted.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
    let route = wanted.and_then(|method| routes.iter().find(|route| route.takes(&method)));
    let Some((origin, methods)) = route.and_then(|route| {
        // A route for every method names none: then the one that was asked for.
        let methods =
            if route.methods.is_empty() { wanted_methods(headers)? } else { table::allow(routes) };
        Some((permitted(route, headers)?, methods))
    }) else {
        return Problem::new(
            StatusCode::FORBIDDEN,
            "origin-not-allowed",
            "This origin may not call this from a browser",
        )
        .into_http();
    };
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let fields = response.headers_mut();
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    fields.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    fields.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED_FIELDS));
    fields.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    fields.insert(
        header::VARY,
        HeaderValue::from_static(
            "origin, access-control-request-method, access-control-request-headers",
        ),
    );
    response
}

fn wanted_methods(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned()
}
