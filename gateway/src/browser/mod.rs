//! Browser sessions (RFC 10017, BCP 212): the gateway is the client, the browser holds one opaque cookie.
//! `/session/login`, `/session/callback`, `/session` and `/session/logout` are answered here, and the look
//! of the gateway's own pages.

mod callback;
mod check;
mod cookie;
mod login;
mod logout;
mod return_to;
pub(crate) mod sessions;
mod token_client;

use bytes::Bytes;
use haetae_base::problem::Problem;
use haetae_keys::verify::IdVerifier;
use haetae_session::browser::LoginStore;
use http::{HeaderValue, Method, Response, StatusCode, header};
use pingora::proxy::Session;
use url::Url;

pub(crate) use self::{
    cookie::Cookies,
    login::login_url,
    sessions::Sessions,
    token_client::{TokenClient, TokenClientError, TokenClientSettings},
};
use crate::{ctx::Ctx, pages, proxy::Gateway};

/// Where the authserver sends the browser back to.
pub(crate) const CALLBACK: &str = "/session/callback";

/// What the endpoints of browser sessions need.
#[derive(Debug)]
pub(crate) struct Browser {
    /// The names and attributes of the cookies.
    pub(crate) cookies: Cookies,
    /// The sessions.
    pub(crate) sessions: Sessions,
    /// The logins on their way.
    pub(crate) logins: LoginStore,
    /// The gateway as a client of the authserver.
    pub(crate) client: TokenClient,
    /// Checks ID tokens.
    pub(crate) id_tokens: IdVerifier,
    /// The issuer.
    pub(crate) issuer: String,
    /// `public_url` without a trailing slash.
    pub(crate) public_origin: String,
    /// The authorization endpoint.
    pub(crate) authorize_url: Url,
    /// The end-session endpoint.
    pub(crate) logout_url: Url,
    /// The client's id.
    pub(crate) client_id: String,
}

/// One of the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `GET /session`.
    Check,
    /// `GET /session/login`.
    Login,
    /// `GET /session/callback`.
    Callback,
    /// `POST /session/logout`.
    Logout,
    /// `GET /session/look/…`, for the gateway's own pages.
    Look,
}

impl Endpoint {
    /// The endpoint at `path`.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/session")?;
        match rest {
            "" => Some(Self::Check),
            "/login" => Some(Self::Login),
            "/callback" => Some(Self::Callback),
            "/logout" => Some(Self::Logout),
            _ if path.strip_prefix(pages::LOOK_FOLDER)?.starts_with('/') => Some(Self::Look),
            _ => None,
        }
    }

    const fn takes(self, method: &Method) -> bool {
        match self {
            Self::Logout => matches!(*method, Method::POST),
            _ => matches!(*method, Method::GET | Method::HEAD),
        }
    }
}

/// Answers a request to one of the endpoints.
pub(crate) async fn answer(
    gateway: &Gateway,
    endpoint: Endpoint,
    session: &mut Session,
    ctx: &mut Ctx,
) -> Response<Bytes> {
    let request = session.req_header();
    if !endpoint.takes(&request.method) {
        let allow = if endpoint == Endpoint::Logout { "POST" } else { "GET, HEAD" };
        return Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "The method is not allowed here",
        )
        .header(header::ALLOW, HeaderValue::from_static(allow))
        .request_id(ctx.request_id.as_str())
        .into_http();
    }
    let answered = match endpoint {
        Endpoint::Check => check::answer(gateway, request).await,
        Endpoint::Login => login::answer(gateway, request).await,
        Endpoint::Callback => callback::answer(gateway, request, ctx).await,
        Endpoint::Logout => logout::answer(gateway, request).await,
        Endpoint::Look => {
            let (uri, headers) = (&request.uri, &request.headers);
            let name = uri.path().rsplit('/').next().unwrap_or_default();
            pages::look(name, uri.query(), headers).ok_or_else(Problem::not_found)
        }
    };
    answered.unwrap_or_else(|problem| problem.request_id(ctx.request_id.as_str()).into_http())
}

/// A redirect that nobody stores.
fn redirect(status: StatusCode, location: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    let fields = response.headers_mut();
    if let Ok(location) = HeaderValue::from_str(location) {
        fields.insert(header::LOCATION, location);
    }
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// The problem when Redis cannot be asked.
fn store_unavailable(error: &haetae_session::StoreError) -> Problem {
    tracing::warn!(%error, "a browser session cannot be stored or found");
    Problem::unavailable(2).detail("Sessions cannot be looked up now.")
}
