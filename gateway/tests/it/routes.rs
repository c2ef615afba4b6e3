//! Paths, methods and hosts; and how the gateway says no.

use crate::harness::{House, client, routes};

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_names_is_not_there() {
    let house = House::open().await;
    for path in ["/nothing", "/opening", "/api/v1", "/api/v1/things/1/2", "/session/x"] {
        let answers =
            house.raw(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(answers[0].status, 404, "{path}");
        assert_eq!(answers[0].problem()["type"], "urn:haetae:problem:not-found", "{path}");
    }
    let answers =
        house.raw("PATCH /api/v1/things/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!(answers[0].status, 405);
    assert_eq!(answers[0].field("allow"), Some("GET, HEAD, POST"));
    assert_eq!(answers[0].problem()["type"], "urn:haetae:problem:method-not-allowed");
    let head = house.raw("HEAD /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!((head[0].status, head[0].body.as_str()), (404, ""));
    assert_eq!(house.upstream.requests().len(), 0);
}

/// The authserver has a host of its own: no script on an application's page is on the origin of the login page.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_page_may_have_a_host_of_its_own() {
    let house = House::with(|config| {
        config.auth.public_url = Some("https://Login.test".parse().expect("a URL"));
    })
    .await;
    for (path, host, status) in [
        ("/oauth2/jwks", "login.test", 200),
        ("/oauth2/jwks", "LOGIN.test:8443", 200),
        ("/oauth2/jwks", "gateway.test", 404),
        ("/oauth2/jwks", "elsewhere.test", 404),
        ("/open/x", "gateway.test", 200),
        ("/open/x", "login.test", 404),
        ("/", "login.test", 404),
        ("/session", "login.test", 404),
        ("/session", "gateway.test", 401),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answers = house.raw(request).await;
        assert_eq!(answers[0].status, status, "{path} at {host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_may_be_for_one_host_or_one_method_only() {
    let house = House::with(|config| {
        config.gateway.routes = routes(
            r#"
            [[routes]]
            name = "any"
            path = "/x"
            upstream = "auth"
            authenticate = "none"
            [[routes]]
            name = "here"
            path = "/x"
            host = "Here.Example"
            methods = ["GET"]
            upstream = "reservation"
            authenticate = "none"
            [[routes]]
            name = "read"
            path = "/{id}/y"
            methods = ["GET"]
            upstream = "reservation"
            authenticate = "none"
            [[routes]]
            name = "other"
            path = "/{id}/y"
            upstream = "auth"
            authenticate = "none"
            "#,
        );
    })
    .await;
    // The authserver of the tests answers 404 to what it does not know, the recorder 200 to everything.
    for (line, host, status) in [
        ("GET /x", "here.example", 200),
        ("GET /x", "HERE.example:8080", 200),
        ("GET /x", "there.example", 404),
        ("POST /x", "here.example", 405),
        ("GET /1/y", "a", 200),
        ("HEAD /1/y", "a", 200),
        ("POST /1/y", "a", 404),
    ] {
        let answers = house
            .raw(format!(
                "{line} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert_eq!(answers[0].status, status, "{line} at {host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_counted() {
    let house = House::open().await;
    house.raw("GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    house.raw("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    house.raw("GET /nothing HTTP/1.1\r\n\r\n").await;
    for (name, labels) in [
        ("haetae_gateway_requests_total", "route=\"open\",status=\"200\",blame=\"nobody\""),
        ("haetae_gateway_requests_total", "route=\"-\",status=\"404\",blame=\"client\""),
        ("haetae_gateway_requests_total", "route=\"-\",status=\"400\",blame=\"client\""),
        ("haetae_gateway_front_door_refusals_total", "rule=\"host-missing\""),
        ("haetae_gateway_request_seconds_bucket", "route=\"open\",le=\"0.5\""),
        ("haetae_gateway_upstream_up", "upstream=\"reservation\""),
    ] {
        assert!(house.counted(name, labels).await >= 1.0, "{name}{{{labels}}}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_do_not_fit_are_told_in_one_line() {
    for (change, says) in [
        ("name = \"a\"\npath = \"/{x\"\nupstream = \"auth\"", "gateway.routes: \"a\" has the path"),
        ("name = \"a\"\npath = \"/x\"\nupstream = \"nowhere\"", "names the upstream \"nowhere\""),
        (
            "name = \"a\"\npath = \"/x\"\nupstream = \"auth\"\nlimits = [\"no\"]",
            "names the limit \"no\"",
        ),
        (
            "name = \"a\"\npath = \"/x\"\nupstream = \"auth\"\ncors_origins = [\"https://a/b\"]",
            "CORS origin",
        ),
    ] {
        let started = tokio::spawn(async move {
            House::with(move |config| {
                config.gateway.routes = routes(&format!("[[routes]]\n{change}"));
            })
            .await
        });
        let error = started.await.err().expect("does not start").into_panic();
        let error = error.downcast_ref::<String>().expect("a text").clone();
        assert!(error.contains(&says.replace('"', "\\\"")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_keep_alive_and_head_has_no_body() {
    let house = House::open().await;
    let client = client();
    for _ in 0..3 {
        let answer = client.get(house.url("/open/x")).send().await.expect("answered");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.expect("text"), "{\"path\":\"/open/x\"}");
        assert_eq!(client.head(house.url("/open/x")).send().await.expect("answered").status(), 200);
    }
    let connections: std::collections::BTreeSet<_> =
        house.upstream.requests().iter().map(|request| request.connection).collect();
    assert!(connections.len() < 3, "upstream connections are reused: {connections:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_gets_a_page_and_a_program_a_problem() {
    let house = House::open().await;
    let navigate = |path: &str| {
        client()
            .get(house.url(path))
            .header("sec-fetch-mode", "navigate")
            .header("accept", "text/html,*/*;q=0.8")
            .header("accept-language", "ko-KR,en;q=0.5")
    };
    let page = navigate("/nothing").send().await.expect("answered");
    assert_eq!(page.status(), 404);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!(page.headers()["content-language"], "ko");
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("style-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let id = page.headers()["x-request-id"].to_str().expect("text").to_owned();
    let text = page.text().await.expect("text");
    assert!(text.contains("이 주소에는 아무것도 없습니다.") && text.contains(&id), "{text}");
    assert!(!text.contains("<style"), "{text}");
    let href = text.split("rel=\"stylesheet\" href=\"").nth(1).expect("a style");
    let style = client().get(house.url(href.split('"').next().expect("quoted")));
    let style = style.send().await.expect("answered");
    assert_eq!(style.status(), 200);
    assert_eq!(style.headers()["content-type"], "text/css; charset=utf-8");
    assert!(style.headers()["cache-control"].to_str().expect("text").contains("immutable"));
    for (name, status) in [("mark.svg", 200), ("roofs.svg", 200), ("x.svg", 404), ("", 404)] {
        let answer = client().get(house.url(&format!("/session/look/{name}"))).send().await;
        assert_eq!(answer.expect("answered").status(), status, "{name}");
    }
    house.upstream.behave(crate::harness::Behaviour::Close);
    let broken = navigate("/open/x").send().await.expect("answered");
    assert_eq!(broken.status(), 503);
    assert_eq!(broken.headers()["content-type"], "text/html; charset=utf-8");
    let script = client().get(house.url("/nothing")).header("sec-fetch-mode", "cors");
    let script = script.header("accept", "text/html").send().await.expect("answered");
    assert_eq!(script.headers()["content-type"], "application/problem+json");
}
