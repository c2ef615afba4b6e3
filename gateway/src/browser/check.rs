//! `GET /session`: who is signed in (RFC 10017 6.1.4).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use haetae_base::problem::Problem;
use haetae_keys::verify::VerifyError;
use haetae_session::browser::BrowserSession;
use http::{HeaderValue, Response, header};
use pingora::http::RequestHeader;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{login_url, store_unavailable};
use crate::{authenticate::unauthenticated, clean::cookies, proxy::Gateway};

/// # Errors
/// The problem to answer with instead.
pub(super) async fn answer(
    gateway: &Gateway,
    request: &RequestHeader,
) -> Result<Response<Bytes>, Problem> {
    let browser = &gateway.browser;
    let cookie = cookies::single(&request.headers, browser.cookies.session())?;
    let session = match cookie {
        Some(cookie) => {
            browser.sessions.peek(cookie).await.map_err(|error| store_unavailable(&error))?
        }
        None => None,
    };
    let Some(session) = session else { return Err(nobody(gateway)) };
    if was_revoked(gateway, &session).await {
        return Err(nobody(gateway));
    }
    let mut response = Response::new(Bytes::from(signed_in(&session).to_string()));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::VARY, HeaderValue::from_static("cookie"));
    Ok(response)
}

/// 401 with where to sign in, as everywhere else for a caller without a session.
fn nobody(gateway: &Gateway) -> Problem {
    unauthenticated(gateway).with("signed_in", false).with("login_url", login_url("/", None, None))
}

/// An access token that has merely expired will be refreshed; one that was revoked ends the session.
async fn was_revoked(gateway: &Gateway, session: &BrowserSession) -> bool {
    let token = session.tokens.access_token.expose_secret();
    let verified = match gateway.verifier.cached(token, &*gateway.denylist) {
        Some(known) => known,
        None => gateway.verifier.verify(token, &*gateway.denylist).await,
    };
    matches!(verified, Err(VerifyError::Revoked))
}

fn signed_in(session: &BrowserSession) -> Value {
    // Verified when the session began; read again here for what is only shown.
    let claims = payload(session.tokens.id_token.expose_secret()).unwrap_or_default();
    json!({
        "signed_in": true,
        "sub": session.sub,
        "username": session.username,
        "name": claims.get("name").or_else(|| claims.get("preferred_username")),
        "acr": claims.get("acr"),
        "created_at": session.created_at.to_rfc3339(),
        "expires_at": session.expires_at.to_rfc3339(),
        "login_url": login_url("/", None, None),
        "logout_url": "/session/logout",
    })
}

fn payload(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}
