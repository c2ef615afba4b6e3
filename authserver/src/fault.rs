//! What goes wrong on our side while a request is answered: something that it needs is away (503, try
//! again), or something is broken (500). The cause goes to the log, never into an answer.

use axum::response::{IntoResponse, Response};
use haetae_base::problem::Problem;
use haetae_keys::{sign::SignError, verify::VerifyError};
use haetae_session::denylist::RevokeError;

use crate::{store::StoreError, transient::TransientError};

/// Seconds after which a client may try again.
pub(crate) const RETRY_AFTER: u64 = 2;

/// A failure of ours. Making one writes its cause to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Redis or SQL is away: 503.
    Unavailable,
    /// A bug, or a row that makes no sense: 500.
    Internal,
}

impl Fault {
    pub(crate) fn unavailable(part: &'static str, error: &dyn std::error::Error) -> Self {
        metrics::counter!("haetae_auth_unavailable_total", "part" => part).increment(1);
        tracing::warn!(part, %error, "a part that a request needs is away");
        Self::Unavailable
    }

    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed");
        Self::Internal
    }

    /// As a problem, for endpoints that are not OAuth's.
    pub(crate) fn problem(self) -> Problem {
        match self {
            Self::Unavailable => Problem::unavailable(RETRY_AFTER),
            Self::Internal => Problem::internal(),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(cause) => Self::unavailable("sql", cause),
            StoreError::Exists(_) | StoreError::Stale | StoreError::Inconsistent { .. } => {
                Self::internal(&error)
            }
        }
    }
}

impl From<TransientError> for Fault {
    fn from(error: TransientError) -> Self {
        match &error {
            TransientError::Redis(cause) => Self::unavailable("redis", cause),
            TransientError::Format { .. } => Self::internal(&error),
        }
    }
}

impl From<haetae_session::StoreError> for Fault {
    fn from(error: haetae_session::StoreError) -> Self {
        Self::unavailable("redis", &error)
    }
}

impl From<RevokeError> for Fault {
    fn from(error: RevokeError) -> Self {
        let part = match &error {
            RevokeError::NotRecorded(_) => "sql",
            RevokeError::NotPropagated(_) => "redis",
        };
        Self::unavailable(part, &error)
    }
}

impl From<SignError> for Fault {
    fn from(error: SignError) -> Self {
        Self::internal(&error)
    }
}

/// Whether a token could not be judged at all. Other errors are the token's.
pub(crate) fn unjudged(error: VerifyError) -> Option<Fault> {
    error.is_unavailable().then(|| Fault::unavailable("keys", &error))
}
