//! Every client proves at the token endpoint that it began the flow: PKCE with S256 (RFC 7636 4.3,
//! RFC 9700 2.1.1). `plain` proves nothing to whoever reads the request, and is refused. Only a client that
//! authenticates and is registered with `require_pkce` false may leave it out.

use super::Request;
use crate::oidc::error::OAuthError;

/// The length of a SHA-256 in unpadded base64url.
const CHALLENGE_LENGTH: usize = 43;

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    let Some(challenge) = request.params.get("code_challenge") else {
        // A method without a challenge is a client that meant to send one.
        let none_at_all = request.params.get("code_challenge_method").is_none();
        if none_at_all && request.client.may_leave_out_pkce() {
            return Ok(());
        }
        return Err(OAuthError::invalid_request("code_challenge is missing (PKCE, RFC 7636)"));
    };
    // Left out it means `plain` (RFC 7636 4.3).
    if request.params.get("code_challenge_method") != Some("S256") {
        return Err(OAuthError::invalid_request("code_challenge_method must be S256"));
    }
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if challenge.len() != CHALLENGE_LENGTH || !challenge.bytes().all(base64url) {
        return Err(OAuthError::invalid_request(
            "code_challenge is not a SHA-256 in unpadded base64url",
        ));
    }
    request.code_challenge = Some(challenge.to_owned());
    Ok(())
}
