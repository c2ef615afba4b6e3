//! RFC 9457 `application/problem+json`: the one shape of every API error.
//!
//! A problem says what a client needs to act and nothing internal: causes go to the log, under the same
//! request id.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

/// The media type of RFC 9457 3.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error as an API tells it.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: Option<String>,
    request_id: Option<String>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One field of a request that was refused, an element of the member `errors`.
#[derive(Clone, Debug, Serialize)]
pub struct FieldError {
    /// JSON pointer or form name of the field.
    pub field: String,
    /// What is wrong with it, for a person.
    pub detail: String,
}

impl Problem {
    /// A problem of the stable type `urn:haetae:problem:<slug>`. The title goes with the type and never
    /// varies; what is particular to this occurrence goes into [`Problem::detail`].
    pub fn new(status: StatusCode, slug: &'static str, title: &'static str) -> Self {
        Self {
            status,
            slug,
            title,
            detail: None,
            request_id: None,
            members: Map::new(),
            headers: Vec::new(),
        }
    }

    /// 500 without a word about the cause.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-error",
            "Something went wrong on our side",
        )
        .detail("The log has the cause under the request id.")
    }

    /// 404: nothing is there, or nothing that the caller may know of.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here")
            .detail("Nothing has this address, or nothing that the caller may know of.")
    }

    /// 503 with `Retry-After`: a part that this request needs is away.
    pub fn unavailable(retry_after_seconds: u64) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily-unavailable",
            "The service is temporarily unavailable",
        )
        .detail(format!(
            "A part that this request needs is away; try again in {retry_after_seconds} s."
        ))
        .retry_after(retry_after_seconds)
    }

    /// What happened this time, for a person. Left out, the title says it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The id under which the log knows this request.
    #[must_use]
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// A further member that a client needs to act, such as `available` or `login_url`.
    #[must_use]
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.members.insert(member.to_owned(), value.into());
        self
    }

    /// The member `errors`: each field that was refused.
    #[must_use]
    pub fn errors(self, errors: &[FieldError]) -> Self {
        let errors: Vec<Value> = errors
            .iter()
            .map(|error| serde_json::json!({"field": error.field, "detail": error.detail}))
            .collect();
        self.with("errors", errors)
    }

    /// The member `retry_after` and the field `Retry-After`, in seconds (RFC 9110 10.2.3).
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with("retry_after", seconds).header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// A response field that goes with the problem, such as `WWW-Authenticate`.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The status of the response.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The last part of the problem's `type`.
    pub const fn slug(&self) -> &'static str {
        self.slug
    }

    /// Whether a request id is set already.
    pub const fn has_request_id(&self) -> bool {
        self.request_id.is_some()
    }

    /// The whole response, for servers that are not axum.
    pub fn into_http(self) -> http::Response<Bytes> {
        let body = self.to_json();
        let mut response = http::Response::new(Bytes::from(body));
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            fields.append(name, value);
        }
        response
    }

    /// The body.
    pub fn to_json(&self) -> String {
        let standard = ["type", "title", "status", "detail", "request_id"];
        let members: Map<String, Value> = self
            .members
            .iter()
            .filter(|(member, _)| !standard.contains(&member.as_str()))
            .map(|(member, value)| (member.clone(), value.clone()))
            .collect();
        let body = Body {
            kind: format!("urn:haetae:problem:{}", self.slug),
            title: self.title,
            status: self.status.as_u16(),
            // Clients show it, so there always is one.
            detail: self.detail.clone().unwrap_or_else(|| format!("{}.", self.title)),
            request_id: self.request_id.as_deref(),
            members,
        };
        // Texts, numbers and JSON values: nothing that cannot be written.
        serde_json::to_string(&body).unwrap_or_default()
    }
}

/// The body. The standard members come first, so that a person who reads it raw sees them.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(flatten)]
    members: Map<String, Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.into_http().map(axum::body::Body::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_shape_of_rfc_9457() {
        let response = Problem::new(StatusCode::CONFLICT, "not-enough-stock", "Not enough stock")
            .detail("3 wanted, 1 left")
            .with("available", 1)
            .with("status", "a member cannot overwrite a standard one")
            .request_id("req-1")
            .into_http();
        assert_eq!(response.status(), 409);
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
        let text = String::from_utf8_lossy(response.body());
        assert!(
            text.starts_with(r#"{"type":"urn:haetae:problem:not-enough-stock","title":"#),
            "{text}"
        );
        let body: Value = serde_json::from_slice(response.body()).expect("json");
        assert_eq!(
            body,
            serde_json::json!({"type": "urn:haetae:problem:not-enough-stock", "title": "Not enough stock",
                "status": 409, "detail": "3 wanted, 1 left", "request_id": "req-1", "available": 1})
        );
    }

    #[test]
    fn there_always_is_a_detail() {
        let detail = |problem: Problem| {
            let body: Value = serde_json::from_str(&problem.to_json()).expect("json");
            body["detail"].as_str().expect("a detail").to_owned()
        };
        for problem in [Problem::internal(), Problem::not_found(), Problem::unavailable(3)] {
            let title = problem.title;
            assert!(!detail(problem).starts_with(title));
        }
        assert_eq!(
            detail(Problem::new(StatusCode::CONFLICT, "taken", "It is taken")),
            "It is taken."
        );
    }

    #[test]
    fn retry_after_stands_in_body_and_field() {
        let response = Problem::unavailable(7).into_http();
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert!(String::from_utf8_lossy(response.body()).contains("\"retry_after\":7"));
    }
}
