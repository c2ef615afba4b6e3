//! `state` comes back to the client as it was (RFC 6749 4.1.1). One that is repeated comes back not at
//! all: nobody could say which.

use super::Request;
use crate::oidc::error::OAuthError;

/// More than any client needs; it travels in a URL.
const LONGEST: usize = 2048;

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    let Some(state) = request.params.get("state") else {
        return Ok(());
    };
    if request.params.is_repeated("state") {
        return Err(OAuthError::invalid_request("state is repeated"));
    }
    if state.len() > LONGEST {
        return Err(OAuthError::invalid_request("state is longer than 2048 bytes"));
    }
    request.state = Some(state.to_owned());
    Ok(())
}
