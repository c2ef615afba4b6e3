//! `nonce` goes into the ID token as it is (OpenID Connect Core 3.1.2.1).

use super::Request;
use crate::oidc::error::OAuthError;

/// More than any client needs; it travels in every ID token.
const LONGEST: usize = 512;

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    request.nonce = match request.params.get("nonce") {
        Some(nonce) if nonce.len() > LONGEST => {
            return Err(OAuthError::invalid_request("nonce is longer than 512 bytes"));
        }
        nonce => nonce.map(str::to_owned),
    };
    Ok(())
}
