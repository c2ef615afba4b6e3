//! Strong entity tags made of versions (RFC 9110 8.8.3), and the conditions on them.

use haetae_base::problem::Problem;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::ApiError;
use crate::domain::version::Version;

/// The tag of a version: `"7"`.
pub(super) fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}

/// What `If-Match` demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// Whatever the version is.
    Any,
    /// One of these.
    OneOf(Vec<Version>),
}

/// Reads `If-Match` (RFC 9110 13.1.1), which a change needs (RFC 6585 3). Weak tags match nothing.
pub(super) fn if_match(headers: &HeaderMap) -> Result<IfMatch, ApiError> {
    let tags = tags(headers, &header::IF_MATCH)?;
    if tags.is_empty() {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "precondition-required",
            "A change needs If-Match",
        )
        .detail("Send the ETag of the item that you changed, so that nobody's change is lost.")
        .into());
    }
    if tags == ["*"] {
        return Ok(IfMatch::Any);
    }
    // A version has one tag: what only reads like it, `"07"` or `W/"7"`, is the tag of something else.
    let versions = tags.iter().filter_map(|tag| {
        let number = tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()?;
        Version::new(number).filter(|_| etag(number).as_bytes() == tag.as_bytes())
    });
    Ok(IfMatch::OneOf(versions.collect()))
}

/// Whether `If-None-Match` names the version (RFC 9110 13.1.2): compared weakly.
pub(super) fn not_modified(headers: &HeaderMap, version: u64) -> bool {
    let expected = format!("\"{version}\"");
    tags(headers, &header::IF_NONE_MATCH).is_ok_and(|tags| {
        tags.iter().any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == expected)
    })
}

/// The tags of a field: `*`, or quoted texts with commas between them.
fn tags(headers: &HeaderMap, name: &header::HeaderName) -> Result<Vec<String>, ApiError> {
    let mut tags = Vec::new();
    for value in headers.get_all(name) {
        let mut rest = value.to_str().map_err(|_| malformed(name))?;
        loop {
            rest = rest.trim_start_matches([',', ' ', '\t']);
            if rest.is_empty() {
                break;
            }
            let (tag, after) = first_tag(rest).ok_or_else(|| malformed(name))?;
            tags.push(tag.to_owned());
            rest = after.trim_start_matches([' ', '\t']);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(malformed(name));
            }
        }
    }
    if tags.len() > 1 && tags.iter().any(|tag| tag == "*") {
        return Err(malformed(name));
    }
    Ok(tags)
}

/// The tag that a text begins with, and what follows. There may be commas in it.
fn first_tag(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('*') {
        return text.split_at_checked(1);
    }
    let weak = if text.starts_with("W/") { 2 } else { 0 };
    let opaque = text.get(weak..)?.strip_prefix('"')?;
    text.split_at_checked(weak + 1 + opaque.find('"')? + 1)
}

fn malformed(name: &header::HeaderName) -> ApiError {
    ApiError::parameter(name.as_str(), "must be * or quoted tags, such as \"7\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let value = HeaderValue::from_str(value).expect("a value");
        HeaderMap::from_iter([(header::IF_MATCH, value.clone()), (header::IF_NONE_MATCH, value)])
    }

    #[test]
    fn if_match_compares_strongly() {
        let version = |number| Version::new(number).expect("a version");
        assert_eq!(if_match(&headers("*")).expect("any"), IfMatch::Any);
        let two = if_match(&headers("\"7\", \"8\"")).expect("two");
        assert_eq!(two, IfMatch::OneOf(vec![version(7), version(8)]));
        for other in ["W/\"7\"", "\"07\"", "\"+7\"", "\"\"", "\"7,8\""] {
            assert_eq!(if_match(&headers(other)).expect(other), IfMatch::OneOf(vec![]), "{other}");
        }
        let with_commas = if_match(&headers(" ,\"a, b\",, W/\"x\" ,\"7\", ")).expect("a list");
        assert_eq!(with_commas, IfMatch::OneOf(vec![version(7)]));
        for wrong in ["7", "\"", "*x", "*, \"7\"", "\"7", "\"7\"\"8\"", "w/\"7\"", "W/7"] {
            let status = if_match(&headers(wrong)).expect_err(wrong).status();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
        }
        let missing = if_match(&HeaderMap::new()).expect_err("nothing");
        assert_eq!(missing.status(), StatusCode::PRECONDITION_REQUIRED);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        assert!(not_modified(&headers("W/\"7\""), 7));
        assert!(not_modified(&headers("\"6\", \"7\""), 7));
        assert!(!not_modified(&headers("\"70\""), 7));
        assert!(!not_modified(&HeaderMap::new(), 7));
    }
}
