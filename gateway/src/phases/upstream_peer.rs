//! Third, at each attempt: an instance that lives.

use haetae_base::problem::Problem;
use pingora::{Error, Result, upstreams::peer::HttpPeer};

use super::HANDLED;
use crate::{
    ctx::Ctx,
    metrics::{self, Blame},
    proxy::Gateway,
};

/// # Errors
/// When no instance lives, at once and not after a timeout; the answer is in the context.
pub(crate) fn run(gateway: &Gateway, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
    let Some(authorized) = &ctx.authorized else {
        // Not without permission.
        return Err(Error::new_in(HANDLED));
    };
    let route = authorized.request().routed().route();
    let pool = &route.upstream;
    let now = gateway.clock.now();
    let Some(endpoint) = pool.pick(now, &ctx.tried) else {
        ctx.blame = Blame::Upstream;
        ctx.failure = Some(Problem::unavailable(pool.retry_after(now)));
        return Err(Error::new_up(HANDLED));
    };
    if !ctx.tried.is_empty() {
        metrics::retried(pool.name());
    }
    let mut peer = endpoint.peer(route.timeout);
    if ctx.fresh_connection {
        pool.bypass_idle_connections(&mut peer);
    }
    ctx.endpoint = Some(endpoint);
    Ok(peer)
}
