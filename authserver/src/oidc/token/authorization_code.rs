//! A code for tokens (RFC 6749 4.1.3): once, by its client, with the redirect URI of the request and the
//! PKCE verifier. A second use revokes what the first one gave out.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_base::{clock::Timestamp, secret::constant_time_eq};
use haetae_session::{FamilyId, denylist::Entry, family::FamilyGrant};
use secrecy::ExposeSecret;

use super::{
    TokenRequest, TokenResponse,
    issue::{self, SignIn, Subject},
};
use crate::{
    audit::{Event, What},
    domain::{account::Account, client::GrantType, grant::Grant, scopes},
    interaction::{not_yet_refused, tokens_of},
    oidc::{error::OAuthError, userinfo::profile_claims},
    transient::code::{CodeGrant, Issued, Redeemed},
};

pub(super) async fn redeem(request: &TokenRequest<'_>) -> Result<TokenResponse, OAuthError> {
    let (state, client) = (request.state, &request.client);
    let missing = |text| OAuthError::invalid_request(text);
    let code = request.params.get("code").ok_or_else(|| missing("code is missing"))?;
    let verifier = request.params.get("code_verifier");
    if verifier.is_none() && !client.may_leave_out_pkce() {
        return Err(missing("code_verifier is missing (PKCE, RFC 7636)"));
    }
    let now = state.now();
    let lifetime = *state.config.auth.tokens.access;
    let name = issue::name_token(now, lifetime);
    let mut issued = Issued { jti: name.jti.clone(), until: name.until, family: None };
    let granted = match state.codes.redeem(code, &client.client_id, &issued).await? {
        Redeemed::Fresh(granted) => *granted,
        Redeemed::Replayed { code, issued } => {
            revoke_replayed(request, &code.grant, &issued, now).await?;
            return Err(OAuthError::invalid_grant("the code was used before"));
        }
        Redeemed::Unknown | Redeemed::WrongClient => {
            return Err(OAuthError::invalid_grant("the code is not known, or has expired"));
        }
    };
    if let Err(error) = check(request, &granted, verifier, now) {
        state.audit.record(
            Event::failure(What::CodeRedeemed, error.code.as_str())
                .subject(granted.grant.sub)
                .client(&client.client_id)
                .sid(granted.grant.sid)
                .from(request.context)
                .with("description", error.description.as_ref()),
        );
        return Err(error);
    }

    let scope = &granted.grant.scope;
    let (mut refresh_token, mut displaced) = (None, Vec::new());
    if client.may(GrantType::RefreshToken) {
        let family = family_grant(&granted.grant);
        let started = state.families.start_issuing(&family, Some(&name), now).await?;
        issued.family = Some(started.family.to_string());
        refresh_token = Some(started.token.expose_secret().to_owned());
        displaced.extend(started.ended.iter().map(ToString::to_string));
    }
    // Only now, when whoever ends the sign-in finds the family: either they have ended it, or it is seen
    // here that they were before.
    let account = match person(request, &granted.grant).await {
        Ok(account) => account,
        Err(error) => {
            take_back(request, &issued, now).await?;
            return Err(error);
        }
    };
    if state.codes.note(code, &issued).await? {
        revoke_replayed(request, &granted.grant, &issued, now).await?;
        return Err(OAuthError::invalid_grant("the code was used before"));
    }
    let sub = granted.grant.sub.to_string();
    let subject = Subject {
        sub: &sub,
        sign_in: Some(SignIn {
            sid: Some(granted.grant.sid),
            auth_time: granted.grant.auth_time,
            acr: granted.grant.acr,
            amr: &granted.grant.amr,
        }),
        roles: &granted.grant.roles,
    };
    let access_token = issue::access_token(state, client, &subject, scope, &name, now)?;
    let id_token = if scope.contains(scopes::OPENID) {
        let profile = profile_claims(&account, scope);
        let nonce = granted.nonce.clone();
        Some(issue::id_token(state, client, &subject, nonce, profile, &access_token, now)?)
    } else {
        None
    };
    let mut event = Event::success(What::CodeRedeemed)
        .subject(&sub)
        .client(&client.client_id)
        .sid(granted.grant.sid)
        .from(request.context)
        .with("jti", name.jti);
    if !displaced.is_empty() {
        event = event.with("displaced_families", displaced);
    }
    state.audit.record(event);
    Ok(TokenResponse {
        access_token,
        token_type: "Bearer",
        expires_in: issue::seconds(lifetime),
        scope: scope.clone(),
        refresh_token,
        id_token,
    })
}

/// What binds a code to its request. A code that fails here is used up: whoever holds it without the
/// verifier has stolen it.
fn check(
    request: &TokenRequest<'_>,
    granted: &CodeGrant,
    verifier: Option<&str>,
    now: Timestamp,
) -> Result<(), OAuthError> {
    // Redis takes a code away in time; the clock decides.
    if now >= granted.issued_at.plus(*request.state.config.auth.tokens.code) {
        return Err(OAuthError::invalid_grant("the code is not known, or has expired"));
    }
    let uri_matches = match request.params.get("redirect_uri") {
        Some(presented) => presented == granted.redirect_uri,
        // It may be left out when the request left it out, too, which only a client with a single URI
        // can (RFC 6749 4.1.3); OAuth 2.1 drops the parameter, PKCE protects the same.
        None => {
            granted.code_challenge.is_some() && request.client.metadata.redirect_uris.len() == 1
        }
    };
    if !uri_matches {
        return Err(OAuthError::invalid_grant(
            "redirect_uri is not the one of the authorization request",
        ));
    }
    match (&granted.code_challenge, verifier) {
        (Some(challenge), Some(verifier))
            if is_verifier(verifier) && proves(verifier, challenge) =>
        {
            Ok(())
        }
        (None, None) => Ok(()),
        // Somebody took the challenge out of the request on its way (RFC 9700 4.8.2).
        (None, Some(_)) => {
            Err(OAuthError::invalid_grant("the authorization request had no code_challenge"))
        }
        (Some(_), _) => {
            Err(OAuthError::invalid_grant("code_verifier does not match code_challenge"))
        }
    }
}

/// `43*128unreserved` (RFC 7636 4.1).
fn is_verifier(verifier: &str) -> bool {
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Method S256 (RFC 7636 4.6).
fn proves(verifier: &str, challenge: &str) -> bool {
    let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
    constant_time_eq(URL_SAFE_NO_PAD.encode(hash).as_bytes(), challenge.as_bytes())
}

/// The person may have been shut out or signed out since the code was issued, have got another password, or
/// have taken back what they allowed the client.
async fn person(request: &TokenRequest<'_>, grant: &Grant) -> Result<Account, OAuthError> {
    let state = request.state;
    let over = || OAuthError::invalid_grant("the sign-in is over");
    if !state.sso.add_client(grant.sid, &request.client.client_id).await? {
        return Err(over());
    }
    // Nobody is asked about a client of our own.
    if !request.client.first_party {
        let consent = state.consents.find(grant.sub, &grant.client_id).await?;
        if !consent.is_some_and(|consent| consent.scope.covers(&grant.scope)) {
            return Err(OAuthError::invalid_grant("the person took the authorization back"));
        }
    }
    let account = state.accounts.find(grant.sub).await?;
    account
        .filter(|account| !account.is_disabled() && account.epoch == grant.epoch)
        .ok_or_else(over)
}

/// Ends the family that was begun for tokens which are not given out after all.
async fn take_back(
    request: &TokenRequest<'_>,
    issued: &Issued,
    now: Timestamp,
) -> Result<Vec<Entry>, OAuthError> {
    let state = request.state;
    let family = issued.family.as_ref().and_then(|id| id.parse::<FamilyId>().ok());
    Ok(match family {
        Some(family) => {
            let killed = state.families.revoke_family(family, now).await?;
            killed.iter().flat_map(|grant| tokens_of(state, grant)).collect()
        }
        None => Vec::new(),
    })
}

fn family_grant(grant: &Grant) -> FamilyGrant {
    FamilyGrant {
        sub: grant.sub.to_string(),
        client_id: grant.client_id.clone(),
        sid: Some(grant.sid),
        scope: grant.scope.clone(),
        auth_time: grant.auth_time,
        acr: grant.acr,
        amr: grant.amr.clone(),
        offline: grant.scope.contains(scopes::OFFLINE_ACCESS),
        roles: grant.roles.clone(),
        issued: Vec::new(),
        issued_more: false,
    }
}

/// Ends everything that came from a code which was in two hands.
async fn revoke_replayed(
    request: &TokenRequest<'_>,
    grant: &Grant,
    issued: &Issued,
    now: Timestamp,
) -> Result<(), OAuthError> {
    let state = request.state;
    let mut entries = vec![Entry::token(&issued.jti, issued.until)];
    entries.extend(take_back(request, issued, now).await?);
    state.audit.record(
        Event::failure(What::CodeReplayed, "code_used_before")
            .subject(grant.sub)
            .client(&grant.client_id)
            .sid(grant.sid)
            .from(request.context)
            .with("revoked_tokens", entries.len()),
    );
    Ok(state.denylist.revoke_all(not_yet_refused(state, entries)).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_proves_its_own_challenge_only() {
        // RFC 7636 appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(is_verifier(verifier));
        assert!(proves(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        assert!(!proves(verifier, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"));
        assert!(!proves(verifier, ""));
        for wrong in ["", &"a".repeat(42), &"a".repeat(129), &format!("{verifier}=")] {
            assert!(!is_verifier(wrong), "{wrong}");
        }
    }
}
