//! A person's visit to a page: the browser's cookies, the language, and the page that is made of it.

use askama::Template;
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use haetae_base::language;
use url::Url;

use super::{
    assets,
    form::{FormKey, is_same_origin},
    form_action::FormAction,
    instead::{Fault, Instead},
};
use crate::{
    context::RequestContext,
    cookies::{Cookies, Name},
    locale::{Argument, Language},
    oidc::params::Params,
    state::AppState,
};

/// The longest address that a form is asked for once more by: what every proxy on the way lets through.
const LONGEST_AGAIN: usize = 6 * 1024;

/// A request for a page.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The cookies that the browser sent, and those that the answer will set.
    pub(crate) jar: CookieJar,
    /// Who asks.
    pub(crate) context: RequestContext,
    uri: Uri,
    headers: HeaderMap,
    cookies: Cookies,
    key: FormKey,
    origin: String,
    home: String,
    https: bool,
}

impl FromRequestParts<AppState> for Visit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &AppState,
    ) -> Result<Self, Self::Rejection> {
        let context = RequestContext::from_request_parts(parts, state).await?;
        Ok(Self {
            jar: CookieJar::from_headers(&parts.headers),
            context,
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            cookies: state.cookies,
            key: state.sign_in.forms.clone(),
            origin: state.sign_in.origin.clone(),
            home: state.config.public_url.to_string(),
            https: state.sign_in.origin.starts_with("https:"),
        })
    }
}

impl Visit {
    /// The path that was asked for.
    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    /// Whether the address can be opened again as a page, after a form that was posted there.
    pub(super) fn is_page(&self) -> bool {
        let path = self.path();
        ["/login", "/mfa", "/register", "/consent", "/account"].iter().any(|page| {
            path.strip_prefix(page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }) && !path.ends_with("/end")
            && !path.ends_with("/revoke")
    }

    /// The start page of the installation.
    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    /// A parameter of the query, the first of its name.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let query = self.uri.query()?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .filter(|value| !value.is_empty())
    }

    /// The language of the page; `ui_locales` is what the application asked for.
    pub(crate) fn language(&self, ui_locales: &[String]) -> Language {
        let asked = ui_locales.join(" ");
        Language::negotiate(
            self.parameter("lang").as_deref(),
            Some(asked.as_str()),
            self.jar.get(language::COOKIE).map(Cookie::value),
            &self.headers,
        )
    }

    /// A page in that language, whose forms may lead where `forms` says. Gives the browser a flow cookie
    /// when it has none, and remembers a language that was chosen on the page.
    pub(crate) fn page(&mut self, ui_locales: &[String], forms: FormAction) -> Page {
        let language = self.language(ui_locales);
        if self.parameter("lang").as_deref().and_then(Language::of_tag).is_some() {
            let cookie = Cookie::build((language::COOKIE, language.tag()))
                .path("/")
                .max_age(time::Duration::days(365))
                .same_site(SameSite::Lax)
                .secure(self.https)
                .http_only(true);
            self.jar = self.jar.clone().add(cookie);
        }
        let (jar, browser) = self.cookies.ensure_browser(self.jar.clone());
        self.jar = jar;
        Page {
            language,
            csrf: self.key.token(&browser),
            switch: self.switch_to(language.other()),
            home: self.home.clone(),
            forms,
        }
    }

    /// This address with another language.
    fn switch_to(&self, language: Language) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (key, value) in url::form_urlencoded::parse(self.uri.query().unwrap_or("").as_bytes()) {
            if key != "lang" {
                query.append_pair(&key, &value);
            }
        }
        query.append_pair("lang", language.tag());
        format!("{}?{}", self.uri.path(), query.finish())
    }

    /// Checks that a form was posted from a page of ours in this browser.
    ///
    /// # Errors
    /// [`Instead`] an error page of status 403.
    pub(super) fn check_form(&self, token: &str) -> Result<(), Instead> {
        if !is_same_origin(&self.headers, &self.origin) {
            return Err(Fault::Forbidden.into());
        }
        match self.cookies.browser(&self.jar) {
            Some(browser) if self.key.is_valid(token, &browser) => Ok(()),
            _ => Err(Fault::FormExpired { again: self.path().to_owned() + &self.query() }.into()),
        }
    }

    /// The query as it came, with its question mark.
    pub(crate) fn query(&self) -> String {
        self.uri.query().map_or_else(String::new, |query| format!("?{query}"))
    }

    /// Answers with the page that `template` fills.
    pub(crate) fn respond<T: Template>(
        &self,
        status: StatusCode,
        page: &Page,
        template: &T,
    ) -> Response {
        match template.render() {
            Ok(html) => {
                let mut response = (status, self.jar.clone(), html).into_response();
                protect(response.headers_mut(), page);
                response
            }
            Err(error) => {
                // Templates are checked when they are compiled; only the formatting of a value can fail.
                tracing::error!(%error, "a page could not be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    /// Where a form that an application's page posted is asked for once more, by a redirect. A browser sends no
    /// [`SameSite=Lax`](crate::cookies) cookie along with such a form, so nobody seems to be signed in; it does
    /// with the request that follows a redirect. `None` when the form came with the session, or from here, or
    /// not from a page.
    pub(crate) fn once_more_with_cookies(&self, form: &Params) -> Option<String> {
        let from_elsewhere = !is_same_origin(&self.headers, &self.origin);
        let without_session = self.cookies.read(&self.jar, Name::Sso).is_none();
        if !from_elsewhere || !without_session || form.in_order().is_err() {
            return None;
        }
        let again = format!("{}?{}", self.path(), form.encoded());
        (again.len() <= LONGEST_AGAIN).then_some(again)
    }

    /// Whether a browser asks, which shows a page, rather than a program, which follows redirects.
    pub(super) fn is_navigation(&self) -> bool {
        self.headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
    }

    /// Answers with a redirect to a page of ours or of an application (303: whatever was posted stays
    /// here).
    pub(crate) fn redirect(&self, location: &str) -> Response {
        let Ok(location) = HeaderValue::from_str(location) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let fields = [
            (header::LOCATION, location),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (StatusCode::SEE_OTHER, self.jar.clone(), fields).into_response()
    }
}

/// What a page may load, where it may be shown, and that nobody keeps it.
fn protect(headers: &mut HeaderMap, page: &Page) {
    let policy = format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
         base-uri 'none'; frame-ancestors 'none'; {}",
        page.forms.directive()
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // A page's address may hold the id of a request: no other site sees it. `no-referrer` would make
        // browsers send `Origin: null` with our own forms.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(page.language.tag()));
}

/// What every template reaches: the texts in the person's language and what its forms carry.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// The language of the page.
    pub(crate) language: Language,
    csrf: String,
    switch: String,
    home: String,
    forms: FormAction,
}

impl Page {
    /// A text of the page's language.
    pub(crate) fn t(&self, key: &str) -> String {
        self.language.text(key)
    }

    /// A text of the page's language with its arguments.
    pub(crate) fn with(&self, key: &str, arguments: &[(&'static str, Argument<'_>)]) -> String {
        self.language.text_with(key, arguments)
    }

    pub(crate) fn lang(&self) -> &'static str {
        self.language.tag()
    }

    pub(crate) fn other_lang(&self) -> &'static str {
        self.language.other().tag()
    }

    pub(crate) fn switch(&self) -> &str {
        &self.switch
    }

    pub(crate) fn csrf(&self) -> &str {
        &self.csrf
    }

    pub(crate) fn home(&self) -> &str {
        &self.home
    }

    #[expect(clippy::unused_self, reason = "templates reach functions only through what they hold")]
    pub(crate) fn asset(&self, name: &str) -> String {
        assets::path(name)
    }
}

/// `path` if it is a path on this origin, whatever a browser may make of it: no host, no backslash, no
/// control character, nothing relative.
pub(crate) fn local_path(path: &str) -> Option<String> {
    let suspicious = |character: char| {
        character == '\\'
            || character.is_control()
            || character.is_whitespace()
            || !character.is_ascii()
    };
    if !path.starts_with('/')
        || path.starts_with("//")
        || path.len() > 2048
        || path.contains(suspicious)
    {
        return None;
    }
    // A path such as `/..//host` only shows what it is when it is resolved.
    let base = Url::parse("http://haetae.invalid/").ok()?;
    let resolved = base.join(path).ok()?;
    let same = resolved.origin() == base.origin() && !resolved.path().starts_with("//");
    same.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_origin_is_returned_to() {
        for good in ["/", "/account", "/account/password?x=1&y=%2F", "/reservations/rsv_1#top"] {
            assert_eq!(local_path(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "account",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/\u{0}",
            " /account",
            "/a\r\nSet-Cookie: x=y",
            "/..//evil.example",
            "/.//evil.example",
            "/%2e%2e//evil.example",
            "/계정",
        ] {
            assert_eq!(local_path(bad), None, "{bad:?}");
        }
        assert_eq!(local_path(&format!("/{}", "a".repeat(4000))), None);
    }
}
