//! What this provider offers (OpenID Connect Discovery 3, RFC 8414 2): only what is really there.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use haetae_keys::{Algorithm, claims::Acr};
use serde_json::{Value, json};

use crate::{
    domain::{
        client::{AuthMethod, GrantType},
        scopes,
    },
    state::AppState,
};

const MAX_AGE: &str = "public, max-age=300";

pub(super) async fn show(
    State(state): State<AppState>,
) -> ([(HeaderName, &'static str); 1], Json<Value>) {
    ([(header::CACHE_CONTROL, MAX_AGE)], Json(document(&state)))
}

fn document(state: &AppState) -> Value {
    let at = |path| state.address_of(path);
    let algorithms: Vec<&str> = state.keys.signer().algorithms().map(Algorithm::as_str).collect();
    let methods = [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost, AuthMethod::None]
        .map(AuthMethod::as_str);
    let confidential =
        [AuthMethod::ClientSecretBasic, AuthMethod::ClientSecretPost].map(AuthMethod::as_str);
    let mut prompts = vec!["none", "login", "consent", "select_account"];
    if state.config.auth.registration.enabled {
        prompts.push("create");
    }
    json!({
        "issuer": state.issuer,
        "authorization_endpoint": at("/oauth2/authorize"),
        "token_endpoint": at("/oauth2/token"),
        "userinfo_endpoint": at("/oauth2/userinfo"),
        "jwks_uri": at("/oauth2/jwks"),
        "revocation_endpoint": at("/oauth2/revoke"),
        "introspection_endpoint": at("/oauth2/introspect"),
        "end_session_endpoint": at("/oauth2/logout"),
        "scopes_supported": scopes::ALL,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": GrantType::ALL.map(GrantType::as_str),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": confidential,
        "code_challenge_methods_supported": ["S256"],
        "acr_values_supported": [Acr::OneFactor.as_str(), Acr::TwoFactor.as_str()],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash",
            "sid", "name", "preferred_username", "locale", "updated_at", "email", "email_verified",
        ],
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "prompt_values_supported": prompts,
        "ui_locales_supported": ["ko", "en"],
        "authorization_response_iss_parameter_supported": true,
    })
}
