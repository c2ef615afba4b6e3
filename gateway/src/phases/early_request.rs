//! First: the request is clean, or it ends here. Over HTTP/1 the front door has looked at its bytes; over
//! HTTP/2 the same rules are applied now. Then: where it comes from, and how long it may take.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderValue, Version, header};
use pingora::{Error, Result, protocols::http::ServerSession, proxy::Session};

use super::HANDLED;
use crate::{
    answer::X_REQUEST_ID,
    clean::{Clean, Framing, Refusal},
    ctx::Ctx,
    forwarded::Origin,
    metrics::{self, Blame},
    proxy::Gateway,
    request_id::RequestId,
};

/// # Errors
/// When a rule is broken; the answer is in the context.
pub(crate) fn run(gateway: &Gateway, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
    let peer = session
        .client_addr()
        .and_then(|address| address.as_inet())
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), std::net::SocketAddr::ip);
    if session.is_http2() {
        let digest = session.digest().and_then(|digest| digest.socket_digest.as_ref());
        ctx.stream = digest.and_then(|digest| gateway.connections.begin(digest));
    }
    if ctx.clean.is_none() {
        let request = session.req_header();
        let checked = Clean::from_http2(
            &request.method,
            &request.uri,
            request.raw_path(),
            &request.headers,
            &gateway.limits,
        );
        ctx.clean = Some(checked.map_err(|refusal| refuse(ctx, refusal))?);
    }
    let request = session.req_header();
    if gateway.trusted_proxies.is_empty() {
        ctx.origin = Origin::direct(peer.to_canonical());
    } else {
        ctx.origin = Origin::of(peer, &request.headers, &gateway.trusted_proxies);
        if ctx.origin.is_trusted()
            && let Some(id) = request.headers.get(X_REQUEST_ID).and_then(RequestId::adopt)
        {
            ctx.request_id = id;
        }
    }
    if let Some(target) = ctx.clean.as_ref().and_then(Clean::rewritten) {
        let target = target.to_owned();
        session.req_header_mut().set_raw_path(target.as_bytes())?;
    }
    plain_length(session, ctx.clean.as_ref().map(Clean::framing))?;
    // Until its route says more. Whoever is answered here and does not read the answer holds nothing for ever.
    session.set_read_timeout(Some(gateway.request_timeout));
    session.set_write_timeout(Some(gateway.request_timeout));
    if session.req_header().version == Version::HTTP_10
        && let ServerSession::H1(client) = &mut *session.downstream_session
    {
        // An HTTP/1.0 client takes an interim answer for the answer (RFC 9110 15.2).
        client.set_ignore_info_resp(true);
    }
    Ok(())
}

/// Leading zeros say nothing, but a service might take them for the mark of another base.
fn plain_length(session: &mut Session, framing: Option<Framing>) -> Result<()> {
    let request = session.req_header_mut();
    let zeros =
        |length: &HeaderValue| length.as_bytes().starts_with(b"0") && length.as_bytes().len() > 1;
    if !request.headers.get(header::CONTENT_LENGTH).is_some_and(zeros) {
        return Ok(());
    }
    let length = match framing {
        Some(Framing::Length(length)) => length,
        _ => 0,
    };
    request.insert_header(header::CONTENT_LENGTH, HeaderValue::from(length))
}

#[expect(clippy::unnecessary_box_returns, reason = "the form that Pingora asks for")]
fn refuse(ctx: &mut Ctx, refusal: Refusal) -> Box<Error> {
    metrics::front_door_refusal(refusal);
    ctx.blame = Blame::Client;
    ctx.failure = Some(refusal.problem());
    Error::new_down(HANDLED)
}
