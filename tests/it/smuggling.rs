//! Raw bytes that no HTTP library sends, against the running gateway with a recording upstream behind it:
//! each line of section 2a of the gateway research, and the cases of the public suites that go with them.

use std::time::{Duration, Instant};

use haetae_tests::{
    raw::{Recorder, exchange, statuses},
    stack::{Options, Stack},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A request hidden in the body of another carries this; it must never come through as a request.
const HIDDEN: &str = "GET /probe/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A stack whose gateway has one route more, to a recorder.
async fn behind_a_recorder() -> (Stack, Recorder) {
    let recorder = Recorder::start().await;
    let config = format!(
        r#"
[gateway]
header_timeout = "2s"
[[gateway.upstreams]]
name = "auth"
[[gateway.upstreams]]
name = "reservation"
[[gateway.upstreams]]
name = "recorder"
addresses = ["{}"]
[[gateway.routes]]
name = "probe"
path = "/probe/{{*rest}}"
upstream = "recorder"
authenticate = "none"
[[gateway.routes]]
name = "oauth2"
path = "/oauth2/{{*rest}}"
upstream = "auth"
authenticate = "none"
"#,
        recorder.address
    );
    let stack = Stack::start(Options::default().config(&config)).await;
    (stack, recorder)
}

/// What is refused, with the statuses that are right for it.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static [u16])> {
    let post = |fields: &str, body: &str| {
        format!("POST /probe/x HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{body}").into_bytes()
    };
    let get = |line: &str, fields: &str| format!("{line}\r\n{fields}\r\n").into_bytes();
    let host = "Host: localhost\r\n";
    let length = HIDDEN.len();
    vec![
        // Content-Length (RFC 9112 6.3)
        (
            "a list of equal lengths",
            post(&format!("Content-Length: {length}, {length}\r\n"), HIDDEN),
            &[400],
        ),
        (
            "two equal lengths",
            post(&format!("Content-Length: {length}\r\nContent-Length: {length}\r\n"), HIDDEN),
            &[400],
        ),
        (
            "two lengths",
            post(&format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), HIDDEN),
            &[400],
        ),
        ("length +5", post("Content-Length: +5\r\n", "hello"), &[400]),
        ("length -1", post("Content-Length: -1\r\n", ""), &[400]),
        ("length 0x5", post("Content-Length: 0x5\r\n", "hello"), &[400]),
        ("length 5 5", post("Content-Length: 5 5\r\n", "hello"), &[400]),
        ("length empty", post("Content-Length: \r\n", HIDDEN), &[400]),
        (
            "length beyond 64 bits",
            post("Content-Length: 18446744073709551621\r\n", "hello"),
            &[400, 413],
        ),
        ("length 5.0", post("Content-Length: 5.0\r\n", "hello"), &[400]),
        // Transfer-Encoding (RFC 9112 6.1)
        (
            "both",
            post(
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                &format!("0\r\n\r\n{HIDDEN}"),
            ),
            &[400],
        ),
        (
            "both, the other way round",
            post(
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                &format!("0\r\n\r\n{HIDDEN}"),
            ),
            &[400],
        ),
        ("identity", post("Transfer-Encoding: identity\r\n", HIDDEN), &[400, 501]),
        ("gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), &[400, 501]),
        (
            "chunked, identity",
            post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
            &[400, 501],
        ),
        (
            "chunked, chunked",
            post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
            &[400, 501],
        ),
        (
            "chunked twice",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            &[400, 501],
        ),
        (
            "xchunked",
            post("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{HIDDEN}")),
            &[400, 501],
        ),
        (
            "chunked with vertical tab",
            post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
            &[400, 501],
        ),
        ("chunked in quotes", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), &[400, 501]),
        ("space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), &[400]),
        (
            "HTTP/1.0 with chunked",
            get("POST /probe/x HTTP/1.0", &format!("{host}Transfer-Encoding: chunked\r\n")),
            &[400, 505],
        ),
        // Chunks (RFC 9112 7.1)
        (
            "an empty chunk size",
            post("Transfer-Encoding: chunked\r\n", &format!("\r\n\r\n{HIDDEN}")),
            &[400],
        ),
        (
            "an extension without a size",
            post("Transfer-Encoding: chunked\r\n", &format!(";x\r\n\r\n{HIDDEN}")),
            &[400],
        ),
        ("size 0x5", post("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"), &[400]),
        ("size -1", post("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n0\r\n\r\n"), &[400]),
        ("size +5", post("Transfer-Encoding: chunked\r\n", "+5\r\nhello\r\n0\r\n\r\n"), &[400]),
        (
            "size beyond 64 bits",
            post("Transfer-Encoding: chunked\r\n", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
            &[400, 413],
        ),
        (
            "size then line feed alone",
            post("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"),
            &[400],
        ),
        (
            "more data than its size",
            post("Transfer-Encoding: chunked\r\n", "3\r\nhello\r\n0\r\n\r\n"),
            &[400],
        ),
        (
            "no line end after the data",
            post("Transfer-Encoding: chunked\r\n", "5\r\nhello0\r\n\r\n"),
            &[400],
        ),
        (
            "underscore size",
            post("Transfer-Encoding: chunked\r\n", "0_5\r\nhello\r\n0\r\n\r\n"),
            &[400],
        ),
        // Host (RFC 9112 3.2)
        ("no Host", get("GET /probe/x HTTP/1.1", ""), &[400]),
        (
            "two Hosts",
            get("GET /probe/x HTTP/1.1", "Host: localhost\r\nHost: localhost\r\n"),
            &[400],
        ),
        (
            "two Hosts, different",
            get("GET /probe/x HTTP/1.1", "Host: localhost\r\nHost: evil.example\r\n"),
            &[400],
        ),
        ("Host with a space", get("GET /probe/x HTTP/1.1", "Host: local host\r\n"), &[400]),
        (
            "Host is a list",
            get("GET /probe/x HTTP/1.1", "Host: localhost, evil.example\r\n"),
            &[400],
        ),
        ("Host with user info", get("GET /probe/x HTTP/1.1", "Host: user@localhost\r\n"), &[400]),
        ("Host with a path", get("GET /probe/x HTTP/1.1", "Host: localhost/evil\r\n"), &[400]),
        ("Host with two ports", get("GET /probe/x HTTP/1.1", "Host: localhost:80:90\r\n"), &[400]),
        ("Host with port 99999", get("GET /probe/x HTTP/1.1", "Host: localhost:99999\r\n"), &[400]),
        ("Host with half an address", get("GET /probe/x HTTP/1.1", "Host: [::1\r\n"), &[400]),
        ("Host empty", get("GET /probe/x HTTP/1.1", "Host: \r\n"), &[400]),
        ("Host with bad bytes", get("GET /probe/x HTTP/1.1", "Host: local\x01host\r\n"), &[400]),
        (
            "another host in the target",
            get("GET http://evil.example/probe/x HTTP/1.1", host),
            &[400, 404, 421],
        ),
        // The request line
        ("target *", get("GET * HTTP/1.1", host), &[400]),
        ("target without a slash", get("GET probe/x HTTP/1.1", host), &[400]),
        ("target with a fragment", get("GET /probe/x#y HTTP/1.1", host), &[400]),
        ("target with a space", get("GET /probe/x y HTTP/1.1", host), &[400]),
        ("target with NUL", get("GET /probe/\0 HTTP/1.1", host), &[400]),
        ("target with an escaped NUL", get("GET /probe/%00 HTTP/1.1", host), &[400]),
        ("target with half an escape", get("GET /probe/%2 HTTP/1.1", host), &[400]),
        (
            "target with bytes above 127",
            "GET /probe/ä HTTP/1.1\r\nHost: localhost\r\n\r\n".as_bytes().to_vec(),
            &[400],
        ),
        ("target that climbs", get("GET /probe/../../x HTTP/1.1", host), &[400, 404]),
        (
            "target that climbs, escaped",
            get("GET /probe/%2e%2e/%2e%2e/x HTTP/1.1", host),
            &[400, 404],
        ),
        ("target with an escaped slash", get("GET /probe%2fx HTTP/1.1", host), &[400, 404]),
        ("target with a backslash", get("GET /probe\\x HTTP/1.1", host), &[400, 404]),
        ("no version", get("GET /probe/x", host), &[400, 505]),
        ("HTTP/1.2", get("GET /probe/x HTTP/1.2", host), &[400, 505]),
        ("HTTP/2.0 in words", get("GET /probe/x HTTP/2.0", host), &[400, 505]),
        ("http/1.1", get("GET /probe/x http/1.1", host), &[400, 505]),
        ("two spaces", get("GET  /probe/x HTTP/1.1", host), &[400]),
        ("a tab", get("GET\t/probe/x\tHTTP/1.1", host), &[400]),
        ("a method with a bad byte", get("GE\x01T /probe/x HTTP/1.1", host), &[400]),
        ("CONNECT", get("CONNECT localhost:22 HTTP/1.1", host), &[400, 404, 405, 501]),
        ("TRACE", get("TRACE /probe/x HTTP/1.1", host), &[400, 405, 501]),
        // Fields (RFC 9112 5, RFC 9110 5.5)
        (
            "a folded field",
            get("GET /probe/x HTTP/1.1", &format!("{host}X-A: 1\r\n 2\r\n")),
            &[400],
        ),
        ("a space in a name", get("GET /probe/x HTTP/1.1", &format!("{host}X A: 1\r\n")), &[400]),
        (
            "a field without a colon",
            get("GET /probe/x HTTP/1.1", &format!("{host}X-A\r\n")),
            &[400],
        ),
        ("an empty name", get("GET /probe/x HTTP/1.1", &format!("{host}: 1\r\n")), &[400]),
        (
            "a space before the first field",
            get("GET /probe/x HTTP/1.1", &format!(" X-A: 1\r\n{host}")),
            &[400],
        ),
        ("NUL in a value", get("GET /probe/x HTTP/1.1", &format!("{host}X-A: 1\x002\r\n")), &[400]),
        (
            "a lone carriage return in a value",
            get("GET /probe/x HTTP/1.1", &format!("{host}X-A: 1\rX-B: 2\r\n")),
            &[400],
        ),
        ("line feeds alone", b"GET /probe/x HTTP/1.1\nHost: localhost\n\n".to_vec(), &[400]),
        (
            "one line feed alone",
            b"GET /probe/x HTTP/1.1\r\nHost: localhost\nX-A: 1\r\n\r\n".to_vec(),
            &[400],
        ),
        (
            "101 fields",
            get("GET /probe/x HTTP/1.1", &format!("{host}{}", "X-A: 1\r\n".repeat(100))),
            &[400, 431],
        ),
        (
            "65 KiB of fields",
            get("GET /probe/x HTTP/1.1", &format!("{host}X-A: {}\r\n", "a".repeat(65 * 1024))),
            &[400, 431],
        ),
        (
            "9 KiB of target",
            get(&format!("GET /probe/{} HTTP/1.1", "a".repeat(9 * 1024)), host),
            &[400, 414],
        ),
        // Connection must not take away what is ours (CVE-2026-105299)
        (
            "Connection names Host",
            get("GET /probe/x HTTP/1.1", &format!("{host}Connection: close, Host\r\n")),
            &[400],
        ),
        (
            "Connection names the identity",
            get("GET /probe/x HTTP/1.1", &format!("{host}Connection: X-Forwarded-For\r\n")),
            &[400, 200],
        ),
        // Identity from outside
        (
            "X-Haetae-Subject",
            get("GET /probe/x HTTP/1.1", &format!("{host}X-Haetae-Subject: admin\r\n")),
            &[400],
        ),
        (
            "x_haetae_subject",
            get("GET /probe/x HTTP/1.1", &format!("{host}x_haetae_subject: admin\r\n")),
            &[400],
        ),
        (
            "X.HAETAE.SUBJECT",
            get("GET /probe/x HTTP/1.1", &format!("{host}X.HAETAE.SUBJECT: admin\r\n")),
            &[400],
        ),
        (
            "X-Haetae_Roles",
            get("GET /probe/x HTTP/1.1", &format!("{host}X-Haetae_Roles: admin\r\n")),
            &[400],
        ),
        ("X-Haetae", get("GET /probe/x HTTP/1.1", &format!("{host}X-Haetae-: admin\r\n")), &[400]),
    ]
}

/// What came through but for the gateway's own questions whether the upstream lives.
fn without_health_checks(seen: &str) -> String {
    let mut rest = seen.to_owned();
    while let Some(start) = rest.find("GET /healthz HTTP/1.1") {
        let end = rest[start..].find("\r\n\r\n").map_or(rest.len(), |end| start + end + 4);
        rest.replace_range(start..end, "");
    }
    rest
}

/// Every refused request gets its status, its connection is closed, and nothing hidden comes through.
#[tokio::test]
async fn what_could_be_read_in_two_ways_is_refused() {
    let (stack, recorder) = behind_a_recorder().await;
    let mut wrong = Vec::new();
    for (name, bytes, expected) in refused() {
        // In one piece, and with the tail in a later segment: parsers differ in that.
        let cut = bytes.len() - bytes.len().min(20);
        for parts in [vec![bytes.as_slice()], vec![&bytes[..cut], &bytes[cut..]]] {
            let answer = exchange(stack.gateway(), &parts, Duration::from_millis(1_500)).await;
            let got = statuses(&answer);
            let seen = without_health_checks(&recorder.take());
            if !got.first().is_some_and(|status| expected.contains(status)) {
                wrong.push(format!("{name}: {got:?}, not {expected:?}"));
            }
            if got.len() > 1 {
                wrong.push(format!("{name}: answered {} times", got.len()));
            }
            if seen.contains("/probe/hidden") {
                wrong.push(format!("{name}: smuggled: {seen}"));
            }
            if expected == [400] && !seen.is_empty() && !seen.starts_with("POST /probe/x HTTP/1.1")
            {
                wrong.push(format!("{name}: came through: {seen}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    // The control: a plain request goes through, so it is not the recorder that is deaf.
    let plain = b"GET /probe/plain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = exchange(stack.gateway(), &[plain], Duration::from_secs(2)).await;
    assert_eq!(statuses(&answer), [200]);
    let seen = without_health_checks(&recorder.take());
    assert!(seen.starts_with("GET /probe/plain HTTP/1.1"), "{seen}");
}

/// The instrument itself: sent straight to the recorder, the very same bytes do make a second request.
#[tokio::test]
async fn the_recorder_is_as_naive_as_smuggling_needs() {
    let recorder = Recorder::start().await;
    let length = HIDDEN.len();
    let request = format!(
        "POST /probe/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}, {length}\r\n\r\n{HIDDEN}"
    );
    let answer =
        exchange(recorder.address, &[request.as_bytes()], Duration::from_millis(500)).await;
    assert_eq!(statuses(&answer), [200, 200], "one request, two answers");
    assert!(recorder.take().contains("/probe/hidden"));
}

/// What is right goes through as it is, and what was said about the client is the gateway's own word.
#[tokio::test]
async fn what_is_right_goes_through_clean() {
    let (stack, recorder) = behind_a_recorder().await;
    let send = async |request: &str| {
        let answer =
            exchange(stack.gateway(), &[request.as_bytes()], Duration::from_millis(700)).await;
        assert_eq!(
            statuses(&answer)[..1],
            [200],
            "{request}: {}",
            String::from_utf8_lossy(&answer)
        );
        without_health_checks(&recorder.take()).to_lowercase()
    };
    let seen = send("POST /probe/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await;
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
    let seen = send("POST /probe/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n").await;
    assert!(seen.contains("hello"), "{seen}");
    let seen = send(
        "GET /probe/x?a=%2F&b HTTP/1.1\r\nHost: localhost\r\nForwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\n\
         X-Forwarded-Host: evil.example\r\nX_Forwarded_For: 5.6.7.8\r\nX-Real-IP: 1.2.3.4\r\nCookie: haetae=secret; haetae-sso=secret; other=1\r\n\
         X-Haetae-Browser: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nProxy-Connection: keep-alive\r\nConnection: close, Upgrade, HTTP2-Settings\r\n\r\n",
    )
    .await;
    for word in [
        "1.2.3.4",
        "5.6.7.8",
        "evil.example",
        "secret",
        "h2c",
        "http2-settings",
        "proxy-connection",
    ] {
        assert!(!seen.contains(word), "{word} came through: {seen}");
    }
    assert!(seen.starts_with("get /probe/x?a=%2f&b http/1.1"), "{seen}");
    assert!(seen.contains("x-request-id: ") && seen.contains("127.0.0.1"), "{seen}");
    let seen = send("GET /probe/x HTTP/1.1\r\nHost: localhost\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nConnection: close\r\n\r\n").await;
    assert!(seen.contains("0af7651916cd43dd8448eb211c80319c"), "{seen}");
    // Several requests on one connection are answered in their order.
    let two = "GET /probe/1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET /probe/2 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = exchange(stack.gateway(), &[two.as_bytes()], Duration::from_secs(1)).await;
    assert!(matches!(statuses(&answer).as_slice(), [200, 200] | [200]), "{:?}", statuses(&answer));
}

/// Who drips a head byte by byte is shown the door at the deadline of the whole head; meanwhile others
/// are served.
#[tokio::test]
async fn a_dripping_client_is_cut_off() {
    let (stack, recorder) = behind_a_recorder().await;
    let start = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = tokio::net::TcpStream::connect(stack.gateway()).await.unwrap();
        stream.write_all(b"GET /probe/slow HTTP/1.1\r\nHost: localhost\r\nX-A: ").await.unwrap();
        slow.push(stream);
    }
    let mut first = slow.remove(0);
    let mut buffer = [0; 1_024];
    let mut dripped = 0;
    loop {
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "still open after 10 s, {dripped} bytes dripped"
        );
        if first.write_all(b"a").await.is_err() {
            break;
        }
        dripped += 1;
        match tokio::time::timeout(Duration::from_millis(200), first.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(read)) => {
                assert!(
                    statuses(&buffer[..read])
                        .first()
                        .is_none_or(|status| [400, 408].contains(status))
                );
            }
            Err(_) => {}
        }
        if dripped == 3 {
            let plain =
                b"GET /probe/plain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            let answer = exchange(stack.gateway(), &[plain], Duration::from_secs(2)).await;
            assert_eq!(statuses(&answer), [200], "others are served meanwhile");
        }
    }
    assert!(start.elapsed() > Duration::from_secs(1), "not before the deadline of 2 s");
    assert!(!recorder.take().contains("/probe/slow"));
}
