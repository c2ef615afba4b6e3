//! Step-up (RFC 9470): how strongly and how recently the person signed in. A token that does not say is
//! not enough.

use haetae_base::{clock::Timestamp, problem::Problem};
use haetae_keys::claims::AccessClaims;
use http::{StatusCode, header};

use crate::{authenticate::Denied, metrics, proxy::Gateway, route::Route};

/// # Errors
/// 401 `insufficient_user_authentication` with what would be enough; for a browser, a sign-in that asks
/// for just that.
pub(super) fn check(
    gateway: &Gateway,
    route: &Route,
    claims: &AccessClaims,
    browser: bool,
    now: Timestamp,
) -> Result<(), Denied> {
    let strong = route.acr.is_none_or(|needed| claims.acr.is_some_and(|acr| acr >= needed));
    let recent = route
        .max_age
        .is_none_or(|longest| claims.auth_time.is_some_and(|at| now.since(at) <= longest));
    if strong && recent {
        return Ok(());
    }
    metrics::authenticated("any", "insufficient_user_authentication");
    let acr = route.acr.map(haetae_keys::claims::Acr::as_str);
    let max_age = route.max_age.map(|age| age.as_secs());
    let seconds = max_age.map(|seconds| seconds.to_string());
    let mut parameters = Vec::new();
    parameters.extend(acr.map(|acr| ("acr_values", acr)));
    parameters.extend(seconds.as_deref().map(|seconds| ("max_age", seconds)));
    let mut problem = Problem::new(
        StatusCode::UNAUTHORIZED,
        "insufficient-user-authentication",
        "A stronger or more recent sign-in is needed",
    )
    .header(
        header::WWW_AUTHENTICATE,
        gateway.challenges.with("insufficient_user_authentication", &parameters),
    );
    if let Some(acr) = acr {
        problem = problem.with("acr_values", acr);
    }
    if let Some(max_age) = max_age {
        problem = problem.with("max_age", max_age);
    }
    Err(if browser {
        Denied::SignIn { acr, max_age, otherwise: Box::new(problem) }
    } else {
        problem.into()
    })
}
