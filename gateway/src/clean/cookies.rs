//! Cookies: found by name across every Cookie field, and filtered before they go upstream.

use http::{HeaderMap, HeaderValue, header};

use super::Refusal;

/// The pairs of all Cookie fields in order (RFC 6265 4.2.1; over HTTP/2 each may have a field of its own,
/// RFC 9113 8.2.3).
pub(crate) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|field| field.as_bytes().split(|&byte| byte == b';'))
        .filter_map(|pair| {
            let pair = pair.trim_ascii();
            let at = pair.iter().position(|&byte| byte == b'=')?;
            let (name, value) = pair.split_at_checked(at)?;
            Some((name.trim_ascii_end(), value.get(1..)?.trim_ascii_start()))
        })
}

/// The value of the cookie `name`, which must not be there twice: of two session cookies one was set by
/// somebody else.
///
/// # Errors
/// [`Refusal::CookieRepeated`].
pub(crate) fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut found = None;
    for (key, value) in pairs(headers) {
        if key == name.as_bytes() && found.replace(value).is_some() {
            return Err(Refusal::CookieRepeated);
        }
    }
    Ok(found.and_then(|value| std::str::from_utf8(value).ok()))
}

/// One Cookie field with the pairs whose names are in `allowed`, joined with `"; "` (RFC 9113 8.2.3).
/// `None` when nothing is left.
pub(crate) fn only(headers: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    if allowed.is_empty() {
        return None;
    }
    let mut joined = Vec::new();
    for (name, value) in pairs(headers) {
        if allowed.iter().any(|allowed| allowed.as_bytes() == name) {
            if !joined.is_empty() {
                joined.extend_from_slice(b"; ");
            }
            joined.extend_from_slice(name);
            joined.push(b'=');
            joined.extend_from_slice(value);
        }
    }
    if joined.is_empty() { None } else { HeaderValue::from_bytes(&joined).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[&'static str]) -> HeaderMap {
        fields.iter().map(|field| (header::COOKIE, HeaderValue::from_static(field))).collect()
    }

    #[test]
    fn finds_a_cookie_in_any_field_once() {
        let split = headers(&["a=1; b=2", "haetae=x"]);
        assert_eq!(single(&split, "haetae"), Ok(Some("x")));
        assert_eq!(single(&split, "c"), Ok(None));
        assert_eq!(
            single(&headers(&["haetae=x", "haetae=x"]), "haetae"),
            Err(Refusal::CookieRepeated)
        );
        assert_eq!(
            single(&headers(&["haetae=x; haetae=y"]), "haetae"),
            Err(Refusal::CookieRepeated)
        );
        // Browsers that trim a name must not find a second one.
        assert_eq!(
            single(&headers(&["haetae=x; haetae =y"]), "haetae"),
            Err(Refusal::CookieRepeated)
        );
    }

    #[test]
    fn passes_on_only_what_is_allowed_in_one_field() {
        let split = headers(&["haetae=secret; haetae-lang=ko", "other=1", "haetae-sso=s=="]);
        let allowed = ["haetae-lang".to_owned(), "haetae-sso".to_owned()];
        assert_eq!(
            only(&split, &allowed),
            Some(HeaderValue::from_static("haetae-lang=ko; haetae-sso=s=="))
        );
        assert_eq!(only(&split, &[]), None);
        assert_eq!(only(&headers(&["x=1"]), &allowed), None);
    }
}
