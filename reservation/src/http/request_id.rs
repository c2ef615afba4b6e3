//! The id of a request: the gateway's `X-Request-Id`, in every log line and every problem of the request.

use axum::{extract::Request, middleware::Next, response::Response};
use haetae_base::{entropy, secret::ExposeSecret};
use http::{HeaderName, HeaderValue};
use tracing::Instrument;

const NAME: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: String;
}

/// The id of the request that this task answers.
pub(super) fn current() -> Option<String> {
    CURRENT.try_with(Clone::clone).ok()
}

pub(super) async fn layer(request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(&NAME)
        .and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
        })
        .map_or_else(
            || entropy::token().expose_secret().chars().take(22).collect(),
            ToOwned::to_owned,
        );
    let method = request.method().clone();
    let span = tracing::info_span!("request", %id, %method, path = request.uri().path());
    let answer = CURRENT.scope(id.clone(), next.run(request)).instrument(span);
    let mut response = answer.await;
    metrics::counter!(
        "haetae_reservation_http_responses_total",
        "method" => method_name(&method),
        "status" => response.status().as_u16().to_string()
    )
    .increment(1);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(NAME, value);
    }
    response
}

/// A method as a label: those that are known, so that nobody can invent labels.
fn method_name(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        _ => "other",
    }
}
