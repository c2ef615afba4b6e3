//! Sixth: the answer on its way back.

use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::{Error, ErrorType, Result, http::ResponseHeader, proxy::Session};

use crate::{answer, ctx::Ctx, metrics::Blame, proxy::Gateway};

const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

/// What the answer says about the instance.
///
/// # Errors
/// When it switches protocols: nobody asked it to, and what follows would be no HTTP.
pub(crate) fn from_upstream(response: &ResponseHeader, ctx: &mut Ctx) -> Result<()> {
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::explain(
            ErrorType::InvalidHTTPHeader,
            "an upgrade that nobody asked for",
        )
        .into_up());
    }
    if let (Some(endpoint), Some(authorized)) = (&ctx.endpoint, &ctx.authorized) {
        endpoint.succeeded(&authorized.request().routed().route().upstream);
    }
    if response.status.is_server_error() {
        ctx.blame = Blame::Upstream;
    } else if response.status.is_client_error() {
        ctx.blame = Blame::Client;
    }
    Ok(())
}

/// What the client sees of it.
///
/// # Errors
/// Never in practice.
pub(crate) fn to_client(
    gateway: &Gateway,
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut Ctx,
) -> Result<()> {
    if response.status.is_informational() {
        return Ok(());
    }
    if gateway.drain.has_begun() {
        // Said, so that the client does not send its next request into a connection that closes.
        session.set_keepalive(None);
    }
    response.remove_header(&header::SERVER);
    response.remove_header(&X_POWERED_BY);
    let via = match response.headers.get(header::VIA).and_then(|value| value.to_str().ok()) {
        Some(before) => HeaderValue::try_from(format!("{before}, 1.1 haetae"))
            .unwrap_or(HeaderValue::from_static("1.1 haetae")),
        None => HeaderValue::from_static("1.1 haetae"),
    };
    response.insert_header(header::VIA, via)?;
    answer::finish_head(response, ctx)
}

/// The body: the whole request has its time, also when the service keeps sending a little.
///
/// # Errors
/// When the time is up.
pub(crate) fn body(gateway: &Gateway, ctx: &mut Ctx) -> Result<Option<std::time::Duration>> {
    let Some(route) = &ctx.route else { return Ok(None) };
    if gateway.clock.now().since(ctx.arrived) > route.timeout {
        ctx.blame = Blame::Upstream;
        return Err(Error::explain(ErrorType::ReadTimedout, "the route's time is up").into_up());
    }
    Ok(None)
}
