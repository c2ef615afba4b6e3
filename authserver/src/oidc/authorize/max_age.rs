//! `max_age` is the oldest sign-in that satisfies the client, in seconds (OpenID Connect Core 3.1.2.1).
//! Left out, what the client registered counts.

use std::time::Duration;

use super::Request;
use crate::oidc::error::OAuthError;

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    let seconds = match request.params.get("max_age") {
        Some(text) => Some(
            text.parse::<u32>()
                .map_err(|_| OAuthError::invalid_request("max_age is not a number of seconds"))?,
        ),
        None => request.client.metadata.default_max_age,
    };
    request.max_age = seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
    Ok(())
}
