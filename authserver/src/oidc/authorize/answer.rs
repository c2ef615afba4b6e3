//! The answer to a client, through the browser: a redirect (RFC 6749 4.1.2) or a form that posts itself
//! (OAuth 2.0 Form Post Response Mode). Every answer names the issuer (RFC 9207 2), so that a client with
//! several providers cannot be made to mix them up.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use url::form_urlencoded;

use crate::{oidc::error::OAuthError, pages::source_of};

/// How the answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseMode {
    /// In the query of the redirect URI.
    Query,
    /// In a form that is posted to the redirect URI.
    FormPost,
}

/// Where an answer goes. Made only after the redirect URI is known to be the client's.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) redirect_uri: String,
    pub(super) mode: ResponseMode,
    pub(super) state: Option<String>,
    pub(super) issuer: String,
}

impl Answer {
    /// The code.
    pub(super) fn code(&self, code: &str) -> Response {
        self.send(vec![("code", code)])
    }

    /// An error (RFC 6749 4.1.2.1).
    pub(super) fn error(&self, error: &OAuthError) -> Response {
        metrics::counter!("haetae_auth_oauth_errors_total", "error" => error.code.as_str())
            .increment(1);
        self.send(vec![
            ("error", error.code.as_str()),
            ("error_description", error.description.as_ref()),
        ])
    }

    fn send<'a>(&'a self, mut fields: Vec<(&'static str, &'a str)>) -> Response {
        if let Some(state) = &self.state {
            fields.push(("state", state));
        }
        fields.push(("iss", &self.issuer));
        match self.mode {
            ResponseMode::Query => self.redirect(&fields),
            ResponseMode::FormPost => self.form_post(fields),
        }
    }

    fn redirect(&self, fields: &[(&'static str, &str)]) -> Response {
        let location = with_query(&self.redirect_uri, fields);
        match HeaderValue::from_str(&location) {
            Ok(location) => (
                StatusCode::SEE_OTHER,
                [
                    (header::LOCATION, location),
                    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                ],
            )
                .into_response(),
            // A registered URI is visible ASCII, and what is added is encoded.
            Err(error) => crate::fault::Fault::internal(&error).into_response(),
        }
    }

    fn form_post(&self, fields: Vec<(&'static str, &str)>) -> Response {
        let page = FormPost { action: &self.redirect_uri, fields };
        let html = match page.render() {
            Ok(html) => html,
            Err(error) => return crate::fault::Fault::internal(&error).into_response(),
        };
        // The one place where the form may go to. A registered URI parses.
        let target = source_of(&self.redirect_uri).unwrap_or_else(|| "'none'".to_owned());
        let policy = format!(
            "default-src 'none'; script-src 'self'; base-uri 'none'; frame-ancestors 'none'; \
             form-action {target}"
        );
        let mut response =
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// `uri` with `fields` in its query, after what is there. The rest of it stays character by character.
pub(in crate::oidc) fn with_query(uri: &str, fields: &[(&str, &str)]) -> String {
    let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    format!("{uri}{separator}{encoded}")
}

/// The page that posts itself. It stands for a moment only, and works without a script too.
#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPost<'a> {
    action: &'a str,
    fields: Vec<(&'static str, &'a str)>,
}

/// The script of that page.
pub(crate) async fn form_post_script() -> Response {
    (
        [
            (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
            (header::CACHE_CONTROL, "public, max-age=3600"),
        ],
        "\"use strict\";\ndocument.forms[0].submit();\n",
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_grows_and_nothing_else_changes() {
        let fields = [("code", "a b&c"), ("state", "\"<é>")];
        let encoded = "code=a+b%26c&state=%22%3C%C3%A9%3E";
        for (uri, expected) in [
            ("https://a.example/cb", format!("https://a.example/cb?{encoded}")),
            ("https://a.example/cb?x=1", format!("https://a.example/cb?x=1&{encoded}")),
            ("https://a.example/cb?", format!("https://a.example/cb?{encoded}")),
            ("http://127.0.0.1:80/cb", format!("http://127.0.0.1:80/cb?{encoded}")),
            ("dev.haetae.demo:/callback", format!("dev.haetae.demo:/callback?{encoded}")),
        ] {
            assert_eq!(with_query(uri, &fields), expected);
        }
    }

    #[test]
    fn a_form_post_page_leads_to_every_address_that_can_be_registered() {
        for (redirect_uri, target) in [
            ("https://a.example/cb?x=1", "https://a.example"),
            ("http://127.0.0.1:4711/cb", "http://127.0.0.1:4711"),
            // CSP has no words for it, and Chromium would send the form nowhere.
            ("http://[::1]:4711/cb", "http:"),
            ("dev.haetae.demo:/callback", "dev.haetae.demo:"),
        ] {
            let answer = Answer {
                redirect_uri: redirect_uri.to_owned(),
                mode: ResponseMode::FormPost,
                state: None,
                issuer: "https://id.example".to_owned(),
            };
            let response = answer.code("c0de");
            let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str();
            let policy = policy.expect("text");
            assert!(policy.ends_with(&format!("form-action {target}")), "{policy}");
        }
    }

    #[tokio::test]
    async fn a_form_post_page_carries_markup_as_text() {
        let answer = Answer {
            redirect_uri: "https://a.example/cb?x=\"".replace('"', "%22"),
            mode: ResponseMode::FormPost,
            state: Some("\"><script>alert(1)</script>".to_owned()),
            issuer: "https://id.example".to_owned(),
        };
        let response = answer.code("c0de");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.contains("form-action https://a.example"), "{policy}");
        assert!(!policy.contains("unsafe"));
        let body = axum::body::to_bytes(response.into_body(), 65536).await.expect("a body");
        let html = String::from_utf8(body.to_vec()).expect("text");
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(html.contains("c0de") && html.contains("id.example"));
    }
}
