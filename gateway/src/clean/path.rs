//! The path: refused where two servers could read it differently, normalised where RFC 3986 says that
//! two spellings are the same, so that what is matched here is what the upstream matches.

use super::Refusal;

/// Checks an origin-form target and gives its normalised spelling when that differs: percent-encoded
/// unreserved characters are decoded and the digits of the others raised (RFC 3986 6.2.2).
///
/// # Errors
/// The rule that the path breaks.
pub(crate) fn normalise(target: &str) -> Result<Option<String>, Refusal> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if let Some(query) = query {
        check_query(query)?;
    }
    let plain = check_segments(path)?;
    if plain {
        return Ok(None);
    }
    let normal = decode(path)?;
    // What was hidden by the encoding is looked at once more in clear.
    check_segments(&normal)?;
    if normal == path {
        return Ok(None);
    }
    Ok(Some(match query {
        Some(query) => format!("{normal}?{query}"),
        None => normal,
    }))
}

/// Checks the path as it stands and says whether it has no percent sign at all.
fn check_segments(path: &str) -> Result<bool, Refusal> {
    let mut plain = true;
    let mut segment = 0;
    let bytes = path.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'/' => {
                if at > 0 {
                    check_segment(bytes.get(segment..at).unwrap_or_default(), false)?;
                }
                segment = at + 1;
            }
            b'%' => plain = false,
            b'\\' => return Err(Refusal::AmbiguousPath),
            _ if !is_path_character(byte) => return Err(Refusal::TargetCharacter),
            _ => {}
        }
    }
    check_segment(bytes.get(segment..).unwrap_or_default(), true)?;
    Ok(plain)
}

fn check_segment(segment: &[u8], last: bool) -> Result<(), Refusal> {
    if segment.is_empty() {
        return if last { Ok(()) } else { Err(Refusal::EmptySegment) };
    }
    // `/..;x/` is `/../` to a server that cuts path parameters off.
    let bare = segment.split(|&byte| byte == b';').next().unwrap_or_default();
    if matches!(bare, b"." | b"..") || (bare.is_empty() && !last) {
        return Err(Refusal::DotSegment);
    }
    Ok(())
}

fn check_query(query: &str) -> Result<(), Refusal> {
    // Browsers leave more than RFC 3986 allows in a query; what has no other meaning may stay.
    if query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        Ok(())
    } else {
        Err(Refusal::TargetCharacter)
    }
}

fn decode(path: &str) -> Result<String, Refusal> {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        normal.push_str(before);
        let (value, next) = escaped(after)?;
        rest = next;
        match value {
            b'/' | b'\\' | 0 => return Err(Refusal::AmbiguousPath),
            b'%' => {
                if let Ok((hidden, _)) = escaped(rest)
                    && (matches!(hidden, b'/' | b'\\' | b'.' | b'%' | 0) || is_unreserved(hidden))
                {
                    return Err(Refusal::DoubleEncoding);
                }
                normal.push_str("%25");
            }
            _ if is_unreserved(value) => normal.push(char::from(value)),
            // Line breaks, DEL and the like have no business in a path, however spelled.
            _ if value.is_ascii_control() => return Err(Refusal::AmbiguousPath),
            _ => {
                normal.push('%');
                for digit in [value >> 4, value & 15] {
                    normal.push(
                        char::from_digit(u32::from(digit), 16)
                            .map_or('0', |digit| digit.to_ascii_uppercase()),
                    );
                }
            }
        }
    }
    normal.push_str(rest);
    Ok(normal)
}

fn escaped(after: &str) -> Result<(u8, &str), Refusal> {
    let digits = after.get(..2).ok_or(Refusal::PercentEncoding)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Refusal::PercentEncoding);
    }
    let value = u8::from_str_radix(digits, 16).map_err(|_| Refusal::PercentEncoding)?;
    Ok((value, after.get(2..).unwrap_or_default()))
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `pchar` of RFC 3986 3.3, and `|`, `[`, `]`, which browsers send as they are.
const fn is_path_character(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'|'
                | b'['
                | b']'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leaves_what_is_normal() {
        for target in [
            "/",
            "/api/v1/reservations/rsv_01?x=%2F..%2f&y=a|b",
            "/a/",
            "/a%20b",
            "/%EC%98%88%EC%95%BD",
            "/a;x=1/b",
            "/.well-known/openid-configuration",
            "/...",
            "/a.b/..c",
            "/100%25",
        ] {
            assert_eq!(normalise(target), Ok(None), "{target}");
        }
    }

    #[test]
    fn brings_equal_spellings_together() {
        assert_eq!(normalise("/%61pi/v1?q=%61"), Ok(Some("/api/v1?q=%61".to_owned())));
        assert_eq!(normalise("/a%c3%a9"), Ok(Some("/a%C3%A9".to_owned())));
        assert_eq!(normalise("/%7Euser"), Ok(Some("/~user".to_owned())));
    }

    #[test]
    fn refuses_what_could_be_read_differently() {
        for (target, refusal) in [
            ("/a%2Fb", Refusal::AmbiguousPath),
            ("/a%2fb", Refusal::AmbiguousPath),
            ("/a%5Cb", Refusal::AmbiguousPath),
            ("/a\\b", Refusal::AmbiguousPath),
            ("/a%00", Refusal::AmbiguousPath),
            ("/a%0d%0a", Refusal::AmbiguousPath),
            ("/..", Refusal::DotSegment),
            ("/a/../b", Refusal::DotSegment),
            ("/a/./b", Refusal::DotSegment),
            ("/a/%2e%2E/b", Refusal::DotSegment),
            ("/a/.%2e", Refusal::DotSegment),
            ("/a/..;x/b", Refusal::DotSegment),
            ("/a//b", Refusal::EmptySegment),
            ("//a", Refusal::EmptySegment),
            ("/a%252Fb", Refusal::DoubleEncoding),
            ("/%252e%252e/b", Refusal::DoubleEncoding),
            ("/%2561pi", Refusal::DoubleEncoding),
            ("/%25252f", Refusal::DoubleEncoding),
            ("/a%", Refusal::PercentEncoding),
            ("/a%4", Refusal::PercentEncoding),
            ("/a%zz", Refusal::PercentEncoding),
            ("/a%+1", Refusal::PercentEncoding),
            ("/a b", Refusal::TargetCharacter),
            ("/a<b>", Refusal::TargetCharacter),
            ("/a#b", Refusal::TargetCharacter),
            ("/?a#b", Refusal::TargetCharacter),
            ("/\u{e9}", Refusal::TargetCharacter),
        ] {
            assert_eq!(normalise(target), Err(refusal), "{target}");
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_is_normal(target in "/[a-z%0-9A-F./;?-]{0,24}") {
            if let Ok(Some(normal)) = normalise(&target) {
                prop_assert_eq!(normalise(&normal), Ok(None));
            }
        }

        #[test]
        fn never_lets_a_dot_segment_through(target in "/([a-c./%2eE5F]{1,6}/){0,4}") {
            if let Ok(normal) = normalise(&target) {
                let path = normal.unwrap_or(target);
                let path = path.split('?').next().unwrap_or_default().to_lowercase();
                let bad = path.split('/').any(|segment| segment == "." || segment == "..");
                prop_assert!(!bad);
                let encoded = path.contains("%2f") || path.contains("%5c") || path.contains("%2e");
                prop_assert!(!encoded);
            }
        }
    }
}
