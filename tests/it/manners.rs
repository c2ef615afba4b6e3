//! What every answer owes the world: request ids, security fields, CORS for nobody who was not invited,
//! descriptions, introspection, and events that tell each change once.

use std::time::Duration;

use haetae_tests::{
    agent::{Agent, Page, http},
    api,
    oidc::Client,
    shop::Shop,
    stack::{Database, Options, Role, Stack},
};
use serde_json::{Value, json};
use tokio_stream::StreamExt;

on_both_databases!(events_tell_every_change_once);

#[tokio::test]
async fn every_answer_has_a_request_id_of_our_own() {
    let stack = Stack::start(Options::default()).await;
    let mut seen = std::collections::BTreeSet::new();
    for path in [
        "/",
        "/api/v1/inventory",
        "/api/v1/reservations",
        "/oauth2/jwks",
        "/login",
        "/nothing",
        "/session",
    ] {
        // A stranger may send one; it is not taken over, or logs could be forged.
        let request = http().get(stack.url(path)).header("X-Request-Id", "chosen-by-a-stranger");
        let page = Page::read(request.send().await.unwrap()).await;
        let id =
            page.header("x-request-id").unwrap_or_else(|| panic!("{path}: {:?}", page.headers));
        assert_ne!(id, "chosen-by-a-stranger", "{path}");
        assert!(seen.insert(id.to_owned()), "{path}: {id} came twice");
        assert!(
            page.header("server").is_none_or(|server| !server.contains('/')),
            "{path}: {:?}",
            page.headers
        );
    }
    // It is in the gateway's log, for whoever looks.
    let id = seen.iter().next().unwrap().clone();
    haetae_tests::wait::until_true(
        "the request stands in the log",
        Duration::from_secs(5),
        async || {
            stack.logs().iter().any(|(name, log)| name.starts_with("gateway") && log.contains(&id))
        },
    )
    .await;
}

#[tokio::test]
async fn pages_defend_themselves() {
    let stack = Stack::start(Options::default()).await;
    for path in ["/", "/login", "/register", "/no/such/page", "/reservations"] {
        let page = Agent::new().open(stack.url(path)).await;
        if !page.header("content-type").unwrap_or_default().starts_with("text/html") {
            continue;
        }
        let policy =
            page.header("content-security-policy").unwrap_or_else(|| panic!("{path}: no policy"));
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert!(
            !policy.contains("unsafe-inline") && !policy.contains("unsafe-eval"),
            "{path}: {policy}"
        );
        assert!(policy.contains("default-src"), "{path}: {policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(page.header("referrer-policy").is_some(), "{path}");
        assert!(
            !page.body.contains(" onclick=") && !page.body.contains("<style"),
            "{path}: inline"
        );
        // What is on the page is there.
        for asset in page
            .body
            .split(['"', '\''])
            .filter(|word| word.starts_with("/static/") || word.starts_with("/assets/"))
        {
            let found = http().get(stack.url(asset)).send().await.unwrap();
            assert_eq!(found.status(), 200, "{path}: {asset}");
        }
    }
}

#[tokio::test]
async fn other_sites_may_not_call() {
    let shop = Shop::open(Options::default()).await;
    for (method, path) in [
        ("OPTIONS", "/api/v1/reservations"),
        ("OPTIONS", "/api/v1/inventory"),
        ("OPTIONS", "/oauth2/token"),
        ("OPTIONS", "/session"),
        ("GET", "/api/v1/inventory"),
        ("GET", "/session"),
        ("POST", "/oauth2/token"),
        ("GET", "/oauth2/userinfo"),
    ] {
        let request = http()
            .request(method.parse().unwrap(), shop.stack.url(path))
            .header("Origin", "https://evil.example")
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization, idempotency-key");
        let page = api::send(request).await;
        let allowed = page.header("access-control-allow-origin");
        assert!(allowed.is_none(), "{method} {path}: {allowed:?}");
        assert!(page.header("access-control-allow-credentials").is_none(), "{method} {path}");
    }
}

#[tokio::test]
async fn the_api_describes_itself() {
    let stack = Stack::start(Options::default()).await;
    let found = api::Api::anonymous(&stack).get("openapi.json").await;
    assert_eq!(found.status, 200);
    let description = found.json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3."));
    for path in [
        "/api/v1/inventory",
        "/api/v1/inventory/{id}",
        "/api/v1/inventory/import",
        "/api/v1/reservations",
        "/api/v1/reservations/{id}",
        "/api/v1/reservations/{id}/events",
        "/api/v1/reservations/{id}/confirm",
        "/api/v1/reservations/{id}/cancel",
    ] {
        assert!(description["paths"][path].is_object(), "{path} is not described");
    }
}

#[tokio::test]
async fn introspection_tells_clients_what_a_token_is_worth() {
    let shop = Shop::open(Options::default()).await;
    let service = Client::new(&shop.stack, shop.stack.demo().client("demo-service"));
    let ask = async |token: &str| service.post("oauth2/introspect", &[("token", token)]).await;
    let own = service.client_credentials("inventory:write").await;
    let good = ask(&own.access_token).await;
    assert_eq!(
        (good.status.as_u16(), good.json()["active"].as_bool()),
        (200, Some(true)),
        "{}",
        good.body
    );
    assert_eq!(good.json()["client_id"], "demo-service");
    for nothing in ["", "x", "a.b.c"] {
        let page = ask(nothing).await;
        assert!(page.status == 400 || page.json()["active"] == false, "{nothing}: {}", page.body);
    }
    service.revoke(&own.access_token).await;
    haetae_tests::wait::until_true(
        "a revoked token is inactive",
        Duration::from_secs(3),
        async || ask(&own.access_token).await.json()["active"] == false,
    )
    .await;
    // RFC 7662 2.1: not for everybody.
    let anonymous = http()
        .post(shop.mobile.endpoint("oauth2/introspect"))
        .form(&[("token", own.access_token.as_str())]);
    let page = api::send(anonymous).await;
    assert_eq!(page.status, 401, "{}", page.body);
}

/// Reads events until `last` comes, as (number, status).
async fn events(shop: &Shop, id: &str, after: Option<&str>, last: &str) -> Vec<(String, String)> {
    let mut request = shop.customer.request("GET", &format!("reservations/{id}/events"));
    if let Some(after) = after {
        request = request.header("Last-Event-ID", after);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        response.headers()["content-type"].to_str().unwrap().split(';').next(),
        Some("text/event-stream")
    );
    let mut bytes = response.bytes_stream();
    let (mut text, mut found) = (String::new(), Vec::new());
    loop {
        let chunk = tokio::time::timeout(Duration::from_secs(30), bytes.next()).await;
        let Some(chunk) = chunk.expect("the next event comes") else { return found };
        text.push_str(&String::from_utf8_lossy(&chunk.unwrap()));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let field = |name: &str| {
                event
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(|value| value.trim().to_owned())
            };
            if let (Some(number), Some(data)) = (field("id:"), field("data:")) {
                let data: Value = serde_json::from_str(&data).expect("data is JSON");
                found.push((number, data["status"].as_str().expect("a status").to_owned()));
            }
            text = rest.to_owned();
        }
        if found.last().is_some_and(|(_, status)| status == last) {
            return found;
        }
    }
}

/// The stream tells what a reservation does while it does it, and whoever comes back misses nothing and
/// hears nothing twice.
async fn events_tell_every_change_once(database: Database) {
    let options = Options::on(database).set("WORKER__PAYMENT__LATENCY", "300ms");
    let shop = Shop::open(options).await;
    let item = shop.service.create_item("Watched", 5).await;
    let id = api::id(&shop.customer.reserve(&[(&item, 1)], Some("tok_visa"), None).await);
    let live = events(&shop, &id, None, "confirmed").await;
    let states: Vec<&str> = live.iter().map(|(_, status)| status.as_str()).collect();
    assert_eq!(states, ["pending", "held", "confirmed"]);
    // Back after the first, for the rest, while the rest goes on.
    let (resumed, cancelled) =
        tokio::join!(events(&shop, &id, Some(&live[0].0), "cancelled"), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            shop.customer.post(&format!("reservations/{id}/cancel"), &json!({})).await
        });
    assert!(cancelled.status.is_success(), "{}", cancelled.body);
    let states: Vec<&str> = resumed.iter().map(|(_, status)| status.as_str()).collect();
    assert_eq!(states, ["held", "confirmed", "cancelling", "cancelled"]);
    assert_eq!(resumed[..2], live[1..], "an event keeps its number");
    let mut numbers: Vec<u64> = resumed.iter().map(|(number, _)| number.parse().unwrap()).collect();
    numbers.dedup();
    assert!(numbers.is_sorted() && numbers.len() == 4, "{numbers:?}");
    // Nothing more will come: 204 tells an EventSource to stay away.
    let over = shop.customer.request("GET", &format!("reservations/{id}/events"));
    let over = api::send(over.header("Last-Event-ID", &resumed[3].0)).await;
    assert_eq!(over.status, 204, "{}", over.body);
    let junk = shop.customer.request("GET", &format!("reservations/{id}/events"));
    let junk = api::send(junk.header("Last-Event-ID", "x")).await;
    assert!(junk.status.is_client_error(), "{}", junk.status);
}

/// Metrics that nobody understands at night are none: each says what it means.
#[tokio::test]
async fn metrics_explain_themselves() {
    let shop = Shop::open(Options::default()).await;
    let item = shop.service.create_item("Counted", 5).await;
    shop.customer.reserve(&[(&item, 1)], None, Some(10)).await;
    shop.mobile.refresh(shop.tokens.refresh_token.as_ref().unwrap()).await;
    for role in Role::ALL {
        let url = shop.stack.admin_url(role, "/metrics");
        let text = http().get(url).send().await.unwrap().text().await.unwrap();
        let names = |kind: &str| -> std::collections::BTreeSet<String> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(kind));
            lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
        };
        let (known, explained) = (names("# TYPE "), names("# HELP "));
        assert!(known.len() > 3, "{role:?}\n{text}");
        let silent: Vec<_> = known.difference(&explained).collect();
        assert!(silent.is_empty(), "{role:?}: {silent:?}");
        // What an operator looks at first.
        for (of, wanted) in [
            (Role::Gateway, "haetae_gateway_request_seconds_bucket{route=\"reservation-create\""),
            (Role::Gateway, "haetae_gateway_upstream_up{"),
            (Role::Auth, "haetae_auth_request_seconds_bucket{"),
            (Role::Auth, "haetae_auth_sign_ins_total{acr=\"1fa\"} 1"),
            (Role::Reservation, "haetae_reservation_accepted_total 1"),
            (Role::Worker, "haetae_reservation_decision_seconds_count 1"),
        ] {
            assert!(of != role || text.contains(wanted), "{role:?} lacks {wanted}\n{text}");
        }
    }
}

#[tokio::test]
async fn everybody_tells_how_they_are() {
    let stack = Stack::start(Options::default()).await;
    for role in Role::ALL {
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = http().get(stack.admin_url(role, path)).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{role:?} {path}");
        }
        // Not to everybody: the admin listener is loopback only, and no public route leads there.
        assert!(stack.process(role).admin.ip().is_loopback());
    }
    for path in ["/metrics", "/readyz", "/healthz"] {
        let answer = http().get(stack.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path} is public");
    }
}
