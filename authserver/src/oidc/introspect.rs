//! What a client's token is worth now (RFC 7662). A client learns about its own tokens only: any other is
//! as inactive to it as one that was made up.

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use haetae_keys::claims::AccessClaims;
use haetae_session::family::FamilyStatus;
use serde_json::{Value, json};

use super::{bearer, bearer::BearerError, client_authentication::ClientRequest, error::OAuthError};
use crate::{domain::client::Client, state::AppState};

pub(super) async fn introspect(
    State(state): State<AppState>,
    ClientRequest { client, params, .. }: ClientRequest,
) -> Result<Response, OAuthError> {
    if !client.is_confidential() {
        return Err(OAuthError::invalid_client());
    }
    let token =
        params.get("token").ok_or_else(|| OAuthError::invalid_request("token is missing"))?;
    let answer = look_at(&state, &client, token).await?;
    let answer = answer.unwrap_or_else(|| json!({"active": false}));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// What is to be said about the token; `None` when it is inactive or another client's.
async fn look_at(
    state: &AppState,
    client: &Client,
    token: &str,
) -> Result<Option<Value>, OAuthError> {
    // The hint of the request is not needed: the two kinds look different.
    if is_jwt(token) {
        return match bearer::verify(state, token).await {
            Ok(claims) => {
                Ok((claims.client_id == client.client_id).then(|| access(state, claims.claims())))
            }
            Err(BearerError::Fault(fault)) => Err(fault.into()),
            Err(_) => Ok(None),
        };
    }
    let status = state.families.inspect(token, state.now()).await?;
    Ok(status
        .filter(|status| status.grant.client_id == client.client_id)
        .map(|status| refresh(state, &status)))
}

/// Whether the text has the shape of a JWT.
pub(super) fn is_jwt(token: &str) -> bool {
    token.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn access(state: &AppState, claims: &AccessClaims) -> Value {
    // The members of RFC 7662 2.2, and those of the token itself.
    let mut answer = serde_json::to_value(claims).unwrap_or_else(|_| json!({}));
    if let Some(members) = answer.as_object_mut() {
        members.insert("active".to_owned(), true.into());
        members.insert("token_type".to_owned(), "Bearer".into());
        members.insert("iss".to_owned(), state.issuer.clone().into());
    }
    answer
}

fn refresh(state: &AppState, status: &FamilyStatus) -> Value {
    json!({
        "active": true,
        "iss": state.issuer,
        "sub": status.grant.sub,
        "client_id": status.grant.client_id,
        "scope": status.grant.scope,
        "exp": status.expires_at.as_seconds(),
        "iat": status.family.created_at().as_seconds(),
    })
}
