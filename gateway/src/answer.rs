//! Answers that the gateway gives itself.

use bytes::Bytes;
use haetae_base::problem::{self, Problem};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use pingora::{http::ResponseHeader, proxy::Session};

use crate::{
    cors,
    ctx::Ctx,
    front::linger::{LINGER, LINGER_BYTES},
    limit::fields,
    pages::{self, Language},
};

/// The field that carries the request's id.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers with a problem.
///
/// # Errors
/// When the client has gone.
pub(crate) async fn problem(
    session: &mut Session,
    ctx: &mut Ctx,
    problem: Problem,
) -> pingora::Result<()> {
    let problem = problem.request_id(ctx.request_id.as_str());
    send(session, ctx, problem.into_http()).await
}

/// Answers with `response`.
///
/// # Errors
/// When the client has gone.
pub(crate) async fn send(
    session: &mut Session,
    ctx: &mut Ctx,
    response: Response<Bytes>,
) -> pingora::Result<()> {
    let (parts, body) = for_its_reader(session, ctx, response).into_parts();
    let mut head = ResponseHeader::build(parts.status, Some(parts.headers.len() + 8))?;
    for (name, value) in &parts.headers {
        head.append_header(name, value)?;
    }
    if parts.status != StatusCode::NO_CONTENT {
        // There is none to count in a 204 (RFC 9110 8.6).
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    }
    finish_head(&mut head, ctx)?;
    if !session.is_body_done() {
        // Reading the rest only to throw it away is work that anybody could make us do.
        session.set_keepalive(None);
    }
    let bodyless = body.is_empty() || session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(head), bodyless).await?;
    if !bodyless {
        session.write_response_body(Some(body), true).await?;
    }
    if session.is_http2() && !session.is_body_done() {
        hear_out(session).await;
    }
    Ok(())
}

/// Reads the rest of a request that was answered before its end, over HTTP/2. Closing the stream at once is
/// allowed (RFC 9113 8.1), and many clients then lose the answer that they have got already. Over HTTP/1 the
/// front door does the same (`front/linger.rs`).
async fn hear_out(session: &mut Session) {
    let rest = async {
        let mut heard = 0;
        while heard < LINGER_BYTES {
            match session.downstream_session.read_request_body().await {
                Ok(Some(part)) => heard += part.len(),
                // It is over, or the client has gone.
                Ok(None) | Err(_) => return,
            }
        }
    };
    // Then it is cut off.
    let _in_time = tokio::time::timeout(LINGER, rest).await;
}

/// A problem is for programs: a person whose browser navigates gets a page that says the same.
fn for_its_reader(session: &Session, ctx: &Ctx, problem: Response<Bytes>) -> Response<Bytes> {
    let is = |headers: &http::HeaderMap, name: HeaderName, wanted: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains(wanted))
    };
    let asked = &session.req_header().headers;
    let api = session.req_header().uri.path().starts_with("/api/");
    let to_a_person = is(problem.headers(), header::CONTENT_TYPE, problem::MEDIA_TYPE)
        && asked.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
        && is(asked, header::ACCEPT, "text/html");
    if api || !to_a_person {
        return problem;
    }
    let page = pages::error(Language::of(asked), problem.status(), ctx.request_id.as_str());
    let (mut parts, body) = page.into_parts();
    // What goes with the problem goes with the page: Retry-After, WWW-Authenticate, Allow.
    for (name, value) in problem.headers() {
        if !parts.headers.contains_key(name) {
            parts.headers.append(name, value.clone());
        }
    }
    Response::from_parts(parts, body)
}

/// Adds the fields that every answer carries, wherever it comes from.
///
/// # Errors
/// Never in practice: the values are made here.
pub(crate) fn finish_head(head: &mut ResponseHeader, ctx: &mut Ctx) -> pingora::Result<()> {
    head.insert_header(X_REQUEST_ID, ctx.request_id.to_header())?;
    if let Some(cache_control) = ctx.cache_control.take() {
        head.insert_header(header::CACHE_CONTROL, cache_control)?;
    }
    // What a service says itself stays (RFC 6797 7.1).
    if ctx.scheme == "https" && !head.headers.contains_key(header::STRICT_TRANSPORT_SECURITY) {
        let year = HeaderValue::from_static("max-age=31536000");
        head.insert_header(header::STRICT_TRANSPORT_SECURITY, year)?;
    }
    if let Some(route) = &ctx.route
        && let Some(state) = ctx.limits.state(route.limits.iter().map(AsRef::as_ref))
    {
        head.insert_header(fields::STATE, state)?;
        if let Some(policy) = &route.limit_policy {
            head.insert_header(fields::POLICY, policy.clone())?;
        }
    }
    if let Some(route) = &ctx.route {
        cors::finish(head, route, ctx.cors_origin.take())?;
    }
    for cookie in ctx.set_cookies.drain(..) {
        head.append_header(header::SET_COOKIE, cookie)?;
    }
    Ok(())
}
