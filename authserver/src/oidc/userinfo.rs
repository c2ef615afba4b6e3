//! Claims about the person who is signed in (OpenID Connect Core 5.3).

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use haetae_keys::claims::Scope;
use serde_json::{Map, Value};

use super::{
    bearer::{self, BearerError},
    params::Params,
};
use crate::{
    domain::{account::Account, scopes},
    state::AppState,
};

pub(super) async fn by_get(
    State(state): State<AppState>,
    headers: HeaderMap,
) -> Result<Response, BearerError> {
    let token = bearer::from_header(&headers)?.ok_or(BearerError::Missing)?;
    answer(&state, token).await
}

pub(super) async fn by_post(
    State(state): State<AppState>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, BearerError> {
    // In the body only as a form (RFC 6750 2.2), and in one place only.
    let params = Params::from_body(&headers, &body).unwrap_or_default();
    if params.is_repeated("access_token") {
        return Err(BearerError::Malformed("a parameter is repeated"));
    }
    match (bearer::from_header(&headers)?, params.get("access_token")) {
        (Some(_), Some(_)) => Err(BearerError::Malformed("the token is sent in two ways")),
        (Some(token), None) | (None, Some(token)) => answer(&state, token).await,
        (None, None) => Err(BearerError::Missing),
    }
}

async fn answer(state: &AppState, token: &str) -> Result<Response, BearerError> {
    let claims = bearer::verify(state, token).await?;
    if !claims.scope.contains(scopes::OPENID) {
        return Err(BearerError::InsufficientScope(scopes::OPENID));
    }
    let Ok(id) = claims.sub.parse() else {
        return Err(BearerError::InsufficientScope(scopes::OPENID));
    };
    state.sql_health.expect()?;
    let account = state.accounts.find(id).await?.filter(|account| !account.is_disabled());
    let Some(account) = account else {
        return Err(BearerError::Invalid(haetae_keys::verify::VerifyError::Revoked));
    };
    let mut body = Map::new();
    body.insert("sub".to_owned(), claims.sub.clone().into());
    body.extend(profile_claims(&account, &claims.scope));
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}

/// What the scope lets a client know about the person (OpenID Connect Core 5.4).
pub(super) fn profile_claims(account: &Account, scope: &Scope) -> Map<String, Value> {
    let mut claims = Map::new();
    if scope.contains(scopes::PROFILE) {
        claims.insert("name".to_owned(), account.display_name.clone().into());
        claims.insert("preferred_username".to_owned(), account.username.as_str().into());
        claims.insert("updated_at".to_owned(), account.updated_at.as_seconds().into());
        if let Some(locale) = &account.locale {
            claims.insert("locale".to_owned(), locale.clone().into());
        }
    }
    if let Some(email) = account.email.as_ref().filter(|_| scope.contains(scopes::EMAIL)) {
        claims.insert("email".to_owned(), email.clone().into());
        claims.insert("email_verified".to_owned(), account.email_verified.into());
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::new_account;

    #[test]
    fn a_scope_opens_its_claims_and_no_others() {
        let mut account = new_account("demo");
        account.email = Some("demo@example.com".to_owned());
        let names = |scope: &str| {
            let claims = profile_claims(&account, &scope.parse().expect("a scope"));
            claims.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("openid"), "");
        assert_eq!(names("openid email"), "email email_verified");
        assert_eq!(names("openid profile"), "name preferred_username updated_at");
    }
}
