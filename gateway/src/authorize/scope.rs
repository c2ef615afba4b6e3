//! Scopes: the token must have all those of the route (RFC 6750 3.1).

use haetae_base::problem::Problem;
use haetae_keys::claims::AccessClaims;
use http::{StatusCode, header};

use crate::{authenticate::Denied, metrics, proxy::Gateway, route::Route};

/// # Errors
/// 403 `insufficient_scope`, which names all that the route needs.
pub(super) fn check(gateway: &Gateway, route: &Route, claims: &AccessClaims) -> Result<(), Denied> {
    if route.scopes.iter().all(|scope| claims.scope.contains(scope)) {
        return Ok(());
    }
    metrics::authenticated("any", "insufficient_scope");
    let needed = route.scopes.join(" ");
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "insufficient-scope",
        "The access token does not permit this",
    )
    .detail(format!("This needs the scope {needed}."))
    .with("scope", needed.clone())
    .header(
        header::WWW_AUTHENTICATE,
        gateway.challenges.with("insufficient_scope", &[("scope", &needed)]),
    )
    .into())
}
