//! Access tokens that come back to the authserver as bearer tokens (RFC 6750).

use std::sync::Arc;

use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use haetae_keys::{
    claims::AccessClaims,
    verify::{Verified, VerifyError},
};
use serde_json::json;

use crate::{
    fault::{Fault, RETRY_AFTER, unjudged},
    state::AppState,
};

/// Why a bearer token does not open what was asked for.
#[derive(Debug)]
pub(super) enum BearerError {
    /// There is none: the challenge names no error (RFC 6750 3.1).
    Missing,
    /// Sent in more than one way, or not readable.
    Malformed(&'static str),
    /// Expired, revoked, forged.
    Invalid(VerifyError),
    /// It does not have the scope.
    InsufficientScope(&'static str),
    /// It could not be judged.
    Fault(Fault),
}

impl<T: Into<Fault>> From<T> for BearerError {
    fn from(fault: T) -> Self {
        Self::Fault(fault.into())
    }
}

/// The token in the field `Authorization`.
pub(super) fn from_header(headers: &HeaderMap) -> Result<Option<&str>, BearerError> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    let malformed = BearerError::Malformed("the Authorization field cannot be read");
    if fields.next().is_some() {
        return Err(malformed);
    }
    let Ok(text) = field.to_str() else {
        return Err(malformed);
    };
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(BearerError::Missing),
    }
}

/// Verifies a token against our own keys and the denylist.
pub(super) async fn verify(
    state: &AppState,
    token: &str,
) -> Result<Arc<Verified<AccessClaims>>, BearerError> {
    // A copy of the denylist that is behind might let a revoked token through.
    if !state.replica.is_fresh() {
        tracing::warn!("the denylist is stale: bearer tokens cannot be judged");
        return Err(BearerError::Fault(Fault::Unavailable));
    }
    state
        .verifier
        .verify(token, state.replica.as_ref())
        .await
        .map_err(|error| unjudged(error).map_or(BearerError::Invalid(error), BearerError::Fault))
}

impl IntoResponse for BearerError {
    fn into_response(self) -> Response {
        let (status, code, description) = match self {
            Self::Missing => {
                let challenge = HeaderValue::from_static("Bearer realm=\"haetae\"");
                let fields = [
                    (header::WWW_AUTHENTICATE, challenge),
                    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ];
                return (StatusCode::UNAUTHORIZED, fields).into_response();
            }
            Self::Fault(fault) => {
                let mut response = super::error::OAuthError::from(fault).into_response();
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
                return response;
            }
            Self::Malformed(description) => {
                (StatusCode::BAD_REQUEST, "invalid_request", description.to_owned())
            }
            Self::Invalid(error) => (StatusCode::UNAUTHORIZED, "invalid_token", error.to_string()),
            Self::InsufficientScope(scope) => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                format!("the token does not have the scope {scope}"),
            ),
        };
        let mut challenge = format!(
            "Bearer realm=\"haetae\", error=\"{code}\", error_description=\"{description}\""
        );
        if let Self::InsufficientScope(scope) = self {
            challenge = format!("{challenge}, scope=\"{scope}\"");
        }
        let body = json!({"error": code, "error_description": description});
        let mut response = (status, Json(body)).into_response();
        let fields = response.headers_mut();
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            fields.insert(header::WWW_AUTHENTICATE, challenge);
        }
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
