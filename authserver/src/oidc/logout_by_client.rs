//! Signing out from server to server: the gateway ends the session of a browser before it answers that browser, which
//! may go away before it has followed anything. `POST /oauth2/logout` with the authentication of the client and the
//! ID token that it was given in the session.

use axum::http::{HeaderMap, StatusCode};
use haetae_session::SessionId;

use super::{
    client_authentication::authenticate,
    error::{Code, OAuthError},
    logout::bad_hint,
    params::Params,
};
use crate::{
    context::RequestContext,
    fault,
    interaction::{self, SignOutReason},
    state::AppState,
};

/// Ends the session, everything that was given out in it, and every access token of it, before it answers 204. Only
/// for first-party clients: an application of somebody else signs its person out of the others by way of their
/// browser, where the person is asked.
///
/// # Errors
/// As of the token endpoint; `unauthorized_client` for a client that is not first-party.
pub(super) async fn end(
    state: &AppState,
    context: &RequestContext,
    headers: &HeaderMap,
    params: &Params,
) -> Result<StatusCode, OAuthError> {
    let client = authenticate(state, context, headers, params).await?;
    if !client.first_party || !client.is_confidential() {
        return Err(OAuthError::new(
            Code::UnauthorizedClient,
            "this client sends the person's browser here",
        ));
    }
    let hint = params
        .get("id_token_hint")
        .ok_or_else(|| OAuthError::invalid_request("id_token_hint is missing"))?;
    let verified = state
        .id_verifier(&client.client_id)
        .verify_hint(hint)
        .await
        .map_err(|error| fault::unjudged(error).map_or_else(bad_hint, OAuthError::from))?;
    let sid: SessionId =
        verified.claims().sid.as_deref().and_then(|sid| sid.parse().ok()).ok_or_else(bad_hint)?;
    interaction::end_session(state, context, sid, SignOutReason::Requested).await?;
    Ok(StatusCode::NO_CONTENT)
}
