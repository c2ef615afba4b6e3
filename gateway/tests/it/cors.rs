//! CORS: by route, answered by the gateway, never with the cookie.

use reqwest::{Method, Response};

use crate::harness::{House, client};

const FRIEND: &str = "https://app.example";

async fn house() -> House {
    House::with(|config| {
        for route in &mut config.gateway.routes {
            if matches!(route.name.as_str(), "api-thing" | "api-lenient") {
                route.cors_origins = vec![FRIEND.to_owned()];
            }
        }
    })
    .await
}

async fn preflight(house: &House, path: &str, origin: &str, method: &str) -> Response {
    client()
        .request(Method::OPTIONS, house.url(path))
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "authorization")
        .send()
        .await
        .expect("answered")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_here() {
    let house = house().await;
    let answer = preflight(&house, "/api/v1/things/1", FRIEND, "POST").await;
    assert_eq!(answer.status(), 204);
    let fields = answer.headers();
    assert_eq!(fields["access-control-allow-origin"], FRIEND);
    assert_eq!(fields["access-control-allow-methods"], "GET, HEAD, POST");
    let allowed = fields["access-control-allow-headers"].to_str().expect("text");
    assert!(allowed.contains("authorization") && allowed.contains("idempotency-key"));
    assert!(!allowed.contains("haetae"), "the static field is for our own pages");
    assert!(!fields.contains_key("access-control-allow-credentials"));
    assert!(!fields.contains_key("content-length"), "there is none in a 204");
    // A route for every method takes this one too.
    let answer = preflight(&house, "/api/v1/lenient", FRIEND, "DELETE").await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-methods"], "DELETE");
    for (path, origin, method) in [
        ("/api/v1/things/1", "https://evil.example", "POST"),
        ("/api/v1/things/1", FRIEND, "PATCH"),
        ("/api/v1/things/1", "null", "GET"),
        ("/api/v1/things", FRIEND, "GET"),
    ] {
        let refused = preflight(&house, path, origin, method).await;
        assert_eq!(refused.status(), 403, "{path} {origin} {method}");
        assert!(!refused.headers().contains_key("access-control-allow-origin"));
    }
    assert_eq!(house.upstream.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_be_read_by_the_origins_of_its_route() {
    let house = house().await;
    let call = async |origin: &str, token: Option<String>| {
        let mut request = client().get(house.url("/api/v1/things/1")).header("origin", origin);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        request.send().await.expect("answered")
    };
    let answer = call(FRIEND, Some(house.tokens.access())).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["access-control-allow-origin"], FRIEND);
    assert_eq!(answer.headers()["vary"], "origin");
    // Refusals too, or the script could not tell why.
    let refused = call(FRIEND, None).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.headers()["access-control-allow-origin"], FRIEND);
    let stranger = call("https://evil.example", Some(house.tokens.access())).await;
    assert!(!stranger.headers().contains_key("access-control-allow-origin"));
    // What a cache keeps of this must not be shown to those who may read.
    assert_eq!(stranger.headers()["vary"], "origin");
    let plain = client().get(house.url("/open/x")).header("origin", FRIEND).send().await;
    assert!(!plain.expect("answered").headers().contains_key("vary"), "nobody may read this one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_answers_preflights_itself_is_asked() {
    let house = house().await;
    let answer = preflight(&house, "/open/x", FRIEND, "GET").await;
    assert_eq!(answer.status(), 200);
    assert!(house.upstream.only().head.starts_with("OPTIONS /open/x "));
}
