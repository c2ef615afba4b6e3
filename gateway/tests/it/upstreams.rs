//! Services that are down, slow or odd.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::harness::{Behaviour, House, Recorder, client};

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    listener.local_addr().expect("bound")
}

async fn house(addresses: Vec<SocketAddr>, timeout: &'static str) -> House {
    House::with(move |config| {
        config.gateway.request_timeout = timeout.parse().expect("duration");
        config.gateway.upstream_connect_timeout = "500ms".parse().expect("duration");
        for upstream in &mut config.gateway.upstreams {
            if upstream.name == "reservation" && !addresses.is_empty() {
                upstream.addresses = addresses.iter().map(ToString::to_string).collect();
            }
        }
    })
    .await
}

async fn is_found_again(house: &House) {
    let begun = Instant::now();
    while client().get(house.url("/open/x")).send().await.expect("answered").status() != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "not found again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_service_is_answered_for_at_once_and_found_again() {
    let address = nobody().await;
    let house = house(vec![address], "5s").await;
    for count in 0..20 {
        let begun = Instant::now();
        let method = if count % 2 == 0 { reqwest::Method::GET } else { reqwest::Method::POST };
        let answer = client().request(method, house.url("/open/x")).send().await.expect("answered");
        assert_eq!(answer.status(), 503);
        let seconds: u64 =
            answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
        assert!((1..=60).contains(&seconds));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        let problem: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(problem["type"], "urn:haetae:problem:temporarily-unavailable");
    }
    assert!(house.metrics().await.contains(&format!(
        "haetae_gateway_upstream_up{{upstream=\"reservation\",address=\"{address}\"}} 0"
    )));
    // Back again: found by asking, not by failing people.
    let recorder = Recorder::at(address).await;
    is_found_again(&house).await;
    assert_eq!(recorder.only().target(), "/open/x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_hangs_is_answered_for_at_once_after_a_while() {
    let house = house(Vec::new(), "400ms").await;
    house.upstream.behave(Behaviour::Dead);
    let mut statuses = Vec::new();
    let mut last = Duration::MAX;
    for _ in 0..6 {
        let begun = Instant::now();
        let answer = client().get(house.url("/open/x")).send().await.expect("answered");
        statuses.push(answer.status().as_u16());
        last = begun.elapsed();
    }
    // People wait for it three times at most; then nobody does.
    assert!(statuses[..3].iter().all(|&status| status == 504 || status == 503), "{statuses:?}");
    assert_eq!(statuses[3..], [503, 503, 503]);
    assert!(last < Duration::from_millis(300), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_instance_of_two_costs_nobody_anything() {
    let alive = Recorder::start().await;
    let house = house(vec![nobody().await, alive.address], "5s").await;
    for count in 0..10 {
        let answer =
            client().post(house.url("/open/x")).body("once").send().await.expect("answered");
        assert_eq!(answer.status(), 200, "{count}");
    }
    let seen = alive.requests();
    assert_eq!(seen.len(), 10);
    assert!(seen.iter().all(|request| request.body == b"once"), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_share_the_work() {
    let (one, two) = (Recorder::start().await, Recorder::start().await);
    let house = house(vec![one.address, two.address], "5s").await;
    for _ in 0..20 {
        assert_eq!(
            client().get(house.url("/open/x")).send().await.expect("answered").status(),
            200
        );
    }
    assert_eq!((one.requests().len(), two.requests().len()), (10, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_does_not_answer_in_time() {
    let house = house(Vec::new(), "700ms").await;
    house.upstream.behave(Behaviour::Hang);
    let begun = Instant::now();
    let answer = client().get(house.url("/open/x")).send().await.expect("answered");
    assert_eq!(answer.status(), 504);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let problem: serde_json::Value = answer.json().await.expect("JSON");
    assert_eq!(problem["type"], "urn:haetae:problem:gateway-timeout");
    let timeouts = "status=\"504\",blame=\"upstream\"";
    assert!(house.counted("haetae_gateway_requests_total", timeouts).await >= 1.0);
    house.upstream.behave(Behaviour::Answer);
    house.prove_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_until_its_time_is_up() {
    let house = house(Vec::new(), "1s").await;
    house.upstream.behave(Behaviour::Stream);
    let begun = Instant::now();
    let mut answer = client().get(house.url("/open/x")).send().await.expect("answered");
    assert_eq!(answer.status(), 200);
    let first = answer.chunk().await.expect("sent").expect("an event");
    assert_eq!(first.as_ref(), b"data: x\n\n");
    assert!(begun.elapsed() < Duration::from_millis(500), "events are not held back");
    let mut events = 1;
    // Cut in the middle: the client can tell that it was not all.
    loop {
        match answer.chunk().await {
            Ok(Some(_)) => events += 1,
            Ok(None) => panic!("the stream seems to have ended in order"),
            Err(_) => break,
        }
    }
    assert!(events > 10, "{events}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_a_bad_gateway_and_is_not_repeated() {
    let house = house(Vec::new(), "2s").await;
    for behaviour in [Behaviour::Junk, Behaviour::Close, Behaviour::Switch] {
        house.upstream.behave(behaviour);
        let before = house.upstream.requests().len();
        let answer =
            client().post(house.url("/open/x")).body("pay").send().await.expect("answered");
        assert_eq!(answer.status(), 502, "{behaviour:?}");
        let problem: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(problem["type"], "urn:haetae:problem:bad-gateway");
        assert_eq!(house.upstream.requests().len(), before + 1, "{behaviour:?}: never sent twice");
    }
    house.upstream.behave(Behaviour::Answer);
    // Three in a row: nobody asks it any more, until it says that it lives.
    is_found_again(&house).await;
    house.prove_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_connection_is_tried_again_for_what_may_be_repeated() {
    let house = house(Vec::new(), "2s").await;
    assert_eq!(
        client().get(house.url("/open/first")).send().await.expect("answered").status(),
        200
    );
    // The pooled connection is good until it is used.
    house.upstream.behave(Behaviour::Close);
    let second = client().get(house.url("/open/second")).send().await.expect("answered");
    assert_eq!(second.status(), 503);
    let seen = house.upstream.requests();
    let tries = seen.iter().filter(|request| request.target() == "/open/second").count();
    assert_eq!(tries, 2, "once on the old connection, once on a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_cut_off_says_whether_it_may_be_sent_again() {
    for (method, key, status) in [
        (reqwest::Method::GET, None, 503),
        (reqwest::Method::DELETE, None, 503),
        (reqwest::Method::POST, Some("k1"), 503),
        (reqwest::Method::POST, None, 502),
    ] {
        let house = house(Vec::new(), "2s").await;
        house.upstream.behave(Behaviour::Close);
        let mut request = client().request(method, house.url("/open/x"));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.expect("answered");
        assert_eq!(answer.status(), status, "{answer:?}");
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
        assert_eq!(house.upstream.requests().len(), 1, "never sent twice on a new connection");
    }
}

/// Leaves `count` idle connections to the upstream in the gateway's pool.
async fn fill_pool(house: &House, count: usize) {
    house.upstream.behave(Behaviour::Late);
    let calls = (0..count).map(|_| client().get(house.url("/open/first")).send());
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.expect("answered").status(), 200);
    }
    let seen = house.upstream.requests();
    let used: std::collections::HashSet<_> = seen.iter().map(|seen| seen.connection).collect();
    assert_eq!(used.len(), count, "one connection each");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_pooled_connections_are_stale_a_new_one_is_made() {
    let house = house(Vec::new(), "5s").await;
    fill_pool(&house, 5).await;
    house.upstream.behave(Behaviour::CloseOld);
    let before = house.upstream.requests().len();
    let answer = client().get(house.url("/open/second")).send().await.expect("answered");
    assert_eq!(answer.status(), 200);
    assert_eq!(house.upstream.requests().len(), before + 2, "an old one and a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_just_died_is_unavailable_and_not_a_bad_gateway() {
    let house = house(Vec::new(), "5s").await;
    fill_pool(&house, 5).await;
    house.upstream.behave(Behaviour::Close);
    house.upstream.refuse().await;
    let post = client().post(house.url("/open/pay")).body("pay").send().await.expect("answered");
    assert_eq!(post.status(), 502, "it may have arrived");
    assert!(post.headers().contains_key("retry-after"));
    let get = client().get(house.url("/open/second")).send().await.expect("answered");
    assert_eq!(get.status(), 503);
    assert!(get.headers().contains_key("retry-after"));
    let seen = house.upstream.requests();
    for (target, times) in [("/open/pay", 1), ("/open/second", 1)] {
        assert_eq!(seen.iter().filter(|seen| seen.target() == target).count(), times, "{target}");
    }
}

/// `count` clients that begin a body of 100 bytes and never go on; their answers.
async fn begun_bodies(house: &House, count: usize) -> Vec<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let begun = (0..count).map(|_| async {
        let mut stream = tokio::net::TcpStream::connect(house.gateway).await.expect("connects");
        let head = b"POST /open/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{";
        stream.write_all(head).await.expect("sent");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer));
        let _end = read.await.expect("the gateway waits for ever");
        String::from_utf8_lossy(&answer).into_owned()
    });
    futures::future::join_all(begun).await
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_are_the_clients_fault() {
    let house = house(Vec::new(), "700ms").await;
    let refused = async {
        let mut refused = 0;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_millis(25)).await;
            let answer = client().get(house.url("/open/x")).send().await.expect("answered");
            refused += u32::from(answer.status() != 200);
        }
        refused
    };
    let (slow, refused) = futures::future::join(begun_bodies(&house, 12), refused).await;
    assert_eq!(refused, 0, "others were refused");
    assert!(slow.iter().all(|answer| answer.starts_with("HTTP/1.1 408 ")), "{slow:#?}");
    assert!(house.metrics().await.contains(&format!(
        "haetae_gateway_upstream_up{{upstream=\"reservation\",address=\"{}\"}} 1",
        house.upstream.address
    )));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_has_a_deadline() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let house = house(Vec::new(), "600ms").await;
    let mut stream = tokio::net::TcpStream::connect(house.gateway).await.expect("connects");
    stream
        .write_all(b"POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        .await
        .expect("sent");
    let begun = Instant::now();
    let mut answer = Vec::new();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut space = [0; 2048];
        match stream.try_read(&mut space) {
            Ok(count) => {
                answer.extend_from_slice(&space[..count]);
                break;
            }
            Err(_) if stream.write_all(b"x").await.is_err() => break,
            Err(_) => {}
        }
    }
    let _rest = stream.read_to_end(&mut answer).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 408 ") || answer.starts_with("HTTP/1.1 504 "), "{answer}");
    house.prove_clean().await;
}
