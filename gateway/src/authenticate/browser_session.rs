//! The browser session behind the cookie, and the proof that the call is our own page's (RFC 10017
//! 6.1.3.3): a cookie alone says nothing about who made the browser send it.

use std::sync::Arc;

use haetae_base::problem::Problem;
use haetae_keys::verify::VerifyError;
use http::{HeaderName, StatusCode, header};
use pingora::http::RequestHeader;

use super::{Denied, Identity, refused_token};
use crate::{
    browser::sessions::{Found, Session},
    ctx::Ctx,
    metrics,
    proxy::Gateway,
    route::Route,
};

/// The static field that our own pages send with every call.
pub(crate) const X_HAETAE_BROWSER: HeaderName = HeaderName::from_static("x-haetae-browser");

/// Turns the session of `cookie` into the identity of its person. A session that is over is nobody's, and
/// its cookie is taken back.
///
/// # Errors
/// When the call may be another site's, or the session cannot be looked up now.
pub(super) async fn find(
    gateway: &Gateway,
    route: &Arc<Route>,
    cookie: &str,
    request: &RequestHeader,
    ctx: &mut Ctx,
) -> Result<Identity, Denied> {
    refuse_other_sites(gateway, route, request)?;
    let session = match gateway.browser.sessions.find(cookie).await {
        Found::Session(session) => session,
        Found::Ended => return Ok(over(gateway, ctx, "ended")),
        Found::Unavailable => {
            metrics::authenticated("browser", "unavailable");
            return Err(Problem::unavailable(2).detail("Sessions cannot be looked up now.").into());
        }
    };
    let token = session.access_token();
    let verified = match gateway.verifier.cached(token, &*gateway.denylist) {
        Some(known) => known,
        None => gateway.verifier.verify(token, &*gateway.denylist).await,
    };
    match verified {
        Ok(claims) => {
            metrics::authenticated("browser", "accepted");
            Ok(Identity::Browser { claims, authorization: session.authorization() })
        }
        Err(VerifyError::Revoked) => {
            gateway.browser.sessions.forget(cookie);
            Ok(over(gateway, ctx, "revoked"))
        }
        Err(error) if error.is_unavailable() => {
            metrics::authenticated("browser", error.name());
            Err(refused_token(gateway, error).into())
        }
        Err(error) => {
            // A token of our own session that is not good: the session is of no use either.
            tracing::warn!(error = error.name(), session = %Session::name(cookie), "a session's token is not accepted");
            gateway.browser.sessions.forget(cookie);
            Ok(over(gateway, ctx, error.name()))
        }
    }
}

fn over(gateway: &Gateway, ctx: &mut Ctx, outcome: &'static str) -> Identity {
    metrics::authenticated("browser", outcome);
    ctx.set_cookies.push(gateway.browser.cookies.clear_session());
    Identity::Nobody
}

/// The API by cookie needs the static field, which another site cannot send without a preflight that
/// nobody permits. An unsafe method needs our own `Origin` beside it, also from a form of our pages, which
/// can send no field.
fn refuse_other_sites(
    gateway: &Gateway,
    route: &Route,
    request: &RequestHeader,
) -> Result<(), Denied> {
    let refused = |detail: &'static str| {
        metrics::authenticated("browser", "cross_site");
        Denied::from(cross_site(detail))
    };
    if route.is_api
        && request.headers.get(X_HAETAE_BROWSER).is_none_or(|value| value.as_bytes() != b"1")
    {
        return Err(refused("A call by cookie carries the field `X-Haetae-Browser: 1`."));
    }
    if !request.method.is_safe() && !is_own_origin(gateway, request) {
        return Err(refused("A change by cookie carries the Origin of this site."));
    }
    Ok(())
}

/// Whether `Origin` is our own.
pub(crate) fn is_own_origin(gateway: &Gateway, request: &RequestHeader) -> bool {
    request.headers.get(header::ORIGIN).is_some_and(|origin| *origin == gateway.public_origin)
}

/// 403: the request may have been made by another site.
pub(crate) fn cross_site(detail: &'static str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "cross-site-request",
        "The request may come from another site",
    )
    .detail(detail)
}
