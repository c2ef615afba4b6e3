//! Host: `uri-host [":" port]` (RFC 9110 7.2), and of the many things that RFC 3986 calls a host only
//! those that a server on the network has: names, IPv4 and IPv6 literals.

use std::net::Ipv6Addr;

use super::Refusal;

/// Checks the value of a Host field or an authority. Userinfo, a path, white space, a list, an empty
/// host, a broken port or a broken literal: all refused (RFC 9112 3.2).
///
/// # Errors
/// [`Refusal::HostInvalid`].
pub(crate) fn check(value: &[u8]) -> Result<(), Refusal> {
    split(value).map(|_| ()).ok_or(Refusal::HostInvalid)
}

/// The host without its port. `None` when the value is not a valid Host.
pub(crate) fn split(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (literal, after) = rest.split_once(']')?;
            literal.parse::<Ipv6Addr>().ok()?;
            let host = text.get(..literal.len() + 2)?;
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':')?)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (name(host)?, Some(port)),
            None => (name(text)?, None),
        },
    };
    match port {
        Some(digits) if !is_port(digits) => None,
        _ => Some(host),
    }
}

fn name(host: &str) -> Option<&str> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let within = !host.is_empty() && host.len() <= 253;
    (within && !host.starts_with(['.', '-']) && host.bytes().all(legal) && !host.contains(".."))
        .then_some(host)
}

fn is_port(digits: &str) -> bool {
    !digits.is_empty()
        && digits.len() <= 5
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && digits.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_and_literals() {
        for (value, host) in [
            ("example.com", "example.com"),
            ("localhost:8080", "localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[2001:db8::1]:8443", "[2001:db8::1]"),
            ("a_b.example", "a_b.example"),
        ] {
            assert_eq!(split(value.as_bytes()), Some(host), "{value}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for value in [
            "",
            ":80",
            "a b",
            "a,b",
            "user@example.com",
            "example.com/path",
            "example.com?x",
            "http://example.com",
            "example.com:",
            "example.com:port",
            "example.com:80:80",
            "example.com:99999",
            "[::1",
            "[::1]x",
            "[junk]",
            "::1",
            ".example.com",
            "a..b",
            "exa\u{e9}mple",
            "example.com\\x",
            "*",
        ] {
            assert_eq!(split(value.as_bytes()), None, "{value}");
        }
        assert_eq!(check(b"\xff"), Err(Refusal::HostInvalid));
    }
}
