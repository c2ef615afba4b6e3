//! What the person allowed applications, and taking it back.

use axum::{extract::State, response::Response};
use serde::Deserialize;

use super::{back, person};
use crate::{
    audit::{Event, What},
    interaction::tokens_of,
    pages::{Instead, Posted, Visit},
    state::AppState,
};

/// What the form posts.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Form {
    #[serde(default)]
    client_id: String,
}

/// `POST /account/applications/revoke`.
pub(super) async fn revoke(
    State(state): State<AppState>,
    Posted { visit, form }: Posted<Form>,
) -> Response {
    let result = take_back(&state, &visit, form).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn take_back(state: &AppState, visit: &Visit, form: Form) -> Result<Response, Instead> {
    let account = person(state, visit).await?.account;
    // The consent first: from then on nothing new is given out, not for a code that is on its way either
    // (`oidc::token` looks at the consent after it began a family). The rest is done whether or not it was
    // still there, so that trying again finishes what a failure left.
    let removed = state.consents.remove(account.id, &form.client_id).await?;
    let id = account.id.to_string();
    let ended = state.families.revoke_consent(&id, &form.client_id, state.now()).await?;
    let entries = ended.iter().flat_map(|grant| tokens_of(state, grant)).collect();
    state.denylist.revoke_all(entries).await?;
    if removed {
        let event = Event::success(What::ConsentRevoked).subject(account.id);
        state.audit.record(event.client(form.client_id).from(&visit.context));
    }
    back(state, visit, "notice-application-revoked").await
}
