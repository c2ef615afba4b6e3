//! One line a request, target `access`: as text or JSON as the log is set. Never a token, a cookie or a
//! query, which may carry both.

use std::{net::IpAddr, time::Duration};

use http::{Method, StatusCode};

use crate::{clean::Refusal, metrics::Blame, request_id::RequestId};

/// What a line says.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) request_id: &'a RequestId,
    pub(crate) client: Option<IpAddr>,
    pub(crate) method: &'a Method,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) route: &'a str,
    pub(crate) status: Option<StatusCode>,
    pub(crate) blame: Blame,
    pub(crate) took: Duration,
    pub(crate) bytes_in: usize,
    pub(crate) bytes_out: usize,
    pub(crate) upstream: Option<std::net::SocketAddr>,
    pub(crate) subject: Option<&'a str>,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) error: Option<String>,
}

/// Writes the line of an answered request.
pub(crate) fn answered(line: &Line<'_>) {
    tracing::info!(
        target: "access",
        request_id = line.request_id.as_str(),
        client = line.client.map(tracing::field::display),
        method = line.method.as_str(),
        host = line.host,
        path = line.path,
        route = line.route,
        status = line.status.map(|status| status.as_u16()),
        blame = line.blame.as_str(),
        took_us = u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX),
        bytes_in = line.bytes_in,
        bytes_out = line.bytes_out,
        upstream = line.upstream.map(tracing::field::display),
        sub = line.subject,
        client_id = line.client_id,
        error = line.error,
    );
}

/// Writes the line of a request that was refused before it was one.
pub(crate) fn refused(request_id: &RequestId, client: IpAddr, refusal: Refusal) {
    tracing::info!(
        target: "access",
        request_id = request_id.as_str(),
        client = %client,
        route = "-",
        status = refusal.status().as_u16(),
        blame = Blame::Client.as_str(),
        rule = refusal.name(),
    );
}
