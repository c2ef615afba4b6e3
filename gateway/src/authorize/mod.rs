//! Whether who it is may do what they ask: scopes, strength and freshness of the sign-in.

mod scope;
mod step_up;

use haetae_base::clock::Timestamp;
use haetae_config::gateway::Authenticate;

use crate::{
    authenticate::{Authenticated, Denied},
    proxy::Gateway,
};

/// A request that may go upstream. Only [`authorize`] makes one, and only with one is an upstream chosen.
#[derive(Debug)]
pub(crate) struct Authorized(Authenticated);

impl Authorized {
    /// The request as authenticated.
    pub(crate) const fn request(&self) -> &Authenticated {
        &self.0
    }
}

/// Decides what the route asks of an authenticated request.
///
/// # Errors
/// The answer to a request that may not.
pub(crate) fn authorize(
    gateway: &Gateway,
    request: Authenticated,
    now: Timestamp,
) -> Result<Authorized, Denied> {
    let route = request.routed().route();
    if route.authenticate != Authenticate::None
        && let Some(claims) = request.identity().claims()
    {
        scope::check(gateway, route, claims)?;
        step_up::check(gateway, route, claims, request.identity().is_browser(), now)?;
    }
    Ok(Authorized(request))
}
