//! `response_type` is `code` (RFC 6749 3.1.1). Those that put tokens into the browser's address are not
//! offered (RFC 9700 2.1.2).

use super::Request;
use crate::oidc::error::{Code, OAuthError};

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    match request.params.get("response_type") {
        Some("code") => Ok(()),
        Some(_) => {
            Err(OAuthError::new(Code::UnsupportedResponseType, "response_type must be code"))
        }
        None => Err(OAuthError::invalid_request("response_type is missing")),
    }
}
