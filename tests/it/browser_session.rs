//! The gateway as the browser's backend (RFC 10017): one opaque cookie, tokens on the server side.

use std::time::Duration;

use haetae_tests::{
    agent::{Agent, Page},
    api::{self, Api},
    oidc::{self, Client},
    shop::service,
    stack::{Options, Role, Stack},
    wait,
};
use serde_json::json;

/// Signs `name` in through the gateway's own login; the browser ends at `return_to`.
async fn sign_in(stack: &Stack, agent: &Agent, name: &str, return_to: &str) -> Page {
    let user = stack.demo().user(name);
    let page = agent.open(stack.url(&format!("/session/login?return_to={return_to}"))).await;
    let form =
        page.form_with("password").unwrap_or_else(|| panic!("{}: {}", page.url, page.text()));
    let form = form.with("username", &user.username).with("password", &user.password);
    let page = agent.submit(&page, &form).await;
    agent.follow(page, |_| false).await
}

/// A call of the page's script.
fn call(stack: &Stack, agent: &Agent, method: &str, path: &str) -> reqwest::RequestBuilder {
    let method: reqwest::Method = method.parse().unwrap();
    agent
        .http()
        .request(method, stack.url(path))
        .header("X-Haetae-Browser", "1")
        .header("Sec-Fetch-Mode", "cors")
        .header("Sec-Fetch-Site", "same-origin")
        .header("Accept", "application/json")
}

#[tokio::test]
async fn a_cookie_is_all_the_browser_holds() {
    let stack = Stack::start(Options::default()).await;
    let agent = Agent::new();
    // Without a session: the script is told where to sign in, a navigation is taken there.
    let told = agent.send(call(&stack, &agent, "GET", "/api/v1/reservations")).await;
    let problem = told.problem(401);
    assert!(problem["login_url"].as_str().unwrap().contains("/session/login"), "{problem}");
    let taken = agent.get(stack.url("/reservations")).await;
    assert!(taken.status.is_redirection(), "{} {}", taken.status, taken.text());
    let location = taken.location().unwrap();
    assert_eq!(location.path(), "/session/login");
    assert!(location.query().unwrap_or_default().contains("return_to"), "{location}");
    let nobody = agent.send(call(&stack, &agent, "GET", "/session")).await.problem(401);
    assert_eq!(nobody["login_url"], "/session/login?return_to=%2F", "{nobody}");

    let landed = sign_in(&stack, &agent, "demo", "/reservations").await;
    assert_eq!(
        (landed.status.as_u16(), landed.url.path()),
        (200, "/reservations"),
        "{}",
        landed.text()
    );
    let cookie = agent.cookie("haetae").expect("the session cookie on plain http");
    assert!(cookie.len() >= 32 && !cookie.contains('.'), "opaque: {cookie}");
    assert!(agent.cookie("haetae-login").is_none(), "the login state is used up");
    let session = agent.send(call(&stack, &agent, "GET", "/session")).await;
    assert_eq!(session.status, 200, "{}", session.body);
    assert!(session.body.contains("demo"), "{}", session.body);
    for secret in ["eyJ", "access_token", "refresh_token", "id_token", cookie.as_str()] {
        assert!(!session.body.contains(secret), "{secret} in {}", session.body);
        assert!(!landed.body.contains(secret), "{secret} in the page");
    }

    let item = service(&stack).await.create_item("By cookie", 5).await;
    let body = json!({ "items": [{ "inventory_id": item, "quantity": 1 }] });
    let read = agent.send(call(&stack, &agent, "GET", "/api/v1/reservations")).await;
    assert_eq!(read.status, 200, "{}", read.body);
    let post = |key: &str| {
        call(&stack, &agent, "POST", "/api/v1/reservations")
            .header("Idempotency-Key", key)
            .json(&body)
    };
    let origin = stack.public_url().origin().ascii_serialization();
    let made = agent.send(post("a").header("Origin", &origin)).await;
    assert_eq!(made.status, 202, "{}", made.body);
    // Without the static header, without an Origin, with another's: a forged request of another site.
    for (name, request) in [
        ("no header", agent.http().get(stack.url("/api/v1/reservations"))),
        ("no Origin", post("b")),
        ("another Origin", post("c").header("Origin", "https://evil.example")),
        (
            "an Origin that begins alike",
            post("d").header("Origin", format!("{origin}.evil.example")),
        ),
        ("Origin null", post("e").header("Origin", "null")),
    ] {
        let page = agent.send(request).await;
        assert!(
            [400, 401, 403].contains(&page.status.as_u16()),
            "{name}: {} {}",
            page.status,
            page.body
        );
    }
    // Two session cookies are one too many.
    let doubled = agent
        .http()
        .get(stack.url("/api/v1/reservations"))
        .header("X-Haetae-Browser", "1")
        .header("Cookie", format!("haetae={cookie}; haetae={cookie}x"));
    let page = api::send(doubled).await;
    assert!([400, 401].contains(&page.status.as_u16()), "{} {}", page.status, page.body);
    // A session and a token at once: no guessing which of them is meant.
    let both = call(&stack, &agent, "GET", "/api/v1/reservations").bearer_auth("x");
    let page = agent.send(both).await;
    assert!([400, 401].contains(&page.status.as_u16()), "{} {}", page.status, page.body);
}

#[tokio::test]
async fn the_cookies_are_as_strict_as_they_can_be() {
    let stack = Stack::start(Options::default()).await;
    let agent = Agent::new();
    let user = stack.demo().user("demo");
    let mut page = agent.get(stack.url("/session/login?return_to=/")).await;
    let mut set = Vec::new();
    for _ in 0..12 {
        for field in page.headers.get_all("set-cookie") {
            set.push(field.to_str().unwrap().to_owned());
        }
        page = if let Some(next) = page.location() {
            agent.get(next).await
        } else if let Some(form) = page.form_with("password") {
            let form = form.with("username", &user.username).with("password", &user.password);
            agent.submit(&page, &form).await
        } else {
            break;
        };
    }
    for (name, same_site) in [("haetae", "Strict"), ("haetae-login", "Lax"), ("haetae-sso", "Lax")]
    {
        let field = set
            .iter()
            .find(|field| field.starts_with(&format!("{name}=")))
            .unwrap_or_else(|| panic!("{name}: {set:#?}"));
        let lower = field.to_lowercase();
        assert!(lower.contains("httponly"), "{field}");
        assert!(lower.contains(&format!("samesite={}", same_site.to_lowercase())), "{field}");
        assert!(lower.contains("path=/"), "{field}");
        assert!(!lower.contains("domain="), "{field}");
    }
}

#[tokio::test]
async fn return_to_leads_nowhere_else() {
    let stack = Stack::start(Options::default()).await;
    for target in [
        "https://evil.example/",
        "//evil.example/",
        "/%5Cevil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "%2F%2Fevil.example",
        "/%0d%0aSet-Cookie:x=y",
        "http:evil.example",
    ] {
        let agent = Agent::new();
        let user = stack.demo().user("demo");
        let page = agent.open(stack.url(&format!("/session/login?return_to={target}"))).await;
        if page.status.is_client_error() {
            continue;
        }
        let form =
            page.form_with("password").unwrap_or_else(|| panic!("{target}: {}", page.text()));
        let form = form.with("username", &user.username).with("password", &user.password);
        let page = agent.submit(&page, &form).await;
        let own = stack.public_url().origin();
        let page = agent.follow(page, |url| url.origin() != own).await;
        assert_eq!(page.location().unwrap_or(page.url).origin(), own, "{target}");
    }
}

#[tokio::test]
async fn a_callback_is_good_once_for_the_browser_that_began() {
    let stack = Stack::start(Options::default()).await;
    let (agent, victim) = (Agent::new(), Agent::new());
    let user = stack.demo().user("demo");
    let page = agent.open(stack.url("/session/login?return_to=/")).await;
    let form = page.form_with("password").unwrap();
    let form = form.with("username", &user.username).with("password", &user.password);
    let page = agent.submit(&page, &form).await;
    let page = agent.follow(page, |url| url.path() == "/session/callback").await;
    let callback = page.location().expect("the callback");
    // Login CSRF: the attacker's own callback, in the victim's browser.
    let planted = victim.get(&callback).await;
    assert!(victim.cookie("haetae").is_none(), "{} {}", planted.status, planted.text());
    let landed = agent.open(&callback).await;
    assert_eq!(landed.status, 200, "{}", landed.text());
    let cookie = agent.cookie("haetae").expect("a session");
    // Again: the session stays what it was, and no second one is made of a used code.
    let again = agent.open(&callback).await;
    assert!(!again.status.is_server_error(), "{}", again.status);
    assert_eq!(agent.cookie("haetae").as_deref(), Some(cookie.as_str()));
    for forged in [
        "/session/callback",
        "/session/callback?code=x&state=y",
        "/session/callback?error=access_denied&state=y",
    ] {
        let page = Agent::new().get(stack.url(forged)).await;
        assert!(
            page.status.is_client_error() || page.status.is_redirection(),
            "{forged}: {}",
            page.status
        );
    }
    // Two tabs begin, both end well.
    let tabs = Agent::new();
    let first = tabs.get(stack.url("/session/login?return_to=/?q=first")).await;
    let second = tabs.get(stack.url("/session/login?return_to=/?q=second")).await;
    for (tab, query) in [(second, "second"), (first, "first")] {
        let mut page = tabs.follow(tab, |_| false).await;
        if let Some(form) = page.form_with("password") {
            let form = form.with("username", &user.username).with("password", &user.password);
            page = tabs.submit(&page, &form).await;
            page = tabs.follow(page, |_| false).await;
        }
        assert_eq!(page.status, 200, "{query}: {} {}", page.url, page.text());
        assert!(page.url.path() == "/", "{query}: {}", page.url);
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_everywhere() {
    let stack = Stack::start(Options::default()).await;
    let agent = Agent::new();
    sign_in(&stack, &agent, "demo", "/").await;
    let cookie = agent.cookie("haetae").expect("a session");
    let origin = stack.public_url().origin().ascii_serialization();
    // Another site cannot sign the person out.
    let forged =
        agent.http().post(stack.url("/session/logout")).header("Origin", "https://evil.example");
    let page = agent.send(forged).await;
    assert!(page.status.is_client_error(), "{}", page.status);
    assert_eq!(agent.send(call(&stack, &agent, "GET", "/api/v1/reservations")).await.status, 200);
    let out = agent
        .http()
        .post(stack.url("/session/logout"))
        .header("Origin", &origin)
        .header("Sec-Fetch-Site", "same-origin")
        .header("Sec-Fetch-Mode", "navigate")
        .header("Accept", "text/html");
    let page = agent.send(out).await;
    let mut page = agent.follow(page, |_| false).await;
    if let Some(form) = page.form_to("logout") {
        page = agent.submit(&page, &form.pressing(&["yes", "logout"])).await;
        page = agent.follow(page, |_| false).await;
    }
    assert!(page.status.is_success(), "{}: {}", page.url, page.text());
    assert!(agent.cookie("haetae").is_none(), "{:?}", agent.cookie_names());
    // The old cookie, kept by a thief, is worth nothing.
    let thief = Agent::new();
    thief.set_cookie("haetae", &cookie);
    thief.send(call(&stack, &thief, "GET", "/api/v1/reservations")).await.problem(401);
    // And the single sign-on ended with it.
    let page = agent.open(stack.url("/session/login?return_to=/")).await;
    assert!(page.form_with("password").is_some(), "{}", page.text());
}

/// A browser that goes away before it has followed anything is signed out all the same, in every channel.
#[tokio::test]
async fn signing_out_reaches_the_other_channels_before_it_is_answered() {
    let stack = Stack::start(Options::default()).await;
    let agent = Agent::new();
    sign_in(&stack, &agent, "demo", "/").await;
    let mobile = Client::mobile(&stack);
    let tokens = mobile.sign_in(&agent, stack.demo().user("demo")).await;
    let app = Api::bearer(&stack, &tokens.access_token);
    assert_eq!(app.get("reservations").await.status, 200);
    let origin = stack.public_url().origin().ascii_serialization();
    let out = call(&stack, &agent, "POST", "/session/logout").header("Origin", origin);
    let told = agent.send(out).await;
    assert_eq!(told.status, 200, "{}", told.body);
    wait::until("the app is refused", Duration::from_secs(2), async || {
        let page = app.get("reservations").await;
        (page.status == 401).then_some(())
    })
    .await;
    let again = mobile.refresh(&tokens.refresh_token.expect("one")).await;
    oidc::refused(&again, 400, "invalid_grant");
    let page = agent.open(stack.url("/session/login?return_to=/")).await;
    assert!(page.form_with("password").is_some(), "{}", page.text());
}

/// Many requests at the moment of expiry, over two gateways' worth of connections: one refresh.
#[tokio::test]
async fn a_session_is_refreshed_once() {
    let options = Options::default()
        .set("AUTH__TOKENS__ACCESS", "4s")
        .set("AUTH__TOKENS__LEEWAY", "0s")
        .set("GATEWAY__BROWSER__REFRESH_BEFORE", "1s");
    let stack = Stack::start(options).await;
    let agent = Agent::new();
    sign_in(&stack, &agent, "demo", "/").await;
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(3_200)).await;
        let before = refreshes(&stack).await;
        let answers = futures::future::join_all(
            (0..50).map(|_| agent.send(call(&stack, &agent, "GET", "/api/v1/reservations"))),
        )
        .await;
        for page in &answers {
            assert_eq!(page.status, 200, "round {round}: {}", page.body);
        }
        let made = refreshes(&stack).await - before;
        assert!(
            (made - 1.0).abs() < f64::EPSILON,
            "round {round}: {made} refreshes for 50 requests"
        );
    }
}

/// Two gateways serve the same session at the moment of its refresh: still one.
#[tokio::test]
async fn two_gateways_refresh_once_together() {
    let options = Options::default()
        .set("AUTH__TOKENS__ACCESS", "4s")
        .set("AUTH__TOKENS__LEEWAY", "0s")
        .set("GATEWAY__BROWSER__REFRESH_BEFORE", "1s");
    let stack = Stack::start(options).await;
    let second = stack.one_more(Role::Gateway).await;
    let agent = Agent::new();
    sign_in(&stack, &agent, "demo", "/").await;
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(3_200)).await;
        let before = refreshes(&stack).await;
        let answers = futures::future::join_all((0..40).map(|number| {
            let path = "/api/v1/reservations";
            let url = if number % 2 == 0 { stack.url(path) } else { second.url(path) };
            agent.send(agent.http().get(url).header("X-Haetae-Browser", "1"))
        }))
        .await;
        for page in &answers {
            assert_eq!(page.status, 200, "round {round}: {}: {}", page.url, page.body);
        }
        let made = refreshes(&stack).await - before;
        assert!(
            (made - 1.0).abs() < f64::EPSILON,
            "round {round}: {made} refreshes at two gateways"
        );
    }
}

/// How many refresh grants the authserver has answered.
async fn refreshes(stack: &Stack) -> f64 {
    let total =
        stack.metric(Role::Auth, "haetae_auth_token_responses_total", "refresh_token").await;
    assert!(total >= 0.0);
    total
}

#[tokio::test]
async fn an_idle_session_ends() {
    let stack = Stack::start(Options::default().set("GATEWAY__BROWSER__IDLE_TIMEOUT", "3s")).await;
    let agent = Agent::new();
    sign_in(&stack, &agent, "demo", "/").await;
    // Used, it slides on.
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(
            agent.send(call(&stack, &agent, "GET", "/api/v1/reservations")).await.status,
            200
        );
    }
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    agent.send(call(&stack, &agent, "GET", "/api/v1/reservations")).await.problem(401);
}
