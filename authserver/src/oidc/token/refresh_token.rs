//! A refresh token for new tokens (RFC 6749 6): one step in Redis, no SQL. Whether the account is open and
//! what its roles are was decided when the family began; whoever shuts an account ends its families.

use haetae_keys::claims::Scope;
use haetae_session::family::{FamilyGrant, RotateError};
use secrecy::ExposeSecret;
use serde_json::Map;

use super::{
    TokenRequest, TokenResponse,
    issue::{self, SignIn, Subject},
};
use crate::{
    audit::{Event, What},
    domain::scopes,
    interaction::{not_yet_refused, tokens_of},
    oidc::error::{Code, OAuthError},
};

pub(super) async fn rotate(request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
    let (state, client) = (request.state, &request.client);
    let presented = request
        .params
        .get("refresh_token")
        .ok_or_else(|| OAuthError::invalid_request("refresh_token is missing"))?;
    let requested = request
        .params
        .get("scope")
        .map(|text| {
            text.parse::<Scope>()
                .map_err(|_| OAuthError::new(Code::InvalidScope, "scope cannot be read"))
        })
        .transpose()?;
    let now = state.now();
    let lifetime = *state.config.auth.tokens.access;
    let name = issue::name_token(now, lifetime);
    let rotated = state
        .families
        .rotate_issuing(presented, &client.client_id, requested.as_ref(), Some(&name), now)
        .await;
    let rotated = match rotated {
        Ok(rotated) => rotated,
        Err(error) => return Err(refused(request, error).await?),
    };
    metrics::counter!("haetae_auth_refreshes_total",
        "kind" => if rotated.replayed { "replayed" } else { "rotated" })
    .increment(1);
    let grant = &rotated.grant;
    let scope = requested.unwrap_or_else(|| grant.scope.clone());
    let subject = Subject {
        sub: &grant.sub,
        sign_in: Some(SignIn {
            sid: grant.sid,
            auth_time: grant.auth_time,
            acr: grant.acr,
            amr: &grant.amr,
        }),
        roles: &grant.roles,
    };
    let access_token = issue::access_token(state, client, &subject, &scope, &name, now)?;
    // The same sign-in again, without a nonce and without what SQL knows about the person (OpenID
    // Connect Core 12.2).
    let id_token = if scope.contains(scopes::OPENID) {
        Some(issue::id_token(state, client, &subject, None, Map::new(), &access_token, now)?)
    } else {
        None
    };
    Ok(TokenResponse {
        access_token,
        token_type: "Bearer",
        expires_in: issue::seconds(lifetime),
        scope,
        refresh_token: Some(rotated.refresh_token.expose_secret().to_owned()),
        id_token,
    })
}

/// Why there are no tokens. A token that was used before ends its family and the access tokens that came
/// from it.
async fn refused(request: &TokenRequest<'_>, error: RotateError) -> Result<OAuthError, OAuthError> {
    Ok(match error {
        RotateError::Unknown | RotateError::WrongClient => {
            OAuthError::invalid_grant("the refresh token is not known, or was revoked")
        }
        RotateError::Expired => OAuthError::invalid_grant("the refresh token has expired"),
        RotateError::Scope => {
            OAuthError::new(Code::InvalidScope, "the scope goes beyond what was granted")
        }
        RotateError::Reused { family, grant, first } => {
            if first {
                alert(request, &family.to_string(), &grant);
            }
            // Also at a later replay: the first one may have failed here. What is refused already is not
            // written once more, or anybody with a spent token could fill the log.
            let state = request.state;
            let entries = not_yet_refused(state, tokens_of(state, &grant));
            state.denylist.revoke_all(entries).await?;
            OAuthError::invalid_grant("the refresh token was used before; its family is revoked")
        }
        RotateError::Store(error) => error.into(),
    })
}

fn alert(request: &TokenRequest<'_>, family: &str, grant: &FamilyGrant) {
    let mut event = Event::failure(What::RefreshTokenReused, "refresh_token_used_before")
        .subject(&grant.sub)
        .client(&grant.client_id)
        .from(request.context)
        .with("family", family)
        .with("revoked_tokens", grant.issued.len());
    if let Some(sid) = grant.sid {
        event = event.sid(sid);
    }
    request.state.audit.record(event);
}
