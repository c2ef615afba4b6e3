//! Every line of what the gateway has to refuse itself (section 2a of the gateway research), as raw bytes:
//! refused with the right status, the connection closed, nothing forwarded, the upstream's connections
//! clean. Beside each group a control: what is legitimate and looks like it passes.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::harness::{Answer, House, exchange_slowly};

const SMUGGLED: &str = "GET /open/smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends each of `requests` and expects `status` and the rule `rule`, and nothing at the upstream.
async fn refuses(house: &House, status: u16, requests: &[(String, &str)]) {
    let before = house.upstream.requests().len();
    for (request, rule) in requests {
        let answers = house.raw(request).await;
        let shown = request.escape_debug();
        assert_eq!(answers.len(), 1, "{shown}: {answers:#?}");
        let answer = &answers[0];
        assert_eq!(answer.status, status, "{shown}: {answer:#?}");
        assert_eq!(answer.field("connection"), Some("close"), "{shown}");
        assert_eq!(answer.problem()["rule"], *rule, "{shown}: {answer:#?}");
        assert_eq!(house.upstream.requests().len(), before, "{shown} was forwarded");
    }
    house.prove_clean().await;
}

/// Sends each of `requests`, which close the connection themselves, and expects 200.
async fn passes(house: &House, requests: &[String]) {
    for request in requests {
        let answers = house.raw(request).await;
        let shown = request.escape_debug();
        assert_eq!(answers.len(), 1, "{shown}: {answers:#?}");
        assert_eq!(answers[0].status, 200, "{shown}: {answers:#?}");
    }
    house.prove_clean().await;
}

fn get(fields: &str) -> String {
    format!("GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn content_length_that_is_not_one_number() {
    let house = House::open().await;
    let length = SMUGGLED.len();
    refuses(
        &house,
        400,
        &[
            (post(&format!("Content-Length: {length}, {length}\r\n"), SMUGGLED), "content-length"),
            (post("Content-Length: 84, 84\r\n", SMUGGLED), "content-length"),
            (
                post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
                "content-length-repeated",
            ),
            (
                post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello"),
                "content-length-repeated",
            ),
            (post("Content-Length: +5\r\n", "hello"), "content-length"),
            (post("Content-Length: -1\r\n", "hello"), "content-length"),
            (post("Content-Length: 0x5\r\n", "hello"), "content-length"),
            (post("Content-Length: 5 \x0b\r\n", "hello"), "field-value"),
            (post("Content-Length: 5a\r\n", "hello"), "content-length"),
            (post("Content-Length:\r\n", ""), "content-length"),
            (post("Content-Length: 99999999999999999999\r\n", "hello"), "content-length"),
            (post("Content_Length: 5\r\n", ""), "aliased-field"),
            (post("Content-Length : 5\r\n", "hello"), "field-name"),
        ],
    )
    .await;
    passes(
        &house,
        &[
            post("Content-Length: 5\r\n", "hello"),
            post("Content-Length:005\r\n", "hello"),
            post("Content-Length: 0\r\n", ""),
        ],
    )
    .await;
    let bodies: Vec<_> =
        house.upstream.requests().into_iter().filter(|it| it.target() == "/open/x").collect();
    assert_eq!(bodies[0].body, b"hello");
    assert_eq!(bodies[1].body, b"hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn transfer_encoding_that_is_not_chunked_alone() {
    let house = House::open().await;
    let chunks = format!("0\r\n\r\n{SMUGGLED}");
    refuses(
        &house,
        400,
        &[
            (
                post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &chunks),
                "content-length-and-transfer-encoding",
            ),
            (
                post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &chunks),
                "content-length-and-transfer-encoding",
            ),
            (post("Transfer-Encoding: gzip, chunked\r\n", &chunks), "transfer-encoding"),
            (post("Transfer-Encoding: xchunked, chunked\r\n", &chunks), "transfer-encoding"),
            (post("Transfer-Encoding: chunked, identity\r\n", &chunks), "transfer-encoding"),
            (post("Transfer-Encoding: identity\r\n", &chunks), "transfer-encoding"),
            (post("Transfer-Encoding: xchunked\r\n", &chunks), "transfer-encoding"),
            (post("Transfer-Encoding: \"chunked\"\r\n", &chunks), "transfer-encoding"),
            (post("Transfer-Encoding: chunked;q=1\r\n", &chunks), "transfer-encoding"),
            (
                post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", &chunks),
                "transfer-encoding",
            ),
            (post("Transfer-Encoding:\x0bchunked\r\n", &chunks), "field-value"),
            (post("Transfer-Encoding:\r\n chunked\r\n", &chunks), "transfer-encoding"),
            (post("Transfer_Encoding: chunked\r\n", &chunks), "aliased-field"),
            (
                format!(
                    "POST /open/x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
                ),
                "transfer-encoding-http10",
            ),
        ],
    )
    .await;
    passes(
        &house,
        &[
            post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            post("transfer-encoding:\tChunked \r\n", "2;x=\"y\"\r\nhi\r\n0\r\nETag: a\r\n\r\n"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunk_framing_that_others_read_differently() {
    let house = House::open().await;
    let with = |body: &str| post("Transfer-Encoding: chunked\r\n", body);
    refuses(
        &house,
        400,
        &[
            (with(&format!("\r\n\r\n{SMUGGLED}")), "chunk-size"),
            (with(&format!(";x\r\n\r\n{SMUGGLED}")), "chunk-size"),
            (with("0x5\r\nhello\r\n0\r\n\r\n"), "chunk-size"),
            (with(" 5\r\nhello\r\n0\r\n\r\n"), "chunk-size"),
            (with("5 \r\nhello\r\n0\r\n\r\n"), "chunk-size"),
            (with("-5\r\nhello\r\n0\r\n\r\n"), "chunk-size"),
            (with("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), "chunk-size"),
            (with("5\nhello\n0\n\n"), "chunk-size"),
            (with("5;a\nhello\r\n0\r\n\r\n"), "chunk-extension"),
            (with("5\r\nhello!!\r\n0\r\n\r\n"), "chunk-end"),
            (with("5\r\nhello0\r\n\r\n"), "chunk-end"),
            (with("5\r\nhello\r\n0\r\nHost: b\r\n\r\n"), "trailers"),
            (with("5\r\nhello\r\n0\r\nX-Haetae-User: b\r\n\r\n"), "trailers"),
            (with("5\r\nhello\r\n0\r\nx: y\n\r\n"), "bare-line-feed"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_chunk_in_a_later_segment_ends_there() {
    let house = House::open().await;
    for rest in ["\r\n\r\n", ";x\r\n\r\n"] {
        let head = post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n");
        let pieces: [&[u8]; 3] = [head.as_bytes(), rest.as_bytes(), SMUGGLED.as_bytes()];
        let answers = exchange_slowly(house.gateway, &pieces).await;
        assert_eq!(answers.len(), 1, "{answers:#?}");
        assert_eq!(answers[0].status, 400, "{answers:#?}");
        assert_eq!(answers[0].problem()["rule"], "chunk-size");
    }
    // What had come before the break may have reached the upstream as the beginning of a request; no
    // whole request ever did, least of all the one behind the break.
    assert_eq!(house.upstream.requests().len(), 0);
    house.prove_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn line_ends_and_field_lines() {
    let house = House::open().await;
    refuses(
        &house,
        400,
        &[
            ("GET /open/x HTTP/1.1\nHost: a\n\n".to_owned(), "bare-line-feed"),
            ("GET /open/x HTTP/1.1\r\nHost: a\n\r\n".to_owned(), "bare-line-feed"),
            ("GET /open/x HTTP/1.1\r\nHost: a\r\nX: y\r\n\n".to_owned(), "bare-line-feed"),
            (get("X: y\rZ: w\r\n"), "bare-carriage-return"),
            (get("X: y\r\n folded\r\n"), "obsolete-folding"),
            (get("X: y\r\n\tfolded\r\n"), "obsolete-folding"),
            ("GET /open/x HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(), "obsolete-folding"),
            (get("X: y\0z\r\n"), "field-value"),
            (get("X: y\x01z\r\n"), "field-value"),
            (get("X: y\x7fz\r\n"), "field-value"),
            (get("X : y\r\n"), "field-name"),
            (get("X\0: y\r\n"), "field-name"),
            (get("X y: z\r\n"), "field-name"),
            (get("(X): z\r\n"), "field-name"),
            (get(": z\r\n"), "field-name"),
            (get("no colon\r\n"), "field-name"),
            (get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), "field-repeated"),
            (get("Origin: http://a\r\nOrigin: http://b\r\n"), "field-repeated"),
            (get("Content-Type: a/b\r\ncontent-type: a/c\r\n"), "field-repeated"),
        ],
    )
    .await;
    passes(
        &house,
        &[
            get("X: y\tz\r\n"),
            get("X:\r\n"),
            get("x-!#$%&'*+.^_`|~: y\r\n"),
            get("Accept: a/b\r\nAccept: a/c\r\n"),
            format!("\r\n{}", get("")),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_six_rules_of_host() {
    let house = House::open().await;
    let with = |fields: &str| format!("GET /open/x HTTP/1.1\r\n{fields}Connection: close\r\n\r\n");
    refuses(
        &house,
        400,
        &[
            (with(""), "host-missing"),
            ("GET /open/x HTTP/1.0\r\n\r\n".to_owned(), "host-missing"),
            (with("Host: a\r\nHost: a\r\n"), "host-repeated"),
            (with("Host: a\r\nHost: b\r\n"), "host-repeated"),
            (with("Host: a\r\nhost:\r\n"), "host-repeated"),
            (with("Host:\r\n"), "host-invalid"),
            (with("Host: a, b\r\n"), "host-invalid"),
            (with("Host: a b\r\n"), "host-invalid"),
            (with("Host: a/b\r\n"), "host-invalid"),
            (with("Host: u@a\r\n"), "host-invalid"),
            (with("Host: http://a\r\n"), "host-invalid"),
            (with("Host: a:port\r\n"), "host-invalid"),
            (with("Host: a:99999\r\n"), "host-invalid"),
            (with("Host: [::1\r\n"), "host-invalid"),
            (with("Host: a?b\r\n"), "host-invalid"),
            (with("Host: a#b\r\n"), "host-invalid"),
        ],
    )
    .await;
    passes(
        &house,
        &[
            with("Host: a\r\n"),
            with("Host: example.com:8080\r\n"),
            with("Host: [2001:db8::1]:80\r\n"),
            with("HOST:\t127.0.0.1 \r\n"),
            "GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n".to_owned(),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_and_methods() {
    let house = House::open().await;
    let line = |line: &str| format!("{line}\r\nHost: a\r\nConnection: close\r\n\r\n");
    refuses(
        &house,
        400,
        &[
            (line("GET * HTTP/1.1"), "target-form"),
            (line("GET p/t HTTP/1.1"), "target-form"),
            (line("GET a:80 HTTP/1.1"), "target-form"),
            (line("GET ftp://a/ HTTP/1.1"), "target-form"),
            (line("GET http://b/open/x HTTP/1.1"), "host-mismatch"),
            (line("GET http://u@a/open/x HTTP/1.1"), "host-mismatch"),
            (line("GET http:/open/x HTTP/1.1"), "target-form"),
            (line("CONNECT a:443 HTTP/1.1"), "connect"),
            (line("CONNECT /open/x HTTP/1.1"), "connect"),
            (line("G@T /open/x HTTP/1.1"), "method"),
            (line("GET /open/x"), "request-line"),
            (line("GET  /open/x HTTP/1.1"), "request-line"),
            (line("GET /open/x  HTTP/1.1"), "request-line"),
            (line("GET /open/x y HTTP/1.1"), "request-line"),
            (line("GET\t/open/x\tHTTP/1.1"), "request-line"),
            (line("GET /open/x HTTP/1.1 "), "request-line"),
            (line("GET /open/x http/1.1"), "request-line"),
            (line("GET /open/x#y HTTP/1.1"), "target-character"),
            (line("GET /open/\u{e9} HTTP/1.1"), "target-character"),
            (line("GET /open/%00 HTTP/1.1"), "ambiguous-path"),
            (line("GET /open%2fx HTTP/1.1"), "ambiguous-path"),
            (line("GET /open%5Cx HTTP/1.1"), "ambiguous-path"),
            (line("GET /open\\x HTTP/1.1"), "ambiguous-path"),
            (line("GET /open/../api HTTP/1.1"), "dot-segment"),
            (line("GET /open/%2e%2e/api HTTP/1.1"), "dot-segment"),
            (line("GET /open/..;/api HTTP/1.1"), "dot-segment"),
            (line("GET /open/%252e%252e/api HTTP/1.1"), "double-encoding"),
            (line("GET //open/x HTTP/1.1"), "empty-segment"),
            (line("GET /open/%zz HTTP/1.1"), "percent-encoding"),
        ],
    )
    .await;
    refuses(&house, 405, &[(line("TRACE /open/x HTTP/1.1"), "trace")]).await;
    refuses(
        &house,
        505,
        &[(line("GET /open/x HTTP/2.0"), "version"), (line("GET /open/x HTTP/1.9"), "version")],
    )
    .await;
    passes(
        &house,
        &[
            line("GET /open/x?a=%2F..%2f&b=c|d HTTP/1.1"),
            line("GET /open/a%20b;c=d HTTP/1.1"),
            line("GET http://a/open/absolute?q HTTP/1.1"),
            line("GET /%6fpen/normal HTTP/1.1"),
            line("GET /open/x HTTP/1.0"),
        ],
    )
    .await;
    let targets: Vec<String> =
        house.upstream.requests().iter().map(|it| it.target().to_owned()).collect();
    assert!(targets.contains(&"/open/absolute?q".to_owned()), "{targets:?}");
    assert!(targets.contains(&"/open/normal".to_owned()), "{targets:?}");
    let options = house.raw(line("OPTIONS * HTTP/1.1")).await;
    assert_eq!(options[0].status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_fields_in_any_spelling() {
    let house = House::open().await;
    let names = [
        "X-Haetae-User",
        "x-haetae-sub",
        "X_Haetae_User",
        "X.Haetae.User",
        "x-HAETAE_user",
        "X-Haetae",
        "X_HAETAE-BROWSER",
        "X-Haetae.Browser",
    ];
    let requests: Vec<_> =
        names.iter().map(|name| (get(&format!("{name}: 1\r\n")), "identity-field")).collect();
    // The static field has one spelling; its aliases are refused like all the others.
    let requests: Vec<_> =
        requests.into_iter().filter(|(request, _)| !request.contains("_HAETAE-")).collect();
    refuses(&house, 400, &requests).await;
    passes(&house, &[get("X-Haetae-Browser: 1\r\n"), get("X-Haeta: 1\r\n")]).await;
    let seen = house.upstream.requests();
    assert!(seen.iter().all(|request| !request.head.to_lowercase().contains("x-haetae")));
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_take_away_what_is_ours() {
    let house = House::open().await;
    let with = |value: &str| {
        format!("GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close, {value}\r\n\r\n")
    };
    refuses(
        &house,
        400,
        &[
            (with("Host"), "connection-option"),
            (with("X-Forwarded-For"), "connection-option"),
            (with("x_forwarded_host"), "connection-option"),
            (with("Authorization"), "connection-option"),
            (with("X-Request-Id"), "connection-option"),
            (with("\"X-Forwarded-For\""), "connection-option"),
            (with(":authority"), "connection-option"),
            (with("a, b, c, d, e, f, g, h, i"), "connection-option"),
        ],
    )
    .await;
    let request = "GET /open/hop HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: 5\r\n\
        TE: trailers\r\nProxy-Authorization: x\r\nProxy-Connection: y\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\
        X-Other: 2\r\n\r\n";
    passes(&house, &[request.to_owned()]).await;
    let seen = house.upstream.requests();
    let seen = seen.iter().find(|it| it.target() == "/open/hop").expect("forwarded");
    for gone in [
        "x-mine",
        "keep-alive",
        "te",
        "proxy-authorization",
        "proxy-connection",
        "upgrade",
        "http2-settings",
    ] {
        assert_eq!(seen.field(gone), None, "{gone}: {}", seen.head);
    }
    assert_eq!(seen.field("x-other"), Some("2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_after_an_upgrade_request_are_the_next_request() {
    let house = House::open().await;
    // CVE-2026-2833: what followed an upgrade went to the upstream as it was.
    let pair = format!(
        "GET /open/upgrade HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{}",
        get("X-Second: 1\r\n")
    );
    let answers = house.raw(pair).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200], "{answers:#?}");
    let seen = house.upstream.requests();
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert_eq!(seen[0].field("upgrade"), None);
    assert_eq!(seen[1].field("x-second"), Some("1"));
    house.prove_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_requests_are_answered_in_order() {
    let house = House::open().await;
    let requests: String = (0..20)
        .map(|at| match at % 3 {
            0 => format!("GET /open/{at} HTTP/1.1\r\nHost: a\r\n\r\n"),
            1 => format!("POST /open/{at} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
            _ => format!(
                "POST /open/{at} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ),
        })
        .collect();
    let answers = house.raw(requests).await;
    assert_eq!(answers.len(), 20, "{answers:#?}");
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer.body, format!("{{\"path\":\"/open/{at}\"}}"));
    }
    let seen = house.upstream.requests();
    assert!(seen.iter().all(|it| it.body.is_empty() || it.body == b"abc"), "{seen:#?}");
    house.prove_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_and_targets_that_are_too_large() {
    let house = House::with(|config| {
        config.gateway.max_header_bytes = "4KiB".parse().expect("size");
        config.gateway.max_uri_bytes = "512B".parse().expect("size");
        config.gateway.max_headers = 20;
    })
    .await;
    let long = "a".repeat(600);
    let line =
        |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    refuses(
        &house,
        414,
        &[
            (line(&format!("/open/{long}")), "target-too-long"),
            (line(&format!("/open/x?{long}")), "target-too-long"),
            (format!("GET /open/{}", "a".repeat(8000)), "target-too-long"),
        ],
    )
    .await;
    refuses(
        &house,
        431,
        &[
            (get(&"X: y\r\n".repeat(19)), "too-many-fields"),
            (get(&format!("X: {}\r\n", "y".repeat(5000))), "head-too-large"),
            (format!("GET /open/x HTTP/1.1\r\nX: {}", "y".repeat(9000)), "head-too-large"),
        ],
    )
    .await;
    passes(
        &house,
        &[
            get(&"X: y\r\n".repeat(18)),
            line(&format!("/open/{}", "a".repeat(500))),
            get(&format!("X: {}\r\n", "y".repeat(3500))),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_or_lie() {
    let house = House::with(|config| {
        config.gateway.max_body_bytes = "1KiB".parse().expect("size");
    })
    .await;
    let big = "x".repeat(2000);
    let declared = house.raw(post("Content-Length: 2000\r\n", &big)).await;
    assert_eq!(declared[0].status, 413, "{declared:#?}");
    assert_eq!(declared[0].problem()["type"], "urn:haetae:problem:content-too-large");
    assert_eq!(house.upstream.requests().len(), 0);
    let chunked = post("Transfer-Encoding: chunked\r\n", &format!("7d0\r\n{big}\r\n0\r\n\r\n"));
    let chunked = house.raw(chunked).await;
    assert_eq!(chunked[0].status, 413, "{chunked:#?}");
    assert_eq!(house.upstream.requests().len(), 0);
    house.prove_clean().await;
    // A client that goes away in the middle leaves nothing behind.
    let mut stream = TcpStream::connect(house.gateway).await.expect("connects");
    let half = b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf";
    stream.write_all(half).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stream);
    house.prove_clean().await;
    passes(&house, &[post("Content-Length: 1024\r\n", &"x".repeat(1024))]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_deadline_as_a_whole() {
    let house = House::with(|config| {
        config.gateway.header_timeout = "500ms".parse().expect("duration");
    })
    .await;
    let mut stream = TcpStream::connect(house.gateway).await.expect("connects");
    stream.write_all(b"GET /open/x HTTP/1.1\r\nHost: a\r\nX: ").await.expect("sent");
    let begun = std::time::Instant::now();
    let mut closed = None;
    // A byte every 50 ms never lets a timeout between two reads run out.
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut space = [0; 2048];
        match stream.try_read(&mut space) {
            Ok(count) => {
                closed = Some(String::from_utf8_lossy(&space[..count]).into_owned());
                break;
            }
            Err(_) => {
                if stream.write_all(b"y").await.is_err() {
                    break;
                }
            }
        }
    }
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(1500), "{took:?}");
    let answer = closed.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    // Nothing at all is closed without a word.
    let mut silent = TcpStream::connect(house.gateway).await.expect("connects");
    let mut space = [0; 16];
    let read = tokio::time::timeout(Duration::from_secs(2), silent.read(&mut space)).await;
    assert_eq!(read.expect("closed in time").expect("in order"), 0);
    // Two pieces within the deadline are fine.
    let pieces: [&[u8]; 3] =
        [b"GET /open/x HTT", b"P/1.1\r\nHost: a\r\nConnec", b"tion: close\r\n\r\n"];
    let answers: Vec<Answer> = exchange_slowly(house.gateway, &pieces).await;
    assert_eq!(answers[0].status, 200, "{answers:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_of_one_address_hold_only_so_much() {
    let house = House::open().await;
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..300 {
        let mut stream = TcpStream::connect(house.gateway).await.expect("connects");
        stream.write_all(b"GET /open/x HTTP/1.1\r\nHost:").await.expect("sent");
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for stream in &held {
        let mut space = [0; 1024];
        if let Ok(count) = stream.try_read(&mut space) {
            assert!(
                space[..count].starts_with(b"HTTP/1.1 503 "),
                "{}",
                space[..count].escape_ascii()
            );
            refused += 1;
        }
    }
    assert_eq!(refused, 300 - 256);
    // Who sends a head at once is served all the same.
    house.prove_clean().await;
    let refusals = "haetae_gateway_front_door_refusals_total";
    assert!(house.counted(refusals, "rule=\"too-many-slow\"").await >= f64::from(refused));
}

/// Whoever asks and asks and reads no answer is cut off, also where the gateway answers by itself.
#[tokio::test(flavor = "multi_thread")]
async fn who_never_reads_an_answer_is_cut_off() {
    let house = House::with(|config| {
        config.gateway.request_timeout = "500ms".parse().expect("duration");
    })
    .await;
    let asking = async {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let mut stream = socket.connect(house.gateway).await.expect("connects");
        let many = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
        while stream.write_all(many.as_bytes()).await.is_ok() {}
    };
    let cut_off = tokio::time::timeout(Duration::from_secs(30), asking).await;
    assert!(cut_off.is_ok(), "still held");
    house.prove_clean().await;
}
