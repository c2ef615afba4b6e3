//! The token endpoint (RFC 6749 3.2): one file a grant.

mod authorization_code;
mod client_credentials;
mod issue;
mod refresh_token;

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use haetae_keys::claims::Scope;
use serde::Serialize;

use super::{
    client_authentication::ClientRequest,
    error::{Code, OAuthError},
    params::Params,
};
use crate::{
    context::RequestContext,
    domain::client::{Client, GrantType},
    state::AppState,
};

/// A token request whose client is known.
struct TokenRequest<'a> {
    state: &'a AppState,
    context: &'a RequestContext,
    client: Arc<Client>,
    params: &'a Params,
}

/// What a client gets (RFC 6749 5.1, OpenID Connect Core 3.1.3.3).
#[derive(Serialize)]
struct TokenResponse {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

pub(super) async fn exchange(
    State(state): State<AppState>,
    ClientRequest { context, client, params }: ClientRequest,
) -> Result<Response, OAuthError> {
    let grant = params
        .get("grant_type")
        .ok_or_else(|| OAuthError::invalid_request("grant_type is missing"))?;
    let grant = GrantType::ALL
        .into_iter()
        .find(|known| known.as_str() == grant)
        .ok_or_else(|| OAuthError::new(Code::UnsupportedGrantType, "no such grant is offered"))?;
    if !client.may(grant) {
        return Err(OAuthError::new(
            Code::UnauthorizedClient,
            "the client is not registered for this grant",
        ));
    }
    let request = TokenRequest { state: &state, context: &context, client, params: &params };
    let response = match grant {
        GrantType::AuthorizationCode => authorization_code::redeem(&request).await?,
        GrantType::RefreshToken => refresh_token::rotate(&request).await?,
        GrantType::ClientCredentials => client_credentials::grant(&request)?,
    };
    metrics::counter!("haetae_auth_token_responses_total", "grant" => grant.as_str()).increment(1);
    let mut response = Json(response).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}
