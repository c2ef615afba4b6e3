//! `prompt` says which pages the client wants shown, or that it wants none (OpenID Connect Core 3.1.2.1;
//! `create`: Initiating User Registration via OpenID Connect 1.0). Values that nobody knows are ignored.

use super::Request;
use crate::oidc::error::OAuthError;

/// A page that the client wants shown, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Prompt {
    /// None at all: an error instead.
    None,
    /// The person signs in again.
    Login,
    /// The person is asked for consent again.
    Consent,
    /// The person chooses an account. A browser holds one session here, so choosing is signing in.
    SelectAccount,
    /// The person opens an account.
    Create,
}

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    let prompts = request.params.get("prompt").unwrap_or_default();
    request.prompt = prompts
        .split_ascii_whitespace()
        .filter_map(|prompt| match prompt {
            "none" => Some(Prompt::None),
            "login" => Some(Prompt::Login),
            "consent" => Some(Prompt::Consent),
            "select_account" => Some(Prompt::SelectAccount),
            "create" => Some(Prompt::Create),
            _ => None,
        })
        .collect();
    if request.asks_for(Prompt::None) && prompts.split_ascii_whitespace().count() > 1 {
        return Err(OAuthError::invalid_request("prompt none stands alone"));
    }
    Ok(())
}
