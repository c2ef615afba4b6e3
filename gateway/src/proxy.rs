//! The gateway as Pingora drives it: each hook of its request life is one file in `phases`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use haetae_base::clock::Clock;
use haetae_config::Cidr;
use haetae_keys::verify::Verifier;
use haetae_session::denylist::DenylistReplica;
use http::HeaderValue;
use pingora::{
    Error, Result,
    http::{RequestHeader, ResponseHeader},
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};

use crate::{
    browser::Browser,
    challenge::Challenges,
    clean::HeadLimits,
    ctx::Ctx,
    front::{Connections, Drain},
    metrics::RouteMetrics,
    phases,
    route::Table,
};

/// Everything that serving a request needs, shared by all of them.
pub(crate) struct Gateway {
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// The routes.
    pub(crate) table: Table,
    /// Checks access tokens.
    pub(crate) verifier: Arc<Verifier>,
    /// Which of them were revoked.
    pub(crate) denylist: Arc<DenylistReplica>,
    /// Browser sessions.
    pub(crate) browser: Browser,
    /// What `WWW-Authenticate` says.
    pub(crate) challenges: Challenges,
    /// Whose word about where a request comes from counts.
    pub(crate) trusted_proxies: Vec<Cidr>,
    /// `public_url` as an origin.
    pub(crate) public_origin: HeaderValue,
    /// Its scheme.
    pub(crate) scheme: &'static str,
    /// The host of the authserver when it is another than ours: `/session` is not served there.
    pub(crate) issuer_host: Option<String>,
    /// How long a request may take, unless its route says otherwise, and a client over any piece of it.
    pub(crate) request_timeout: Duration,
    /// How large a head may be.
    pub(crate) limits: HeadLimits,
    /// Whether each request is logged.
    pub(crate) access_log: bool,
    /// What is counted for the gateway's own endpoints.
    pub(crate) own_metrics: RouteMetrics,
    /// What is counted for requests without a route.
    pub(crate) stray_metrics: Arc<RouteMetrics>,
    /// The request to stop.
    pub(crate) drain: Arc<Drain>,
    /// The connections that speak HTTP/2.
    pub(crate) connections: Arc<Connections>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Gateway")
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Ctx;

    fn new_ctx(&self) -> Ctx {
        Ctx::new(self.clock.now(), self.scheme)
    }

    fn init_downstream_modules(&self, _: &mut pingora::modules::http::HttpModules) {
        // None: answers go through as the services made them.
    }

    fn on_connection_reuse(
        &self,
        _: &mut Session,
        ctx: &mut Ctx,
        context: Box<dyn std::any::Any + Send + Sync>,
    ) {
        // The front door hands the verdict on the head over this way.
        ctx.clean = context.downcast().ok().map(|clean| *clean);
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
        phases::early_request::run(self, session, ctx)
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
        phases::request::run(self, session, ctx).await
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
        phases::upstream_peer::run(self, ctx)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        phases::upstream_request::run(self, session, request, ctx)
    }

    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        ctx: &mut Ctx,
    ) -> Result<()> {
        phases::request_body::run(self, body, end_of_stream, ctx)
    }

    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        phases::response::from_upstream(response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Ctx,
    ) -> Result<()> {
        phases::response::to_client(self, session, response, ctx)
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        _: &mut Option<Bytes>,
        _: bool,
        ctx: &mut Ctx,
    ) -> Result<Option<Duration>> {
        phases::response::body(self, ctx)
    }

    fn fail_to_connect(
        &self,
        _: &mut Session,
        _: &HttpPeer,
        ctx: &mut Ctx,
        error: Box<Error>,
    ) -> Box<Error> {
        phases::failure::connecting(self, ctx, error)
    }

    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Ctx,
        reused: bool,
    ) -> Box<Error> {
        phases::failure::proxying(self, session, ctx, error, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Ctx,
    ) -> FailToProxy {
        phases::failure::answer(session, error, ctx).await
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Ctx) {
        phases::logging::run(self, session, error, ctx);
    }

    // The access log says it, once a request and not once an attempt.
    fn suppress_error_log(&self, _: &Session, _: &Ctx, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Ctx,
        _: &Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
