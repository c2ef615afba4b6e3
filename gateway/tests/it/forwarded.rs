//! Where a request comes from, as the upstream hears it; what else goes through and what does not.

use crate::harness::House;

fn get(fields: &str) -> String {
    format!("GET /open/x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n{fields}\r\n")
}

const LIES: &str = "Forwarded: for=6.6.6.6;proto=https\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
    X-Forwarded-Host: evil.example\r\nX-Forwarded-Prefix: /evil\r\nX_Forwarded_For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n\
    X-Request-Id: chosen\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_believed() {
    let house = House::open().await;
    let answers = house.raw(get(LIES)).await;
    assert_eq!(answers[0].status, 200);
    let seen = house.upstream.only();
    assert!(!seen.head.contains("6.6.6.6") && !seen.head.contains("evil"), "{}", seen.head);
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.field("x-forwarded-host"), Some("a.example"));
    assert_eq!(seen.field("forwarded"), Some("for=127.0.0.1;host=\"a.example\";proto=http"));
    assert_eq!(seen.field("via"), Some("1.1 haetae"));
    let id = seen.field("x-request-id").expect("an id");
    assert_ne!(id, "chosen");
    assert_eq!(answers[0].field("x-request-id"), Some(id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is() {
    let house = House::with(|config| {
        config.gateway.trusted_proxies = vec!["127.0.0.0/8".parse().expect("range")];
    })
    .await;
    let answers = house.raw(get(LIES)).await;
    assert_eq!(answers[0].field("x-request-id"), Some("chosen"));
    let seen = house.upstream.only();
    assert_eq!(seen.field("x-forwarded-for"), Some("6.6.6.6"));
    assert_eq!(seen.field("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.field("x-forwarded-host"), Some("evil.example"));
    assert_eq!(seen.field("x-request-id"), Some("chosen"));
    assert_eq!(seen.field("x-forwarded-prefix"), None);
    assert_eq!(seen.field("forwarded"), Some("for=6.6.6.6;host=\"evil.example\";proto=https"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_behind_a_trusted_proxy_chooses_their_own_address() {
    let house = House::with(|config| {
        config.gateway.trusted_proxies = vec!["127.0.0.0/8".parse().expect("range")];
    })
    .await;
    // What a balancer makes of it that writes the one and lets the other through.
    for lie in [
        "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=6.6.6.6\r\n",
        "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=192.0.2.7\r\n",
    ] {
        house.raw(get(lie)).await;
        assert_eq!(house.upstream.last().field("x-forwarded-for"), Some("127.0.0.1"), "{lie}");
        assert!(!house.upstream.last().head.contains("6.6.6.6"), "{lie}");
    }
    for truth in ["X-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n", "Forwarded: for=192.0.2.7\r\n"] {
        house.raw(get(truth)).await;
        assert_eq!(house.upstream.last().field("x-forwarded-for"), Some("192.0.2.7"), "{truth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_through_and_internals_stay_inside() {
    let house = House::open().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answers = house
        .raw(get(&format!("traceparent: {trace}\r\ntracestate: a=b\r\nUser-Agent: t\r\n")))
        .await;
    let seen = house.upstream.only();
    assert_eq!(seen.field("traceparent"), Some(trace));
    assert_eq!(seen.field("tracestate"), Some("a=b"));
    assert_eq!(seen.field("user-agent"), Some("t"));
    assert_eq!(answers[0].field("server"), None);
    assert_eq!(answers[0].field("x-powered-by"), None);
    assert_eq!(answers[0].field("via"), Some("1.1 haetae"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_go_to_those_who_may_have_them() {
    let house = House::with(|config| {
        for upstream in &mut config.gateway.upstreams {
            upstream.cookies = Some(vec!["haetae-lang".to_owned(), "haetae".to_owned()]);
        }
    })
    .await;
    let cookies = "Cookie: haetae=secret; haetae-lang=ko; other=1\r\nCookie: __Host-Http-haetae=secret; haetae-login=secret\r\n";
    house.raw(get(cookies)).await;
    assert_eq!(house.upstream.only().all("cookie"), ["haetae-lang=ko"]);
    house.raw(get("Cookie: haetae=secret; other=1\r\n")).await;
    assert_eq!(house.upstream.last().all("cookie"), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_is_noticed() {
    let house = House::open().await;
    let answers = house.raw(get("Via: 1.1 haetae, 1.0 other, 1.1 haetae, 2.0 haetae\r\n")).await;
    assert_eq!(answers[0].status, 508, "{answers:#?}");
    assert_eq!(answers[0].problem()["type"], "urn:haetae:problem:loop-detected");
    assert_eq!(house.upstream.requests().len(), 0);
    house.raw(get("Via: 1.0 other\r\n")).await;
    assert_eq!(house.upstream.only().field("via"), Some("1.0 other, 1.1 haetae"));
}
