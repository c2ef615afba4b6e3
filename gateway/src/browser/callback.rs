//! `GET /session/callback`: the authserver's answer (RFC 6749 4.1.2, RFC 9207) becomes a browser session.
//!
//! When another site began the chain of redirects that leads here, it is answered with a page that goes on by
//! itself, not with one more: the session cookie is Strict, and a browser would not send it along.

use bytes::Bytes;
use haetae_base::problem::Problem;
use haetae_keys::verify::Sent;
use haetae_session::browser::SignIn;
use http::{Response, StatusCode, header};
use pingora::http::RequestHeader;
use secrecy::ExposeSecret;
use url::form_urlencoded;

use super::{TokenClientError, redirect, sessions::Found, store_unavailable};
use crate::{
    clean::cookies,
    ctx::Ctx,
    metrics,
    pages::{self, Failure, Language},
    proxy::Gateway,
};

/// What the authserver's answer says. A parameter that is there twice counts as absent.
#[derive(Debug, Default)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

impl Answer {
    fn of(query: &str) -> Self {
        let one = |wanted: &str| {
            let mut found =
                form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted);
            match (found.next(), found.next()) {
                (Some((_, value)), None) => Some(value.into_owned()),
                _ => None,
            }
        };
        Self { state: one("state"), code: one("code"), iss: one("iss"), error: one("error") }
    }
}

/// # Errors
/// The problem to answer with instead.
pub(super) async fn answer(
    gateway: &Gateway,
    request: &RequestHeader,
    ctx: &Ctx,
) -> Result<Response<Bytes>, Problem> {
    let browser = &gateway.browser;
    let language = Language::of(&request.headers);
    let failed = |failure: Failure| {
        metrics::authenticated("login", failure.name());
        pages::failed(language, failure, ctx.request_id.as_str())
    };
    let single = |name| cookies::single(&request.headers, name);
    let answer = Answer::of(request.uri.query().unwrap_or_default());

    let login_cookie = single(browser.cookies.login())?;
    let login = match (login_cookie, &answer.state) {
        (Some(cookie), Some(state)) => {
            browser.logins.take(cookie, state).await.map_err(|error| store_unavailable(&error))?
        }
        _ => None,
    };
    let session_cookie = single(browser.cookies.session())?;
    let Some(login) = login else {
        // A second answer, or one that comes late. Who is signed in meanwhile needs it no more.
        if let Some(cookie) = session_cookie
            && let Found::Session(_) = browser.sessions.find(cookie).await
        {
            return Ok(redirect(StatusCode::FOUND, "/"));
        }
        return Ok(failed(Failure::Expired));
    };
    // Only now, with the state known, is anything else of the answer believed.
    if answer.iss.as_deref() != Some(browser.issuer.as_str()) {
        return Ok(failed(Failure::WrongIssuer));
    }
    if let Some(error) = &answer.error {
        tracing::info!(error, "the authserver refused a login");
        return Ok(failed(if error == "access_denied" {
            Failure::Declined
        } else {
            Failure::Refused
        }));
    }
    let Some(code) = &answer.code else { return Ok(failed(Failure::Refused)) };
    let tokens = match browser.client.exchange(code, &login.code_verifier).await {
        Ok(tokens) => tokens,
        Err(TokenClientError::InvalidGrant) => return Ok(failed(Failure::Expired)),
        Err(error) => {
            tracing::error!(%error, "a code cannot be exchanged");
            return Ok(failed(Failure::Unavailable));
        }
    };
    let sent = Sent {
        nonce: Some(login.nonce.expose_secret()),
        access_token: Some(tokens.access_token.expose_secret()),
        code: Some(code),
    };
    let verified = match browser.id_tokens.verify(tokens.id_token.expose_secret(), sent).await {
        Ok(verified) => verified,
        Err(error) => {
            tracing::error!(error = error.name(), "an ID token is not accepted");
            return Ok(failed(if error.is_unavailable() {
                Failure::Unavailable
            } else {
                Failure::Refused
            }));
        }
    };
    let claims = verified.claims();
    let Some(sid) = claims.sid.clone() else {
        tracing::error!("an ID token has no sid, without which its session could not be ended");
        return Ok(failed(Failure::Refused));
    };
    let username = claims.profile.get("preferred_username").and_then(|name| name.as_str());
    let sign_in =
        SignIn { sid, sub: claims.sub.clone(), username: username.map(str::to_owned), tokens };
    let (_, cookie) = browser
        .sessions
        .store()
        .create(sign_in)
        .await
        .map_err(|error| store_unavailable(&error))?;
    // Never two sessions of one browser: the old one, of whomever, is over.
    if let Some(old) = session_cookie {
        browser.sessions.forget(old);
    }
    metrics::authenticated("login", "signed_in");
    let mut response = if is_from_another_site(request) {
        pages::signed_in(language, &login.return_to)
    } else {
        redirect(StatusCode::SEE_OTHER, &login.return_to)
    };
    response.headers_mut().append(header::SET_COOKIE, browser.cookies.set_session(&cookie));
    if let Some(login_cookie) = login_cookie
        // Another tab may be on its way with it. If that cannot be told, it runs out by itself.
        && let Ok(false) = browser.logins.has_others(login_cookie).await
    {
        response.headers_mut().append(header::SET_COOKIE, browser.cookies.clear_login());
    }
    Ok(response)
}

/// Whether a browser says that another site had a part in how it came here (Fetch Metadata 2.3). A program, and
/// a browser that is too old to say, keep no Strict cookies apart.
fn is_from_another_site(request: &RequestHeader) -> bool {
    request.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_parameter_counts_as_none() {
        let answer = Answer::of("state=a&code=b&iss=c%3A&code=d");
        assert_eq!(answer.state.as_deref(), Some("a"));
        assert_eq!(answer.iss.as_deref(), Some("c:"));
        assert_eq!(answer.code, None);
    }
}
