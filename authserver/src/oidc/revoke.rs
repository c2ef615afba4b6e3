//! Revoking a token at the wish of its client (RFC 7009). Answers 200 only after the denylist has it: from
//! then on the gateways refuse it.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use haetae_keys::verify::NoRevocations;
use haetae_session::{denylist::Entry, family};

use super::{client_authentication::ClientRequest, error::OAuthError, introspect::is_jwt};
use crate::{
    audit::{Event, What},
    domain::client::Client,
    fault,
    interaction::{not_yet_refused, tokens_of},
    state::AppState,
};

pub(super) async fn revoke(
    State(state): State<AppState>,
    ClientRequest { context, client, params }: ClientRequest,
) -> Result<Response, OAuthError> {
    let token =
        params.get("token").ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    // The hint of the request is not needed: the two kinds look different.
    let event = if is_jwt(token) {
        revoke_access(&state, &client, token).await?
    } else {
        revoke_refresh(&state, &client, token).await?
    };
    if let Some(event) = event {
        state.audit.record(event.client(&client.client_id).from(&context));
    }
    // Also for a token that is unknown or over: what the client wants is the case (RFC 7009 2.2).
    Ok((StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response())
}

fn anothers() -> OAuthError {
    OAuthError::invalid_request("the token belongs to another client")
}

async fn revoke_access(
    state: &AppState,
    client: &Client,
    token: &str,
) -> Result<Option<Event>, OAuthError> {
    let claims = match state.verifier.verify(token, &NoRevocations).await {
        Ok(claims) => claims,
        Err(error) => return fault::unjudged(error).map_or(Ok(None), |fault| Err(fault.into())),
    };
    if claims.client_id != client.client_id {
        return Err(anothers());
    }
    state.sql_health.expect()?;
    // Revoked again and again, one token must not fill the log of revocations.
    let entries = not_yet_refused(state, vec![Entry::token(&claims.jti, claims.exp)]);
    if entries.is_empty() {
        return Ok(None);
    }
    state.denylist.revoke_all(entries).await?;
    Ok(Some(
        Event::success(What::TokenRevoked)
            .subject(&claims.sub)
            .with("token", "access_token")
            .with("jti", claims.jti.clone()),
    ))
}

/// Ends the whole grant: every refresh token of the family and the access tokens that came from it.
async fn revoke_refresh(
    state: &AppState,
    client: &Client,
    token: &str,
) -> Result<Option<Event>, OAuthError> {
    let killed = match state.families.revoke(token, &client.client_id, state.now()).await {
        Ok(killed) => killed,
        Err(family::RevokeError::WrongClient) => return Err(anothers()),
        Err(family::RevokeError::Store(error)) => return Err(error.into()),
    };
    let Some(grant) = killed else {
        return Ok(None);
    };
    let entries = tokens_of(state, &grant);
    let count = grant.issued.len();
    state.sql_health.expect()?;
    state.denylist.revoke_all(entries).await?;
    let mut event = Event::success(What::TokenRevoked)
        .subject(&grant.sub)
        .with("token", "refresh_token")
        .with("access_tokens", count);
    if let Some(sid) = grant.sid {
        event = event.sid(sid);
    }
    Ok(Some(event))
}
