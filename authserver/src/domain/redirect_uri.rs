//! Where an answer may be sent: a registered URI, and the one comparison that there is for it. Strings are
//! compared character by character (RFC 9700 4.1.3); the only exception is the port of a loopback address
//! (RFC 8252 7.3), because a native application cannot know it in advance.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use url::{Host, Url};

/// A redirect URI as registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedirectUri(String);

/// A text that cannot be registered as a redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedirectUri {
    /// Not an absolute URI (RFC 6749 3.1.2).
    #[error("not an absolute URI")]
    NotAbsolute,
    /// It has a fragment (RFC 6749 3.1.2).
    #[error("a redirect URI has no fragment")]
    Fragment,
    /// It has a user name or a password in it.
    #[error("a redirect URI has no user name or password")]
    Credentials,
    /// A scheme that is not the application's own (RFC 8252 7.1): it needs a dot, as a reversed domain
    /// name has.
    #[error("a private-use scheme is a reversed domain name, such as com.example.app")]
    Scheme,
    /// White space, control characters or other things that no URI has (RFC 3986 2).
    #[error("characters that no URI has")]
    Character,
}

impl RedirectUri {
    /// The URI as registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a request may name `presented` where this one is registered.
    pub fn matches(&self, presented: &str) -> bool {
        if self.0 == presented {
            return true;
        }
        match (loopback_without_port(&self.0), loopback_without_port(presented)) {
            (Some(registered), Some(presented)) => registered == presented,
            _ => false,
        }
    }

    /// Whether it is a scheme of the application's own, such as `com.example.app:/callback`.
    pub fn is_private_use(&self) -> bool {
        !self.0.starts_with("http://") && !self.0.starts_with("https://")
    }

    /// Whether it sends answers over plain http to another machine, where others can read them.
    pub fn is_exposed(&self) -> bool {
        let Ok(url) = Url::parse(&self.0) else { return true };
        let loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        url.scheme() == "http" && !loopback
    }

    /// The web origin (RFC 6454 4) of the page that it leads to; none for a private-use scheme.
    pub fn origin(&self) -> Option<String> {
        let origin = Url::parse(&self.0).ok()?.origin();
        origin.is_tuple().then(|| origin.ascii_serialization())
    }
}

/// The host and all after the port of `http://127.0.0.1…` and `http://[::1]…`, if it is one of the two and
/// the port, if there is one, is a port. Works on the text, so that nothing is normalised away.
fn loopback_without_port(uri: &str) -> Option<(&'static str, &str)> {
    let (host, rest) = ["http://127.0.0.1", "http://[::1]"]
        .into_iter()
        .find_map(|host| Some((host, uri.strip_prefix(host)?)))?;
    let rest = match rest.strip_prefix(':') {
        Some(after) => {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            let (port, rest) = after.split_at(digits);
            port.parse::<u16>().ok().filter(|port| *port != 0)?;
            rest
        }
        None => rest,
    };
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
}

impl FromStr for RedirectUri {
    type Err = InvalidRedirectUri;

    fn from_str(text: &str) -> Result<Self, InvalidRedirectUri> {
        if text.chars().any(|c| !c.is_ascii_graphic() || "\"<>\\^`{|}".contains(c)) {
            return Err(InvalidRedirectUri::Character);
        }
        let url = Url::parse(text).map_err(|_| InvalidRedirectUri::NotAbsolute)?;
        if url.fragment().is_some() {
            return Err(InvalidRedirectUri::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidRedirectUri::Credentials);
        }
        match url.scheme() {
            "http" | "https" => {}
            scheme if scheme.contains('.') => {}
            _ => return Err(InvalidRedirectUri::Scheme),
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for RedirectUri {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RedirectUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(format_args!("{text:?}: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> RedirectUri {
        text.parse().expect(text)
    }

    #[test]
    fn is_compared_character_by_character() {
        let registered = uri("https://app.example/cb?tenant=1");
        assert!(registered.matches("https://app.example/cb?tenant=1"));
        for other in [
            "https://app.example/cb?tenant=1&more=2",
            "https://app.example/cb",
            "https://app.example/cb/?tenant=1",
            "https://app.example:443/cb?tenant=1",
            "https://APP.example/cb?tenant=1",
            "https://app.example/./cb?tenant=1",
            "https://app.example/cb?tenant=1#",
            "https://app.example.evil.example/cb?tenant=1",
            "http://app.example/cb?tenant=1",
            "",
        ] {
            assert!(!registered.matches(other), "{other}");
        }
    }

    #[test]
    fn a_loopback_address_takes_any_port_and_nothing_else() {
        for registered in ["http://127.0.0.1/callback", "http://127.0.0.1:4711/callback"] {
            let registered = uri(registered);
            for same in [
                "http://127.0.0.1/callback",
                "http://127.0.0.1:1/callback",
                "http://127.0.0.1:65535/callback",
            ] {
                assert!(registered.matches(same), "{same}");
            }
            for other in [
                "http://127.0.0.1:0/callback",
                "http://127.0.0.1:65536/callback",
                "http://127.0.0.1:/callback",
                "http://127.0.0.1:80@evil.example/callback",
                "http://127.0.0.1.evil.example/callback",
                "http://127.0.0.1:99/callback/../evil",
                "http://127.0.0.1:99/other",
                "http://localhost:99/callback",
                "https://127.0.0.1:99/callback",
                "http://[::1]:99/callback",
                "http://127.0.0.2/callback",
            ] {
                assert!(!registered.matches(other), "{other}");
            }
        }
        assert!(uri("http://[::1]/cb").matches("http://[::1]:5000/cb"));
        assert!(!uri("http://localhost:8090/cb").matches("http://localhost:8091/cb"));
        assert!(!uri("http://localhost/cb").matches("http://localhost:8091/cb"));
    }

    #[test]
    fn what_would_let_an_answer_escape_cannot_be_registered() {
        use InvalidRedirectUri::{Character, Credentials, Fragment, NotAbsolute, Scheme};
        for (text, why) in [
            ("/callback", NotAbsolute),
            ("https://a.example/#f", Fragment),
            ("https://user@a.example/", Credentials),
            ("javascript:alert(1)", Scheme),
            ("data:text/html,x", Scheme),
            ("myapp:/callback", Scheme),
            ("https://a.example/ b", Character),
            ("https://a.example/\n", Character),
            ("https://a.example\\@evil.example/", Character),
            ("https://*.example/\u{e9}", Character),
        ] {
            assert_eq!(text.parse::<RedirectUri>(), Err(why), "{text}");
        }
        assert!(uri("dev.haetae.demo:/callback").is_private_use());
        assert!(uri("http://a.example/").is_exposed());
        assert!(uri("http://127.0.0.1.evil.example/").is_exposed());
        for own in ["http://127.0.0.1/", "http://localhost:1/", "http://[::1]/", "https://a.b/"] {
            assert!(!uri(own).is_exposed(), "{own}");
        }
    }

    #[test]
    fn has_an_origin_when_it_is_a_web_page() {
        assert_eq!(uri("https://a.example/cb").origin().as_deref(), Some("https://a.example"));
        assert_eq!(
            uri("http://localhost:8090/cb").origin().as_deref(),
            Some("http://localhost:8090")
        );
        assert_eq!(uri("dev.haetae.demo:/callback").origin(), None);
    }
}
