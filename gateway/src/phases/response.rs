//! Sixth: the answer on its way back.

use std::time::Duration;

use haetae_base::clock::Timestamp;
use haetae_keys::verify::Revocations;
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::{Error, ErrorType, Result, http::ResponseHeader, proxy::Session};

use super::HANDLED;
use crate::{answer, authenticate::invalid_token, ctx::Ctx, metrics::Blame, proxy::Gateway};

/// How often the token of an answer that takes long is looked at again.
const TOKEN_CHECK: Duration = Duration::from_secs(1);
const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");
/// What a service says about its connection to us and not to the client (RFC 9110 7.6.1), and the announcement of
/// trailers, which do not go through. `Connection` itself is written anew.
const HOP_BY_HOP: [HeaderName; 4] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRAILER,
    header::UPGRADE,
];
/// What the body of an answer is cut by; no `Connection` takes it away.
const FRAMING: [HeaderName; 2] = [header::TRANSFER_ENCODING, header::CONTENT_LENGTH];

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
    ctx.is_event_stream = is_event_stream(response);
    remove_hop_by_hop(response);
    if session.req_header().version == Version::HTTP_10
        && response.remove_header(&header::TRANSFER_ENCODING).is_some()
    {
        // HTTP/1.0 has no chunks: such a body ends with its connection (RFC 9112 6.1, 6.3).
        session.set_keepalive(None);
    }
    if session.is_http2() && !ctx.body_complete {
        watch_body(gateway, session, ctx);
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

/// The answer has begun before the request has ended. Over HTTP/1, reading the rest has its deadline.
fn watch_body(gateway: &Gateway, session: &Session, ctx: &mut Ctx) {
    let digest = session.digest().and_then(|digest| digest.socket_digest.as_ref());
    if let (Some(route), Some(digest)) = (&ctx.route, digest) {
        let patience = route.timeout.min(gateway.request_timeout);
        ctx.arriving = Some(gateway.connections.watch(digest, patience));
    }
}

fn remove_hop_by_hop(response: &mut ResponseHeader) {
    let mut names = Vec::new();
    for options in response.headers.get_all(header::CONNECTION) {
        let options = options.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        names.extend(options.filter_map(|name| HeaderName::from_bytes(name).ok()));
    }
    // The framing is ours to remove.
    for name in names.iter().filter(|&name| !FRAMING.contains(name)).chain(&HOP_BY_HOP) {
        response.remove_header(name);
    }
}

fn is_event_stream(response: &ResponseHeader) -> bool {
    let kind = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The body: the whole request has its time, also when the service keeps sending a little, and a long answer
/// ends with the token that it was asked for with.
///
/// # Errors
/// When the time is up, or the token is not good any more.
pub(crate) fn body(gateway: &Gateway, ctx: &mut Ctx) -> Result<Option<Duration>> {
    let Some(route) = &ctx.route else { return Ok(None) };
    let now = gateway.clock.now();
    if now.since(ctx.arrived) > route.timeout {
        ctx.blame = Blame::Upstream;
        return Err(Error::explain(ErrorType::ReadTimedout, "the route's time is up").into_up());
    }
    if now.since(ctx.token_good_at) >= TOKEN_CHECK {
        if let Some(end) = end_of_token(gateway, ctx, now) {
            ctx.failure = Some(invalid_token(gateway, end));
            return Err(Error::explain(HANDLED, end).into_down());
        }
        ctx.token_good_at = now;
    }
    Ok(None)
}

/// Why the token of the request is not good any more. A download may take longer than its token lives; a
/// stream of events has no end of its own.
fn end_of_token(gateway: &Gateway, ctx: &Ctx, now: Timestamp) -> Option<&'static str> {
    let token = ctx.authorized.as_ref()?.request().identity().verified()?;
    if gateway.denylist.is_revoked(token.claims(), token.kid()) {
        return Some("the token was revoked");
    }
    (ctx.is_event_stream && now >= token.claims().exp).then_some("the token has expired")
}
