//! Starting and stopping.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::harness::{Behaviour, House, client};

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_gateway_stops_at_once() {
    let mut house = House::open().await;
    // Connections that wait for their next request, or for their first, hold nothing up.
    let mut idle = TcpStream::connect(house.gateway).await.expect("connects");
    let _silent = TcpStream::connect(house.gateway).await.expect("connects");
    idle.write_all(b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    let mut space = [0; 4096];
    assert_ne!(idle.read(&mut space).await.expect("answered"), 0);
    let begun = Instant::now();
    assert_eq!(house.stop().await, Ok(()));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(idle.read(&mut space).await.expect("closed in order"), 0);
    assert!(TcpStream::connect(house.gateway).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_finished() {
    let mut house = House::open().await;
    house.upstream.behave(Behaviour::Late);
    let url = house.url("/open/late");
    let call = tokio::spawn(async move { client().get(url).send().await });
    while house.upstream.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let admin = house.admin;
    house.shutdown.request();
    // Red while it drains, so that a load balancer sends nobody any more.
    let mut red = false;
    for _ in 0..100 {
        if let Ok(answer) = reqwest::get(format!("http://{admin}/readyz")).await {
            red |= answer.status() == 503;
        }
        if red {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(red);
    assert_eq!(house.stop().await, Ok(()));
    let answer = call.await.expect("joined").expect("answered");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["connection"], "close");
}

/// Whoever has just connected is about to ask: a connection that was accepted is not closed without a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_request_is_answered_although_the_stop_has_begun() {
    let mut house = House::open().await;
    let mut space = [0; 4096];
    let mut idle = TcpStream::connect(house.gateway).await.expect("connects");
    idle.write_all(b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    assert_ne!(idle.read(&mut space).await.expect("answered"), 0);
    let mut fresh = TcpStream::connect(house.gateway).await.expect("connects");
    // Accepted after it, so that the fresh one is being waited for.
    house.prove_clean().await;
    house.shutdown.request();
    assert_eq!(idle.read(&mut space).await.expect("closed: the stop has begun"), 0);
    fresh.write_all(b"GET /open/first HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    fresh.read_to_string(&mut answer).await.expect("answered and closed");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(house.stop().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_has_an_end() {
    let mut house =
        House::with(|config| config.gateway.drain = "500ms".parse().expect("duration")).await;
    house.upstream.behave(Behaviour::Hang);
    let url = house.url("/open/hang");
    let call = tokio::spawn(async move { client().get(url).send().await });
    while house.upstream.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    assert_eq!(house.stop().await, Ok(()));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(call.await.expect("joined").is_err(), "it was cut off");
}

type Change = Box<dyn FnOnce(&mut haetae_config::Config) + Send>;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_told_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("bound");
    let cases: Vec<(Change, &str)> = vec![
        (Box::new(move |config| config.gateway.listen = address.into()), "the port is in use"),
        (
            Box::new(move |config| config.gateway.admin.listen = address.into()),
            "gateway.admin.listen",
        ),
        (
            Box::new(|config| {
                let nowhere = "redis+unix:///nowhere/redis.sock".to_owned();
                config.redis.url = Some(haetae_config::SecretSource::plain(nowhere));
            }),
            "Redis does not answer at",
        ),
        (
            Box::new(|config| {
                let tls = config.data_dir.join("nothing.pem");
                config.gateway.tls =
                    Some(haetae_config::gateway::Tls { certificate: tls.clone(), key: tls });
            }),
            "gateway.tls: cannot read",
        ),
    ];
    for (change, says) in cases {
        let error =
            tokio::spawn(House::with(change)).await.err().expect("does not start").into_panic();
        let error = error.downcast_ref::<String>().expect("a text").clone();
        assert!(error.contains(says) && !error.contains("\\n"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_room_for_so_many_connections() {
    let house = House::with(|config| config.gateway.max_connections = 10).await;
    let refused = async || {
        house.counted("haetae_gateway_connections_refused_total", "reason=\"too-many\"").await
    };
    let before = refused().await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(TcpStream::connect(house.gateway).await.expect("connects"));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut one_more = TcpStream::connect(house.gateway).await.expect("the kernel accepts");
    let mut space = [0; 16];
    let read = tokio::time::timeout(Duration::from_secs(1), one_more.read(&mut space)).await;
    assert_eq!(read.expect("closed at once").unwrap_or(0), 0);
    held.clear();
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.prove_clean().await;
    assert!(refused().await > before, "and it is counted");
}

/// What one address holds is taken from all others.
#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_all_connections() {
    let house = House::with(|config| {
        config.gateway.max_connections = 20;
        config.gateway.max_connections_per_address = 5;
    })
    .await;
    let mut space = [0; 4096];
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(idle(&house, "127.0.0.2").await);
    }
    // They are idle, and still nobody's but its own.
    for _ in 0..3 {
        assert!(is_refused(connect(&house, "127.0.0.2").await).await);
    }
    assert_eq!(
        idle(&house, "127.0.0.3").await.try_read(&mut space).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::WouldBlock),
        "open"
    );
    house.prove_clean().await;
    let refused = "haetae_gateway_connections_refused_total{reason=\"too-many-from-address\"} ";
    assert!(house.metrics().await.contains(refused));
    // It gets back what it gives back.
    held.pop();
    let room = async {
        loop {
            if let Some(stream) = answered(&house, "127.0.0.2").await {
                break stream;
            }
        }
    };
    let mut again = tokio::time::timeout(Duration::from_secs(5), room).await.expect("room again");
    for stream in held.iter_mut().chain([&mut again]) {
        stream.write_all(b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("sent");
        assert_ne!(stream.read(&mut space).await.expect("answered"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_may_have_all_connections() {
    let house = House::with(|config| {
        config.gateway.max_connections = 20;
        config.gateway.max_connections_per_address = 5;
        config.gateway.trusted_proxies = vec!["127.0.0.2".parse().expect("an address")];
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..15 {
        held.push(idle(&house, "127.0.0.2").await);
    }
    // The control: who is no trusted proxy has its share.
    for _ in 0..5 {
        held.push(idle(&house, "127.0.0.3").await);
    }
    assert!(is_refused(connect(&house, "127.0.0.3").await).await);
}

/// An idle connection is worth less than a new one, and one that is at work more.
#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_for_new_ones() {
    let house = House::with(|config| config.gateway.max_connections = 10).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(idle(&house, "127.0.0.1").await);
    }
    let mut space = [0; 4096];
    let mut fresh = Vec::new();
    for _ in 0..10 {
        fresh.push(half_asked(&house).await);
    }
    for (number, stream) in held.iter_mut().enumerate() {
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut space)).await;
        assert!(matches!(read, Ok(Ok(0))), "in order, each for one that came; {number}: {read:?}");
    }
    for stream in &mut fresh {
        stream.write_all(b"\r\n").await.expect("sent");
        let count = stream.read(&mut space).await.expect("answered");
        assert!(space[..count].starts_with(b"HTTP/1.1 200 "), "{}", space[..count].escape_ascii());
    }
    assert!(house.metrics().await.contains("haetae_gateway_idle_connections_closed_total "));
}

async fn connect(house: &House, from: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from.parse::<Ipv4Addr>().expect("an address"), 0).into()).expect("binds");
    socket.connect(house.gateway).await.expect("the kernel accepts")
}

/// A connection that has had an answer and waits.
async fn idle(house: &House, from: &str) -> TcpStream {
    answered(house, from).await.expect("a place")
}

/// The same; `None` when it was refused.
async fn answered(house: &House, from: &str) -> Option<TcpStream> {
    let mut stream = connect(house, from).await;
    stream.write_all(b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n").await.ok()?;
    let mut space = [0; 4096];
    let count = stream.read(&mut space).await.ok().filter(|&count| count > 0)?;
    assert!(space[..count].starts_with(b"HTTP/1.1 200 "), "{}", space[..count].escape_ascii());
    Some(stream)
}

/// A connection that has half sent its first request.
async fn half_asked(house: &House) -> TcpStream {
    let mut stream = connect(house, "127.0.0.1").await;
    stream.write_all(b"GET /open/x HTTP/1.1\r\nHost: a\r\n").await.expect("sent");
    stream
}

async fn is_refused(mut stream: TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read(&mut [0; 16])).await;
    // A reset when it had sent something.
    read.is_ok_and(|read| read.unwrap_or(0) == 0)
}
