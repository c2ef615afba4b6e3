//! The few pages that the gateway shows itself, in Korean and English, without a script.

use std::sync::LazyLock;

use bytes::Bytes;
use haetae_base::{asset::Assets, language};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::clean::cookies;

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Korean,
    English,
}

impl Language {
    /// The language that was chosen on a page before, or that the browser asks for.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let chosen = cookies::single(headers, language::COOKIE).ok().flatten();
        let tags = [Self::Korean.tag(), Self::English.tag()];
        let tag = chosen
            .and_then(|chosen| language::of_tag(chosen, &tags))
            .or_else(|| language::preferred(headers, &tags));
        if tag == Some(Self::Korean.tag()) { Self::Korean } else { Self::English }
    }

    const fn tag(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }
}

/// Why a sign-in did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The answer comes too late, twice, or in another browser.
    Expired,
    /// The person said no.
    Declined,
    /// The authserver refused, or answered what cannot be accepted.
    Refused,
    /// The answer is not the authserver's.
    WrongIssuer,
    /// Something that is needed is away.
    Unavailable,
}

impl Failure {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Expired, Self::Declined, Self::Refused, Self::WrongIssuer, Self::Unavailable];

    /// A name for metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Declined => "declined",
            Self::Refused => "refused",
            Self::WrongIssuer => "wrong_issuer",
            Self::Unavailable => "unavailable",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    const fn text(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::Expired, Language::English) => {
                "This sign-in has expired or was finished already."
            }
            (Self::Expired, Language::Korean) => "로그인 요청이 만료되었거나 이미 처리되었습니다.",
            (Self::Declined, Language::English) => "The sign-in was cancelled.",
            (Self::Declined, Language::Korean) => "로그인이 취소되었습니다.",
            (Self::Refused | Self::WrongIssuer, Language::English) => {
                "The sign-in could not be completed."
            }
            (Self::Refused | Self::WrongIssuer, Language::Korean) => {
                "로그인을 완료하지 못했습니다."
            }
            (Self::Unavailable, Language::English) => {
                "Signing in is not possible right now. Please try again shortly."
            }
            (Self::Unavailable, Language::Korean) => {
                "지금은 로그인할 수 없습니다. 잠시 후 다시 시도해 주세요."
            }
        }
    }
}

/// The page after a sign-in: it goes on to `return_to` by itself. That is a navigation of our own page, so
/// the browser sends the Strict cookie with it.
pub(crate) fn signed_in(language: Language, return_to: &str) -> Response<Bytes> {
    let (title, text) = match language {
        Language::English => ("Signed in", "Continue"),
        Language::Korean => ("로그인되었습니다", "계속하기"),
    };
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={}\">", escape(return_to));
    page(language, StatusCode::OK, title, &head, None, &Onward { to: return_to, text }, None)
}

/// The page after a sign-in that did not succeed.
pub(crate) fn failed(language: Language, failure: Failure, request_id: &str) -> Response<Bytes> {
    let (title, again) = match language {
        Language::English => ("Sign-in failed", "Sign in again"),
        Language::Korean => ("로그인 실패", "다시 로그인"),
    };
    let onward = Onward { to: "/session/login", text: again };
    let text = failure.text(language);
    page(language, failure.status(), title, "", Some(text), &onward, Some(request_id))
}

/// The page for a person who asked for a page and gets none.
pub(crate) fn error(language: Language, status: StatusCode, request_id: &str) -> Response<Bytes> {
    let (title, text) = match (status, language) {
        (StatusCode::NOT_FOUND, Language::English) => {
            ("Not found", "There is nothing at this address.")
        }
        (StatusCode::NOT_FOUND, Language::Korean) => {
            ("찾을 수 없음", "이 주소에는 아무것도 없습니다.")
        }
        (StatusCode::TOO_MANY_REQUESTS, Language::English) => {
            ("Too many requests", "Please wait a moment and try again.")
        }
        (StatusCode::TOO_MANY_REQUESTS, Language::Korean) => {
            ("요청이 너무 많습니다", "잠시 기다린 후 다시 시도해 주세요.")
        }
        (status, Language::English) if status.is_server_error() => {
            ("Temporarily unavailable", "This is not possible right now. Please try again shortly.")
        }
        (status, Language::Korean) if status.is_server_error() => (
            "일시적으로 이용할 수 없습니다",
            "지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.",
        ),
        (_, Language::English) => ("Not possible", "This request cannot be answered."),
        (_, Language::Korean) => ("처리할 수 없습니다", "이 요청은 처리할 수 없습니다."),
    };
    let home = match language {
        Language::English => "Start page",
        Language::Korean => "처음으로",
    };
    let onward = Onward { to: "/", text: home };
    page(language, status, title, "", Some(text), &onward, Some(request_id))
}

/// A link that leads on.
struct Onward<'a> {
    to: &'a str,
    text: &'a str,
}

fn page(
    language: Language,
    status: StatusCode,
    title: &str,
    head: &str,
    text: Option<&str>,
    onward: &Onward<'_>,
    request_id: Option<&str>,
) -> Response<Bytes> {
    let tag = language.tag();
    let (style, mark) = (LOOK.path("house.css"), LOOK.path("mark.svg"));
    let name = match language {
        Language::English => "Haetae",
        Language::Korean => "해태",
    };
    let (to, link) = (escape(onward.to), onward.text);
    let text = text
        .map_or_else(String::new, |text| format!("<p class=\"lead\" role=\"alert\">{text}</p>"));
    let reference = match language {
        Language::English => "Reference",
        Language::Korean => "문의 번호",
    };
    let id = request_id.map_or_else(String::new, |id| {
        format!("<p class=\"aside fine\">{reference}: <code>{}</code></p>", escape(id))
    });
    let html = format!(
        "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{head}<title>{title} · {name}</title>\
         <link rel=\"stylesheet\" href=\"{style}\"><link rel=\"icon\" type=\"image/svg+xml\" href=\"{mark}\"></head>\
         <body class=\"gate\"><header class=\"top\"><a class=\"brand\" href=\"/\">\
         <img class=\"mark\" src=\"{mark}\" alt=\"\" width=\"36\" height=\"36\">{name}</a></header>\
         <main id=\"main\"><div class=\"card\"><div class=\"heading\">\
         <img class=\"mark-large\" src=\"{mark}\" alt=\"\" width=\"64\" height=\"64\"><h1>{title}</h1>{text}</div>\
         <p class=\"aside\"><a class=\"button\" href=\"{to}\">{link}</a></p>{id}</div></main></body></html>"
    );
    let mut response = Response::new(Bytes::from(html));
    *response.status_mut() = status;
    let fields = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
        ),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(tag) {
        fields.insert(header::CONTENT_LANGUAGE, tag);
    }
    response
}

/// The look of the house, for the pages.
static LOOK: LazyLock<Assets> = LazyLock::new(|| Assets::new(LOOK_FOLDER, &[]));

/// Where it is.
pub(crate) const LOOK_FOLDER: &str = "/session/look";

/// The file `name` of the look; `None` when there is no such file.
pub(crate) fn look(name: &str, query: Option<&str>, asked: &HeaderMap) -> Option<Response<Bytes>> {
    let answer = LOOK.answer(name, query, asked)?;
    Some(answer.map(|content| Bytes::from_static(content.as_bytes())))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(name: &'static str, value: &'static str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Language::of(&headers)
    }

    #[test]
    fn speaks_the_language_that_is_preferred() {
        assert_eq!(language("accept-language", "ko-KR,ko;q=0.9,en;q=0.8"), Language::Korean);
        assert_eq!(language("accept-language", "fr, en;q=0.5, ko;q=0.7"), Language::Korean);
        assert_eq!(language("accept-language", "de, ko;q=0"), Language::English);
        assert_eq!(language("accept-language", "kok, en;q=0.5"), Language::English);
        assert_eq!(language("cookie", "haetae-lang=ko"), Language::Korean);
        assert_eq!(Language::of(&HeaderMap::new()), Language::English);
    }

    #[test]
    fn nothing_breaks_out_of_the_page() {
        let page = signed_in(Language::English, "/a?b=\"><script>'&");
        let html = String::from_utf8_lossy(page.body()).into_owned();
        assert!(html.contains("url=/a?b=&quot;&gt;&lt;script&gt;&#39;&amp;\""), "{html}");
        assert!(!html.contains("<script"));
    }
}
