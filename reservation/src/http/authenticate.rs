//! Who calls: the access token, verified here once more. The gateway has done so already, and has asked
//! whether it was revoked; but a service that believes a header believes whoever reaches its port.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use haetae_base::{clock::Timestamp, problem::Problem};
use haetae_keys::verify::{NoRevocations, Verifier};
use http::header;

use super::{ApiState, error};
use crate::http::ApiError;

/// The scopes of this API.
pub(crate) mod scope {
    /// Read one's own reservations.
    pub(crate) const READ: &str = "reservations:read";
    /// Reserve, confirm, cancel.
    pub(crate) const WRITE: &str = "reservations:write";
    /// Change the inventory, and decide about reservations that need attention.
    pub(crate) const INVENTORY: &str = "inventory:write";
}

/// What a token says about its bearer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The account, or the client itself.
    pub subject: String,
    /// The client.
    pub client_id: String,
    /// What it permits.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticateError {
    /// It is not valid; the text is fit for the client.
    #[error("{0}")]
    Invalid(String),
    /// Nobody can tell at the moment: there are no keys to verify with.
    #[error("tokens cannot be verified at the moment")]
    Unavailable,
}

/// Somebody who verifies access tokens.
#[async_trait::async_trait]
pub trait Authenticate: Send + Sync {
    /// Verifies a token.
    ///
    /// # Errors
    /// [`AuthenticateError`].
    async fn authenticate(&self, token: &str) -> Result<Identity, AuthenticateError>;
}

/// Verifies with the issuer's published keys.
#[derive(Debug)]
pub struct TokenVerifier(pub Verifier);

#[async_trait::async_trait]
impl Authenticate for TokenVerifier {
    async fn authenticate(&self, token: &str) -> Result<Identity, AuthenticateError> {
        match self.0.verify(token, &NoRevocations).await {
            Ok(claims) => Ok(Identity {
                subject: claims.sub.clone(),
                client_id: claims.client_id.clone(),
                scopes: claims.scope.iter().map(ToOwned::to_owned).collect(),
                expires_at: claims.exp,
            }),
            Err(error) if error.is_unavailable() => Err(AuthenticateError::Unavailable),
            Err(error) => Err(AuthenticateError::Invalid(error.to_string())),
        }
    }
}

/// The caller of a request that needs one.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Arc<Identity>);

impl Caller {
    pub(crate) fn subject(&self) -> &str {
        &self.0.subject
    }

    pub(crate) fn client_id(&self) -> &str {
        &self.0.client_id
    }

    pub(crate) fn expires_at(&self) -> Timestamp {
        self.0.expires_at
    }

    pub(crate) fn has(&self, scope: &str) -> bool {
        self.0.scopes.iter().any(|has| has == scope)
    }

    /// Refuses a token that does not permit `scope`.
    pub(crate) fn needs(&self, scope: &'static str) -> Result<(), ApiError> {
        if self.has(scope) { Ok(()) } else { Err(error::forbidden(scope)) }
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        find(parts, state).await?.ok_or_else(|| error::unauthorized(None))
    }
}

/// Nobody is nobody; bad credentials are refused even where none are needed.
async fn find(parts: &Parts, state: &ApiState) -> Result<Option<Caller>, ApiError> {
    let mut fields = parts.headers.get_all(header::AUTHORIZATION).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.next().is_some() {
        return Err(error::unauthorized(Some("more than one Authorization field")));
    }
    // The scheme is compared without regard to case (RFC 9110 11.1).
    let token = field
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim_start_matches(' '))
        .filter(|token| !token.is_empty())
        .ok_or_else(|| error::unauthorized(Some("not a bearer token")))?;
    match state.authenticate.authenticate(token).await {
        Ok(identity) => Ok(Some(Caller(Arc::new(identity)))),
        Err(AuthenticateError::Invalid(why)) => Err(error::unauthorized(Some(&why))),
        Err(AuthenticateError::Unavailable) => Err(Problem::unavailable(2).into()),
    }
}
