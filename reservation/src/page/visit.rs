//! A person's visit: who it is, the language, where the request came from, and the page that is made of
//! it.

use askama::Template;
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use haetae_base::{clock::Timestamp, language};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use url::form_urlencoded;

use super::{
    assets,
    instead::Instead,
    locale::{Argument, Language},
};
use crate::{
    domain::{money::Money, payment::PaymentState, reservation::Status},
    http::{ApiState, Caller, scope},
};

/// A request for a page.
#[derive(Debug)]
pub(super) struct Visit {
    /// Who comes; nobody when no token came, or none that is valid any more.
    pub(super) caller: Option<Caller>,
    pub(super) headers: HeaderMap,
    uri: Uri,
    posted: bool,
    language: Language,
    jar: CookieJar,
    origin: String,
    login_origin: String,
}

impl FromRequestParts<ApiState> for Visit {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &ApiState,
    ) -> Result<Self, Self::Rejection> {
        // Whose token is not valid any more is nobody, and is asked to sign in where it matters.
        let caller = Caller::from_request_parts(parts, state).await.ok();
        let mut jar = CookieJar::from_headers(&parts.headers);
        let chosen = parameter(&parts.uri, "lang");
        let remembered = jar.get(language::COOKIE).map(|cookie| cookie.value().to_owned());
        let language =
            Language::negotiate(chosen.as_deref(), remembered.as_deref(), &parts.headers);
        if chosen.as_deref().and_then(Language::of_tag).is_some() {
            let cookie = Cookie::build((language::COOKIE, language.tag()))
                .path("/")
                .max_age(time::Duration::days(365))
                .same_site(SameSite::Lax)
                .secure(state.origin.starts_with("https:"))
                .http_only(true);
            jar = jar.add(cookie);
        }
        Ok(Self {
            caller,
            headers: parts.headers.clone(),
            uri: parts.uri.clone(),
            posted: parts.method == Method::POST,
            language,
            jar,
            origin: state.origin.to_string(),
            login_origin: state.login_origin.to_string(),
        })
    }
}

/// A parameter of the query, the first of its name, unless it is empty.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .filter(|value| !value.is_empty())
}

impl Visit {
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        parameter(&self.uri, name)
    }

    pub(super) const fn language(&self) -> Language {
        self.language
    }

    /// The id under which the logs know this request, when something before us gave it one.
    pub(super) fn request_id(&self) -> Option<String> {
        let id = self.headers.get("x-request-id")?.to_str().ok()?;
        Some(id.to_owned()).filter(|id| (1..=128).contains(&id.len()))
    }

    /// Who comes, or the way to the login and back.
    fn signed_in(&self) -> Result<&Caller, Instead> {
        self.caller.as_ref().ok_or_else(|| Instead::SignIn { back: self.address() })
    }

    /// Who comes to read.
    pub(super) fn reader(&self) -> Result<&Caller, Instead> {
        let caller = self.signed_in()?;
        caller.needs(scope::READ)?;
        Ok(caller)
    }

    /// Who posts a form of ours.
    pub(super) fn writer(&self) -> Result<&Caller, Instead> {
        self.own_form()?;
        let caller = self.signed_in()?;
        caller.needs(scope::WRITE)?;
        Ok(caller)
    }

    /// Refuses a form that was not posted from a page of ours. The gateway has looked at `Origin`
    /// already; it is looked at again because it is cheap and forgery is not.
    fn own_form(&self) -> Result<(), Instead> {
        let origin = self.headers.get(header::ORIGIN);
        let fetched = self.headers.get("sec-fetch-site");
        let foreign = origin.is_some_and(|origin| origin.as_bytes() != self.origin.as_bytes())
            || fetched.is_some_and(|site| site != "same-origin" && site != "none");
        if foreign { Err(Instead::Foreign) } else { Ok(()) }
    }

    /// This page's address. What was posted to is no page to come back to.
    fn address(&self) -> String {
        if self.posted {
            return "/reservations".to_owned();
        }
        self.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned()
    }

    /// What the templates reach.
    pub(super) fn page(&self) -> Page {
        Page {
            language: self.language,
            signed_in: self.caller.is_some(),
            switch: self.switch_to(self.language.other()),
            sign_in: sign_in(&self.address()),
            account: self.account(),
        }
    }

    /// The page of the person's account, on the issuer's origin when that is another.
    fn account(&self) -> String {
        let origin = if self.login_origin == self.origin { "" } else { &self.login_origin };
        format!("{origin}/account")
    }

    /// This address with another language.
    fn switch_to(&self, language: Language) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(self.uri.query().unwrap_or("").as_bytes()) {
            if key != "lang" {
                query.append_pair(&key, &value);
            }
        }
        query.append_pair("lang", language.tag());
        format!("{}?{}", self.uri.path(), query.finish())
    }

    /// Answers with the page that `template` fills.
    pub(super) fn respond<T: Template>(&self, status: StatusCode, template: &T) -> Response {
        match template.render() {
            Ok(html) => {
                let mut response = (status, self.jar.clone(), html).into_response();
                self.protect(response.headers_mut());
                response
            }
            Err(error) => {
                // Templates are checked when they are compiled; only the formatting of a value can fail.
                tracing::error!(%error, "a page could not be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }

    /// Answers with a redirect to a page of ours (303: whatever was posted stays here).
    pub(super) fn redirect(&self, location: &str) -> Response {
        let Ok(location) = HeaderValue::from_str(location) else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let fields = [
            (header::LOCATION, location),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (StatusCode::SEE_OTHER, self.jar.clone(), fields).into_response()
    }

    /// What a page may load, where its forms may lead, where it may be shown, and who may keep it.
    fn protect(&self, headers: &mut HeaderMap) {
        // Signing out leads to the issuer, which may have an origin of its own; browsers apply
        // `form-action` to redirects as well.
        let policy = format!(
            "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {}",
            self.login_origin
        );
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        let fixed = [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            // Not `no-referrer`: browsers would send `Origin: null` with our own forms.
            (header::REFERRER_POLICY, "same-origin"),
            (header::VARY, "Accept-Language, Cookie"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(self.language.tag()));
    }
}

/// The login that comes back to `address`.
pub(super) fn sign_in(address: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("return_to", address);
    format!("/session/login?{}", query.finish())
}

/// What every template reaches: the texts in the person's language, and what stands in the frame.
#[derive(Clone, Debug)]
pub(super) struct Page {
    language: Language,
    signed_in: bool,
    switch: String,
    sign_in: String,
    account: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass what they iterate over")]
impl Page {
    pub(super) fn t(&self, key: &str) -> String {
        self.language.text(key)
    }

    /// A text that counts something.
    pub(super) fn count(&self, key: &str, count: &u32) -> String {
        self.language.text_with(key, &[("count", Argument::Number(*count))])
    }

    pub(super) fn status(&self, status: &Status) -> String {
        self.t(&format!("status-{}", status.as_str()))
    }

    pub(super) fn about(&self, status: &Status) -> String {
        self.t(&format!("about-{}", status.as_str()))
    }

    pub(super) fn payment(&self, state: &PaymentState) -> String {
        self.t(&format!("payment-{}", state.as_str()))
    }

    /// An amount as a price: nothing is free.
    pub(super) fn price(&self, amount: &Money) -> String {
        if amount.minor() == 0 { self.t("free") } else { amount.to_string() }
    }

    pub(super) fn moment(&self, at: &Timestamp) -> String {
        self.language.moment(*at)
    }

    pub(super) fn lang(&self) -> &'static str {
        self.language.tag()
    }

    pub(super) fn other_lang(&self) -> &'static str {
        self.language.other().tag()
    }

    pub(super) fn switch(&self) -> &str {
        &self.switch
    }

    pub(super) fn account(&self) -> &str {
        &self.account
    }

    pub(super) fn sign_in(&self) -> &str {
        &self.sign_in
    }

    pub(super) fn signed_in(&self) -> bool {
        self.signed_in
    }

    #[expect(clippy::unused_self, reason = "templates reach everything through the page")]
    pub(super) fn asset(&self, name: &str) -> String {
        assets::path(name)
    }
}
