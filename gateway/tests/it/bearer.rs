//! `Authorization: Bearer` (RFC 6750, 9068, 9470), the denylist, and what happens without keys or Redis.

use std::time::Duration;

use haetae_keys::claims::{Acr, Audience, Confirmation};
use haetae_session::denylist::Kind;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::harness::{Behaviour, House, Tokens, client};

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("answered")
}

async fn get(house: &House, path: &str, token: &str) -> Response {
    send(client().get(house.url(path)).bearer_auth(token)).await
}

async fn problem(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    response.json().await.expect("JSON")
}

fn challenge(response: &Response) -> String {
    response.headers()["www-authenticate"].to_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_goes_through_as_the_only_identity() {
    let house = House::open().await;
    let token = house.tokens.access();
    for _ in 0..3 {
        assert_eq!(get(&house, "/api/v1/things", &token).await.status(), 200);
    }
    let seen = house.upstream.last();
    assert_eq!(seen.field("authorization"), Some(format!("Bearer {token}").as_str()));
    assert!(!seen.head.to_lowercase().contains("x-haetae"));
    let optional = get(&house, "/", &token).await;
    assert_eq!(optional.status(), 200);
    assert_eq!(send(client().get(house.url("/"))).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_told_why() {
    let house = House::open().await;
    let hour = Duration::from_hours(1);
    let tokens = &house.tokens;
    let other_key = Tokens::new();
    for (name, token) in [
        ("expired", tokens.access_with(|claims| claims.exp = claims.iat.minus(hour))),
        ("of another issuer", tokens.access_with(|claims| claims.iss = "http://other".to_owned())),
        (
            "for another audience",
            tokens.access_with(|claims| claims.aud = Audience::one("http://other")),
        ),
        ("from the future", tokens.access_with(|claims| claims.iat = claims.iat.plus(hour))),
        ("an ID token", tokens.id(None, "sid_1")),
        ("signed by somebody else", other_key.access()),
        ("cut off", tokens.access()[..100].to_owned()),
        ("nonsense", "a.b.c".to_owned()),
    ] {
        for path in ["/api/v1/things", "/"] {
            let answer = get(&house, path, &token).await;
            assert_eq!(answer.status(), 401, "{name}");
            let challenge = challenge(&answer);
            assert!(
                challenge.starts_with("Bearer realm=\"haetae\", error=\"invalid_token\""),
                "{name}: {challenge}"
            );
            assert!(!challenge.contains(&token));
            assert_eq!(problem(answer).await["type"], "urn:haetae:problem:invalid-token", "{name}");
        }
    }
    let bound = tokens.access_with(|claims| {
        claims.cnf = Some(
            serde_json::from_value::<Confirmation>(
                serde_json::json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
            )
            .expect("cnf"),
        );
    });
    let answer = get(&house, "/api/v1/things", &bound).await;
    assert_eq!(answer.status(), 401);
    assert!(challenge(&answer).contains("bound to a key"), "{}", challenge(&answer));
    assert_eq!(house.upstream.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_none_or_too_many() {
    let house = House::open().await;
    let nobody = send(client().get(house.url("/api/v1/things"))).await;
    assert_eq!(nobody.status(), 401);
    // No error code: nothing was wrong, something was missing (RFC 6750 3.1).
    assert_eq!(challenge(&nobody), "Bearer realm=\"haetae\"");
    let told = problem(nobody).await;
    assert_eq!(told["type"], "urn:haetae:problem:unauthenticated");
    assert!(told["login_url"].as_str().expect("a URL").starts_with("/session/login?"), "{told}");

    let token = house.tokens.access();
    for field in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b"] {
        let answer =
            send(client().get(house.url("/api/v1/things")).header("authorization", field)).await;
        assert_eq!(answer.status(), 400, "{field}");
        assert!(challenge(&answer).contains("invalid_request"), "{field}");
    }
    for field in ["Basic YTpi", &format!("DPoP {token}")] {
        let answer =
            send(client().get(house.url("/api/v1/things")).header("authorization", field)).await;
        assert_eq!(answer.status(), 401, "{field}");
    }
    for query in [format!("access_token={token}"), format!("%61ccess_token={token}")] {
        for request in [
            client().get(house.url(&format!("/api/v1/things?{query}"))),
            client().get(house.url(&format!("/api/v1/things?{query}"))).bearer_auth(&token),
        ] {
            assert_eq!(send(request).await.status(), 400);
        }
    }
    let both =
        client().get(house.url("/api/v1/things")).bearer_auth(&token).header("cookie", "haetae=x");
    assert_eq!(send(both).await.status(), 400);
    assert_eq!(house.upstream.requests().len(), 0);
    // One space or more (RFC 9110 11.4). What was verified is what arrives, spaces and all.
    let spaced = format!("Bearer  {token}");
    let answer =
        send(client().get(house.url("/api/v1/things")).header("authorization", &spaced)).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(house.upstream.last().field("authorization"), Some(spaced.as_str()));
    // Another cookie is no credential.
    let other =
        client().get(house.url("/api/v1/things")).bearer_auth(&token).header("cookie", "x=y");
    assert_eq!(send(other).await.status(), 200);
    // Where nobody looks, credentials pass as they came.
    let basic = client().get(house.url("/open/x")).basic_auth("a", Some("b"));
    assert_eq!(send(basic).await.status(), 200);
    assert_eq!(house.upstream.last().field("authorization"), Some("Basic YTpi"));
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_and_step_up() {
    let house = House::open().await;
    let tokens = &house.tokens;
    let weak = tokens.access_with(|claims| claims.scope = "things:write".parse().expect("scope"));
    let answer = get(&house, "/api/v1/things", &weak).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(
        challenge(&answer),
        "Bearer realm=\"haetae\", error=\"insufficient_scope\", scope=\"things:read\""
    );
    assert_eq!(problem(answer).await["scope"], "things:read");

    let one_factor = tokens.access_with(|claims| claims.acr = Some(Acr::OneFactor));
    let silent = tokens.access_with(|claims| claims.acr = None);
    let old = tokens.access_with(|claims| {
        claims.auth_time = claims.auth_time.map(|at| at.minus(Duration::from_mins(6)));
    });
    let timeless = tokens.access_with(|claims| claims.auth_time = None);
    for (name, token) in
        [("1fa", one_factor), ("no acr", silent), ("old", old), ("no auth_time", timeless)]
    {
        let answer = get(&house, "/api/v1/strong", &token).await;
        assert_eq!(answer.status(), 401, "{name}");
        assert_eq!(
            challenge(&answer),
            "Bearer realm=\"haetae\", error=\"insufficient_user_authentication\", acr_values=\"2fa\", max_age=\"300\"",
            "{name}"
        );
        let told = problem(answer).await;
        assert_eq!(told["type"], "urn:haetae:problem:insufficient-user-authentication");
        assert_eq!((&told["acr_values"], &told["max_age"]), (&"2fa".into(), &300.into()));
    }
    let stronger = tokens.access_with(|claims| claims.acr = Some(Acr::PhishingResistant));
    assert_eq!(get(&house, "/api/v1/strong", &stronger).await.status(), 200);
    assert_eq!(get(&house, "/api/v1/strong", &tokens.access()).await.status(), 200);
}

async fn becomes(house: &House, path: &str, token: &str, status: u16) -> Response {
    for _ in 0..600 {
        let answer = get(house, path, token).await;
        if answer.status() == status {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} never answers {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_though_it_was_remembered() {
    let house = House::open().await;
    for kind in [Kind::Jti, Kind::Sid, Kind::Sub, Kind::ClientId] {
        let name = format!("one of {kind:?}");
        let mut jti = String::new();
        let token = house.tokens.access_with(|claims| {
            claims.sub.clone_from(&name);
            claims.sid = Some(name.clone());
            claims.client_id.clone_from(&name);
            jti.clone_from(&claims.jti);
        });
        for _ in 0..3 {
            assert_eq!(get(&house, "/api/v1/things", &token).await.status(), 200);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
        house.denylist.revoke(kind, if kind == Kind::Jti { &jti } else { &name }).await;
        let refused = becomes(&house, "/api/v1/things", &token, 401).await;
        assert!(challenge(&refused).contains("the token was revoked"), "{kind:?}");
        // For good, and only that one.
        assert_eq!(get(&house, "/api/v1/things", &token).await.status(), 401);
        assert_eq!(get(&house, "/api/v1/things", &house.tokens.access()).await.status(), 200);
    }
}

/// Reads a stream to its end and says how long that took.
async fn end_of(mut stream: Response) -> Duration {
    let begun = std::time::Instant::now();
    let end = async {
        loop {
            match stream.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream seems to have ended in order"),
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(8), end).await.expect("the stream is still open");
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_ends_with_its_token() {
    let house = House::open().await;
    house.upstream.behave(Behaviour::Stream);
    let mut jti = String::new();
    let token = house.tokens.access_with(|claims| jti.clone_from(&claims.jti));
    let (watched, other) = (
        get(&house, "/api/v1/things", &token).await,
        get(&house, "/api/v1/things", &house.tokens.access()).await,
    );
    assert_eq!((watched.status().as_u16(), other.status().as_u16()), (200, 200));
    house.denylist.revoke(Kind::Jti, &jti).await;
    assert!(end_of(watched).await < Duration::from_secs(5));
    // Another person's goes on.
    let more = tokio::time::timeout(Duration::from_millis(1500), end_of(other)).await;
    assert!(more.is_err(), "a stream ended for nothing");

    let short = house.tokens.access_with(|claims| {
        claims.exp = claims.iat.plus(Duration::from_secs(3));
    });
    let watched = get(&house, "/api/v1/things", &short).await;
    assert_eq!(watched.status(), 200);
    assert!(end_of(watched).await < Duration::from_secs(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blind_gateway_does_what_the_route_says() {
    let house = House::with(|config| {
        config.denylist.max_staleness = "500ms".parse().expect("duration");
    })
    .await;
    let token = house.tokens.access();
    assert_eq!(get(&house, "/api/v1/things", &token).await.status(), 200);
    let mut jti = String::new();
    let revoked = house.tokens.access_with(|claims| jti.clone_from(&claims.jti));
    house.denylist.revoke(Kind::Jti, &jti).await;
    becomes(&house, "/api/v1/lenient", &revoked, 401).await;
    house.redis.freeze();
    let refused = becomes(&house, "/api/v1/things", &token, 503).await;
    let seconds: u64 =
        refused.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!(seconds >= 1);
    assert_eq!(problem(refused).await["type"], "urn:haetae:problem:temporarily-unavailable");
    assert_eq!(get(&house, "/api/v1/lenient", &token).await.status(), 200);
    // What the old copy knew, it knows.
    assert_eq!(get(&house, "/api/v1/lenient", &revoked).await.status(), 401);
    // A bad token is a bad token all the same, and without one nothing has to be known.
    assert_eq!(get(&house, "/api/v1/things", "a.b.c").await.status(), 401);
    assert_eq!(send(client().get(house.url("/"))).await.status(), 200);
    let (status, parts) = house.readiness().await;
    assert_eq!(status, 503);
    assert!(parts.contains("denylist"), "{parts}");
    assert!(house.metrics().await.contains("haetae_denylist_stale 1"));
    house.redis.thaw();
    becomes(&house, "/api/v1/things", &token, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_never_saw_the_denylist_trusts_no_token_on_any_route() {
    let house = House::unfilled().await;
    let token = house.tokens.access();
    for path in ["/api/v1/lenient", "/api/v1/things"] {
        let refused = becomes(&house, path, &token, 503).await;
        assert!(refused.headers().contains_key("retry-after"));
        let detail = problem(refused).await["detail"].to_string();
        assert!(detail.contains("revoked"), "{path}: {detail}");
    }
    assert_eq!(send(client().get(house.url("/"))).await.status(), 200);
    house.denylist.fill().await;
    becomes(&house, "/api/v1/lenient", &token, 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nobody_is_called_a_liar() {
    let house = House::unready(|config| {
        // Nobody listens there.
        for upstream in &mut config.gateway.upstreams {
            if upstream.name == "auth" {
                upstream.addresses = vec!["127.0.0.1:9".to_owned()];
            }
        }
    })
    .await;
    // Also where nobody is served too: a token that cannot be judged is not the same as none.
    for path in ["/api/v1/things", "/"] {
        let answer = get(&house, path, &house.tokens.access()).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
    }
    assert_eq!(house.upstream.requests().len(), 0);
    let (status, parts) = house.readiness().await;
    assert_eq!(status, 503);
    assert!(parts.contains("issuer_keys"), "{parts}");
    assert_eq!(send(client().get(house.url("/open/x"))).await.status(), 200);
}

/// A client throws away what is answered 401. That the key of a token is not known is for the issuer to say.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_only_on_the_issuers_word() {
    let house = House::open().await;
    let known = house.tokens.access();
    let (forged, newer) = (Tokens::new().access(), Tokens::new().access());
    // The control: it was asked a moment ago.
    assert_eq!(get(&house, "/api/v1/things", &forged).await.status(), 401);
    house.authserver.hide_keys(true);
    let answer = becomes(&house, "/api/v1/things", &newer, 503).await;
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    let asked = house.authserver.asked_for_keys();
    for _ in 0..20 {
        assert_eq!(get(&house, "/", &Tokens::new().access()).await.status(), 503);
    }
    assert_eq!(get(&house, "/api/v1/things", &known).await.status(), 200);
    assert!(house.authserver.asked_for_keys() <= asked + 1, "it is not stormed");
    house.authserver.hide_keys(false);
    becomes(&house, "/api/v1/things", &newer, 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_token_dies_with_its_time() {
    let house = House::with(|config| {
        config.auth.tokens.leeway = "0s".parse().expect("duration");
    })
    .await;
    let token = house.tokens.access_with(|claims| {
        claims.exp = claims.iat.plus(Duration::from_secs(3));
    });
    assert_eq!(get(&house, "/api/v1/things", &token).await.status(), 200);
    let refused = becomes(&house, "/api/v1/things", &token, 401).await;
    assert!(challenge(&refused).contains("expired"), "{}", challenge(&refused));
}
