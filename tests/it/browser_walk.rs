//! A person in a real Chromium: looks around, opens an account page, turns two-step sign-in on, signs in with
//! it, reserves, watches the reservation move by itself, confirms, cancels, signs out. In English on a desktop
//! and in Korean on a phone, with a picture of every page under `target/screenshots/`.

use fantoccini::Locator;
use haetae_tests::{
    browser::Browser,
    oidc::Client,
    stack::{Options, Stack},
    totp::Authenticator,
};
use url::Url;

/// What the pages say in one language, where the test has to read it.
struct Words {
    language: &'static str,
    held: &'static str,
    confirmed: &'static str,
    cancelled: &'static str,
    failed: &'static str,
    declined: &'static str,
    rejected: &'static str,
    signed_out: &'static str,
}

const ENGLISH: Words = Words {
    language: "en",
    held: "Held for you",
    confirmed: "Confirmed",
    cancelled: "Cancelled",
    failed: "Payment failed",
    declined: "card declined",
    rejected: "Not available",
    signed_out: "Sign in",
};

const KOREAN: Words = Words {
    language: "ko",
    held: "잡아 두었습니다",
    confirmed: "확정",
    cancelled: "취소됨",
    failed: "결제 실패",
    declined: "카드사에서 승인하지 않았습니다",
    rejected: "예약 불가",
    signed_out: "로그인",
};

#[tokio::test]
async fn in_english_on_a_desktop() {
    walk(&ENGLISH, "desktop-en", (1280, 900)).await;
}

#[tokio::test]
async fn in_korean_on_a_phone() {
    walk(&KOREAN, "phone-ko", (390, 844)).await;
}

/// A walk: the stack, the window, and a number for each picture.
struct Walk<'a> {
    stack: &'a Stack,
    browser: Browser,
    words: &'a Words,
    pictures: u32,
}

impl Walk<'_> {
    async fn open(&self, path: &str) {
        self.browser.goto(&self.stack.url(path)).await;
    }

    /// Keeps a picture, and asserts what holds for every page of the house.
    async fn page(&mut self, name: &str) {
        self.pictures += 1;
        self.browser.screenshot(&format!("{:02}-{name}", self.pictures)).await;
        let at = self.browser.url().await;
        assert_eq!(self.browser.language().await, self.words.language, "{name}: {at}");
        let checks = self.browser.script(
            "return {
               headings: document.querySelectorAll('h1:not([role])').length,
               title: document.title,
               unlabelled: [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
                 .filter(field => field.offsetParent !== null && field.getAttribute('aria-hidden') !== 'true' && !(field.labels && field.labels.length) && !field.getAttribute('aria-label') && !field.getAttribute('aria-labelledby'))
                 .map(field => field.name),
               nameless: [...document.querySelectorAll('a, button')].filter(it => !it.hidden && !it.textContent.trim() && !it.getAttribute('aria-label')).length,
               unsaid: [...document.querySelectorAll('img')].filter(image => !image.hasAttribute('alt')).length,
               overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
               viewport: !!document.querySelector('meta[name=viewport]'),
               main: document.querySelectorAll('main').length,
               untranslated: /\\b(?:[a-z]+-){1,3}[a-z]+\\b: not found|Unknown localization/.test(document.body.innerText),
             }",
        );
        let checks = checks.await;
        assert_eq!(checks["headings"], 1, "{name}: one main heading: {checks}");
        assert_eq!(checks["main"], 1, "{name}: {checks}");
        assert_eq!(
            checks["unlabelled"],
            serde_json::json!([]),
            "{name}: every field has a label: {checks}"
        );
        assert_eq!(checks["nameless"], 0, "{name}: every link and button has a name: {checks}");
        assert_eq!(checks["unsaid"], 0, "{name}: every picture has a text: {checks}");
        assert!(
            checks["overflow"].as_i64().unwrap() <= 1,
            "{name}: nothing sticks out sideways: {checks}"
        );
        assert_eq!(checks["viewport"], true, "{name}");
        assert_eq!(checks["untranslated"], false, "{name}");
        assert!(!checks["title"].as_str().unwrap().is_empty(), "{name}");
    }

    async fn fill_login(&self, username: &str, password: &str) {
        self.browser.fill("username", username).await;
        self.browser.fill("password", password).await;
        self.browser.click("main button[type=submit]").await;
    }

    /// Types a one-time code. Some fields send themselves with the sixth digit, the others want the button.
    async fn send_code(&self, code: &str) {
        let before = self.browser.url().await;
        self.browser.fill("code", code).await;
        let button = Locator::Css("main button[type=submit]");
        if self.browser.url().await == before
            && self.browser.has("[name=code]").await
            && let Ok(button) = self.browser.client.find(button).await
        {
            // It is gone when the field was faster.
            let _sent_already = button.click().await;
        }
    }

    /// Waits until the live part of a reservation's page is in `status`.
    async fn await_status(&self, status: &str) {
        let what = format!("the page shows {status} by itself");
        haetae_tests::wait::until(&what, std::time::Duration::from_secs(30), async || {
            let found = self.browser.client.find(Locator::Css("#live")).await.ok()?;
            (found.attr("data-status").await.ok()??.as_str() == status).then_some(())
        })
        .await;
    }

    /// Reserves the first item of the search `item`, paying with the option whose value is `pay`.
    async fn reserve(&self, item: &str, pay: &str) {
        self.open(&format!("/inventory/{item}")).await;
        self.browser.fill("quantity", "1").await;
        self.browser
            .script(&format!("document.querySelector('[name=pay]').value = '{pay}'; return document.querySelector('[name=pay]').value"))
            .await;
        self.browser.click("form[action='/reservations'] button").await;
        self.browser
            .await_path("the reservation's page", |path| path.starts_with("/reservations/rsv_"))
            .await;
    }
}

async fn walk(words: &Words, name: &str, (width, height): (u32, u32)) {
    // A payment slow enough for a person to see the state in between.
    let stack = Stack::start(Options::default().set("WORKER__PAYMENT__LATENCY", "700ms")).await;
    let service = haetae_tests::shop::service(&stack).await;
    let item = service.create_item("경복궁 야간 관람 · Night at the palace", 6).await;
    let scarce = service.create_item("The last one", 1).await;
    let browser = Browser::open(name, words.language, width, height).await;
    let demo = stack.demo().user("demo").clone();
    let mut walk = Walk { stack: &stack, browser, words, pictures: 0 };

    // Looking around needs no account.
    walk.open("/").await;
    walk.page("home").await;
    walk.browser.fill("q", "palace").await;
    walk.browser.click("form[role=search] button").await;
    walk.browser.await_text(&["Night at the palace"]).await;
    walk.page("search").await;
    walk.open("/?q=nothing-of-the-kind").await;
    walk.page("search-empty").await;
    walk.open(&format!("/inventory/{item}")).await;
    walk.page("item-signed-out").await;

    // Signing in, first with a mistake; by keyboard alone.
    walk.browser.click("main a[href^='/session/login']").await;
    walk.browser.await_path("the login page", |path| path == "/login").await;
    walk.page("login").await;
    walk.fill_login(&demo.username, "not my password").await;
    walk.browser.find("[role=alert]").await;
    walk.page("login-wrong").await;
    walk.browser.fill("username", &demo.username).await;
    let password = walk.browser.find("[name=password]").await;
    password.send_keys(&format!("{}\u{e007}", demo.password)).await.unwrap();
    walk.browser
        .await_path("back where the person came from", |path| path == format!("/inventory/{item}"))
        .await;
    walk.page("item").await;
    assert!(!walk.browser.script_cookies().await.contains("haetae="), "no script sees the session");

    // Two-step sign-in.
    walk.open("/account").await;
    walk.page("account").await;
    walk.open("/account/two-step").await;
    if !walk.browser.has("#key").await {
        walk.page("confirm-password").await;
        walk.browser.fill("password", &demo.password).await;
        walk.browser.click("main button[type=submit]").await;
    }
    let secret = walk.browser.find("#key").await.text().await.unwrap();
    walk.page("two-step").await;
    let authenticator = Authenticator::from_base32(&secret);
    walk.send_code(&authenticator.code(0)).await;
    walk.browser.find("#codes").await;
    walk.page("recovery-codes").await;
    walk.browser.click("main a.button").await;
    walk.page("account-two-step").await;
    walk.open("/account/password").await;
    walk.page("password").await;
    walk.open("/account/sign-out-everywhere").await;
    walk.page("sign-out-everywhere").await;

    // Out, and in again with the code.
    walk.open("/").await;
    walk.browser.click("form[action='/session/logout'] button").await;
    walk.browser.await_text(&[words.signed_out]).await;
    walk.page("signed-out").await;
    walk.open("/session/login?return_to=/").await;
    walk.fill_login(&demo.username, &demo.password).await;
    walk.browser.await_path("the code's page", |path| path.starts_with("/mfa")).await;
    walk.page("mfa").await;
    walk.browser.click("main a[href*='recovery']").await;
    walk.page("mfa-recovery").await;
    walk.browser.client.back().await.unwrap();
    walk.send_code(&authenticator.code(1)).await;
    walk.browser.await_path("signed in", |path| path == "/").await;

    // Hold, confirm, watch it move without a reload, cancel.
    walk.reserve(&item, "").await;
    walk.await_status("held").await;
    walk.browser.await_text(&[words.held]).await;
    walk.page("reservation-held").await;
    walk.browser.click("[name=confirm]").await;
    walk.await_status("confirmed").await;
    walk.browser.await_text(&[words.confirmed]).await;
    walk.page("reservation-confirmed").await;
    walk.browser.fill("reason", "비가 와서 · rain").await;
    walk.browser.click("[name=cancel]").await;
    walk.await_status("cancelled").await;
    walk.browser.await_text(&[words.cancelled]).await;
    walk.page("reservation-cancelled").await;
    let history = walk
        .browser
        .script("return [...document.querySelectorAll('.history li')].map(it => it.className)")
        .await;
    let mut states: Vec<&str> =
        history.as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
    if states.first() == Some(&"cancelled") {
        states.reverse();
    }
    assert_eq!(states, ["pending", "held", "confirmed", "cancelling", "cancelled"]);

    // With a card: pending, held, confirmed by itself, on a page that is never loaded again.
    walk.reserve(&item, "tok_ok").await;
    walk.page("reservation-moving").await;
    walk.browser.script("window.unchanged = true").await;
    walk.await_status("confirmed").await;
    assert_eq!(
        walk.browser.script("return window.unchanged === true").await,
        true,
        "it moved by itself"
    );
    let said = walk.browser.script("return document.getElementById('said').textContent").await;
    assert!(
        said.as_str().unwrap().starts_with(words.confirmed),
        "a screen reader hears it: {said}"
    );
    walk.page("reservation-paid").await;
    walk.reserve(&item, "tok_declined").await;
    walk.await_status("failed").await;
    walk.browser.await_text(&[words.failed]).await;
    walk.browser.await_text(&[words.declined]).await;
    walk.page("reservation-failed").await;

    // Somebody else was faster.
    walk.open(&format!("/inventory/{scarce}")).await;
    let mobile = Client::mobile(&stack);
    let guest =
        mobile.sign_in(&haetae_tests::agent::Agent::new(), stack.demo().user("guest")).await;
    let guest = haetae_tests::api::Api::bearer(&stack, &guest.access_token);
    assert_eq!(guest.reserve(&[(&scarce, 1)], None, Some(20)).await.status, 201);
    walk.browser.click("form[action='/reservations'] button").await;
    walk.browser.await_text(&[words.rejected]).await;
    walk.page("reservation-rejected").await;
    walk.open(&format!("/inventory/{scarce}")).await;
    walk.page("item-sold-out").await;
    walk.open("/reservations").await;
    walk.page("reservations").await;
    walk.open("/reservations/rsv_01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
    walk.page("not-there").await;

    // The pages of other applications' sign-ins: consent, a mistake of the application, registration.
    let partner = Client::new(&stack, stack.demo().client("demo-partner"));
    let request = partner.request("openid profile reservations:read", &[]);
    walk.browser.goto(&request.url).await;
    walk.page("consent").await;
    walk.browser.goto(&with(&request.url, "redirect_uri", "https://evil.example/")).await;
    walk.page("wrong-redirect").await;
    walk.open("/account").await;
    walk.page("account-at-the-end").await;
    walk.open("/").await;
    walk.browser.click("form[action='/session/logout'] button").await;
    walk.browser.await_text(&[words.signed_out]).await;
    walk.open("/register").await;
    walk.page("register").await;
    walk.browser.fill("username", "demo").await;
    walk.browser.click("main button[type=submit]").await;
    walk.page("register-wrong").await;
    for nothing in ["/admin", "/device", "/account/nothing", "/reservations/nothing"] {
        walk.open(nothing).await;
        walk.page(&format!("nothing{}", nothing.replace('/', "-"))).await;
    }
    walk.open("/no/such/page").await;
    walk.browser.screenshot("99-no-such-page").await;
    // The other language is one click away and stays.
    walk.open("/").await;
    walk.browser.click("a[hreflang]").await;
    let other = if words.language == "en" { "ko" } else { "en" };
    haetae_tests::wait::until_true(
        "the language changes",
        std::time::Duration::from_secs(10),
        async || walk.browser.language().await == other,
    )
    .await;
    walk.open("/login").await;
    assert_eq!(walk.browser.language().await, other, "the choice holds for the whole house");
    walk.browser.screenshot("98-login-other-language").await;
    walk.browser.close().await;
}

/// `url` with the parameter `name` set to `value`.
fn with(url: &Url, name: &str, value: &str) -> Url {
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(key, old)| {
            let new = if key == name { value.to_owned() } else { old.into_owned() };
            (key.into_owned(), new)
        })
        .collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}
