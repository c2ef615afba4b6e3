//! Which language a page is written in, as far as all pages of Haetae have to agree: the cookie that remembers
//! a choice, and what a browser prefers.

use http::{HeaderMap, header};

/// The cookie that remembers the language of choice, on all pages.
pub const COOKIE: &str = "haetae-lang";

/// The one of `known` languages that a BCP 47 tag (`ko-KR`, `en`) means.
pub fn of_tag<'known>(tag: &str, known: &[&'known str]) -> Option<&'known str> {
    let primary = tag.trim().split(['-', '_']).next()?;
    known.iter().copied().find(|language| language.eq_ignore_ascii_case(primary))
}

/// The one of `known` languages that the browser likes best (`Accept-Language`, RFC 9110 12.5.4). The first
/// of equals wins.
pub fn preferred<'known>(headers: &HeaderMap, known: &[&'known str]) -> Option<&'known str> {
    let ranges = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(u16, &str)> = None;
    for range in ranges.split(',').take(32) {
        let mut parts = range.split(';');
        let language = parts.next().and_then(|tag| of_tag(tag, known));
        let quality =
            parts.next().map_or(Some(1000), |q| thousandths(q.trim().strip_prefix("q=")?));
        if let (Some(language), Some(quality)) = (language, quality)
            && quality > 0
            && best.is_none_or(|(so_far, _)| quality > so_far)
        {
            best = Some((quality, language));
        }
    }
    best.map(|(_, language)| language)
}

/// A quality value of at most three decimals, in thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let whole: u16 = whole.parse().ok()?;
    if decimals.len() > 3 || whole > 1 {
        return None;
    }
    let fraction: u16 = format!("{decimals:0<3}").parse().ok()?;
    let quality = whole * 1000 + fraction;
    (quality <= 1000).then_some(quality)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_browser_s_wish_is_read_with_its_weights() {
        for (field, best) in [
            ("ko-KR,ko;q=0.9,en;q=0.8", Some("ko")),
            ("en;q=0.5, ko;q=0.75", Some("ko")),
            ("fr, de;q=0.9, en;q=0.1", Some("en")),
            ("ko;q=0, en;q=0.001", Some("en")),
            ("KO_kr", Some("ko")),
            // Konkani is not Korean.
            ("kok, enm", None),
            ("ko;q=2, fr;q=x, *", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(field));
            assert_eq!(preferred(&headers, &["ko", "en"]), best, "{field}");
        }
        assert_eq!(preferred(&HeaderMap::new(), &["ko", "en"]), None);
    }
}
