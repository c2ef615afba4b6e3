//! Fifth: the body as it passes. Too much of it, or too slowly, and it ends.

use bytes::Bytes;
use pingora::{Error, Result};

use super::HANDLED;
use crate::{clean::Refusal, ctx::Ctx, metrics::Blame, proxy::Gateway};

/// # Errors
/// When the body is too large or too slow; the answer is in the context.
pub(crate) fn run(
    gateway: &Gateway,
    body: &mut Option<Bytes>,
    end_of_stream: bool,
    ctx: &mut Ctx,
) -> Result<()> {
    let Some(authorized) = &ctx.authorized else { return Err(Error::new_in(HANDLED)) };
    let route = authorized.request().routed().route();
    ctx.body_complete |= end_of_stream;
    if ctx.body_complete {
        ctx.arriving = None;
    }
    let Some(bytes) = body else { return Ok(()) };
    // Pingora would write a second last chunk for an end that comes empty, and the next request on that
    // connection would begin with it (pingora#935).
    if end_of_stream && bytes.is_empty() {
        *body = None;
        return Ok(());
    }
    ctx.body_bytes = ctx.body_bytes.saturating_add(bytes.len() as u64);
    if let Some(arriving) = &ctx.arriving {
        arriving.progress(ctx.body_bytes);
    }
    let refusal = if ctx.body_bytes > route.max_body_bytes {
        Refusal::BodyTooLarge
    } else if !end_of_stream && gateway.clock.now().since(ctx.arrived) > route.timeout {
        Refusal::BodyTooSlow
    } else {
        return Ok(());
    };
    ctx.blame = Blame::Client;
    ctx.failure = Some(refusal.problem());
    Err(Error::new_down(HANDLED))
}
