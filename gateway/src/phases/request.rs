//! Second: the route, the limits, who it is, whether they may. Each step takes what the step before made,
//! and what comes out at the end, an [`Authorized`](crate::authorize::Authorized), is what an upstream is
//! chosen with.

use std::sync::Arc;

use bytes::Bytes;
use haetae_base::problem::Problem;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use pingora::{Error, Result, http::RequestHeader, proxy::Session};

use super::HANDLED;
use crate::{
    answer,
    authenticate::{self, Denied},
    authorize,
    browser::{self, Endpoint, login_url},
    clean::{Framing, Refusal, host},
    cors,
    ctx::Ctx,
    limit::Limit,
    metrics::{self, Blame},
    proxy::Gateway,
    route::{Found, Route, Routed, table},
};

/// Answers (`true`), or leaves the permission to go upstream in the context.
///
/// # Errors
/// When the client has gone.
pub(crate) async fn run(gateway: &Gateway, session: &mut Session, ctx: &mut Ctx) -> Result<bool> {
    let Some(clean) = ctx.clean.take() else {
        // Not without the front door.
        return Err(Error::new_in(HANDLED));
    };
    if gateway.drain.has_begun() {
        session.set_keepalive(None);
    }
    if clean.facts().asterisk {
        return respond(session, ctx, server_options()).await;
    }
    if let Some(endpoint) = own_endpoint(gateway, session.req_header()) {
        let response = match own_limit(gateway, endpoint, ctx) {
            Some(refused) => refused.request_id(ctx.request_id.as_str()).into_http(),
            None => browser::answer(gateway, endpoint, session, ctx).await,
        };
        return respond(session, ctx, response).await;
    }

    let request = session.req_header();
    let route = match gateway.table.find(host_of(request), request.uri.path(), &request.method) {
        Found::Route(route) => Arc::clone(route),
        Found::OtherMethods(routes) => {
            let response = if cors::is_preflight(&request.method, &request.headers) {
                cors::preflight(routes, &request.headers)
            } else {
                method_not_allowed(ctx, routes)
            };
            return respond(session, ctx, response).await;
        }
        Found::Nothing => {
            let problem = Problem::not_found();
            return refuse(session, ctx, problem).await;
        }
    };
    ctx.cors_origin = cors::permitted(&route, &request.headers);
    ctx.route = Some(Arc::clone(&route));
    if route.is_api && cors::is_preflight(&request.method, &request.headers) {
        let response = cors::preflight(std::slice::from_ref(&route), &request.headers);
        return respond(session, ctx, response).await;
    }
    if let Some(refusal) = oversize(&route, clean.framing()) {
        return refuse(session, ctx, refusal.problem()).await;
    }
    // A stream may take an hour, but nobody may take that long over one piece of it.
    let patience = route.timeout.min(gateway.request_timeout);
    session.set_read_timeout(Some(patience));
    session.set_write_timeout(Some(patience));

    // Who is nobody yet is counted by address, before anything is spent on them.
    if let Some(problem) = count(&route, ctx, None, Limit::is_by_address) {
        return refuse(session, ctx, problem).await;
    }
    let routed = Routed::new(clean, Arc::clone(&route));
    let request = session.req_header();
    let admitted = match authenticate::authenticate(gateway, routed, request, ctx).await {
        Ok(request) => {
            let known = request.identity().claims();
            let known = known.map(|claims| (claims.sub.as_str(), claims.client_id.as_str()));
            if let Some(problem) = count(&route, ctx, known, |limit| !limit.is_by_address()) {
                return refuse(session, ctx, problem).await;
            }
            authorize::authorize(gateway, request, ctx.arrived)
        }
        Err(denied) => {
            // Whoever guesses is counted too; who cannot be told from a guesser by our own fault is not.
            if denied.is_callers_fault()
                && let Some(problem) = count(&route, ctx, None, |limit| !limit.is_by_address())
            {
                return refuse(session, ctx, problem).await;
            }
            Err(denied)
        }
    };
    match admitted {
        Ok(authorized) => {
            ctx.authorized = Some(authorized);
            Ok(false)
        }
        Err(denied) => {
            let response = deny(gateway, &route, request, ctx, denied);
            respond(session, ctx, response).await
        }
    }
}

async fn refuse(session: &mut Session, ctx: &mut Ctx, problem: Problem) -> Result<bool> {
    blame(ctx, problem.status());
    answer::problem(session, ctx, problem).await?;
    Ok(true)
}

async fn respond(session: &mut Session, ctx: &mut Ctx, response: Response<Bytes>) -> Result<bool> {
    blame(ctx, response.status());
    answer::send(session, ctx, response).await?;
    Ok(true)
}

fn blame(ctx: &mut Ctx, status: StatusCode) {
    if status.is_client_error() {
        ctx.blame = Blame::Client;
    } else if status.is_server_error() {
        ctx.blame = Blame::Gateway;
    }
}

/// The endpoint of browser sessions that is asked for. On the authserver's own host there is none.
fn own_endpoint(gateway: &Gateway, request: &RequestHeader) -> Option<Endpoint> {
    let endpoint = Endpoint::at(request.uri.path())?;
    let host = host_of(request);
    let theirs = gateway.issuer_host.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(host));
    (!theirs || endpoint == Endpoint::Look).then_some(endpoint)
}

/// The host that a request names, without its port. The front door has seen that it is one.
fn host_of(request: &RequestHeader) -> &str {
    let field = request.headers.get(header::HOST).map(HeaderValue::as_bytes);
    let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
    field.or(authority).and_then(host::split).unwrap_or_default()
}

/// A body that says itself that it is too large. One that does not is counted as it comes.
fn oversize(route: &Route, framing: Framing) -> Option<Refusal> {
    match framing {
        Framing::Length(length) if length > route.max_body_bytes => Some(Refusal::BodyTooLarge),
        Framing::Length(_) | Framing::Empty | Framing::Chunked => None,
    }
}

/// Counts the request with those limits of its route that `which` names.
fn count(
    route: &Route,
    ctx: &mut Ctx,
    known: Option<(&str, &str)>,
    which: impl Fn(&Limit) -> bool,
) -> Option<Problem> {
    for (at, limit) in route.limits.iter().enumerate() {
        if !which(limit) {
            continue;
        }
        let (subject, client) = known.unzip();
        let verdict = limit.count(ctx.origin.client(), subject, client, ctx.arrived);
        ctx.limits.note(at, verdict);
        if !verdict.admitted {
            return Some(too_many(limit, verdict.seconds));
        }
    }
    None
}

fn too_many(limit: &Limit, seconds: u64) -> Problem {
    metrics::limited(limit.name());
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests")
        .detail(format!("The limit {} admits the next one in {seconds} s.", limit.name()))
        .with("violated_policies", vec![limit.name()])
        .retry_after(seconds)
}

/// The endpoints of browser sessions share the limit of the login pages, if there is one.
fn own_limit(gateway: &Gateway, endpoint: Endpoint, ctx: &Ctx) -> Option<Problem> {
    if endpoint == Endpoint::Look {
        return None;
    }
    let limit = gateway.table.limits().iter().find(|limit| limit.name() == "sign-in")?;
    let verdict = limit.count(ctx.origin.client(), None, None, ctx.arrived);
    (!verdict.admitted).then(|| too_many(limit, verdict.seconds))
}

fn deny(
    gateway: &Gateway,
    route: &Route,
    request: &RequestHeader,
    ctx: &Ctx,
    denied: Denied,
) -> Response<Bytes> {
    let problem = match denied {
        Denied::Problem(problem) => *problem,
        Denied::SignIn { acr, max_age, otherwise } => {
            let navigation = !route.is_api && is_page_navigation(&request.headers);
            let back = if request.method.is_safe() {
                request.uri.path_and_query().map_or("/", |target| target.as_str())
            } else {
                // What was posted is lost; the page that it was posted from is not.
                own_referer(gateway, &request.headers).unwrap_or("/")
            };
            let url = login_url(if route.is_api { "/" } else { back }, acr, max_age);
            if navigation && let Ok(location) = HeaderValue::from_str(&url) {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = if request.method.is_safe() {
                    StatusCode::FOUND
                } else {
                    StatusCode::SEE_OTHER
                };
                response.headers_mut().insert(header::LOCATION, location);
                response
                    .headers_mut()
                    .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                return response;
            }
            otherwise.with("login_url", url)
        }
    };
    problem.request_id(ctx.request_id.as_str()).into_http()
}

/// Whether a person's browser is going to this page, and not a script fetching it.
fn is_page_navigation(headers: &HeaderMap) -> bool {
    match headers.get("sec-fetch-mode") {
        Some(mode) => mode == "navigate",
        None => headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html")),
    }
}

fn own_referer<'a>(gateway: &Gateway, headers: &'a HeaderMap) -> Option<&'a str> {
    let referer = headers.get(header::REFERER)?.to_str().ok()?;
    let path = referer.strip_prefix(gateway.public_origin.to_str().ok()?)?;
    path.starts_with('/').then_some(path)
}

fn method_not_allowed(ctx: &Ctx, routes: &[Arc<Route>]) -> Response<Bytes> {
    let allowed = table::allow(routes);
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "The method is not allowed here",
    )
    .detail(format!("Allowed are {}.", allowed.to_str().unwrap_or_default()))
    .header(header::ALLOW, allowed)
    .request_id(ctx.request_id.as_str())
    .into_http()
}

/// `OPTIONS *` asks the server as a whole (RFC 9110 9.3.7).
fn server_options() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let allow = methods.map(|method| method.to_string()).join(", ");
    if let Ok(allow) = HeaderValue::try_from(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
