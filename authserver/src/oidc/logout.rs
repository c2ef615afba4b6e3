//! Signing out at the wish of a client (OpenID Connect RP-Initiated Logout 1.0). With an ID token of the
//! session that this browser has, it is done at once; without one the person is asked, or any page could
//! sign people out. A person is sent on only to an address that the client registered.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_keys::{claims::IdClaims, verify::VerifyError};
use haetae_session::SessionId;
use serde::Deserialize;

use super::{
    authorize::{page_fault, with_query},
    error::{Code, OAuthError},
    logout_by_client,
    params::Params,
};
use crate::{
    cookies::Name,
    domain::client::Client,
    fault,
    interaction::{self, SignOutReason},
    pages::{self, Posted, Visit},
    state::AppState,
};

/// What a request wants, as far as it is checked.
struct Wish {
    /// Who asks, if it is known.
    client: Option<Arc<Client>>,
    /// The ID token of the request.
    hint: Option<IdClaims>,
    /// Where the person goes afterwards: registered by the client, the state with it.
    destination: Option<String>,
    ui_locales: Vec<String>,
}

pub(super) async fn by_get(
    State(state): State<AppState>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    sign_out(&state, visit, &params).await
}

pub(super) async fn by_post(
    State(state): State<AppState>,
    visit: Visit,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(params) = Params::from_body(&headers, &body) else {
        return refuse(visit, &OAuthError::invalid_request("the request body is not a form"));
    };
    if headers.contains_key(header::AUTHORIZATION) {
        let ended = logout_by_client::end(&state, &visit.context, &headers, &params).await;
        return ended.into_response();
    }
    // Without the session's cookie nobody seems to be signed in, and would be told to be signed out.
    match visit.once_more_with_cookies(&params) {
        Some(again) => visit.redirect(&again),
        None => sign_out(&state, visit, &params).await,
    }
}

async fn sign_out(state: &AppState, visit: Visit, params: &Params) -> Response {
    let wish = match read(state, params).await {
        Ok(wish) => wish,
        Err(error) => return refuse(visit, &error),
    };
    let person = match interaction::signed_in(state, &visit.jar).await {
        Ok(person) => person,
        Err(fault) => return pages::error(visit, &page_fault(fault)),
    };
    let Some(person) = person else {
        return nobody(state, visit, wish.destination, None, &wish.ui_locales).await;
    };
    // The hint is of the very session that this browser has, or at least of the same person.
    let same = wish.hint.as_ref().is_some_and(|hint| match &hint.sid {
        Some(sid) => *sid == person.session.sid.to_string(),
        None => hint.sub == person.session.sub,
    });
    if same {
        let sid = person.session.sid;
        return end(state, visit, sid, wish.destination, None, &wish.ui_locales).await;
    }
    let mut hidden = Vec::new();
    if let Some(client) = &wish.client {
        hidden.push(("client_id", client.client_id.clone()));
    }
    if let Some(destination) = wish.destination {
        hidden.push(("destination", destination));
    }
    if !wish.ui_locales.is_empty() {
        hidden.push(("ui_locales", wish.ui_locales.join(" ")));
    }
    pages::confirm_logout(
        visit,
        "/oauth2/logout/confirm",
        hidden,
        &person.account.display_name,
        wish.client.as_deref(),
        &wish.ui_locales,
    )
}

/// What the page of the question posts.
#[derive(Deserialize)]
pub(super) struct Confirmed {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    destination: String,
    #[serde(default)]
    ui_locales: String,
}

/// The person said yes.
pub(super) async fn confirm(
    State(state): State<AppState>,
    Posted { visit, form }: Posted<Confirmed>,
) -> Response {
    let ui_locales: Vec<String> =
        form.ui_locales.split_ascii_whitespace().map(str::to_owned).collect();
    // The form passed through the browser: where it leads is checked again.
    let client = match state.clients.find(&form.client_id).await {
        Ok(client) => client.filter(|client| may_go_to(client, &form.destination)),
        Err(error) => return pages::error(visit, &page_fault(error.into())),
    };
    let destination = client.is_some().then(|| form.destination.clone());
    let client = client.as_deref();
    match interaction::signed_in(&state, &visit.jar).await {
        Ok(Some(person)) => {
            end(&state, visit, person.session.sid, destination, client, &ui_locales).await
        }
        Ok(None) => nobody(&state, visit, destination, client, &ui_locales).await,
        Err(fault) => pages::error(visit, &page_fault(fault)),
    }
}

/// Whether `destination` is a registered address, with nothing but a `state` added to it.
fn may_go_to(client: &Client, destination: &str) -> bool {
    let bare = destination
        .rfind("state=")
        .and_then(|at| destination.get(..at))
        .map(|before| before.trim_end_matches(['?', '&']));
    client.may_sign_out_to(destination) || bare.is_some_and(|bare| client.may_sign_out_to(bare))
}

async fn end(
    state: &AppState,
    visit: Visit,
    sid: SessionId,
    destination: Option<String>,
    asked: Option<&Client>,
    ui_locales: &[String],
) -> Response {
    let ended =
        interaction::end_session(state, &visit.context, sid, SignOutReason::Requested).await;
    match ended {
        Ok(()) => done(state, visit, destination, asked, ui_locales),
        Err(fault) => pages::error(visit, &page_fault(fault)),
    }
}

/// Nobody is signed in. A sign-out that failed half way is finished first.
async fn nobody(
    state: &AppState,
    visit: Visit,
    destination: Option<String>,
    asked: Option<&Client>,
    ui_locales: &[String],
) -> Response {
    match interaction::half_ended(state, &visit.jar).await {
        Ok(Some(sid)) => end(state, visit, sid, destination, asked, ui_locales).await,
        Ok(None) => done(state, visit, destination, asked, ui_locales),
        Err(fault) => pages::error(visit, &page_fault(fault)),
    }
}

/// Nobody is signed in any more. `asked` is the client for which the person answered the question: the answer
/// is a form, which a browser does not follow to everywhere.
fn done(
    state: &AppState,
    mut visit: Visit,
    destination: Option<String>,
    asked: Option<&Client>,
    ui_locales: &[String],
) -> Response {
    visit.jar = state.cookies.remove(visit.jar.clone(), Name::Sso);
    match destination {
        Some(destination) if asked.is_some() => {
            pages::onward(state, &mut visit, &destination, asked, ui_locales)
        }
        Some(destination) => visit.redirect(&destination),
        None => pages::signed_out(visit, ui_locales),
    }
}

fn refuse(visit: Visit, error: &OAuthError) -> Response {
    let fault = match error.code {
        Code::TemporarilyUnavailable => pages::Fault::Unavailable,
        Code::ServerError => pages::Fault::Internal,
        code => pages::Fault::InvalidRequest {
            code: code.as_str().to_owned(),
            description: error.description.clone().into_owned(),
        },
    };
    pages::error(visit, &fault)
}

async fn read(state: &AppState, params: &Params) -> Result<Wish, OAuthError> {
    params.in_order()?;
    let hint = params.get("id_token_hint");
    let client_id = match (params.get("client_id"), hint) {
        (Some(client_id), _) => Some(client_id.to_owned()),
        (None, Some(hint)) => Some(audience_of(hint).ok_or_else(bad_hint)?),
        (None, None) => None,
    };
    let client = match &client_id {
        Some(client_id) => state.clients.find(client_id).await?,
        None => None,
    };
    if params.get("client_id").is_some() && client.is_none() {
        return Err(OAuthError::invalid_request("client_id is not registered"));
    }
    let hint = match (hint, &client_id) {
        (Some(hint), Some(client_id)) => match state.id_verifier(client_id).verify_hint(hint).await
        {
            Ok(verified) => Some(verified),
            // The key may have left the ring since, and the session that it signed for goes on. What cannot be
            // verified any more proves nothing, so the person is asked, as if only the client were named.
            Err(VerifyError::UnknownKey) => None,
            Err(error) => {
                return Err(fault::unjudged(error).map_or_else(bad_hint, OAuthError::from));
            }
        },
        _ => None,
    };
    let destination = match params.get("post_logout_redirect_uri") {
        None => None,
        Some(uri) => match &client {
            Some(client) if client.may_sign_out_to(uri) => {
                let state = params.get("state").map(|state| ("state", state));
                Some(state.map_or_else(|| uri.to_owned(), |state| with_query(uri, &[state])))
            }
            Some(_) => {
                return Err(OAuthError::invalid_request(
                    "post_logout_redirect_uri is not registered for this client",
                ));
            }
            None => {
                return Err(OAuthError::invalid_request(
                    "post_logout_redirect_uri needs id_token_hint or client_id",
                ));
            }
        },
    };
    let ui_locales = params.get("ui_locales").unwrap_or_default();
    Ok(Wish {
        client,
        hint: hint.map(|hint| hint.claims().clone()),
        destination,
        ui_locales: ui_locales.split_ascii_whitespace().map(str::to_owned).collect(),
    })
}

pub(super) fn bad_hint() -> OAuthError {
    OAuthError::invalid_request("id_token_hint is not an ID token of this provider")
}

/// For whom an ID token says it is, before anything about it is verified: only to know which client to
/// verify it for.
fn audience_of(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Unverified {
        aud: haetae_keys::claims::Audience,
        azp: Option<String>,
    }
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let unverified: Unverified = serde_json::from_slice(&payload).ok()?;
    unverified.azp.or_else(|| unverified.aud.only().map(str::to_owned))
}
