//! What every request passes before a handler sees it and every answer on its way out: the request's id
//! and the client's address, limits of size and time, panics, the headers that keep browsers careful.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use haetae_base::{clock::Clock, problem::Problem};
use haetae_config::Cidr;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use crate::context::{RequestContext, new_request_id};

/// No form and no token request is longer.
const MAX_BODY: usize = 64 * 1024;
/// No handler waits longer; hashing a password in a queue is the slowest of them.
const TIMEOUT: Duration = Duration::from_secs(20);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Pages may load style, script and images from here, and nothing may frame them. There is no
/// `form-action`: browsers hold it against the redirect that follows a form, too, which here leads to the
/// client that the person signs in to.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

/// What the layers need to know.
#[derive(Clone)]
pub(crate) struct Stack {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) trusted_proxies: Arc<[Cidr]>,
    pub(crate) https: bool,
}

impl Stack {
    /// Puts the layers around `router`.
    pub(crate) fn around(self, router: Router) -> Router {
        router.layer(
            ServiceBuilder::new()
                .layer(middleware::from_fn_with_state(self, surround))
                .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| {
                    tracing::error!("a handler panicked");
                    metrics::counter!("haetae_auth_panics_total").increment(1);
                    bare(StatusCode::INTERNAL_SERVER_ERROR)
                }))
                .layer(middleware::from_fn(time_out))
                .layer(middleware::from_fn(hear_out)),
        )
    }

    fn context(&self, peer: Option<SocketAddr>, headers: &HeaderMap) -> RequestContext {
        let trusted = |address| self.trusted_proxies.iter().any(|net| net.contains(address));
        let peer = peer.map(|peer| peer.ip().to_canonical());
        let behind_proxy = peer.is_some_and(trusted);
        let request_id = text(headers, &REQUEST_ID)
            .filter(|id| behind_proxy && is_request_id(id))
            .map_or_else(|| new_request_id(self.clock.now()), str::to_owned);
        let address = if behind_proxy { nearest_stranger(headers, trusted) } else { None }.or(peer);
        RequestContext::new(request_id, address, text(headers, &header::USER_AGENT))
    }
}

/// The client that `X-Forwarded-For` names. From the right: each trusted proxy added the address that it saw. The
/// first one that is no proxy of ours is the client, what stands further left is whatever the client made up.
/// When all are in the networks of our proxies, people are in them too, and the furthest is the client.
fn nearest_stranger(headers: &HeaderMap, trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let hops = headers
        .get_all(&FORWARDED_FOR)
        .iter()
        .rev()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.rsplit(','))
        .map_while(|hop| hop.trim().parse().ok())
        .map(|hop: IpAddr| hop.to_canonical());
    let mut client = None;
    for hop in hops {
        client = Some(hop);
        if !trusted(hop) {
            break;
        }
    }
    client
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn is_request_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

async fn surround(State(stack): State<Stack>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let context = stack.context(peer, request.headers());
    let span = tracing::info_span!("request", id = context.request_id(),
        method = %request.method(), path = request.uri().path());
    request.extensions_mut().insert(context.clone());
    let began = stack.clock.now();
    let route = request
        .extensions()
        .get::<axum::extract::MatchedPath>()
        .map_or("unmatched", |path| path.as_str())
        .to_owned();
    let method = known(request.method());
    let asked = Asked::of(request.uri());
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = stack.clock.now().since(began);
    metrics::histogram!("haetae_auth_request_seconds", "method" => method,
        "route" => route, "status" => response.status().as_u16().to_string())
    .record(took.as_secs_f64());
    span.in_scope(|| {
        tracing::debug!(status = response.status().as_u16(), ?took, "answered");
    });
    if response.extensions().get::<Bare>().is_some()
        || response.status() == StatusCode::PAYLOAD_TOO_LARGE
    {
        response = asked.error(response.status(), &context);
    }
    finish(response.headers_mut(), &context, stack.https, asked);
    response
}

/// Marks an answer of a layer below, which knows neither who asks nor for what.
#[derive(Clone, Copy)]
struct Bare;

fn bare(status: StatusCode) -> Response {
    let mut response = status.into_response();
    response.extensions_mut().insert(Bare);
    response
}

/// What was asked for, as far as the answers of the layers depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    /// An endpoint of OAuth: its errors have the form of RFC 6749 5.2.
    oauth: bool,
    /// Part of a sign-in at an application's wish.
    for_application: bool,
}

impl Asked {
    fn of(uri: &Uri) -> Self {
        let path = uri.path();
        let query = uri.query().unwrap_or_default();
        let pending = query.split('&').any(|pair| pair.starts_with("request="));
        Self {
            oauth: path.starts_with("/oauth2/"),
            for_application: pending || path == "/oauth2/authorize",
        }
    }

    /// An error of the layers.
    fn error(self, status: StatusCode, context: &RequestContext) -> Response {
        if self.oauth {
            let (error, description) = match status {
                StatusCode::PAYLOAD_TOO_LARGE => ("invalid_request", "the body is too long"),
                StatusCode::SERVICE_UNAVAILABLE => {
                    ("temporarily_unavailable", "the answer took too long; try again")
                }
                _ => ("server_error", "the authorization server failed"),
            };
            let body = serde_json::json!({
                "error": error, "error_description": description,
                "request_id": context.request_id(),
            });
            let mut response = (status, Json(body)).into_response();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
            }
            return response;
        }
        let problem = match status {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Problem::new(status, "body-too-large", "The body is too long")
            }
            StatusCode::SERVICE_UNAVAILABLE => Problem::unavailable(5),
            _ => Problem::internal(),
        };
        problem.request_id(context.request_id()).into_response()
    }
}

/// The method as a label: whoever makes up methods makes no time series.
fn known(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::POST,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::TRACE,
        Method::CONNECT,
    ];
    const NAMES: [&str; 9] =
        ["GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"];
    let found = KNOWN.iter().zip(NAMES).find(|(known, _)| *known == method);
    found.map_or("other", |(_, name)| name)
}

/// The headers of every answer. What a handler set itself stays.
fn finish(headers: &mut HeaderMap, context: &RequestContext, https: bool, asked: Asked) {
    let mut set = |name: HeaderName, value: &'static str| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    set(header::X_FRAME_OPTIONS, "DENY");
    // An application may open the sign-in in a window of its own and wait for it there: any other policy would
    // cut the two apart on the way, redirects included.
    let opener = if asked.for_application { "unsafe-none" } else { "same-origin-allow-popups" };
    set(HeaderName::from_static("cross-origin-opener-policy"), opener);
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    );
    set(header::CACHE_CONTROL, "no-store");
    if https {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    if let Ok(id) = HeaderValue::from_str(context.request_id()) {
        headers.insert(REQUEST_ID, id);
    }
}

async fn time_out(request: Request, next: Next) -> Response {
    tokio::time::timeout(TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        tracing::warn!("a handler took too long");
        bare(StatusCode::SERVICE_UNAVAILABLE)
    })
}

/// Reads the whole body before anything answers. A server that answers before the body is there (405, 404, a wrong
/// media type) closes the connection after it, and without a word: the gateway's next request on it fails, and that
/// may be anybody's.
async fn hear_out(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let announced: Option<usize> =
        text(&parts.headers, &header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if announced.is_some_and(|length| length > MAX_BODY) {
        return bare(StatusCode::PAYLOAD_TOO_LARGE);
    }
    match to_bytes(body, MAX_BODY).await {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        // Too long; or it broke off, and nobody reads this.
        Err(_) => bare(StatusCode::PAYLOAD_TOO_LARGE),
    }
}

/// What is answered where there is nothing.
pub(crate) async fn not_found(context: RequestContext) -> Problem {
    Problem::not_found().request_id(context.request_id())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::routing::get;
    use futures::StreamExt;
    use haetae_base::clock::SystemClock;
    use tower::ServiceExt;

    use super::*;

    fn stack() -> Stack {
        Stack {
            clock: Arc::new(SystemClock),
            trusted_proxies: Arc::new(["127.0.0.0/8".parse().expect("a network")]),
            https: true,
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        let proxy: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let stranger: SocketAddr = "192.0.2.9:1".parse().expect("an address");
        let address = |peer, pairs: &[(&'static str, &str)]| {
            stack().context(Some(peer), &headers(pairs)).address().expect("one").to_string()
        };
        assert_eq!(address(proxy, &[("x-forwarded-for", "198.51.100.7")]), "198.51.100.7");
        assert_eq!(address(stranger, &[("x-forwarded-for", "198.51.100.7")]), "192.0.2.9");
        // The left part is made up by the client.
        assert_eq!(address(proxy, &[("x-forwarded-for", "1.1.1.1, 198.51.100.7")]), "198.51.100.7");
        assert_eq!(
            address(
                proxy,
                &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.7, 127.0.0.2")]
            ),
            "198.51.100.7"
        );
        assert_eq!(address(proxy, &[("x-forwarded-for", "1.1.1.1, junk")]), "127.0.0.1");
        // Somebody in the network of the gateways, as on a private network that people share with them.
        assert_eq!(address(proxy, &[("x-forwarded-for", "127.0.0.7")]), "127.0.0.7");
        assert_eq!(address(proxy, &[("x-forwarded-for", "127.0.0.7, 127.0.0.2")]), "127.0.0.7");
        let id = |peer, id| {
            stack().context(Some(peer), &headers(&[("x-request-id", id)])).request_id().to_owned()
        };
        assert_eq!(id(proxy, "abc-1"), "abc-1");
        assert_ne!(id(stranger, "abc-1"), "abc-1");
        assert_ne!(id(proxy, "a b"), "a b");
    }

    #[test]
    fn a_method_that_nobody_knows_makes_no_time_series() {
        assert_eq!((known(&Method::GET), known(&Method::DELETE)), ("GET", "DELETE"));
        for made_up in ["M0001", "get", "PROPFIND"] {
            let method = Method::from_bytes(made_up.as_bytes()).expect("a method");
            assert_eq!(known(&method), "other", "{made_up}");
        }
    }

    #[tokio::test]
    async fn a_panic_and_an_oversized_body_are_answers_with_all_headers() {
        let router: Router = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("a bug") }))
            .route("/body", axum::routing::post(async |_: String| "ok"));
        let router = stack().around(router);
        let ask =
            async |request: Request| router.clone().oneshot(request).await.expect("an answer");
        let request = Request::get("/panic").body(Body::empty()).expect("a request");
        let response = ask(request).await;
        assert_eq!(response.status(), 500);
        for name in ["content-security-policy", "x-request-id", "strict-transport-security"] {
            assert!(response.headers().contains_key(name), "{name}");
        }
        let request =
            Request::post("/body").body(Body::from(vec![b'x'; MAX_BODY + 1])).expect("a request");
        assert_eq!(ask(request).await.status(), 413);
    }

    #[tokio::test]
    async fn what_the_layers_answer_says_what_and_under_which_id() {
        let router: Router = Router::new()
            .route("/oauth2/panic", get(async || -> &'static str { panic!("a bug") }))
            .route("/panic", get(async || -> &'static str { panic!("a bug") }))
            .route("/oauth2/token", axum::routing::post(async |_: String| "ok"))
            .route("/login", axum::routing::post(async |_: String| "ok"));
        let router = stack().around(router);
        let long = || Body::from(vec![b'x'; MAX_BODY + 1]);
        let counted =
            |path| Request::post(path).header("content-length", MAX_BODY + 1).body(long());
        // Without a length it is noticed only while it is read.
        let uncounted = |path| {
            let pieces = [Ok::<_, std::io::Error>(vec![b'x'; MAX_BODY]), Ok(vec![b'x'; 2])];
            Request::post(path).body(Body::from_stream(futures::stream::iter(pieces)))
        };
        for (request, status, says) in [
            (Request::get("/oauth2/panic").body(Body::empty()), 500, "server_error"),
            (Request::get("/panic").body(Body::empty()), 500, "urn:haetae:problem:internal-error"),
            (counted("/oauth2/token"), 413, "invalid_request"),
            (uncounted("/oauth2/token"), 413, "invalid_request"),
            (counted("/login"), 413, "urn:haetae:problem:body-too-large"),
            (uncounted("/login"), 413, "urn:haetae:problem:body-too-large"),
        ] {
            let answer = router.clone().oneshot(request.expect("a request")).await.expect("one");
            assert_eq!(answer.status(), status, "{says}");
            let id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
            let body = to_bytes(answer.into_body(), 10_000).await.expect("a body");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("json");
            assert_eq!(body["request_id"], id);
            assert!(body["error"] == says || body["type"] == says, "{body}");
        }
    }

    #[tokio::test]
    async fn a_body_is_heard_out_whatever_the_answer() {
        let router: Router = Router::new().route("/page", get(async || "ok"));
        let router = stack().around(router);
        for (path, status) in [("/page", 405), ("/nothing", 404)] {
            let (heard, pieces) = (Arc::new(AtomicUsize::new(0)), ["a=b", "&c=d", "&e=f"]);
            let counted = {
                let heard = Arc::clone(&heard);
                futures::stream::iter(pieces).map(move |piece| {
                    heard.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, std::io::Error>(piece)
                })
            };
            let request = Request::post(path).body(Body::from_stream(counted)).expect("a request");
            let answer = router.clone().oneshot(request).await.expect("an answer");
            assert_eq!(answer.status(), status);
            assert_eq!(heard.load(Ordering::Relaxed), pieces.len(), "{path}");
        }
    }

    #[test]
    fn an_application_may_open_the_sign_in_in_a_window() {
        let opener = |address: &'static str| {
            let context = RequestContext::new("req".to_owned(), None, None);
            let mut headers = HeaderMap::new();
            finish(&mut headers, &context, true, Asked::of(&Uri::from_static(address)));
            headers["cross-origin-opener-policy"].to_str().expect("text").to_owned()
        };
        for address in [
            "/oauth2/authorize?client_id=shop&display=popup",
            "/oauth2/authorize/resume?request=x",
            "/login?request=x",
            "/mfa?lang=ko&request=x",
        ] {
            assert_eq!(opener(address), "unsafe-none", "{address}");
        }
        for address in ["/account", "/login", "/account/password?x=request=", "/oauth2/logout"] {
            assert_eq!(opener(address), "same-origin-allow-popups", "{address}");
        }
    }
}
