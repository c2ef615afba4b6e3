//! Bodies, paths and queries: parsed strictly, refused as problems.

use std::str::FromStr;

use axum::{
    body::{Body, HttpBody},
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::request::Parts,
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use haetae_base::problem::Problem;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;

use super::ApiError;
use crate::object::Object;

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A JSON body that may be left out.
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        needs_type(request.headers(), &["application/json"])?;
        parse(&bytes(request.into_body()).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let typed = needs_type(request.headers(), &["application/json"]);
        let body = bytes(request.into_body()).await?;
        if body.trim_ascii().is_empty() {
            return Ok(Self(T::default()));
        }
        typed?;
        parse(&body).map(Self)
    }
}

/// A merge patch (RFC 7396).
pub(crate) struct PatchBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for PatchBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        needs_type(request.headers(), &["application/merge-patch+json", "application/json"])?;
        parse(&bytes(request.into_body()).await?).map(Self)
    }
}

/// The longest JSON body, in bytes.
pub(super) const MAX_BODY: usize = 128 * 1024;

/// How much of a body that is too long is still read, and thrown away. Whoever writes without reading
/// gets to see the answer only when it was let to write to the end (RFC 9112 9.6).
const MAX_DRAINED: usize = 16 * 1024 * 1024;

/// Reads the whole body before anything answers. A server that answers before the body is there (401, 404, a wrong
/// media type) closes the connection after it, and without a word: the gateway's next request on it fails, and
/// that may be anybody's. An import is not kept in memory, and is answered when it is.
pub(super) async fn hear_out(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() || request.uri().path() == super::inventory::IMPORT {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match bytes(body).await {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(error) => error.into_response(),
    }
}

async fn bytes(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut stream = body.into_data_stream();
    let (mut body, mut total) = (Vec::new(), 0);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| malformed("the body ended early"))?;
        total += chunk.len();
        if total > MAX_DRAINED {
            break;
        }
        if total <= MAX_BODY {
            body.extend_from_slice(&chunk);
        }
    }
    if total <= MAX_BODY {
        return Ok(body);
    }
    Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large")
        .detail(format!("At most {MAX_BODY} bytes are taken."))
        .into())
}

/// Refuses another media type, and a body that is compressed (RFC 9110 15.5.16).
pub(super) fn needs_type(headers: &HeaderMap, types: &[&str]) -> Result<(), ApiError> {
    let codings = headers.get_all(header::CONTENT_ENCODING);
    if codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(unsupported("The body must not be compressed.")
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .into());
    }
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase());
    if given.is_some_and(|given| types.contains(&given.as_str())) {
        return Ok(());
    }
    Err(unsupported(format!("Content-Type must be {}.", types.join(" or "))).into())
}

fn unsupported(detail: impl Into<String>) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported-media-type",
        "The body is of another type than this takes",
    )
    .detail(detail)
}

fn malformed(detail: impl Into<String>) -> ApiError {
    Problem::new(StatusCode::BAD_REQUEST, "malformed-body", "The body is not valid JSON")
        .detail(detail)
        .into()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map(|Object(value)| value);
    let value = value.map_err(|error| {
        let field = pointer(error.path());
        let error = error.into_inner();
        match error.classify() {
            serde_json::error::Category::Data => {
                let text = error.to_string();
                let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
                match missing(reason) {
                    Some(name) => ApiError::field(&format!("{field}/{name}"), "it is missing"),
                    None => ApiError::field(&field, plain(reason)),
                }
            }
            _ => malformed(error.to_string()),
        }
    })?;
    json.end().map_err(|error| malformed(error.to_string()))?;
    Ok(value)
}

/// The member that is not there, when that is what serde says.
fn missing(reason: &str) -> Option<&str> {
    reason.strip_prefix("missing field `")?.strip_suffix('`')
}

/// What serde says, in words that do not tell how this program is written.
fn plain(reason: &str) -> String {
    let Some((found, expected)) = reason.rsplit_once(", expected ") else {
        return reason.to_owned();
    };
    let expected = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    };
    let found = found.replace("sequence", "list").replace("map", "object");
    format!("{found}, expected {expected}")
}

/// A path as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut text = String::new();
    for segment in path {
        text.push('/');
        match segment {
            Segment::Seq { index } => text.push_str(&index.to_string()),
            Segment::Map { key } => text.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => text.push_str(variant),
            Segment::Unknown => text.push('?'),
        }
    }
    text
}

/// An id in a path. What is none is not found.
pub(crate) struct IdPath<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for IdPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found())?;
        id_or_not_found(&text).map(Self)
    }
}

pub(crate) fn id_or_not_found<T: FromStr>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

/// A query string.
pub(crate) struct QueryString<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryString<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| {
                let text = error.body_text();
                let reason = text.rsplit_once("query string: ").map_or("", |(_, reason)| reason);
                let (name, reason) = reason.split_once(": ").unwrap_or(("query", reason));
                ApiError::parameter(name, plain_text(reason))
            })
    }
}

/// What the parsers of the standard library say of a text, in words for whoever sent it.
fn plain_text(reason: &str) -> &str {
    match reason {
        "invalid digit found in string" => "it is not a whole number",
        "number too large to fit in target type" => "it is too large",
        "cannot parse integer from empty string" => "it is empty",
        "provided string was not `true` or `false`" => "it is neither true nor false",
        other => other,
    }
}
