//! Browser sessions (RFC 10017): login, callback, the cookie as identity, refresh, logout.

use std::time::Duration;

use haetae_session::denylist::Kind;
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use url::Url;

use crate::harness::{House, PUBLIC, client};

/// A browser: it keeps cookies, and nothing else.
#[derive(Clone, Debug, Default)]
struct Browser {
    cookies: std::collections::BTreeMap<String, String>,
}

impl Browser {
    async fn send(&mut self, request: RequestBuilder) -> Response {
        let request = if self.cookies.is_empty() {
            request
        } else {
            let pairs: Vec<_> =
                self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.header("cookie", pairs.join("; "))
        };
        let response = request.send().await.expect("answered");
        for field in response.headers().get_all("set-cookie") {
            let field = field.to_str().expect("text");
            let (name, rest) = field.split_once('=').expect("a pair");
            let value = rest.split(';').next().unwrap_or_default();
            if field.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        response
    }

    /// Begins a login; gives where the browser is sent.
    async fn begin(&mut self, house: &House, path: &str) -> Url {
        let response = self.send(client().get(house.url(path))).await;
        assert_eq!(response.status(), 302, "{response:?}");
        response.headers()["location"].to_str().expect("text").parse().expect("a URL")
    }

    /// Comes back from the authserver.
    async fn come_back(&mut self, house: &House, location: &Url, code: &str) -> Response {
        let state = parameter(location, "state");
        let query = format!("code={code}&state={state}&iss={}", urlencode(PUBLIC));
        let request = client().get(house.url(&format!("/session/callback?{query}")));
        self.send(request.header("sec-fetch-site", "cross-site")).await
    }

    /// Signs in.
    async fn sign_in(house: &House) -> Self {
        let mut browser = Self::default();
        let location = browser.begin(house, "/session/login?return_to=/pages/mine").await;
        let code = house.authserver.finish(&location);
        let response = browser.come_back(house, &location, &code).await;
        assert_eq!(response.status(), 200, "{}", response.text().await.expect("text"));
        assert!(browser.cookies.contains_key("haetae"));
        browser
    }

    /// A call as our own pages make it.
    async fn call(&mut self, house: &House) -> Response {
        self.send(client().get(house.url("/api/v1/things")).header("x-haetae-browser", "1")).await
    }
}

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(key, _)| key == name);
    found.unwrap_or_else(|| panic!("{name} is not in {url}")).1.into_owned()
}

fn urlencode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn problem(response: Response) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    response.json().await.expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_from_end_to_end() {
    let house = House::open().await;
    let mut browser = Browser::default();
    let location = browser.begin(&house, "/session/login?return_to=/pages/mine%3Fa%3Db").await;
    assert_eq!(location.as_str().split('?').next(), Some("http://gateway.test/oauth2/authorize"));
    assert_eq!(parameter(&location, "client_id"), "haetae-gateway");
    assert_eq!(parameter(&location, "redirect_uri"), "http://gateway.test/session/callback");
    assert!(parameter(&location, "scope").split(' ').any(|scope| scope == "openid"));
    assert!(parameter(&location, "nonce").len() >= 43 && parameter(&location, "state").len() >= 43);
    assert!(
        browser.cookies.contains_key("haetae-login") && !browser.cookies.contains_key("haetae")
    );

    let code = house.authserver.finish(&location);
    let response = browser.come_back(&house, &location, &code).await;
    assert_eq!(response.status(), 200);
    let cookies: Vec<String> = response
        .headers()
        .get_all("set-cookie")
        .iter()
        .map(|field| field.to_str().expect("text").to_owned())
        .collect();
    let session = cookies.iter().find(|field| field.starts_with("haetae=")).expect("a session");
    assert!(session.ends_with("; Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict"), "{session}");
    assert!(cookies.iter().any(|field| field.starts_with("haetae-login=;")), "{cookies:?}");
    assert_eq!(response.headers()["cache-control"], "no-store");
    // A page that goes on by itself: a Strict cookie is not sent along a redirect.
    let page = response.text().await.expect("text");
    assert!(page.contains("http-equiv=\"refresh\" content=\"0;url=/pages/mine?a=b\""), "{page}");
    assert!(page.contains("href=\"/pages/mine?a=b\">Continue</a>"), "{page}");

    let answer = browser.call(&house).await;
    assert_eq!(answer.status(), 200);
    let seen = house.upstream.only();
    let token =
        seen.field("authorization").expect("an identity").strip_prefix("Bearer ").expect("a token");
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(seen.field("cookie"), None);
    assert_eq!(seen.field("x-haetae-browser"), None);
    // A page needs no static field.
    assert_eq!(browser.send(client().get(house.url("/pages/mine"))).await.status(), 200);
    assert!(house.upstream.last().field("authorization").is_some());

    let told: Value =
        browser.send(client().get(house.url("/session"))).await.json().await.expect("JSON");
    assert_eq!(told["signed_in"], true);
    assert_eq!(
        (&told["sub"], &told["username"], &told["name"], &told["acr"]),
        (&"usr_1".into(), &"demo".into(), &"Demo Person".into(), &"2fa".into())
    );
    assert!(told["expires_at"].as_str().expect("an instant").ends_with('Z'));
    for secret in ["eyJ", "refresh-", browser.cookies["haetae"].as_str()] {
        assert!(!told.to_string().contains(secret), "{told}");
    }
    // Signed in already: nobody is sent away to sign in again, unless more is asked for.
    let again = browser.send(client().get(house.url("/session/login?return_to=/pages/x"))).await;
    assert_eq!(again.headers()["location"], "/pages/x");
    let stronger =
        browser.begin(&house, "/session/login?return_to=/&acr_values=phr&max_age=60").await;
    assert_eq!(
        (parameter(&stronger, "acr_values"), parameter(&stronger, "max_age")),
        ("phr".to_owned(), "60".to_owned())
    );
}

/// Nobody keeps a Strict cookie from where no other site had a part in: one step less.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_from_no_other_site_is_redirected() {
    let house = House::open().await;
    for site in [None, Some("same-origin"), Some("same-site")] {
        let mut browser = Browser::default();
        let location = browser.begin(&house, "/session/login?return_to=/pages/mine").await;
        let code = house.authserver.finish(&location);
        let query = format!(
            "code={code}&state={}&iss={}",
            parameter(&location, "state"),
            urlencode(PUBLIC)
        );
        let mut request = client().get(house.url(&format!("/session/callback?{query}")));
        if let Some(site) = site {
            request = request.header("sec-fetch-site", site);
        }
        let answer = browser.send(request).await;
        assert_eq!(answer.status(), 303, "{site:?}");
        assert_eq!(answer.headers()["location"], "/pages/mine");
        assert_eq!(browser.call(&house).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_where_to_sign_in() {
    let house = House::open().await;
    let get = |path: &str| client().get(house.url(path));
    let answer = get("/session").send().await.expect("answered");
    assert_eq!(answer.status(), 401);
    let told = problem(answer).await;
    assert_eq!(
        (&told["type"], &told["signed_in"]),
        (&json!("urn:haetae:problem:unauthenticated"), &json!(false))
    );
    assert!(told["login_url"].as_str().expect("a URL").starts_with("/session/login"));

    let page =
        get("/pages/mine?a=b").header("sec-fetch-mode", "navigate").send().await.expect("answered");
    assert_eq!(page.status(), 302);
    assert_eq!(page.headers()["location"], "/session/login?return_to=%2Fpages%2Fmine%3Fa%3Db");
    let old = get("/pages/mine").header("accept", "text/html,*/*").send().await.expect("answered");
    assert_eq!(old.status(), 302);
    // A script, and the API in any case: 401 with the address.
    for request in [
        get("/pages/mine").header("sec-fetch-mode", "cors").header("accept", "text/html"),
        get("/pages/mine"),
        get("/api/v1/things").header("sec-fetch-mode", "navigate").header("accept", "text/html"),
    ] {
        let answer = request.send().await.expect("answered");
        assert_eq!(answer.status(), 401);
        let told = problem(answer).await;
        assert!(
            told["login_url"].as_str().expect("a URL").starts_with("/session/login?return_to="),
            "{told}"
        );
    }
    // A form that was posted too late goes back to its page.
    let post = client()
        .post(house.url("/pages/mine"))
        .header("sec-fetch-mode", "navigate")
        .header("origin", PUBLIC)
        .header("referer", format!("{PUBLIC}/pages/form"))
        .send()
        .await
        .expect("answered");
    assert_eq!(post.status(), 303);
    assert_eq!(post.headers()["location"], "/session/login?return_to=%2Fpages%2Fform");
    assert_eq!(house.upstream.requests().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_cannot_use_the_session() {
    let house = House::open().await;
    let mut browser = Browser::sign_in(&house).await;
    let cookie = browser.cookies["haetae"].clone();
    let with = |request: RequestBuilder| request.header("cookie", format!("haetae={cookie}"));
    let get = || with(client().get(house.url("/api/v1/things")));
    let post = || with(client().post(house.url("/api/v1/things/1")));
    let page = || with(client().post(house.url("/pages/form")));
    for (name, request) in [
        ("no static field", get()),
        ("a wrong one", get().header("x-haetae-browser", "0")),
        ("no origin", post().header("x-haetae-browser", "1")),
        (
            "another origin",
            post().header("x-haetae-browser", "1").header("origin", "https://evil.example"),
        ),
        (
            "an origin that begins alike",
            post()
                .header("x-haetae-browser", "1")
                .header("origin", format!("{PUBLIC}.evil.example")),
        ),
        ("origin null", post().header("x-haetae-browser", "1").header("origin", "null")),
        ("a form of another site", page().header("origin", "https://evil.example")),
        ("a form without origin", page()),
    ] {
        let answer = request.send().await.expect("answered");
        assert_eq!(answer.status(), 403, "{name}");
        assert_eq!(
            problem(answer).await["type"],
            "urn:haetae:problem:cross-site-request",
            "{name}"
        );
    }
    assert_eq!(house.upstream.requests().len(), 0);
    let own = post()
        .header("x-haetae-browser", "1")
        .header("origin", PUBLIC)
        .send()
        .await
        .expect("answered");
    assert_eq!(own.status(), 200);
    assert_eq!(page().header("origin", PUBLIC).send().await.expect("answered").status(), 200);
    // Two session cookies: one of them was set by somebody else.
    let doubled = client()
        .get(house.url("/api/v1/things"))
        .header("x-haetae-browser", "1")
        .header("cookie", format!("haetae={cookie}; haetae={cookie}"));
    let answer = doubled.send().await.expect("answered");
    assert_eq!(answer.status(), 400);
    assert_eq!(problem(answer).await["rule"], "cookie-repeated");
    assert_eq!(browser.call(&house).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_is_not_the_answer() {
    let house = House::open().await;
    let callback = |query: String| client().get(house.url(&format!("/session/callback?{query}")));
    let iss = urlencode(PUBLIC);
    // In another browser, or without any login.
    let mut mine = Browser::default();
    let location = mine.begin(&house, "/session/login").await;
    let (code, state) = (house.authserver.finish(&location), parameter(&location, "state"));
    let mut victim = Browser::default();
    let planted = victim.send(callback(format!("code={code}&state={state}&iss={iss}"))).await;
    assert_eq!(planted.status(), 400);
    assert!(!victim.cookies.contains_key("haetae"));
    // From another issuer, or from nobody (RFC 9207).
    for query in [
        format!("code={code}&state={state}&iss=http%3A%2F%2Fevil.example"),
        format!("code={code}&state={state}"),
    ] {
        let mut browser = mine.clone();
        assert_eq!(browser.send(callback(query)).await.status(), 400);
        assert!(!browser.cookies.contains_key("haetae"));
    }
    // The state was used up by the attempt: nobody gets another.
    assert_eq!(mine.come_back(&house, &location, &code).await.status(), 400);

    // An ID token for another request.
    let location = mine.begin(&house, "/session/login").await;
    let code = house.authserver.finish(&location);
    house.authserver.spoil(&code);
    assert_eq!(mine.come_back(&house, &location, &code).await.status(), 400);
    assert!(!mine.cookies.contains_key("haetae"));

    // The person said no; in their language.
    let location = mine.begin(&house, "/session/login").await;
    let state = parameter(&location, "state");
    let refused = mine
        .send(
            callback(format!("error=access_denied&state={state}&iss={iss}"))
                .header("accept-language", "ko"),
        )
        .await;
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.expect("text").contains("로그인이 취소되었습니다"));

    // The authserver is in trouble.
    let location = mine.begin(&house, "/session/login").await;
    let code = house.authserver.finish(&location);
    house.authserver.set_broken(true);
    assert_eq!(mine.come_back(&house, &location, &code).await.status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tabs_end_well() {
    let house = House::open().await;
    let mut browser = Browser::default();
    let first = browser.begin(&house, "/session/login?return_to=/pages/first").await;
    let second = browser.begin(&house, "/session/login?return_to=/pages/second").await;
    for (location, page) in [(&second, "/pages/second"), (&first, "/pages/first")] {
        let code = house.authserver.finish(location);
        let response = browser.come_back(&house, location, &code).await;
        assert_eq!(response.status(), 200);
        assert!(response.text().await.expect("text").contains(page));
        assert_eq!(browser.call(&house).await.status(), 200);
    }
    assert!(!browser.cookies.contains_key("haetae-login"), "none is left");
    // A third answer, to a login that is over: on to the site.
    let late = browser.come_back(&house, &first, "code-x").await;
    assert_eq!(late.status(), 302);
    assert_eq!(late.headers()["location"], "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_the_moment_of_expiry_refreshes_once() {
    let house = House::with(|config| {
        config.gateway.browser.refresh_before = "1s".parse().expect("duration");
    })
    .await;
    house.authserver.set_lifetime(2);
    let browser = Browser::sign_in(&house).await;
    house.authserver.set_lifetime(300);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let calls = (0..100).map(|_| {
        let (mut browser, house) = (browser.clone(), &house);
        async move { browser.call(house).await.status().as_u16() }
    });
    let statuses = futures::future::join_all(calls).await;
    assert!(statuses.iter().all(|&status| status == 200), "{statuses:?}");
    assert_eq!(house.authserver.refreshes(), 1);
    let tokens: std::collections::BTreeSet<String> = house
        .upstream
        .requests()
        .iter()
        .map(|request| request.field("authorization").expect("an identity").to_owned())
        .collect();
    assert_eq!(tokens.len(), 1, "all of them waited for the new token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_fails_ends_nothing_unless_the_grant_is_dead() {
    let house = House::with(|config| {
        config.gateway.browser.refresh_before = "60s".parse().expect("duration");
    })
    .await;
    house.authserver.set_lifetime(3);
    let mut browser = Browser::sign_in(&house).await;
    house.authserver.set_broken(true);
    // The token still lives: nobody is turned away.
    assert_eq!(browser.call(&house).await.status(), 200);
    tokio::time::sleep(Duration::from_millis(3200)).await;
    let away = browser.call(&house).await;
    assert_eq!(away.status(), 503);
    assert!(away.headers().contains_key("retry-after"));
    house.authserver.set_broken(false);
    house.authserver.set_lifetime(300);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(browser.call(&house).await.status(), 200, "the session was still there");

    house.authserver.set_lifetime(3);
    let mut browser = Browser::sign_in(&house).await;
    house.authserver.refuse_refresh();
    let over = browser.call(&house).await;
    assert_eq!(over.status(), 401);
    assert!(problem(over).await["login_url"].is_string());
    assert!(!browser.cookies.contains_key("haetae"), "the cookie is taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_is_over_at_once() {
    let house = House::open().await;
    let mut browser = Browser::sign_in(&house).await;
    assert_eq!(browser.call(&house).await.status(), 200);
    tokio::time::sleep(Duration::from_millis(2)).await;
    house.denylist.revoke(Kind::Sid, "sid_browser").await;
    let mut refused = None;
    for _ in 0..200 {
        let answer = browser.call(&house).await;
        if answer.status() != 200 {
            refused = Some(answer);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(refused.expect("refused in the end").status(), 401);
    assert!(!browser.cookies.contains_key("haetae"));
    // On a page that takes anybody, the person is nobody again and sees it.
    let mut browser = Browser::default();
    browser.cookies.insert("haetae".to_owned(), "a".repeat(43));
    assert_eq!(browser.send(client().get(house.url("/"))).await.status(), 200);
    assert_eq!(house.upstream.last().field("authorization"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out() {
    let house = House::open().await;
    let mut browser = Browser::sign_in(&house).await;
    let thief = browser.clone();
    let forged =
        client().post(house.url("/session/logout")).header("origin", "https://evil.example");
    assert_eq!(browser.send(forged).await.status(), 403);
    assert_eq!(browser.send(client().post(house.url("/session/logout"))).await.status(), 403);
    assert_eq!(browser.send(client().get(house.url("/session/logout"))).await.status(), 405);
    assert_eq!(browser.call(&house).await.status(), 200);

    let out =
        browser.send(client().post(house.url("/session/logout")).header("origin", PUBLIC)).await;
    assert_eq!(out.status(), 303);
    let next: Url = out.headers()["location"].to_str().expect("text").parse().expect("a URL");
    assert_eq!(next.as_str().split('?').next(), Some("http://gateway.test/oauth2/logout"));
    assert_eq!(parameter(&next, "id_token_hint").split('.').count(), 3);
    assert_eq!(parameter(&next, "post_logout_redirect_uri"), "http://gateway.test/");
    assert!(!browser.cookies.contains_key("haetae"));
    // Ended everywhere before the browser has followed anything.
    assert_eq!(house.authserver.ended(), [parameter(&next, "id_token_hint")]);
    assert!(house.authserver.revoked().is_empty(), "the refresh token ends with the session");
    // The cookie that somebody kept is worth nothing.
    assert_eq!(thief.clone().call(&house).await.status(), 401);

    // From a script: told where to go, not sent there. Without a session there is nothing to end. What the
    // authserver refuses to end is at least not refreshed any more.
    house.authserver.refuse_logout();
    let mut other = Browser::sign_in(&house).await;
    let request = || {
        client()
            .post(house.url("/session/logout"))
            .header("origin", PUBLIC)
            .header("x-haetae-browser", "1")
    };
    let told: Value = other.send(request()).await.json().await.expect("JSON");
    assert!(
        told["logout_url"]
            .as_str()
            .expect("a URL")
            .starts_with("http://gateway.test/oauth2/logout?")
    );
    assert_eq!(house.authserver.revoked(), ["refresh-0"]);
    let told: Value = other.send(request()).await.json().await.expect("JSON");
    assert_eq!(told["logout_url"], "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn return_to_leads_nowhere_else() {
    let house = House::open().await;
    for target in [
        "https://evil.example/",
        "//evil.example",
        "/%5Cevil.example",
        "javascript:alert(1)",
        "/session/login",
    ] {
        let mut browser = Browser::default();
        let location =
            browser.begin(&house, &format!("/session/login?return_to={}", urlencode(target))).await;
        let code = house.authserver.finish(&location);
        let page = browser.come_back(&house, &location, &code).await.text().await.expect("text");
        let stays = page.contains("content=\"0;url=/\"") || page.contains("url=/%5Cevil.example\"");
        assert!(stays, "{target}: {page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_ends_in_memory_too() {
    let house = House::with(|config| {
        config.gateway.browser.idle_timeout = "2s".parse().expect("duration");
    })
    .await;
    let mut browser = Browser::sign_in(&house).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(browser.call(&house).await.status(), 200, "in use it slides on");
    }
    tokio::time::sleep(Duration::from_millis(2600)).await;
    assert_eq!(browser.call(&house).await.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_who_is_known_stays_known() {
    let house = House::with(|config| {
        config.denylist.max_staleness = "10m".parse().expect("duration");
    })
    .await;
    let mut browser = Browser::sign_in(&house).await;
    assert_eq!(browser.call(&house).await.status(), 200);
    house.redis.freeze();
    for _ in 0..5 {
        let begun = std::time::Instant::now();
        assert_eq!(browser.call(&house).await.status(), 200);
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    // A session that is not known here cannot be looked up, and a login cannot begin.
    let mut stranger = Browser::default();
    stranger.cookies.insert("haetae".to_owned(), "a".repeat(43));
    assert_eq!(stranger.call(&house).await.status(), 503);
    let login = client().get(house.url("/session/login")).send().await.expect("answered");
    assert_eq!(login.status(), 503);
    assert!(login.headers().contains_key("retry-after"));
}

/// Where nobody is served too, a session that cannot be looked up is no reason to turn a person away, and none to
/// treat them as signed out.
#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_stranger_may_browse_as_nobody() {
    let house = House::with(|config| {
        config.denylist.max_staleness = "10m".parse().expect("duration");
    })
    .await;
    let mut known = Browser::sign_in(&house).await;
    assert_eq!(known.call(&house).await.status(), 200);
    let mut stranger = Browser::default();
    stranger.cookies.insert("haetae".to_owned(), "a".repeat(43));
    house.redis.freeze();

    let home = stranger.send(client().get(house.url("/"))).await;
    assert_eq!(home.status(), 200);
    assert_eq!(home.headers()["cache-control"], "no-store");
    assert!(home.headers().get("set-cookie").is_none(), "the cookie is kept: {home:?}");
    let seen = house.upstream.last();
    assert_eq!((seen.field("authorization"), seen.field("cookie")), (None, None), "{}", seen.head);
    assert!(house.metrics().await.contains("haetae_gateway_sessions_passed_over_total 1"));

    // Not to change anything, not where somebody is needed, and not for a client that says who it is.
    let post = client().post(house.url("/")).header("origin", PUBLIC).body("x=y");
    for request in [post, client().get(house.url("/pages/mine"))] {
        let answer = stranger.send(request).await;
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
        assert!(answer.headers().get("set-cookie").is_none(), "{answer:?}");
    }
    let before = house.upstream.requests().len();
    let forged = client().get(house.url("/")).bearer_auth("a.b.c").send().await.expect("answered");
    assert_eq!(forged.status(), 401);
    assert_eq!(house.upstream.requests().len(), before);

    // The control: who is known is somebody, whose answer is stored as the service says.
    let home = known.send(client().get(house.url("/"))).await;
    assert_eq!(home.status(), 200);
    assert!(home.headers().get("cache-control").is_none(), "{home:?}");
    assert!(house.upstream.last().field("authorization").is_some());
    // And with Redis back, a session that is none is over.
    house.redis.thaw();
    let home = stranger.send(client().get(house.url("/"))).await;
    assert_eq!(home.status(), 200);
    assert!(home.headers().get("set-cookie").is_some(), "{home:?}");
    assert!(house.metrics().await.contains("haetae_gateway_sessions_passed_over_total 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn step_up_asks_for_just_what_is_missing() {
    let house = House::with(|config| {
        for route in &mut config.gateway.routes {
            if route.name == "page-strong" {
                route.acr = Some(haetae_config::gateway::Acr::PhishingResistant);
                route.max_age = Some("1h".parse().expect("duration"));
            }
        }
    })
    .await;
    let mut browser = Browser::sign_in(&house).await;
    let page =
        browser.send(client().get(house.url("/strong")).header("sec-fetch-mode", "navigate")).await;
    assert_eq!(page.status(), 302);
    let location = page.headers()["location"].to_str().expect("text").to_owned();
    assert_eq!(location, "/session/login?return_to=%2Fstrong&acr_values=phr&max_age=3600");
    let onward = browser.begin(&house, &location).await;
    assert_eq!(parameter(&onward, "acr_values"), "phr");
    let script = browser.send(client().get(house.url("/strong"))).await;
    assert_eq!(script.status(), 401);
    assert_eq!(
        problem(script).await["type"],
        "urn:haetae:problem:insufficient-user-authentication"
    );
}

/// An authserver that has just died is nobody's failed sign-in while another one lives.
#[tokio::test(flavor = "multi_thread")]
async fn one_authserver_of_two_is_enough() {
    let house = House::with(|config| {
        for upstream in &mut config.gateway.upstreams {
            if upstream.name == "auth" {
                // Nobody listens there; asked first for the keys, and in turn for tokens.
                upstream.addresses.insert(0, "127.0.0.1:9".to_owned());
            }
        }
    })
    .await;
    for _ in 0..2 {
        let mut browser = Browser::sign_in(&house).await;
        assert_eq!(browser.call(&house).await.status(), 200);
    }
}
