//! `redirect_uri` is one that the client registered, character by character (RFC 9700 4.1.3), with any
//! port on a loopback address (RFC 8252 7.3). It may be left out by a plain OAuth request of a client that
//! registered exactly one (RFC 6749 3.1.2.3). Anything else is shown on our own page, and never redirected
//! to.

use super::Params;
use crate::{
    domain::{client::Client, scopes},
    oidc::error::OAuthError,
};

pub(super) fn check(params: &Params, client: &Client) -> Result<String, OAuthError> {
    if params.is_repeated("redirect_uri") {
        return Err(OAuthError::invalid_request("redirect_uri is repeated"));
    }
    if let Some(presented) = params.get("redirect_uri") {
        return if client.may_redirect_to(presented) {
            Ok(presented.to_owned())
        } else {
            Err(OAuthError::invalid_request("redirect_uri is not registered for this client"))
        };
    }
    let openid = params
        .get("scope")
        .is_some_and(|scope| scope.split(' ').any(|name| name == scopes::OPENID));
    match client.metadata.redirect_uris.as_slice() {
        // OpenID Connect Core 3.1.2.1 requires it.
        [only] if !openid => Ok(only.as_str().to_owned()),
        _ => Err(OAuthError::invalid_request("redirect_uri is missing")),
    }
}
