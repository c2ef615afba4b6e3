//! A browser without JavaScript: keeps cookies, follows redirects one by one, sends forms, and lets a test
//! see each answer on the way.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use reqwest::{
    Method, StatusCode,
    header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE},
};
use url::Url;

use crate::html::{self, Form};

/// An HTTP client that never follows a redirect by itself and finds `localhost` on IPv4. Nearly everything is
/// plain HTTP on loopback: a machine without CA certificates will do.
pub fn http() -> reqwest::Client {
    builder().tls_certs_only([]).build().expect("a client can be made")
}

/// The beginning of a client that trusts nobody but the authority `pem`.
pub fn trusting(pem: &str) -> reqwest::ClientBuilder {
    let authority = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    builder().tls_certs_only([authority])
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .resolve("localhost", SocketAddr::from(([127, 0, 0, 1], 0)))
        .timeout(Duration::from_mins(1))
        .no_proxy()
}

/// A browser of one person. Clones share the cookies.
#[derive(Clone, Debug)]
pub struct Agent {
    http: reqwest::Client,
    jar: Arc<Mutex<BTreeMap<String, String>>>,
    language: &'static str,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// What was asked for.
    pub url: Url,
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

impl Agent {
    /// A fresh browser, English.
    pub fn new() -> Self {
        Self { http: http(), jar: Arc::default(), language: "en-US,en;q=0.9" }
    }

    /// A fresh browser over `http`.
    pub fn over(http: reqwest::Client) -> Self {
        Self { http, ..Self::new() }
    }

    /// The same browser with another `Accept-Language`.
    #[must_use]
    pub fn speaking(mut self, language: &'static str) -> Self {
        self.language = language;
        self
    }

    /// The cookie `name`, when the browser has it.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar().get(name).cloned()
    }

    /// Every cookie name.
    pub fn cookie_names(&self) -> Vec<String> {
        self.jar().keys().cloned().collect()
    }

    /// Puts a cookie into the browser, as an attacker who can set one would.
    pub fn set_cookie(&self, name: &str, value: &str) {
        self.jar().insert(name.to_owned(), value.to_owned());
    }

    /// Loses a cookie.
    pub fn forget(&self, name: &str) {
        self.jar().remove(name);
    }

    fn jar(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.jar.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The client below, for calls that are no navigation.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The value of the `Cookie` field that this browser would send.
    pub fn cookie_header(&self) -> String {
        let jar = self.jar();
        jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Navigates to `url`; no redirect is followed.
    pub async fn get(&self, url: impl AsRef<str>) -> Page {
        let request = self.http.request(Method::GET, url.as_ref());
        self.navigate(request.header("Sec-Fetch-Site", "none")).await
    }

    /// Navigates to `url` and follows redirects.
    pub async fn open(&self, url: impl AsRef<str>) -> Page {
        let page = self.get(url).await;
        self.follow(page, |_| false).await
    }

    /// Follows redirects, also those by a page (`<meta http-equiv="refresh">`), until a page that stays, or
    /// until `stop` says so of the next address.
    pub async fn follow(&self, mut page: Page, stop: impl Fn(&Url) -> bool) -> Page {
        for _ in 0..20 {
            let by_status = page.location().filter(|_| page.status.is_redirection());
            match by_status.or_else(|| page.refresh()) {
                Some(next) if !stop(&next) => page = self.get(&next).await,
                _ => return page,
            }
        }
        panic!("twenty redirects in a row, the last to {}", page.url);
    }

    /// Sends `form` of `page`, with the `Origin` of that page; no redirect is followed.
    pub async fn submit(&self, page: &Page, form: &Form) -> Page {
        let target = page.url.join(&form.action).expect("the action of a form is an address");
        if form.method == "get" {
            let mut target = target;
            target.query_pairs_mut().clear().extend_pairs(&form.fields);
            return self.get(&target).await;
        }
        let request = self
            .http
            .request(Method::POST, target)
            .header("Origin", page.url.origin().ascii_serialization())
            .header("Referer", page.url.as_str())
            .header("Sec-Fetch-Site", "same-origin")
            .form(&form.fields);
        self.navigate(request).await
    }

    async fn navigate(&self, request: reqwest::RequestBuilder) -> Page {
        self.send(
            request
                .header("Accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
                .header("Sec-Fetch-Mode", "navigate")
                .header("Sec-Fetch-Dest", "document")
                .header("User-Agent", "Mozilla/5.0 (haetae-tests)"),
        )
        .await
    }

    /// Sends `request` with this browser's cookies and keeps what the answer sets.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Page {
        let mut request = request.header("Accept-Language", self.language);
        let cookies = self.cookie_header();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        let response = request.send().await.expect("an answer");
        self.keep(response.headers());
        Page::read(response).await
    }

    fn keep(&self, headers: &HeaderMap) {
        let mut jar = self.jar();
        for field in headers.get_all(SET_COOKIE) {
            let field = field.to_str().expect("cookies are ASCII");
            let mut parts = field.split(';').map(str::trim);
            let (name, value) =
                parts.next().and_then(|pair| pair.split_once('=')).expect("a cookie has a name");
            let gone = parts.any(|part| {
                let part = part.to_lowercase();
                part == "max-age=0" || part.starts_with("max-age=-") || part.contains("1970")
            });
            if gone || value.is_empty() {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Page {
    /// Reads an answer to its end.
    pub async fn read(response: reqwest::Response) -> Self {
        let (url, status, headers) =
            (response.url().clone(), response.status(), response.headers().clone());
        let body = response.bytes().await.expect("a whole body");
        Self { url, status, headers, body: String::from_utf8_lossy(&body).into_owned() }
    }

    /// Where a redirect leads.
    pub fn location(&self) -> Option<Url> {
        let location = self.headers.get(LOCATION)?.to_str().ok()?;
        Some(self.url.join(location).expect("Location is an address"))
    }

    /// Where a page leads by itself, at once.
    pub fn refresh(&self) -> Option<Url> {
        let tag = self.body.split("<meta ").find(|tag| {
            tag.split('>').next().is_some_and(|tag| tag.contains("http-equiv=\"refresh\""))
        })?;
        let (_, rest) = tag.split_once("content=\"")?;
        let (content, _) = rest.split_once('"')?;
        let target = content.split_once("url=")?.1.replace("&amp;", "&");
        Some(self.url.join(&target).expect("a refresh leads to an address"))
    }

    /// The header field `name`, when it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first form that has the field `name`.
    pub fn form_with(&self, name: &str) -> Option<Form> {
        html::forms(&self.body).into_iter().find(|form| form.has(name))
    }

    /// The first form whose action contains `part`.
    pub fn form_to(&self, part: &str) -> Option<Form> {
        html::forms(&self.body).into_iter().find(|form| form.action.contains(part))
    }

    /// What a person reads.
    pub fn text(&self) -> String {
        html::text(&self.body)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}: {}", self.url, self.status, self.body))
    }

    /// Asserts a problem of RFC 9457 with this status and returns it. Also asserts that nothing internal
    /// leaks, and that the parts that every problem of the design has are there.
    pub fn problem(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status.as_u16(), status, "{}: {}", self.url, self.body);
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}: {}",
            self.url,
            self.body
        );
        let problem = self.json();
        let kind = problem["type"].as_str().unwrap_or_default();
        assert!(kind.starts_with("urn:haetae:problem:"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{problem}");
        for word in
            ["sqlx", "SELECT", "sea_orm", "redis.sock", "os error", ".rs:", "panicked", "/tmp/"]
        {
            assert!(!self.body.contains(word), "{word} leaks: {}", self.body);
        }
        problem
    }
}
