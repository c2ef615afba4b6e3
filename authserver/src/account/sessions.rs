//! Where the person is signed in: ending one session, the others, or all of them.

use std::collections::BTreeSet;

use axum::{extract::State, http::StatusCode, response::Response};
use haetae_session::{SessionId, sso::SsoSession};
use serde::{Deserialize, de::IgnoredAny};

use super::{back, person};
use crate::{
    cookies::Name,
    interaction::{SignOutReason, SignedIn, end_all_sessions, end_session},
    pages::{Confirm, FormAction, Instead, Posted, Visit, signed_out},
    state::AppState,
};

/// What the forms post.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Form {
    #[serde(default)]
    sid: String,
}

/// `POST /account/sessions/end`.
pub(super) async fn end(
    State(state): State<AppState>,
    Posted { mut visit, form }: Posted<Form>,
) -> Response {
    match end_one(&state, &mut visit, form).await {
        Ok(Some(response)) => response,
        Ok(None) => signed_out(visit, &[]),
        Err(instead) => instead.into_response(visit),
    }
}

/// `None` when it was this browser's own session.
async fn end_one(
    state: &AppState,
    visit: &mut Visit,
    form: Form,
) -> Result<Option<Response>, Instead> {
    let person = person(state, visit).await?;
    // Only a session of one's own: another id ends nothing, and is not told apart from a session that is
    // over.
    let own = own_sessions(state, &person).await?;
    if let Some(session) = own.iter().find(|session| session.sid.to_string() == form.sid) {
        let this = session.sid == person.session.sid;
        let reason = if this { SignOutReason::Requested } else { SignOutReason::Revoked };
        end_session(state, &visit.context, session.sid, reason).await?;
        if this {
            visit.jar = state.cookies.remove(visit.jar.clone(), Name::Sso);
            return Ok(None);
        }
    }
    back(state, visit, "notice-session-ended").await.map(Some)
}

async fn own_sessions(state: &AppState, person: &SignedIn) -> Result<Vec<SsoSession>, Instead> {
    Ok(state.sso.list(&person.account.id.to_string(), state.now()).await?)
}

/// Ends every session of the person but the one of this browser, and all access that was given out in
/// others, even where the session itself is long over.
pub(super) async fn end_others(
    state: &AppState,
    visit: &Visit,
    person: &SignedIn,
) -> Result<(), Instead> {
    let now = state.now();
    let mut others: BTreeSet<SessionId> =
        own_sessions(state, person).await?.into_iter().map(|session| session.sid).collect();
    let granted = state.families.list(&person.account.id.to_string(), now).await?;
    others.extend(granted.iter().filter_map(|family| family.grant.sid));
    others.remove(&person.session.sid);
    for sid in others {
        end_session(state, &visit.context, sid, SignOutReason::Revoked).await?;
    }
    Ok(())
}

/// `GET /account/sign-out-everywhere`.
pub(super) async fn show_everywhere(State(state): State<AppState>, mut visit: Visit) -> Response {
    let result = async {
        person(&state, &visit).await?;
        let page = visit.page(&[], FormAction::own());
        let template = Confirm {
            title: page.t("everywhere-title"),
            lead: page.t("everywhere-lead"),
            action: "/account/sign-out-everywhere".to_owned(),
            hidden: Vec::new(),
            fields: Vec::new(),
            submit: page.t("everywhere-submit"),
            danger: true,
            back: (page.t("cancel"), "/account".to_owned()),
            page: &page,
        };
        Ok(visit.respond(StatusCode::OK, &page, &template))
    }
    .await;
    result.unwrap_or_else(|instead: Instead| instead.into_response(visit))
}

/// `POST /account/sign-out-everywhere`.
pub(super) async fn sign_out_everywhere(
    State(state): State<AppState>,
    Posted { mut visit, form: IgnoredAny }: Posted<IgnoredAny>,
) -> Response {
    match everywhere(&state, &mut visit).await {
        Ok(()) => signed_out(visit, &[]),
        Err(instead) => instead.into_response(visit),
    }
}

async fn everywhere(state: &AppState, visit: &mut Visit) -> Result<(), Instead> {
    let person = person(state, visit).await?;
    end_all_sessions(state, &visit.context, person.account.id).await?;
    visit.jar = state.cookies.remove(visit.jar.clone(), Name::Sso);
    Ok(())
}
