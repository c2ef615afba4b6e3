//! The rules on whole heads.

use http::HeaderMap;
use proptest::prelude::*;

use super::{head::Scanner, *};

const LIMITS: HeadLimits = HeadLimits { head_bytes: 4096, fields: 20, target_bytes: 512 };

fn check(bytes: &[u8]) -> Result<Clean, Refusal> {
    let mut scanner = Scanner::default();
    match scanner.scan(bytes, &LIMITS)? {
        Some(length) => head::check(bytes.get(..length).unwrap_or_default(), &LIMITS),
        None => panic!("incomplete: {}", bytes.escape_ascii()),
    }
}

fn refused(bytes: &[u8]) -> Refusal {
    match check(bytes) {
        Err(refusal) => refusal,
        Ok(clean) => panic!("passed: {} as {clean:?}", bytes.escape_ascii()),
    }
}

#[test]
fn an_ordinary_request_passes() {
    let clean = check(b"POST /a?b=c HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 5\r\nCookie: a=b\r\nX-Empty:\r\n\r\n")
        .expect("clean");
    assert_eq!(clean.framing(), Framing::Length(5));
    assert!(clean.facts().cookie && !clean.facts().authorization);
    assert_eq!(clean.rewritten(), None);
}

#[test]
fn request_lines() {
    for (line, refusal) in [
        ("GET /", Refusal::RequestLine),
        ("GET  / HTTP/1.1", Refusal::RequestLine),
        ("GET / HTTP/1.1 ", Refusal::RequestLine),
        (" GET / HTTP/1.1", Refusal::RequestLine),
        ("GET\t/\tHTTP/1.1", Refusal::RequestLine),
        ("GET / http/1.1", Refusal::RequestLine),
        ("GET / HTTP/1.2", Refusal::Version),
        ("GET / HTTP/2.0", Refusal::Version),
        ("GET / HTTP/1.1.1", Refusal::Version),
        ("G(ET / HTTP/1.1", Refusal::Method),
        ("CONNECT example.com:443 HTTP/1.1", Refusal::Connect),
        ("TRACE / HTTP/1.1", Refusal::Trace),
        ("GET * HTTP/1.1", Refusal::TargetForm),
        ("GET p/t HTTP/1.1", Refusal::TargetForm),
        ("GET ftp://localhost/ HTTP/1.1", Refusal::TargetForm),
        ("GET localhost:80 HTTP/1.1", Refusal::TargetForm),
        ("GET http://other/ HTTP/1.1", Refusal::HostMismatch),
        ("GET http://user@localhost/ HTTP/1.1", Refusal::HostMismatch),
        ("GET /a%2fb HTTP/1.1", Refusal::AmbiguousPath),
    ] {
        assert_eq!(
            refused(format!("{line}\r\nHost: localhost\r\n\r\n").as_bytes()),
            refusal,
            "{line}"
        );
    }
}

#[test]
fn field_lines() {
    for (lines, refusal) in [
        ("", Refusal::HostMissing),
        ("Host: a\r\nHost: a\r\n", Refusal::HostRepeated),
        ("Host: a, b\r\n", Refusal::HostInvalid),
        ("Host:\r\n", Refusal::HostInvalid),
        ("Host: a\r\n folded\r\n", Refusal::ObsoleteFolding),
        ("Host : a\r\n", Refusal::FieldName),
        ("Host: a\r\n: b\r\n", Refusal::FieldName),
        ("Host: a\r\nb\r\n", Refusal::FieldName),
        ("Host: a\r\nb c: d\r\n", Refusal::FieldName),
        ("Host: a\r\nb\0: d\r\n", Refusal::FieldName),
        ("Host: a\r\nb: d\0\r\n", Refusal::FieldValue),
        ("Host: a\r\nb: d\x0be\r\n", Refusal::FieldValue),
        ("Host: a\r\nb: c\rd\r\n", Refusal::BareCarriageReturn),
        ("Host: a\nb: c\r\n", Refusal::BareLineFeed),
        ("Host: a\r\nAuthorization: x\r\nauthorization: y\r\n", Refusal::FieldRepeated),
        ("Host: a\r\nX_Haetae-Sub: x\r\n", Refusal::IdentityField),
    ] {
        assert_eq!(
            refused(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes()),
            refusal,
            "{}",
            lines.escape_debug()
        );
    }
    assert_eq!(
        refused(b"GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Refusal::TransferEncodingHttp10
    );
}

#[test]
fn sizes() {
    let long = "a".repeat(600);
    assert_eq!(
        refused(format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()),
        Refusal::TargetTooLong
    );
    let many = "X: y\r\n".repeat(20);
    assert_eq!(
        refused(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes()),
        Refusal::TooManyFields
    );
    let big = "a".repeat(5000);
    assert_eq!(
        refused(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {big}\r\n\r\n").as_bytes()),
        Refusal::HeadTooLarge
    );
    let mut scanner = Scanner::default();
    assert_eq!(scanner.scan(big.as_bytes(), &LIMITS), Err(Refusal::TargetTooLong));
}

#[test]
fn an_absolute_target_becomes_its_origin_form() {
    for (target, origin) in [
        ("http://localhost/a?b", "/a?b"),
        ("HTTPS://localhost", "/"),
        ("http://localhost?q=1", "/?q=1"),
    ] {
        let clean = check(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
            .expect("clean");
        assert_eq!(clean.rewritten(), Some(origin), "{target}");
    }
}

#[test]
fn options_may_ask_for_the_server() {
    let clean = check(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").expect("clean");
    assert!(clean.facts().asterisk);
}

fn http2(path: &str, fields: &[(&'static str, &'static str)]) -> Result<Clean, Refusal> {
    let mut headers = HeaderMap::new();
    for &(name, value) in fields {
        headers.append(name, http::HeaderValue::from_static(value));
    }
    let uri = Uri::builder()
        .scheme("https")
        .authority("localhost")
        .path_and_query(path)
        .build()
        .expect("uri");
    Clean::from_http2(&Method::GET, &uri, path.as_bytes(), &headers, &LIMITS)
}

#[test]
fn http2_has_the_same_rules() {
    assert!(http2("/a", &[("cookie", "a=1"), ("cookie", "b=2")]).expect("clean").facts().cookie);
    for (path, fields, refusal) in [
        ("/a/../b", &[][..], Refusal::DotSegment),
        ("/", &[("content-length", "5"), ("content-length", "5")], Refusal::ContentLengthRepeated),
        ("/", &[("host", "other")], Refusal::HostMismatch),
        ("/", &[("x_haetae_user", "a")], Refusal::IdentityField),
        ("/", &[("authorization", "a"), ("authorization", "b")], Refusal::FieldRepeated),
        ("/", &[("x-a", " a")], Refusal::FieldValue),
        ("/", &[("x-a", "a\t")], Refusal::FieldValue),
    ] {
        assert_eq!(http2(path, fields).err(), Some(refusal), "{path} {fields:?}");
    }
    assert_eq!(
        http2("/", &[("content-length", "07")]).expect("clean").framing(),
        Framing::Length(7)
    );
}

#[test]
fn a_cookie_in_crumbs_is_one_field() {
    let most = LIMITS.fields;
    assert!(http2("/", &vec![("cookie", "a=1"); most + 1]).is_ok());
    assert_eq!(http2("/", &vec![("x-a", "1"); most + 1]).err(), Some(Refusal::TooManyFields));
}

proptest! {
    #[test]
    fn the_scanner_does_not_care_how_the_bytes_arrive(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')], 0..20),
        step in 1_usize..6,
    ) {
        let whole = Scanner::default().scan(&bytes, &LIMITS);
        let mut scanner = Scanner::default();
        let mut pieces = Ok(None);
        let mut seen = 0;
        for piece in bytes.chunks(step) {
            seen += piece.len();
            pieces = scanner.scan(bytes.get(..seen).unwrap_or_default(), &LIMITS);
            if !matches!(pieces, Ok(None)) {
                break;
            }
        }
        prop_assert_eq!(pieces, whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        head.extend(bytes);
        head.extend(b"\r\n\r\n");
        let mut scanner = Scanner::default();
        if let Ok(Some(length)) = scanner.scan(&head, &LIMITS) {
            let _verdict = head::check(head.get(..length).unwrap_or_default(), &LIMITS);
        }
    }
}
