//! `acr_values` are the assurances of which one is wanted (OpenID Connect Core 3.1.2.1). Those that nobody
//! knows are ignored. Left out, what the client registered counts.

use super::Request;
use crate::oidc::error::OAuthError;

#[expect(clippy::unnecessary_wraps, reason = "it has the shape of every check")]
pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    request.acr_values = match request.params.get("acr_values") {
        Some(values) => {
            values.split_ascii_whitespace().filter_map(|value| value.parse().ok()).collect()
        }
        None => request.client.metadata.default_acr_values.clone(),
    };
    Ok(())
}
