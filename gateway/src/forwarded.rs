//! Where a request comes from: the peer's word for it only when the peer is a trusted proxy. And how the
//! next server is told (RFC 7239, and the `X-Forwarded-*` that it replaced).
//!
//! A proxy commonly writes one of `X-Forwarded-For` and `Forwarded` and lets the client's other one through.
//! Which of them it writes cannot be seen, so a request that has both is believed only when both name the
//! same client: what the proxy wrote is true, and then so is the other. If they differ, the request counts as
//! the proxy's own.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use bytes::BytesMut;
use haetae_config::Cidr;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;

use crate::clean::{fields::starts_with_alias, host};

/// `X-Forwarded-For`.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client, as far back as every hop can be trusted.
    client: IpAddr,
    /// Whether the peer is a trusted proxy, so that its fields count.
    trusted: bool,
}

impl Origin {
    /// A peer that speaks for itself only.
    pub(crate) const fn direct(peer: IpAddr) -> Self {
        Self { client: peer, trusted: false }
    }

    /// What the fields of a request from `peer` say.
    pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[Cidr]) -> Self {
        let peer = peer.to_canonical();
        if !is_trusted(peer, trusted) {
            return Self::direct(peer);
        }
        let nearest = |hops| nearest_stranger(peer, hops, trusted);
        let named =
            headers.contains_key(X_FORWARDED_FOR).then(|| nearest(x_forwarded_for(headers)));
        let standard = headers.contains_key(header::FORWARDED).then(|| nearest(forwarded(headers)));
        let client = match (named, standard) {
            (Some(one), Some(other)) if one != other => peer,
            (Some(client), _) | (None, Some(client)) => client,
            (None, None) => peer,
        };
        Self { client, trusted: true }
    }

    /// The client's address.
    pub(crate) const fn client(&self) -> IpAddr {
        self.client
    }

    /// Whether the peer is a trusted proxy.
    pub(crate) const fn is_trusted(&self) -> bool {
        self.trusted
    }
}

fn is_trusted(address: IpAddr, trusted: &[Cidr]) -> bool {
    trusted.iter().any(|range| range.contains(address))
}

/// From the nearest hop back to the first that is not ours: what stands before it, it could have made up.
fn nearest_stranger(peer: IpAddr, hops: Vec<Option<IpAddr>>, trusted: &[Cidr]) -> IpAddr {
    let mut client = peer;
    for hop in hops.into_iter().rev() {
        let Some(address) = hop else { break };
        client = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    client
}

/// The hops that `X-Forwarded-For` names, the first client first; `None` for one that is no address.
fn x_forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    texts(headers, &X_FORWARDED_FOR)
        .flat_map(|text| text.split(','))
        .map(|text| node(text.trim()))
        .collect()
}

/// The hops that `Forwarded` names (RFC 7239 4), in the same order.
fn forwarded(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    texts(headers, &header::FORWARDED)
        .flat_map(|text| text.split(','))
        .map(|element| {
            element.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim()
                    .eq_ignore_ascii_case("for")
                    .then(|| node(value.trim().trim_matches('"')))?
            })
        })
        .collect()
}

/// The lines of a field. One that is no text is a hop that is no address: left out, it would let the line
/// before it speak.
fn texts<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default())
}

/// An address with or without a port (RFC 7239 6).
fn node(text: &str) -> Option<IpAddr> {
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

/// Replaces what the client said about where it comes from by what is known: one address, the one that the
/// limits count. A service behind trusts the gateway and needs to know no other proxy; with the whole chain
/// it would have to decide again which part of it is made up. `scheme` is that of the gateway's own public
/// address.
pub(crate) fn rewrite(
    request: &mut RequestHeader,
    origin: &Origin,
    had_forwarded: bool,
    scheme: &'static str,
) -> pingora::Result<()> {
    let mut told = Told::default();
    if had_forwarded {
        if origin.trusted {
            told = Told::by(&request.headers);
        }
        remove(request);
    }
    let proto = told.proto.unwrap_or(HeaderValue::from_static(scheme));
    let host = told.host.or_else(|| request.headers.get(header::HOST).cloned());
    let element = {
        let host = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
        let proto = proto.to_str().unwrap_or(scheme);
        // An IPv6 address and a port need quotes (RFC 7239 4).
        match origin.client {
            IpAddr::V4(client) => value(format_args!("for={client};host=\"{host}\";proto={proto}")),
            IpAddr::V6(client) => {
                value(format_args!("for=\"[{client}]\";host=\"{host}\";proto={proto}"))
            }
        }
    };
    request.insert_header(header::FORWARDED, element)?;
    request.insert_header(X_FORWARDED_FOR, value(format_args!("{}", origin.client)))?;
    request.insert_header(X_FORWARDED_PROTO, proto)?;
    if let Some(host) = host {
        request.insert_header(X_FORWARDED_HOST, host)?;
    }
    Ok(())
}

/// What a trusted proxy told about the address that the client called.
#[derive(Debug, Default)]
struct Told {
    proto: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

impl Told {
    fn by(headers: &HeaderMap) -> Self {
        Self {
            proto: headers
                .get(X_FORWARDED_PROTO)
                .filter(|value| matches!(value.as_bytes(), b"http" | b"https"))
                .cloned(),
            host: headers
                .get(X_FORWARDED_HOST)
                .filter(|value| host::check(value.as_bytes()).is_ok())
                .cloned(),
        }
    }
}

fn value(text: std::fmt::Arguments<'_>) -> HeaderValue {
    let mut bytes = BytesMut::with_capacity(80);
    // Writing to memory cannot fail.
    let _written = bytes.write_fmt(text);
    HeaderValue::from_maybe_shared(bytes.freeze()).unwrap_or(HeaderValue::from_static("unknown"))
}

fn remove(request: &mut RequestHeader) {
    let names: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|&name| {
            *name == header::FORWARDED
                || name == "x-real-ip"
                || starts_with_alias(name.as_str().as_bytes(), b"x-forwarded-")
        })
        .cloned()
        .collect();
    for name in &names {
        request.remove_header(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for &(name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn client(peer: &str, fields: &[(&'static str, &'static str)]) -> String {
        let trusted = ["10.0.0.0/8".parse().expect("range")];
        Origin::of(peer.parse().expect("peer"), &headers(fields), &trusted).client().to_string()
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_as_far_as_its_kind_reaches() {
        let xff = [("x-forwarded-for", "1.2.3.4, 10.0.0.7")];
        assert_eq!(client("192.0.2.1", &xff), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &xff), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "9.9.9.9, 1.2.3.4")]), "1.2.3.4");
        assert_eq!(
            client(
                "10.0.0.1",
                &[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "5.6.7.8:90")]
            ),
            "5.6.7.8"
        );
        assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "1.2.3.4, junk")]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        let forwarded = [("forwarded", "for=9.9.9.9, for=\"[2001:db8::7]:4711\";proto=https")];
        assert_eq!(client("10.0.0.1", &forwarded), "2001:db8::7");
        assert_eq!(client("::ffff:10.0.0.1", &xff), "1.2.3.4");
    }

    #[test]
    fn a_field_that_the_proxy_let_through_says_nothing_against_the_one_that_it_wrote() {
        let both = |xff, forwarded| {
            client("10.0.0.1", &[("x-forwarded-for", xff), ("forwarded", forwarded)])
        };
        assert_eq!(both("1.2.3.4", "for=6.6.6.6"), "10.0.0.1");
        assert_eq!(both("6.6.6.6", "for=1.2.3.4"), "10.0.0.1");
        assert_eq!(both("1.2.3.4", "for=10.0.0.9"), "10.0.0.1");
        assert_eq!(both("1.2.3.4", "for=6.6.6.6, for=1.2.3.4"), "1.2.3.4");
        assert_eq!(both("1.2.3.4, 10.0.0.7", "for=1.2.3.4;proto=https"), "1.2.3.4");
    }

    #[test]
    fn a_line_that_is_no_text_does_not_let_the_line_before_speak() {
        let mut headers = headers(&[("x-forwarded-for", "6.6.6.6")]);
        headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(b"\xff, 1.2.3.4").expect("bytes"));
        let trusted = ["10.0.0.0/8".parse().expect("range")];
        let origin = Origin::of("10.0.0.1".parse().expect("peer"), &headers, &trusted);
        assert_eq!(origin.client().to_string(), "10.0.0.1");
    }

    #[test]
    fn the_next_server_hears_only_what_is_known() {
        let mut request = RequestHeader::build("GET", b"/", None).expect("request");
        for (name, value) in [
            ("host", "a.example"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-prefix", "/x"),
            ("x_forwarded_for", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
        ] {
            request.append_header(name, value).expect("field");
        }
        let mut lied = request.clone();
        rewrite(&mut lied, &Origin::direct("2001:db8::1".parse().expect("peer")), true, "http")
            .expect("rewritten");
        assert_eq!(lied.headers["x-forwarded-for"], "2001:db8::1");
        assert_eq!(lied.headers["x-forwarded-proto"], "http");
        assert_eq!(lied.headers["x-forwarded-host"], "a.example");
        assert_eq!(
            lied.headers["forwarded"],
            "for=\"[2001:db8::1]\";host=\"a.example\";proto=http"
        );
        assert!(!lied.headers.contains_key("x_forwarded_for"));
        assert!(
            !lied.headers.contains_key("x-forwarded-prefix")
                && !lied.headers.contains_key("x-real-ip")
        );

        let client: IpAddr = "6.6.6.6".parse().expect("client");
        let trusted = Origin { client, trusted: true };
        rewrite(&mut request, &trusted, true, "http").expect("rewritten");
        assert_eq!(request.headers["x-forwarded-for"], "6.6.6.6");
        assert_eq!(request.headers["x-forwarded-proto"], "https");
        assert_eq!(request.headers["forwarded"], "for=6.6.6.6;host=\"a.example\";proto=https");
        assert!(!request.headers.contains_key("x-forwarded-prefix"));
    }
}
