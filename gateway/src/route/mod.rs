//! Which route a request takes, and what that route asks of it.

pub(crate) mod policy;
pub(crate) mod table;

use std::sync::Arc;

pub(crate) use self::{
    policy::Route,
    table::{Found, InvalidRoutes, Table},
};
use crate::clean::Clean;

/// A clean request with its route. The step between [`Clean`] and
/// [`Authenticated`](crate::authenticate::Authenticated).
#[derive(Debug)]
pub(crate) struct Routed {
    clean: Clean,
    route: Arc<Route>,
}

impl Routed {
    /// The request with the route that was found for it.
    pub(crate) const fn new(clean: Clean, route: Arc<Route>) -> Self {
        Self { clean, route }
    }

    /// What the front door saw.
    pub(crate) const fn clean(&self) -> &Clean {
        &self.clean
    }

    /// The route.
    pub(crate) const fn route(&self) -> &Arc<Route> {
        &self.route
    }
}
