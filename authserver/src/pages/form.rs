//! Forms: what a browser posted, and the proof that it was posted from a page of ours.
//!
//! A form carries a token that only this server can make for this browser's flow cookie (a double submit
//! that nobody can forge, not even with a cookie planted from a sibling host), sealed anew on each page.
//! Besides, a browser says where a request comes from (`Origin`, `Sec-Fetch-Site`), and that must be here.

use std::{fmt, sync::Arc};

use axum::{
    extract::{FromRequest, FromRequestParts, RawForm, Request},
    http::{HeaderMap, header},
    response::Response,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_base::secret::{SecretHash, SecretString, constant_time_eq};
use haetae_keys::seal::SealingKey;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{
    instead::{Fault, Instead},
    visit::Visit,
};
use crate::state::AppState;

/// What the token is sealed for.
const PURPOSE: &[u8] = b"haetae form";

/// The key that tokens of forms are sealed with.
#[derive(Clone)]
pub(crate) struct FormKey(Arc<SealingKey>);

impl FormKey {
    pub(crate) fn new(key: SealingKey) -> Self {
        Self(Arc::new(key))
    }

    /// A token for a form in this browser.
    pub(crate) fn token(&self, browser: &SecretHash) -> String {
        URL_SAFE_NO_PAD.encode(self.0.seal(browser.as_bytes(), PURPOSE))
    }

    /// Whether the token was made for a form in this browser.
    pub(crate) fn is_valid(&self, token: &str, browser: &SecretHash) -> bool {
        token.len() <= 256
            && URL_SAFE_NO_PAD
                .decode(token)
                .ok()
                .and_then(|sealed| self.0.open(&sealed, PURPOSE).ok())
                .is_some_and(|opened| constant_time_eq(&opened, browser.as_bytes()))
    }
}

impl fmt::Debug for FormKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("FormKey")
    }
}

/// Whether a request with these header fields was sent by a page of `origin`. A browser that sends
/// neither field (or a program) is left to the token.
pub(super) fn is_same_origin(headers: &HeaderMap, origin: &str) -> bool {
    match headers.get(header::ORIGIN) {
        Some(sender) => sender.as_bytes() == origin.as_bytes(),
        None => {
            headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none")
        }
    }
}

/// A form that was posted from a page of ours in this browser, and the visit that it belongs to. There is no
/// other way to a form's fields: whatever was posted from elsewhere is answered before a handler sees it.
#[derive(Debug)]
pub(crate) struct Posted<T> {
    /// The visit, for the answer.
    pub(crate) visit: Visit,
    /// The fields, without the token.
    pub(crate) form: T,
}

/// The token that every form carries.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<AppState> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let Ok(visit) = Visit::from_request_parts(&mut parts, state).await;
        match read(&visit, Request::from_parts(parts, body)).await {
            Ok(form) => Ok(Self { visit, form }),
            Err(instead) => Err(instead.into_response(visit)),
        }
    }
}

async fn read<T: DeserializeOwned>(visit: &Visit, request: Request) -> Result<T, Instead> {
    let no_form = || Instead::Fault(Fault::Forbidden);
    let RawForm(bytes) = RawForm::from_request(request, &()).await.map_err(|_| no_form())?;
    let token: Token = serde_urlencoded::from_bytes(&bytes).map_err(|_| no_form())?;
    visit.check_form(&token.csrf)?;
    serde_urlencoded::from_bytes(&bytes).map_err(|_| no_form())
}

/// A secret that a person typed: not printed, wiped after use. Missing is the same as empty.
#[derive(Clone, Default)]
pub(crate) struct Typed(pub(crate) SecretString);

impl<'de> Deserialize<'de> for Typed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl fmt::Debug for Typed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Typed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_browser_only() {
        let key = FormKey::new(SealingKey::from_bytes([7; 32]));
        let (mine, other) = (SecretHash::of("mine"), SecretHash::of("other"));
        let token = key.token(&mine);
        assert!(key.is_valid(&token, &mine));
        assert_ne!(token, key.token(&mine), "sealed anew on each page");
        assert!(!key.is_valid(&token, &other));
        assert!(!key.is_valid("", &mine));
        assert!(!key.is_valid(&"A".repeat(100_000), &mine));
        let foreign = FormKey::new(SealingKey::from_bytes([8; 32]));
        assert!(!foreign.is_valid(&token, &mine));
    }

    #[test]
    fn a_form_comes_from_a_page_of_ours() {
        let check = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().expect("a value"));
            }
            is_same_origin(&headers, "https://id.example")
        };
        assert!(check(&[]));
        assert!(check(&[("origin", "https://id.example"), ("sec-fetch-site", "same-origin")]));
        assert!(check(&[("sec-fetch-site", "none")]));
        for foreign in
            ["https://evil.example", "http://id.example", "https://id.example.", "null", ""]
        {
            assert!(!check(&[("origin", foreign)]), "{foreign}");
        }
        for site in ["cross-site", "same-site"] {
            assert!(!check(&[("sec-fetch-site", site)]), "{site}");
        }
    }
}
