//! Last, always: what became of it.

use http::StatusCode;
use pingora::{Error, proxy::Session};

use crate::{
    access_log::{self, Line},
    authorize::Authorized,
    browser::Endpoint,
    ctx::Ctx,
    metrics::Blame,
    proxy::Gateway,
};

/// The status that counts a client which went away, as nginx does; nobody ever sees it.
const CLIENT_CLOSED: u16 = 499;

/// Counts and logs a request.
pub(crate) fn run(gateway: &Gateway, session: &Session, error: Option<&Error>, ctx: &Ctx) {
    let took = ctx.watch.elapsed();
    let request = session.req_header();
    let status = session.response_written().map(|response| response.status);
    let counted = status.or(StatusCode::from_u16(CLIENT_CLOSED).ok()).unwrap_or_default();
    let own = Endpoint::at(request.uri.path()).is_some();
    let blame = if status.is_none() && error.is_some() && ctx.blame == Blame::Nobody {
        Blame::Client
    } else {
        ctx.blame
    };
    let metrics = match &ctx.route {
        Some(route) => &route.metrics,
        None if own => &gateway.own_metrics,
        None => &gateway.stray_metrics,
    };
    metrics.answered(counted, blame, took);
    if !gateway.access_log {
        return;
    }
    let claims =
        ctx.authorized.as_ref().map(Authorized::request).and_then(|it| it.identity().claims());
    access_log::answered(&Line {
        request_id: &ctx.request_id,
        client: Some(ctx.origin.client()),
        method: &request.method,
        host: request
            .headers
            .get(http::header::HOST)
            .and_then(|host| host.to_str().ok())
            .or_else(|| request.uri.authority().map(http::uri::Authority::as_str))
            .unwrap_or_default(),
        path: request.uri.path(),
        route: match &ctx.route {
            Some(route) => &route.name,
            None if own => "session",
            None => "-",
        },
        status,
        blame,
        took,
        bytes_in: session.body_bytes_read(),
        bytes_out: session.body_bytes_sent(),
        upstream: ctx.endpoint.as_ref().map(|endpoint| endpoint.address()),
        subject: claims.map(|claims| claims.sub.as_str()),
        client_id: claims.map(|claims| claims.client_id.as_str()),
        error: error.map(ToString::to_string),
    });
}
