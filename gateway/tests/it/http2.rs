//! HTTP/2: the same rules, and the traps of its way to HTTP/1.

use std::{path::Path, process::Command, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, Version};

use crate::harness::{Behaviour, House, tls};

fn certificate(folder: &Path) -> haetae_config::gateway::Tls {
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    haetae_config::gateway::Tls { certificate, key }
}

/// A gateway that serves TLS, and closes what is idle soon.
pub(crate) async fn house() -> House {
    House::with(|config| {
        std::fs::create_dir_all(&config.data_dir).expect("a folder");
        config.gateway.tls = Some(certificate(&config.data_dir));
        config.gateway.keepalive_timeout = "2s".parse().expect("duration");
    })
    .await
}

type Sender = h2::client::SendRequest<Bytes>;

async fn connect(house: &House) -> Sender {
    let stream = tls(house.gateway, &["h2"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
    tokio::spawn(connection);
    sender.ready().await.expect("ready")
}

fn request(method: Method, path: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .version(Version::HTTP_2)
        .uri(format!("https://localhost{path}"))
        .body(())
        .expect("a request")
}

/// Sends a request with `frames` of body, the last of which ends the stream.
async fn send(
    sender: &mut Sender,
    request: Request<()>,
    frames: &[&'static [u8]],
) -> Result<Response<Bytes>, h2::Error> {
    let mut sender = sender.clone().ready().await?;
    let (response, mut body) = sender.send_request(request, frames.is_empty())?;
    for (at, frame) in frames.iter().enumerate() {
        body.send_data(Bytes::from_static(frame), at + 1 == frames.len())?;
    }
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(Response::from_parts(head, Bytes::from(bytes)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_with_an_empty_frame_leaves_the_upstream_clean() {
    let house = house().await;
    let mut sender = connect(&house).await;
    // pingora#935: a second last chunk would poison the connection for whoever comes next on it.
    for frames in [&[b"hello".as_slice(), b""][..], &[b""], &[b"", b"hello", b""]] {
        let answer = send(&mut sender, request(Method::POST, "/open/upload"), frames)
            .await
            .expect("answered");
        assert_eq!(answer.status(), 200);
    }
    for count in 0..5 {
        let answer =
            send(&mut sender, request(Method::GET, "/open/after"), &[]).await.expect("answered");
        assert_eq!(answer.status(), 200, "{count}");
        assert_eq!(answer.body(), "{\"path\":\"/open/after\"}");
    }
    let seen = house.upstream.requests();
    assert_eq!(seen.len(), 8, "{seen:#?}");
    assert_eq!(seen[0].body, b"hello");
    assert_eq!(seen[2].body, b"hello");
    assert_eq!(house.upstream.malformed(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_in_fields_of_their_own_arrive_as_one() {
    let house = House::with(|config| {
        std::fs::create_dir_all(&config.data_dir).expect("a folder");
        config.gateway.tls = Some(certificate(&config.data_dir));
        for upstream in &mut config.gateway.upstreams {
            upstream.cookies = Some(vec!["a".to_owned(), "c".to_owned(), "haetae".to_owned()]);
        }
    })
    .await;
    let mut sender = connect(&house).await;
    let mut split = request(Method::GET, "/open/cookies");
    for cookie in ["a=1", "b=2; c=3", "haetae=secret"] {
        split.headers_mut().append("cookie", cookie.parse().expect("value"));
    }
    assert_eq!(send(&mut sender, split, &[]).await.expect("answered").status(), 200);
    assert_eq!(house.upstream.only().all("cookie"), ["a=1; c=3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_the_front_door_apply() {
    let house = house().await;
    let mut sender = connect(&house).await;
    let with = |fields: &[(&'static str, &'static str)]| {
        let mut request = request(Method::POST, "/open/x");
        for &(name, value) in fields {
            request.headers_mut().append(name, value.parse().expect("value"));
        }
        request
    };
    for (bad, rule) in [
        (with(&[("content-length", "5"), ("content-length", "5")]), "content-length-repeated"),
        (with(&[("x-haetae-user", "a")]), "identity-field"),
        (with(&[("x_haetae_user", "a")]), "identity-field"),
        (with(&[("authorization", "a"), ("authorization", "b")]), "field-repeated"),
        (request(Method::POST, "/open/../x"), "dot-segment"),
        (request(Method::POST, "/open%2fx"), "ambiguous-path"),
    ] {
        let shown = format!("{bad:?}");
        match send(&mut sender, bad, &[b"hello"]).await {
            Ok(answer) => {
                assert_eq!(answer.status(), 400, "{shown}");
                let problem: serde_json::Value =
                    serde_json::from_slice(answer.body()).expect("JSON");
                assert_eq!(problem["rule"], rule, "{shown}");
            }
            // The decoder refuses some by itself, with a reset of the stream.
            Err(error) => assert!(error.is_reset(), "{shown}: {error}"),
        }
    }
    for method in [Method::TRACE] {
        let answer = send(&mut sender, request(method, "/open/x"), &[]).await.expect("answered");
        assert_eq!(answer.status(), 405);
    }
    assert_eq!(house.upstream.requests().len(), 0, "{:#?}", house.upstream.requests());
    let good =
        send(&mut sender, with(&[("content-length", "5")]), &[b"hello"]).await.expect("answered");
    assert_eq!(good.status(), 200);
    let seen = house.upstream.only();
    assert_eq!(seen.field("host"), Some("localhost"));
    assert_eq!(seen.field("via"), Some("2.0 haetae"));
    assert_eq!(seen.body, b"hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_bring_no_identity() {
    let house = house().await;
    let mut sender = connect(&house).await.ready().await.expect("ready");
    let (response, mut body) =
        sender.send_request(request(Method::POST, "/open/x"), false).expect("sent");
    body.send_data(Bytes::from_static(b"hello"), false).expect("sent");
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-haetae-user", "admin".parse().expect("value"));
    trailers.insert("authorization", "Bearer x".parse().expect("value"));
    body.send_trailers(trailers).expect("sent");
    assert_eq!(response.await.expect("answered").status(), 200);
    let seen = house.upstream.only();
    assert_eq!(seen.body, b"hello");
    assert!(!seen.head.to_lowercase().contains("haetae-user"), "{}", seen.head);
    assert_eq!(seen.field("authorization"), None);
    let mut sender = connect(&house).await;
    for _ in 0..2 {
        let answer = send(&mut sender, request(Method::GET, "/open/after"), &[]).await;
        assert_eq!(answer.expect("answered").body(), "{\"path\":\"/open/after\"}");
    }
    assert_eq!(house.upstream.malformed(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_bomb_is_refused() {
    let house = house().await;
    let mut sender = connect(&house).await;
    let mut bomb = request(Method::GET, "/open/x");
    for _ in 0..90 {
        bomb.headers_mut().append("x-bomb", "a".repeat(1000).parse().expect("value"));
    }
    match send(&mut sender, bomb, &[]).await {
        Ok(answer) => assert_eq!(answer.status(), 431),
        Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error}"),
    }
    assert_eq!(house.upstream.requests().len(), 0);
    let mut sender = connect(&house).await;
    let answer = send(&mut sender, request(Method::GET, "/open/x"), &[]).await.expect("answered");
    assert_eq!(answer.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn http1_over_tls_has_the_same_door() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let house = house().await;
    for (request, status) in [
        ("GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200"),
        ("POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", "400"),
    ] {
        let mut stream = tls(house.gateway, &["http/1.1"]).await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered and closed in order");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    assert_eq!(house.upstream.requests().len(), 1);
    // Plain HTTP on the TLS port goes nowhere.
    let mut stream = tokio::net::TcpStream::connect(house.gateway).await.expect("connects");
    stream.write_all(b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let _closed = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/"), "{}", answer.escape_ascii());
    assert_eq!(house.upstream.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_the_clients_fault() {
    let house = House::with(|config| {
        std::fs::create_dir_all(&config.data_dir).expect("a folder");
        config.gateway.tls = Some(certificate(&config.data_dir));
        config.gateway.request_timeout = "700ms".parse().expect("duration");
    })
    .await;
    let mut sender = connect(&house).await;
    let mut begun = Vec::new();
    for _ in 0..6 {
        sender = sender.ready().await.expect("ready");
        let slow = request(Method::POST, "/open/slow");
        let (answer, mut body) = sender.send_request(slow, false).expect("sent");
        body.send_data(Bytes::from_static(b"{"), false).expect("sent");
        begun.push((answer, body));
    }
    for (answer, _body) in begun {
        assert_eq!(answer.await.expect("answered").status(), 408);
    }
    // Six in a row, and the service is asked as before.
    let answer =
        send(&mut sender, request(Method::GET, "/open/after"), &[]).await.expect("answered");
    assert_eq!(answer.status(), 200);
}

/// Many clients look for the answer only when they have sent everything, and take a stream that is closed
/// before for a failure.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_heard_out() {
    const PART: &[u8] = &[b' '; 16 * 1024];
    let house = house().await;
    let mut sender = connect(&house).await;
    let length = 24 << 20;
    let mut request = request(Method::POST, "/open/x");
    request.headers_mut().insert("content-length", length.into());
    let (response, mut body) = sender.send_request(request, false).expect("sent");
    let mut left = length;
    while left > 0 {
        body.reserve_capacity(PART.len().min(left));
        let capacity = std::future::poll_fn(|context| body.poll_capacity(context)).await;
        let part = capacity.expect("the stream is open").expect("room").min(left).min(PART.len());
        left -= part;
        body.send_data(Bytes::from_static(&PART[..part]), left == 0).expect("sent");
    }
    let response = response.await.expect("answered");
    assert_eq!(response.status(), 413);
    let mut answer = response.into_body();
    let text = answer.data().await.expect("a body").expect("whole");
    assert!(String::from_utf8_lossy(&text).contains("larger than is taken"), "{text:?}");
    assert_eq!(house.upstream.requests().len(), 0);
}

/// The service answered without waiting for the body, and the client neither sends nor resets: it would hold a
/// connection to the service for each of a hundred streams, for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_answered_request_that_never_ends_costs_its_connection() {
    let house = House::with(|config| {
        std::fs::create_dir_all(&config.data_dir).expect("a folder");
        config.gateway.tls = Some(certificate(&config.data_dir));
        config.gateway.request_timeout = "500ms".parse().expect("duration");
        // The whole may take longer than a piece of it.
        for route in &mut config.gateway.routes {
            route.timeout = Some("1m".parse().expect("duration"));
        }
    })
    .await;
    house.upstream.behave(Behaviour::Hasty);
    let stream = tls(house.gateway, &["h2"]).await;
    let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
    let mut connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("ready");
    let begin = |sender: &mut Sender| {
        let (answer, mut body) =
            sender.send_request(request(Method::POST, "/open/x"), false).expect("sent");
        body.send_data(Bytes::from_static(b"{"), false).expect("sent");
        (answer, body)
    };
    // The control: whoever goes on and ends keeps the connection.
    let (answer, mut body) = begin(&mut sender);
    assert_eq!(answer.await.expect("answered").status(), 404);
    for end in [false, false, false, true] {
        let wait = tokio::time::timeout(Duration::from_millis(300), &mut connection).await;
        assert!(wait.is_err(), "cut off although it goes on: {wait:?}");
        body.send_data(Bytes::from_static(b"}"), end).expect("sent");
    }
    let wait = tokio::time::timeout(Duration::from_secs(2), &mut connection).await;
    assert!(wait.is_err(), "cut off although it has ended: {wait:?}");

    let held: Vec<_> = (0..10).map(|_| begin(&mut sender)).collect();
    let mut bodies = Vec::new();
    for (answer, body) in held {
        assert_eq!(answer.await.expect("answered").status(), 404);
        bodies.push(body);
    }
    let cut_off = tokio::time::timeout(Duration::from_secs(10), connection).await;
    let _ended = cut_off.expect("cut off").expect("joined");
    let left_alone = async {
        while house.upstream.left_alone() < 11 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let let_go = tokio::time::timeout(Duration::from_secs(10), left_alone).await;
    assert!(let_go.is_ok(), "{} connections were let go", house.upstream.left_alone());
}

/// Where all places are taken, whoever asks nothing is told to go, and does go.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_makes_room_and_one_at_work_does_not() {
    let house = House::with(|config| {
        std::fs::create_dir_all(&config.data_dir).expect("a folder");
        config.gateway.tls = Some(certificate(&config.data_dir));
        config.gateway.max_connections = 3;
    })
    .await;
    house.upstream.behave(Behaviour::Stream);
    let open = async || {
        let stream = tls(house.gateway, &["h2"]).await;
        let (sender, connection) = h2::client::handshake(stream).await.expect("a handshake");
        (sender.ready().await.expect("ready"), tokio::spawn(connection))
    };
    let (mut busy, at_work) = open().await;
    let (answer, _) = busy.send_request(request(Method::GET, "/open/x"), true).expect("sent");
    let mut events = answer.await.expect("answered").into_body();
    house.upstream.behave(Behaviour::Answer);
    let (mut idle, leaving) = open().await;
    let (mut other, or_leaving) = open().await;
    for sender in [&mut idle, &mut other] {
        let answer = send(sender, request(Method::GET, "/open/y"), &[]).await.expect("answered");
        assert_eq!(answer.status(), 200);
    }

    let (mut fresh, _connection) = open().await;
    let answer = send(&mut fresh, request(Method::GET, "/open/z"), &[]).await.expect("answered");
    assert_eq!(answer.status(), 200);
    let left = futures::future::select(leaving, or_leaving);
    let left = tokio::time::timeout(Duration::from_secs(5), left).await;
    let (ended, stays) = left.expect("one was told to go").factor_first();
    // It closes once the client knows that nothing more is taken; the client's own farewell may come too late.
    let ended = ended.expect("joined");
    assert!(ended.as_ref().err().is_none_or(h2::Error::is_io), "in order: {ended:?}");
    assert!(!stays.into_inner().is_finished(), "and only one");
    // The control: a stream goes on.
    for _ in 0..20 {
        assert!(events.data().await.expect("it goes on").is_ok());
    }
    assert!(!at_work.is_finished());
}

/// Whoever does not hear that it is to go is cut off: it would hold its place for as long as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_that_does_not_go_is_cut_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let house = House::with(|config| {
        std::fs::create_dir_all(&config.data_dir).expect("a folder");
        config.gateway.tls = Some(certificate(&config.data_dir));
        config.gateway.max_connections = 1;
        config.gateway.keepalive_timeout = "10m".parse().expect("duration");
    })
    .await;
    let mut deaf = tls(house.gateway, &["h2"]).await;
    let hello =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x08\x06\0\0\0\0\0are here";
    deaf.write_all(hello).await.expect("sent");
    let mut heard = Vec::new();
    while !heard.ends_with(b"are here") {
        assert_ne!(deaf.read_buf(&mut heard).await.expect("it answers the ping"), 0);
    }
    let mut fresh = connect(&house).await;
    let answer = send(&mut fresh, request(Method::GET, "/open/z"), &[]).await.expect("answered");
    assert_eq!(answer.status(), 200);
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), deaf.read_to_end(&mut rest)).await;
    let _cut_off = end.expect("it holds its place");
}
