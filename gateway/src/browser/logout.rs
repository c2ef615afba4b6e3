//! `POST /session/logout`: ends the browser session and the single sign-on session that it came from, in every
//! channel, and only then answers. The browser goes on to the authserver, which takes back its own cookie (OpenID
//! Connect RP-Initiated Logout); one that does not follow is signed out all the same.

use bytes::Bytes;
use haetae_base::problem::Problem;
use haetae_session::browser::BrowserSession;
use http::{HeaderValue, Response, StatusCode, header};
use pingora::http::RequestHeader;
use secrecy::ExposeSecret;
use serde_json::json;

use super::{redirect, store_unavailable};
use crate::{
    authenticate::browser_session::{X_HAETAE_BROWSER, cross_site, is_own_origin},
    clean::cookies,
    metrics,
    proxy::Gateway,
};

/// # Errors
/// The problem to answer with instead.
pub(super) async fn answer(
    gateway: &Gateway,
    request: &RequestHeader,
) -> Result<Response<Bytes>, Problem> {
    if !is_own_origin(gateway, request) {
        return Err(cross_site("Signing out carries the Origin of this site."));
    }
    let browser = &gateway.browser;
    let by_script = request.headers.contains_key(X_HAETAE_BROWSER);
    let cookie = cookies::single(&request.headers, browser.cookies.session())?;
    let ended = match cookie {
        Some(cookie) => {
            browser.sessions.end(cookie).await.map_err(|error| store_unavailable(&error))?
        }
        None => None,
    };
    let next = match &ended {
        Some(session) => {
            end_session(gateway, session).await;
            metrics::authenticated("logout", "signed_out");
            end_session_url(gateway, session)
        }
        None => "/".to_owned(),
    };
    let mut response = if by_script {
        let mut response = Response::new(Bytes::from(json!({"logout_url": next}).to_string()));
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    } else {
        redirect(StatusCode::SEE_OTHER, &next)
    };
    response.headers_mut().append(header::SET_COOKIE, browser.cookies.clear_session());
    Ok(response)
}

async fn end_session(gateway: &Gateway, session: &BrowserSession) {
    let client = &gateway.browser.client;
    let Err(error) = client.end_session(&session.tokens.id_token).await else { return };
    tracing::warn!(%error, "a session is ended by its browser alone");
    if let Some(token) = &session.tokens.refresh_token
        && let Err(error) = client.revoke(token).await
    {
        // Nobody holds it any more: the record is gone. It ends by itself.
        tracing::warn!(%error, "a refresh token cannot be revoked");
    }
}

fn end_session_url(gateway: &Gateway, session: &BrowserSession) -> String {
    let browser = &gateway.browser;
    let mut url = browser.logout_url.clone();
    url.query_pairs_mut()
        .append_pair("id_token_hint", session.tokens.id_token.expose_secret())
        .append_pair("client_id", &browser.client_id)
        .append_pair("post_logout_redirect_uri", &format!("{}/", browser.public_origin));
    url.into()
}
