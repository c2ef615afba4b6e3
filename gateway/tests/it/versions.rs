//! What the versions of HTTP do not share: nobody is answered in words of a later one, and what is said about one
//! connection is not said about the next.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Behaviour, House, tls};

/// Everything that comes back until the gateway closes.
async fn read_out(house: &House, request: &str) -> String {
    let mut stream = TcpStream::connect(house.gateway).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered and closed");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_gets_no_chunks_and_no_interim_answer() {
    let house = House::open().await;
    house.upstream.behave(Behaviour::Chunks);
    // Also when it asks to keep the connection, which such an answer cannot.
    for keep in ["", "Connection: keep-alive\r\n"] {
        let answer =
            read_out(&house, &format!("GET /open/x HTTP/1.0\r\nHost: a\r\n{keep}\r\n")).await;
        let lower = answer.to_lowercase();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!lower.contains("transfer-encoding"), "{answer}");
        assert!(lower.contains("connection: close"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nonetwo"), "{answer}");
    }
    // The control: a client of today gets both.
    let answer =
        read_out(&house, "GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 103 "), "{answer}");
    assert!(answer.to_lowercase().contains("transfer-encoding: chunked"), "{answer}");
    house.upstream.behave(Behaviour::Answer);
    let answer = read_out(&house, "GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(answer.ends_with("\r\n\r\n{\"path\":\"/open/x\"}"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_about_its_own_connection_stays_here() {
    let house = House::open().await;
    house.upstream.behave(Behaviour::Chunks);
    let answer =
        read_out(&house, "GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let lower = answer.to_lowercase();
    for gone in ["keep-alive", "x-hop", "trailer:"] {
        assert!(!lower.contains(gone), "{gone}: {answer}");
    }
    assert!(
        lower.contains("x-stays: 1") && lower.contains("transfer-encoding: chunked"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_is_passed_on_in_its_plain_form() {
    let house = House::open().await;
    for (length, body, plain) in [("0010", "0123456789", "10"), ("00", "", "0")] {
        let answers = house
            .raw(format!(
                "POST /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            ))
            .await;
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(answers[0].status, 200, "{answers:?}");
        let seen = house.upstream.last();
        assert_eq!(seen.field("content-length"), Some(plain));
        assert_eq!(seen.body, body.as_bytes());
    }
    house.prove_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tls_connection_ends_with_a_goodbye() {
    let house = super::http2::house().await;
    for request in [
        // Answered, and closed as was asked.
        "GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        // Refused at the door.
        "GET /open/x HTTP/1.1\r\n\r\n",
        // Idle until it is enough.
        "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut stream = tls(house.gateway, &["http/1.0", "http/1.1"]).await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // Without the goodbye, rustls calls this an unexpected end.
        stream.read_to_end(&mut answer).await.unwrap_or_else(|error| panic!("{request}: {error}"));
        assert!(answer.starts_with(b"HTTP/1.1 "), "{}", answer.escape_ascii());
    }
    // A client that knows the old version only is served, too.
    let stream = tls(house.gateway, &["http/1.0"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.0".as_slice()));
}
