//! `client_id` names a registered client (RFC 6749 4.1.1). Anything else is shown on our own page: there
//! is nobody who could be told.

use std::sync::Arc;

use super::{Params, Refused};
use crate::{domain::client::Client, fault::Fault, oidc::error::OAuthError, state::AppState};

pub(super) async fn check(state: &AppState, params: &Params) -> Result<Arc<Client>, Refused> {
    let refused = |text| Err(Refused::OnPage(OAuthError::invalid_request(text)));
    if params.is_repeated("client_id") {
        return refused("client_id is repeated");
    }
    let Some(client_id) = params.get("client_id") else {
        return refused("client_id is missing");
    };
    match state.clients.find(client_id).await {
        Ok(Some(client)) => Ok(client),
        Ok(None) => refused("client_id is not registered"),
        Err(error) => Err(Refused::Fault(Fault::from(error))),
    }
}
