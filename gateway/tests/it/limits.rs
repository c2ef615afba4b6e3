//! Rate limits: counted exactly, told in the fields of the draft.

use haetae_config::gateway::{Limit, LimitKey};

use crate::harness::{House, client};

fn limit(name: &str, key: LimitKey, quota: u32, burst: Option<u32>) -> Limit {
    Limit { name: name.to_owned(), key, quota, window: "1h".parse().expect("duration"), burst }
}

async fn house() -> House {
    House::with(|config| {
        config.gateway.limits = vec![
            limit("public", LimitKey::Address, 100, Some(5)),
            limit("api", LimitKey::Subject, 3, None),
            limit("client", LimitKey::Client, 4, None),
        ];
        config.gateway.trusted_proxies = vec!["127.0.0.0/8".parse().expect("range")];
        for route in &mut config.gateway.routes {
            route.limits = match route.name.as_str() {
                "open" => vec!["public".to_owned()],
                "api-thing" => vec!["api".to_owned(), "client".to_owned()],
                "api" => vec!["api".to_owned()],
                _ => continue,
            };
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_its_burst() {
    let house = house().await;
    let from =
        |address: &str| client().get(house.url("/open/x")).header("x-forwarded-for", address);
    for left in (0..5).rev() {
        let answer = from("192.0.2.1").send().await.expect("answered");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["ratelimit-policy"], "\"public\";q=100;w=3600;burst=5");
        let state = answer.headers()["ratelimit"].to_str().expect("text").to_owned();
        assert!(state.starts_with(&format!("\"public\";r={left};t=")), "{state}");
    }
    let refused = from("192.0.2.1").send().await.expect("answered");
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["ratelimit"], "\"public\";r=0;t=36");
    assert_eq!(refused.headers()["retry-after"], "36");
    let problem: serde_json::Value = refused.json().await.expect("JSON");
    assert_eq!(problem["type"], "urn:haetae:problem:rate-limited");
    assert_eq!(problem["retry_after"], 36);
    assert_eq!(problem["violated_policies"][0], "public");
    assert_eq!(house.upstream.requests().len(), 5);
    // Others have their own; of IPv6 a whole /64 is one.
    assert_eq!(from("192.0.2.2").send().await.expect("answered").status(), 200);
    for host in 1..=5 {
        assert_eq!(
            from(&format!("2001:db8::{host}")).send().await.expect("answered").status(),
            200
        );
    }
    assert_eq!(from("2001:db8::ffff").send().await.expect("answered").status(), 429);
    assert_eq!(from("2001:db8:0:1::1").send().await.expect("answered").status(), 200);
    assert!(house.counted("haetae_gateway_limited_total", "limit=\"public\"").await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_and_a_client_have_theirs() {
    let house = house().await;
    let call = async |sub: &str, client_id: &str| {
        let token = house.tokens.access_with(|claims| {
            claims.sub = sub.to_owned();
            claims.client_id = client_id.to_owned();
        });
        let answer = client().get(house.url("/api/v1/things/1")).bearer_auth(token).send().await;
        answer.expect("answered").status().as_u16()
    };
    // Whatever the address, whatever the token.
    for expected in [200, 200, 200, 429] {
        assert_eq!(call("usr_a", "one").await, expected);
    }
    assert_eq!(call("usr_b", "one").await, 200, "the fourth of this client");
    assert_eq!(call("usr_c", "one").await, 429, "and that is all it has");
    assert_eq!(call("usr_c", "two").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_is_counted_by_address() {
    let house = house().await;
    let call = async |address: &str, token: Option<&str>| {
        let mut request =
            client().get(house.url("/api/v1/things")).header("x-forwarded-for", address);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.expect("answered").status().as_u16()
    };
    for token in [None, Some("guess"), Some("a.b.c")] {
        assert_eq!(call("192.0.2.1", token).await, 401);
    }
    for token in [None, Some("guess"), Some("a.b.c")] {
        assert_eq!(call("192.0.2.1", token).await, 429, "{token:?}");
    }
    assert_eq!(call("192.0.2.2", None).await, 401, "others have their own");
    // Somebody who is known has a share of their own behind the same address, also for what they may not do.
    assert_eq!(call("192.0.2.1", Some(&house.tokens.access())).await, 200);
    let weak = house.tokens.access_with(|claims| {
        claims.sub = "usr_weak".to_owned();
        claims.scope = "things:write".parse().expect("scope");
    });
    for expected in [403, 403, 403, 429] {
        assert_eq!(call("192.0.2.3", Some(&weak)).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_gets_exactly_the_burst() {
    let house = house().await;
    let client = client();
    let calls = (0..60).map(|_| {
        let request = client.get(house.url("/open/x")).header("x-forwarded-for", "192.0.2.9");
        async move { request.send().await.expect("answered").status().as_u16() }
    });
    let statuses = futures::future::join_all(calls).await;
    assert_eq!(statuses.iter().filter(|&&status| status == 200).count(), 5);
    assert_eq!(statuses.iter().filter(|&&status| status == 429).count(), 55);
}
