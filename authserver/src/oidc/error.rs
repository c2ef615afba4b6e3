//! Errors as the OAuth endpoints tell them (RFC 6749 5.2).

use std::borrow::Cow;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::fault::{Fault, RETRY_AFTER};

/// An error code: RFC 6749 4.1.2.1 and 5.2, OpenID Connect Core 3.1.2.6, and those of other standards
/// where they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    UnsupportedResponseType,
    InvalidScope,
    AccessDenied,
    ServerError,
    TemporarilyUnavailable,
    LoginRequired,
    InteractionRequired,
    ConsentRequired,
    RequestNotSupported,
    RequestUriNotSupported,
    RegistrationNotSupported,
    UnmetAuthenticationRequirements,
}

impl Code {
    /// All of them.
    pub(crate) const ALL: [Self; 17] = [
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::UnsupportedResponseType,
        Self::InvalidScope,
        Self::AccessDenied,
        Self::ServerError,
        Self::TemporarilyUnavailable,
        Self::LoginRequired,
        Self::InteractionRequired,
        Self::ConsentRequired,
        Self::RequestNotSupported,
        Self::RequestUriNotSupported,
        Self::RegistrationNotSupported,
        Self::UnmetAuthenticationRequirements,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AccessDenied => "access_denied",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::LoginRequired => "login_required",
            Self::InteractionRequired => "interaction_required",
            Self::ConsentRequired => "consent_required",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
        }
    }
}

/// An error with its description. The description is for the client's developer, in English, of printable
/// ASCII without `"` and `\` (RFC 6749 5.2), and repeats nothing that the request said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OAuthError {
    pub(crate) code: Code,
    pub(crate) description: Cow<'static, str>,
}

impl OAuthError {
    pub(crate) fn new(code: Code, description: impl Into<Cow<'static, str>>) -> Self {
        Self { code, description: description.into() }
    }

    pub(crate) fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, description)
    }

    pub(crate) fn invalid_grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidGrant, description)
    }

    /// A client that could not authenticate: 401, and as every 401 with a challenge (RFC 9110 15.5.2).
    pub(crate) fn invalid_client() -> Self {
        Self::new(Code::InvalidClient, "client authentication failed")
    }

    const fn status(&self) -> StatusCode {
        match self.code {
            Code::InvalidClient => StatusCode::UNAUTHORIZED,
            Code::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            Code::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<Fault> for OAuthError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable => Self::new(
                Code::TemporarilyUnavailable,
                "a part of the authorization server is away; try again",
            ),
            Fault::Internal => Self::new(Code::ServerError, "the authorization server failed"),
        }
    }
}

/// Errors of stores become faults first, so that they are logged.
macro_rules! from_fault {
    ($($error:ty),+) => {
        $(impl From<$error> for OAuthError {
            fn from(error: $error) -> Self {
                Fault::from(error).into()
            }
        })+
    };
}
from_fault!(
    crate::store::StoreError,
    crate::transient::TransientError,
    haetae_session::StoreError,
    haetae_session::denylist::RevokeError,
    haetae_keys::sign::SignError
);

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        metrics::counter!("haetae_auth_oauth_errors_total", "error" => self.code.as_str())
            .increment(1);
        let body = json!({"error": self.code.as_str(), "error_description": self.description});
        let mut response = (self.status(), Json(body)).into_response();
        let fields = response.headers_mut();
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if self.code == Code::InvalidClient {
            let challenge = HeaderValue::from_static("Basic realm=\"haetae\", charset=\"UTF-8\"");
            fields.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.code == Code::TemporarilyUnavailable {
            fields.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        response
    }
}
