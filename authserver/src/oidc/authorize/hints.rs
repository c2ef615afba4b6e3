//! `id_token_hint` says about whom the request is: an ID token that this server issued to this client, also
//! one that has expired (OpenID Connect Core 3.1.2.1). It permits nothing. `login_hint` and `ui_locales`
//! are the pages' affair.

use super::Request;
use crate::{fault, oidc::error::OAuthError, state::AppState};

pub(super) async fn check(state: &AppState, request: &mut Request<'_>) -> Result<(), OAuthError> {
    let Some(hint) = request.params.get("id_token_hint") else {
        return Ok(());
    };
    let verified = state.id_verifier(&request.client.client_id).verify_hint(hint).await;
    let subject = verified.map(|claims| claims.sub.parse());
    match subject {
        Ok(Ok(subject)) => {
            request.hinted_subject = Some(subject);
            Ok(())
        }
        Ok(Err(_)) => Err(OAuthError::invalid_request("id_token_hint is about nobody")),
        Err(error) => Err(fault::unjudged(error).map_or_else(
            || OAuthError::invalid_request("id_token_hint is not an ID token of this client"),
            OAuthError::from,
        )),
    }
}
