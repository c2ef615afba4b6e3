//! `scope` is narrowed to what the client registered; the token response says what was granted (RFC 6749
//! 3.3). Left out it means all that the client registered, but for what has to be asked for by name.

use haetae_keys::claims::Scope;

use super::Request;
use crate::{
    domain::scopes,
    oidc::error::{Code, OAuthError},
};

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    let registered = &request.client.metadata.scope;
    let granted = match request.params.get("scope") {
        Some(text) => text
            .parse::<Scope>()
            .map_err(|_| OAuthError::new(Code::InvalidScope, "scope cannot be read"))?
            .intersection(registered),
        None => registered.clone().without(scopes::OPENID).without(scopes::OFFLINE_ACCESS),
    };
    if granted.is_empty() {
        return Err(OAuthError::new(
            Code::InvalidScope,
            "the client is registered for nothing of this scope",
        ));
    }
    request.scope = granted;
    Ok(())
}
