//! `response_mode` is `query` (the default for codes) or `form_post` (OAuth 2.0 Multiple Response Type
//! Encoding Practices 2.1, OAuth 2.0 Form Post Response Mode 2).

use super::{Request, answer::ResponseMode};
use crate::oidc::error::OAuthError;

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    request.response_mode = match request.params.get("response_mode") {
        None | Some("query") => ResponseMode::Query,
        Some("form_post") => ResponseMode::FormPost,
        Some(_) => {
            return Err(OAuthError::invalid_request("response_mode must be query or form_post"));
        }
    };
    Ok(())
}
