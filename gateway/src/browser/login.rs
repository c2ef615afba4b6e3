//! `GET /session/login?return_to=`: sends the browser to the authserver, with PKCE, `state` and `nonce`
//! (RFC 6749 4.1.1, RFC 7636, RFC 10017 6.1.2).

use std::borrow::Cow;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use haetae_base::problem::Problem;
use http::{Response, StatusCode, header};
use pingora::http::RequestHeader;
use secrecy::ExposeSecret;
use url::form_urlencoded;

use super::{redirect, return_to, sessions::Found, store_unavailable};
use crate::{clean::cookies, proxy::Gateway};

/// What the session may ever be used for. The authserver grants of it what the person may.
const SCOPE: &str =
    "openid profile email offline_access reservations:read reservations:write inventory:write";

/// # Errors
/// The problem to answer with instead.
pub(super) async fn answer(
    gateway: &Gateway,
    request: &RequestHeader,
) -> Result<Response<Bytes>, Problem> {
    let browser = &gateway.browser;
    let query = request.uri.query().unwrap_or_default();
    let parameter = |wanted: &str| -> Option<Cow<'_, str>> {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value)
    };
    let target = return_to::check(parameter("return_to"));
    let acr = parameter("acr_values").filter(|acr| matches!(&**acr, "1fa" | "2fa" | "phr"));
    let max_age = parameter("max_age").and_then(|age| age.parse::<u32>().ok());
    let locales = parameter("ui_locales").filter(|text| {
        text.len() <= 64
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"- ".contains(&byte))
    });

    let single = |name| cookies::single(&request.headers, name);
    // Signed in already, and nothing stronger is asked for: another tab was first.
    if acr.is_none()
        && max_age.is_none()
        && let Some(cookie) = single(browser.cookies.session())?
        && let Found::Session(_) = browser.sessions.find(cookie).await
    {
        return Ok(redirect(StatusCode::FOUND, &target));
    }
    let (login, cookie) = browser
        .logins
        .begin(single(browser.cookies.login())?, &target)
        .await
        .map_err(|error| store_unavailable(&error))?;

    let challenge = digest::digest(&digest::SHA256, login.code_verifier.expose_secret().as_bytes());
    let mut url = browser.authorize_url.clone();
    {
        let mut pairs = url.query_pairs_mut();
        pairs
            .append_pair("response_type", "code")
            .append_pair("client_id", &browser.client_id)
            .append_pair("redirect_uri", browser.client.redirect_uri())
            .append_pair("scope", SCOPE)
            .append_pair("state", login.state.expose_secret())
            .append_pair("nonce", login.nonce.expose_secret())
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256");
        if let Some(acr) = acr {
            pairs.append_pair("acr_values", &acr);
        }
        if let Some(max_age) = max_age {
            pairs.append_pair("max_age", &max_age.to_string());
        }
        if let Some(locales) = locales {
            pairs.append_pair("ui_locales", &locales);
        }
    }
    let mut response = redirect(StatusCode::FOUND, url.as_str());
    response.headers_mut().append(header::SET_COOKIE, browser.cookies.set_login(&cookie));
    Ok(response)
}

/// The address of the login that comes back to `return_to`, asking for what a route needs.
pub(crate) fn login_url(return_to: &str, acr: Option<&str>, max_age: Option<u64>) -> String {
    let mut query = form_urlencoded::Serializer::for_suffix(String::from("/session/login?"), 15);
    query.append_pair("return_to", return_to);
    if let Some(acr) = acr {
        query.append_pair("acr_values", acr);
    }
    if let Some(max_age) = max_age {
        query.append_pair("max_age", &max_age.to_string());
    }
    query.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_url_carries_what_is_asked_for() {
        assert_eq!(login_url("/a?b=c&d", None, None), "/session/login?return_to=%2Fa%3Fb%3Dc%26d");
        assert_eq!(
            login_url("/", Some("2fa"), Some(300)),
            "/session/login?return_to=%2F&acr_values=2fa&max_age=300"
        );
    }
}
