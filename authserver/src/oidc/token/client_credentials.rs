//! A token for a client that acts for itself (RFC 6749 4.4). No refresh token: the client can always ask
//! again (4.4.3).

use haetae_keys::claims::Scope;

use super::{
    TokenRequest, TokenResponse,
    issue::{self, Subject},
};
use crate::{
    domain::scopes,
    oidc::error::{Code, OAuthError},
};

/// Scopes that are about a person.
const PERSONAL: [&str; 4] =
    [scopes::OPENID, scopes::PROFILE, scopes::EMAIL, scopes::OFFLINE_ACCESS];

pub(super) fn grant(request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
    let (state, client) = (request.state, &request.client);
    let invalid = |text| OAuthError::new(Code::InvalidScope, text);
    let registered = PERSONAL
        .iter()
        .fold(client.metadata.scope.clone(), |scope, personal| scope.without(personal));
    let scope = match request.params.get("scope") {
        Some(text) => {
            let asked: Scope = text.parse().map_err(|_| invalid("scope cannot be read"))?;
            if !registered.covers(&asked) {
                return Err(invalid("the client is not registered for this scope"));
            }
            asked
        }
        None => registered,
    };
    let now = state.now();
    let lifetime = *state.config.auth.tokens.client_credentials;
    let name = issue::name_token(now, lifetime);
    let subject = Subject { sub: &client.client_id, sign_in: None, roles: &[] };
    let access_token = issue::access_token(state, client, &subject, &scope, &name, now)?;
    Ok(TokenResponse {
        access_token,
        token_type: "Bearer",
        expires_in: issue::seconds(lifetime),
        scope,
        refresh_token: None,
        id_token: None,
    })
}
