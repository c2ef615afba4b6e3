//! What holds for every page.

use std::time::Duration;

use axum::{body::Body, http::Request};

use crate::testing::{Got, House, PASSWORD};

/// Every page that can be seen without an application, and some that go wrong.
async fn all(house: &House, language: &'static str) -> Vec<Got> {
    let mut stranger = house.browser();
    stranger.language = language;
    let login = stranger.get("/login").await;
    let mut pages = vec![
        stranger.submit(&login, &[("username", "<b>&\"'"), ("password", "x")]).await,
        login,
        stranger.get("/register").await,
        stranger.get("/login?request=unknown").await,
        stranger.get("/account/nothing/here").await,
        stranger.get("/consent?request=%22%3E%3Cscript%3E").await,
        stranger.post("/login", &[]).await,
        stranger.get("/oauth2/authorize?client_id=%3Cscript%3E").await,
    ];
    let mut person = house.browser();
    person.language = language;
    person.sign_in("minjun").await;
    for path in [
        "/account",
        "/account/password",
        "/account/two-step",
        "/account/sign-out-everywhere",
        "/login?again=1",
    ] {
        pages.push(person.get(path).await);
    }
    pages
}

#[tokio::test]
async fn every_page_is_closed_to_what_does_not_belong_there() {
    let house = House::open().await;
    house.person("minjun").await;
    for page in all(&house, "en").await {
        let field = |name: &str| {
            let value =
                page.fields.get(name).unwrap_or_else(|| panic!("{name} of {}", page.address));
            value.to_str().expect("text").to_owned()
        };
        let policy = field("content-security-policy");
        for part in [
            "default-src 'none'",
            "style-src 'self'",
            "script-src 'self'",
            "img-src 'self' data:",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.split("; ").any(|directive| directive == part), "{part} in {policy}");
        }
        assert_eq!(field("cache-control"), "no-store");
        assert_eq!(field("x-content-type-options"), "nosniff");
        assert_eq!(field("x-frame-options"), "DENY");
        assert_eq!(field("referrer-policy"), "same-origin");
        let body = &page.body;
        assert!(!body.contains(" style=") && !body.contains("<style"), "{}", page.address);
        let ours = body.matches("<script src=\"/static/").count();
        assert_eq!((body.matches("<script").count(), ours), (2, 2), "{body}");
        assert!(!body.contains("javascript:") && !body.contains(" onclick"), "{body}");
        assert!(!body.contains("Unknown localization"), "{body}");
    }
}

#[tokio::test]
async fn every_page_is_written_in_the_person_s_language() {
    let house = House::open().await;
    house.person("minjun").await;
    let (english, korean) = (all(&house, "en").await, all(&house, "ko-KR,en;q=0.5").await);
    for (english, korean) in english.iter().zip(&korean) {
        assert!(english.body.contains(r#"<html lang="en">"#), "{}", english.body);
        assert!(korean.body.contains(r#"<html lang="ko">"#), "{}", korean.body);
        assert_eq!(korean.fields["content-language"], "ko");
        let words = korean.body.matches(|c: char| ('가'..='힣').contains(&c)).count();
        assert!(words > 20, "{}", korean.body);
    }
}

#[tokio::test]
async fn a_language_chosen_on_the_page_is_remembered() {
    let house = House::open().await;
    let mut browser = house.browser();
    let page = browser.get("/login?return_to=%2Faccount%2Fpassword").await;
    let switch = page.after(r#"<div class="menu"><a href=""#);
    assert_eq!(switch, "/login?return_to=%2Faccount%2Fpassword&lang=ko");
    let korean = browser.get(&switch).await;
    assert!(korean.body.contains(r#"<html lang="ko">"#));
    assert_eq!(browser.cookie("haetae-lang"), Some("ko"));
    assert!(browser.get("/register").await.body.contains(r#"<html lang="ko">"#));
    // Nothing but a language of ours is kept.
    browser.get("/login?lang=xx%0d%0aSet-Cookie:%20a=b").await;
    assert_eq!(browser.cookie("haetae-lang"), Some("ko"));
}

#[tokio::test]
async fn every_field_has_a_label_and_every_mistake_is_tied_to_its_field() {
    let house = House::open().await;
    let mut browser = house.browser();
    let page = browser.get("/register").await;
    let page = browser.submit(&page, &[("username", "a b"), ("email", "x")]).await;
    assert_eq!(page.status, 422);
    assert!(page.body.contains(r#"role="alert""#));
    for name in ["username", "display_name", "email", "password"] {
        assert!(page.body.contains(&format!("<label for=\"{name}\">")), "{name}");
        assert!(page.body.contains(&format!("id=\"{name}-error\"")), "{name}");
        let input = page.after(&format!("<input id=\"{name}\" name="));
        assert_eq!(input, "", "an attribute begins right there");
        assert!(page.body.contains(&format!("aria-describedby=\"{name}-error")), "{name}");
    }
    assert_eq!(page.body.matches(" autofocus").count(), 1, "in the first field that is wrong");
    assert!(page.body.contains(r#"value="a b""#), "what was typed stays");
    assert!(!page.body.contains(r#"type="password" value="x"#), "but for passwords");
}

#[tokio::test]
async fn who_registers_goes_on_to_the_application() {
    let house = House::open().await;
    house.client("partner", true).await;
    let mut browser = house.browser();
    let page = browser
        .open(
            "/oauth2/authorize?client_id=partner&response_type=code&scope=openid&prompt=create&\
             redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback&code_challenge_method=S256&\
             code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        )
        .await;
    assert!(page.address.starts_with("/register?request="), "{}", page.address);
    let fields = |username| {
        [
            ("username", username),
            ("display_name", "김민준"),
            ("password", PASSWORD),
            ("password_again", PASSWORD),
        ]
    };
    let answer = browser.submit(&page, &fields("minjun")).await;
    let answer = browser.follow(answer).await;
    assert!(answer.location().starts_with("http://127.0.0.1:4711/callback?"));
    // Whoever registers in a language wants it (the claim `locale`).
    let minjun = house.state.accounts.find_by_username("minjun").await.expect("sql");
    assert_eq!(minjun.expect("there").locale.as_deref(), Some("en"));
    // The name is taken now, in any spelling; the way in with it is the password.
    let mut second = house.browser();
    let page = second.get("/register").await;
    let refused = second.submit(&page, &fields("MinJun")).await;
    assert_eq!(refused.status, 422);
    assert!(refused.body.contains("This username is taken"));
    assert_eq!(house.browser().sign_in("minjun").await.location(), "/account");
}

#[tokio::test]
async fn registration_can_be_closed_and_is_never_open_to_thousands() {
    let closed = House::open_with(|config| config.auth.registration.enabled = false).await;
    let page = closed.browser().get("/register").await;
    assert_eq!(page.status, 403);
    assert!(!closed.browser().get("/login").await.body.contains("/register"));

    let house = House::open_with(|config| config.auth.login.attempts = 1).await;
    let mut last = 0;
    for name in 0..12 {
        let mut browser = house.browser();
        let page = browser.get("/register").await;
        let name = format!("person{name}");
        let fields = [
            ("username", name.as_str()),
            ("display_name", "x"),
            ("password", PASSWORD),
            ("password_again", PASSWORD),
        ];
        last = browser.submit(&page, &fields).await.status.as_u16();
    }
    assert_eq!(last, 429);
    house.clock.advance(Duration::from_mins(15));
    let mut browser = house.browser();
    let page = browser.get("/register").await;
    assert_eq!(page.status, 200);
}

#[tokio::test]
async fn a_name_full_of_markup_is_only_text() {
    let house = House::open().await;
    let mut browser = house.browser();
    let page = browser.get("/register").await;
    let name = "<img src=x onerror=alert(1)>";
    let fields = [
        ("username", "mallory"),
        ("display_name", name),
        ("password", PASSWORD),
        ("password_again", PASSWORD),
    ];
    let answer = browser.submit(&page, &fields).await;
    let overview = browser.follow(answer).await;
    assert!(!overview.body.contains("<img src=x"), "{}", overview.body);
    assert!(overview.body.contains("&#60;img src=x"), "{}", overview.body);
}

#[tokio::test]
async fn what_is_no_form_is_refused_without_a_fuss() {
    let house = House::open().await;
    let mut browser = house.browser();
    for (kind, body) in [
        ("application/json", "{}"),
        ("text/plain", "csrf=x"),
        ("application/x-www-form-urlencoded", "%ff%fe=%00&username=a&username=b"),
    ] {
        let request = Request::post("/login")
            .header("content-type", kind)
            .header("origin", &browser.origin)
            .body(Body::from(body))
            .expect("a request");
        assert_eq!(browser.send(request).await.status, 403, "{kind}");
    }
}
