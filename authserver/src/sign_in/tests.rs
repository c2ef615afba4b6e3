//! Signing in, as a browser does it.

use std::time::Duration;

use axum::http::StatusCode;
use haetae_base::clock::Clock;
use haetae_keys::claims::Acr;

use super::{
    hash_pool::{HashCost, hash_now},
    totp,
};
use crate::{
    domain::account::{Account, PasswordHash},
    sign_in::{recovery_code, totp::Authenticator},
    testing::{Browser, Got, House, PASSWORD},
};

const SSO: &str = "haetae-sso";
/// An authorization request of the client `partner` (RFC 7636 appendix B has the challenge).
const AUTHORIZE: &str = "/oauth2/authorize?client_id=partner&response_type=code&\
    redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback&scope=openid%20profile&state=xyz&\
    code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

/// An account with two-step sign-in, its authenticator, and one recovery code.
async fn protected(house: &House, username: &str) -> (Account, Authenticator, String) {
    let account = house.person(username).await;
    let secret = totp::generate_secret();
    let id = account.id.to_string();
    let sealed = house.state.sign_in.totp_key.seal(&secret, id.as_bytes());
    let (factors, now) = (&house.state.factors, house.clock.now());
    factors.begin_totp(account.id, sealed, now).await.expect("begun");
    let factor = factors.find_totp(account.id).await.expect("sql").expect("a factor");
    let code = "0123-4567-89ab-cdef".to_owned();
    let hash = recovery_code::hash(&id, &code.clone().into()).expect("a code");
    factors.confirm_totp(&factor, 0, &[*hash.as_bytes()], now).await.expect("confirmed");
    (account, Authenticator::new(&secret, "Haetae", username).expect("valid"), code)
}

/// Until the page that asks for the code.
async fn until_the_code(browser: &mut Browser, username: &str) -> Got {
    let answer = browser.sign_in(username).await;
    let page = browser.follow(answer).await;
    assert!(page.address.starts_with("/mfa"), "{}", page.address);
    page
}

async fn session_of(house: &House, account: &Account) -> haetae_session::sso::SsoSession {
    let id = account.id.to_string();
    let mut sessions = house.state.sso.list(&id, house.clock.now()).await.expect("redis");
    assert_eq!(sessions.len(), 1);
    sessions.remove(0)
}

#[tokio::test]
async fn the_password_opens_a_session() {
    let house = House::open().await;
    let account = house.person("minjun").await;
    let mut browser = house.browser();
    let answer = browser.sign_in("MinJun").await;
    assert_eq!(answer.location(), "/account");
    let page = browser.follow(answer).await;
    assert_eq!(page.status, 200);
    let session = session_of(&house, &account).await;
    assert_eq!((session.acr, session.amr), (Acr::OneFactor, vec!["pwd".to_owned()]));
    // Signed in already: no page, wherever one comes from.
    assert_eq!(
        browser.get("/login?return_to=/account/password").await.location(),
        "/account/password"
    );
}

#[tokio::test]
async fn whatever_is_wrong_the_answer_is_the_same() {
    let house = House::open().await;
    house.person("minjun").await;
    let shut = house.person("shut").await;
    let now = house.clock.now();
    house.state.accounts.set_disabled(shut.id, Some(now), now).await.expect("shut");
    let mut answers = Vec::new();
    let long = "a".repeat(2000);
    for (username, password) in [
        ("minjun", "not the password at all"),
        ("nobody", PASSWORD),
        ("shut", PASSWORD),
        ("minjun", ""),
        ("minjun", long.as_str()),
    ] {
        let mut browser = house.browser();
        let page = browser.get("/login").await;
        let answer = browser.submit(&page, &[("username", username), ("password", password)]).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(browser.cookie(SSO), None);
        let (csrf, value) = (answer.csrf(), format!("value=\"{username}\""));
        answers.push(answer.body.replace(&csrf, "").replace(&value, ""));
    }
    assert!(answers.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn a_planted_session_is_not_taken_over_and_each_sign_in_has_a_new_cookie() {
    let house = House::open().await;
    house.person("minjun").await;
    house.person("mallory").await;
    let mut mallory = house.browser();
    mallory.sign_in("mallory").await;
    let planted = mallory.cookie(SSO).expect("a session").to_owned();
    let mut victim = house.browser();
    victim.cookies.insert(SSO.to_owned(), planted.clone());
    let page = victim.get("/login?again=1").await;
    victim.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    let own = victim.cookie(SSO).expect("a session").to_owned();
    assert_ne!(own, planted);
    // The session that was there before is over, for whoever planted it.
    assert!(mallory.get("/account").await.location().starts_with("/login"));
    // The same person again: another cookie, and the old one is worth nothing.
    let page = victim.get("/login?again=1").await;
    victim.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    assert_ne!(victim.cookie(SSO), Some(own.as_str()));
    let mut old = house.browser();
    old.cookies.insert(SSO.to_owned(), own);
    assert!(old.get("/account").await.location().starts_with("/login"));
}

#[tokio::test]
async fn a_form_from_elsewhere_does_nothing() {
    let house = House::open().await;
    house.person("minjun").await;
    let mut browser = house.browser();
    let page = browser.get("/login").await;
    let csrf = page.csrf();
    let mine = [("username", "minjun"), ("password", PASSWORD), ("csrf", csrf.as_str())];
    for origin in ["https://evil.example", "null"] {
        let mut elsewhere = browser.clone();
        elsewhere.origin = origin.to_owned();
        assert_eq!(elsewhere.post("/login", &mine).await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(browser.post("/login", &mine[..2]).await.status, StatusCode::FORBIDDEN);
    // A token of another browser (login CSRF: the attacker's own form, in the victim's browser).
    let mut other = house.browser();
    other.get("/login").await;
    assert_eq!(other.post("/login", &mine).await.status, StatusCode::FORBIDDEN);
    assert!(browser.cookie(SSO).is_none() && other.cookie(SSO).is_none());
    assert_eq!(browser.post("/login", &mine).await.location(), "/account");
}

#[tokio::test]
async fn nobody_is_sent_to_another_site_afterwards() {
    let house = House::open().await;
    house.person("minjun").await;
    for hostile in
        ["//evil.example", "https%3A%2F%2Fevil.example", "%2F%5Cevil.example", "%2F%09%2Fevil"]
    {
        let mut browser = house.browser();
        let page = browser.get(&format!("/login?return_to={hostile}")).await;
        let fields = [("username", "minjun"), ("password", PASSWORD)];
        assert_eq!(browser.submit(&page, &fields).await.location(), "/account", "{hostile}");
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_the_owner_elsewhere_is_not() {
    let house = House::open_with(|config| config.auth.login.attempts = 3).await;
    house.person("minjun").await;
    let mut browser = house.browser();
    let page = browser.get("/login").await;
    let wrong = [("username", "minjun"), ("password", "guess")];
    for _ in 0..3 {
        assert_eq!(browser.submit(&page, &wrong).await.status, 422);
    }
    let refused = browser.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.fields["retry-after"], "10");
    assert!(refused.body.contains("wait 10 seconds"), "{}", refused.body);
    house.clock.advance(Duration::from_secs(10));
    let answer = browser.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    assert_eq!(answer.location(), "/account");
}

#[tokio::test]
async fn the_password_alone_is_no_session_when_a_code_is_due() {
    let house = House::open().await;
    let (account, authenticator, _) = protected(&house, "minjun").await;
    let mut browser = house.browser();
    let page = until_the_code(&mut browser, "minjun").await;
    assert_eq!(browser.cookie(SSO), None);
    assert!(browser.get("/account").await.location().starts_with("/login"));
    assert!(
        house
            .state
            .sso
            .list(&account.id.to_string(), house.clock.now())
            .await
            .expect("redis")
            .is_empty()
    );
    assert_eq!(browser.submit(&page, &[("code", "000000")]).await.status, 422);
    let code = authenticator.code_at(house.clock.now());
    assert_eq!(browser.submit(&page, &[("code", &code)]).await.location(), "/account");
    let session = session_of(&house, &account).await;
    assert_eq!((session.acr, session.amr.len()), (Acr::TwoFactor, 3));
    // The same code again, in another browser.
    let mut replay = house.browser();
    let page = until_the_code(&mut replay, "minjun").await;
    assert_eq!(replay.submit(&page, &[("code", &code)]).await.status, 422);
    // And what was half done is not done twice.
    assert_eq!(browser.submit(&page, &[("code", &code)]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn of_two_who_send_one_code_at_once_one_gets_in() {
    let house = House::open().await;
    let (_, authenticator, _) = protected(&house, "minjun").await;
    let code = authenticator.code_at(house.clock.now());
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let mut browser = house.browser();
        let page = until_the_code(&mut browser, "minjun").await;
        waiting.push((browser, page));
    }
    let answers = futures::future::join_all(waiting.into_iter().map(|(mut browser, page)| {
        let code = code.clone();
        async move { browser.submit(&page, &[("code", &code)]).await.status }
    }))
    .await;
    assert_eq!(answers.iter().filter(|status| **status == 303).count(), 1, "{answers:?}");
}

#[tokio::test]
async fn what_is_half_done_ends_with_the_password_and_with_time() {
    let house = House::open().await;
    let (account, authenticator, _) = protected(&house, "minjun").await;
    let mut changed = house.browser();
    let page = until_the_code(&mut changed, "minjun").await;
    let hash = PasswordHash::from_phc("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAA");
    let now = house.clock.now();
    house.state.accounts.set_password(account.id, &hash, now).await.expect("changed");
    let code = authenticator.code_at(now);
    let answer = changed.submit(&page, &[("code", &code)]).await;
    assert!(answer.location().starts_with("/login"), "{}", answer.location());
    // Nobody without the password gets as far as the code.
    assert!(house.browser().get("/mfa").await.location().starts_with("/login"));
}

#[tokio::test]
async fn a_recovery_code_works_once() {
    let house = House::open().await;
    let (_, _, recovery) = protected(&house, "minjun").await;
    for works in [true, false] {
        let mut browser = house.browser();
        let page = until_the_code(&mut browser, "minjun").await;
        assert!(page.body.contains("/mfa/recovery"));
        let page = browser.get("/mfa/recovery").await;
        let answer = browser.submit(&page, &[("code", &recovery.to_uppercase())]).await;
        assert_eq!(answer.status.is_redirection(), works, "{}", answer.body);
    }
}

#[tokio::test]
async fn a_recovery_code_is_taken_on_the_page_that_asks_for_the_other() {
    let house = House::open_with(|config| config.auth.login.attempts = 2).await;
    let (account, authenticator, recovery) = protected(&house, "minjun").await;
    let mut browser = house.browser();
    let page = until_the_code(&mut browser, "minjun").await;
    assert!(page.body.contains(r#"maxlength="64""#), "it fits into the field");
    let answer = browser.submit(&page, &[("code", &recovery)]).await;
    assert!(answer.status.is_redirection(), "{}", answer.body);
    let left = house.state.factors.count_recovery_codes(account.id).await.expect("sql");
    assert_eq!(left, 0, "used up");
    // Used up, on either page; it is counted with the recovery codes and not with the others.
    let mut again = house.browser();
    let page = until_the_code(&mut again, "minjun").await;
    for _ in 0..2 {
        let wrong = again.submit(&page, &[("code", &recovery)]).await;
        assert_eq!(wrong.status, 422);
        assert!(wrong.body.contains("This recovery code is not right"), "{}", wrong.body);
    }
    assert_eq!(again.submit(&page, &[("code", &recovery)]).await.status, 429);
    let code = authenticator.code_at(house.clock.now());
    assert!(again.submit(&page, &[("code", &code)]).await.status.is_redirection());
}

#[tokio::test]
async fn codes_are_not_guessed() {
    let house = House::open_with(|config| config.auth.login.attempts = 4).await;
    protected(&house, "minjun").await;
    let mut browser = house.browser();
    let page = until_the_code(&mut browser, "minjun").await;
    let mut statuses = Vec::new();
    for guess in 0..6 {
        let code = format!("{guess:06}");
        statuses.push(browser.submit(&page, &[("code", &code)]).await.status.as_u16());
    }
    assert_eq!(statuses, [422, 422, 422, 422, 429, 429]);
}

#[tokio::test]
async fn an_application_s_request_goes_on_where_it_stopped() {
    let house = House::open().await;
    house.person("minjun").await;
    house.client("partner", true).await;
    let mut browser = house.browser();
    let page = browser.open(AUTHORIZE).await;
    assert!(page.body.contains("Partner &#38; Sons"), "{}", page.body);
    let policy = page.fields["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:*"), "{policy}");
    let answer = browser.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    let answer = browser.follow(answer).await;
    let location = answer.location().to_owned();
    assert!(location.starts_with("http://127.0.0.1:4711/callback?"), "{location}");
    assert!(location.contains("code=") && location.contains("state=xyz"), "{location}");
    // The second application sees no page at all.
    let again = browser.open(AUTHORIZE).await;
    assert!(again.location().starts_with("http://127.0.0.1:4711/callback?"));
    // Nobody else can go on with this browser's request.
    let mut other = house.browser();
    let mut first = house.browser();
    let pending = first.open(AUTHORIZE).await;
    assert_eq!(other.get(&pending.address).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn enter_on_the_consent_page_allows_and_the_other_button_does_not() {
    let house = House::open().await;
    house.person("minjun").await;
    house.client("partner", false).await;
    for language in ["en", "ko"] {
        for (press, answers) in [("first", "code="), ("last", "error=access_denied")] {
            let mut browser = house.browser();
            browser.language = language;
            browser.sign_in("minjun").await;
            let page = browser.open(&format!("{AUTHORIZE}&prompt=consent")).await;
            assert!(page.address.starts_with("/consent"), "{}", page.address);
            // Enter, and a client that knows no better, press the first button of the form.
            let mark = r#"name="decision" value=""#;
            let mut decisions = page.body.split(mark).skip(1).map(|rest| {
                let (decision, _) = rest.split_once('"').expect("a value");
                decision
            });
            let decision = if press == "first" { decisions.next() } else { decisions.last() };
            let answer = browser.submit(&page, &[("decision", decision.expect("a button"))]).await;
            let location = browser.follow(answer).await.location().to_owned();
            assert!(location.contains(answers), "{press}: {location}");
        }
    }
}

#[tokio::test]
async fn of_two_windows_that_wait_one_sign_in_is_enough() {
    let house = House::open().await;
    house.person("minjun").await;
    house.client("partner", true).await;
    let mut browser = house.browser();
    let (waiting, insisting) =
        (browser.open(AUTHORIZE).await, browser.open(&format!("{AUTHORIZE}&prompt=login")).await);
    assert!(waiting.address.starts_with("/login?request="), "{}", waiting.address);
    browser.sign_in("minjun").await;
    let answer = browser.open(&waiting.address).await;
    assert!(answer.location().starts_with("http://127.0.0.1:4711/callback?code="), "{answer:?}");
    // A request that wants the person asked still does.
    assert_eq!(browser.open(&insisting.address).await.status, 200);
    // And a session from before the request is not enough for one that waits for a newer one.
    house.clock.advance(Duration::from_secs(5));
    let newer = browser.open(&format!("{AUTHORIZE}&max_age=1")).await;
    assert!(newer.body.contains("Is it still you?"), "{}", newer.body);
    assert_eq!(browser.open(&newer.address).await.status, 200);
}

#[tokio::test]
async fn who_is_asked_again_sees_whom_the_page_is_about() {
    let house = House::open().await;
    house.person("minjun").await;
    house.client("partner", true).await;
    let mut browser = house.browser();
    browser.sign_in("minjun").await;
    house.clock.advance(Duration::from_secs(1));
    let page = browser.open(&format!("{AUTHORIZE}&prompt=login")).await;
    assert!(page.body.contains("You are signed in as minjun"), "{}", page.body);
    assert!(page.body.contains(r#"value="minjun""#));
    let hinted = house.browser().open(&format!("{AUTHORIZE}&login_hint=someone")).await;
    assert!(hinted.body.contains(r#"value="someone""#));
    let korean = house.browser().open(&format!("{AUTHORIZE}&ui_locales=fr%20ko")).await;
    assert!(korean.body.contains(r#"<html lang="ko">"#));
}

#[tokio::test]
async fn a_second_factor_is_asked_for_alone() {
    let house = House::open().await;
    let account = house.person("minjun").await;
    house.client("partner", true).await;
    let mut browser = house.browser();
    browser.sign_in("minjun").await;
    let before = browser.cookie(SSO).expect("a session").to_owned();
    // Without an authenticator the way leads through setting one up, and on.
    let asking = format!("{AUTHORIZE}&acr_values=2fa");
    let page = browser.open(&asking).await;
    assert!(page.address.starts_with("/account/two-step?request="), "{}", page.address);
    assert!(page.body.contains("Partner &#38; Sons asks for two-step sign-in"), "{}", page.body);
    let key = page.after(r#"id="key">"#);
    let key = key.split('<').next().expect("a key").replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(key).expect("base32");
    let authenticator = Authenticator::new(&secret, "Haetae", "minjun").expect("valid");
    let code = authenticator.code_at(house.clock.now());
    // Who will not have one goes back without.
    let mut unwilling = browser.clone();
    let other = unwilling.open(&asking).await;
    let refused = unwilling.submit(&other, &[("decision", "refuse")]).await;
    let error = "error=unmet_authentication_requirements";
    assert!(refused.location().contains(error), "{}", refused.location());
    let codes = browser.submit(&page, &[("code", &code)]).await;
    assert_eq!(codes.status, 200);
    assert_eq!(codes.body.matches("<li>").count(), recovery_code::CODES);
    let next = codes.after(r#"<a class="button" href=""#);
    assert_ne!(browser.cookie(SSO), Some(before.as_str()));
    assert_eq!(session_of(&house, &account).await.acr, Acr::TwoFactor);
    let answer = browser.open(&next).await;
    assert!(answer.location().starts_with("http://127.0.0.1:4711/callback?"));
}

#[tokio::test]
async fn a_hash_of_another_cost_is_replaced_at_the_next_sign_in() {
    let house = House::open().await;
    let account = house.person("minjun").await;
    let before = HashCost { memory_kib: 128, iterations: 2, parallelism: 1 };
    let phc = hash_now(before, &PASSWORD.to_owned().into()).expect("hashes");
    let now = house.clock.now();
    let hash = PasswordHash::from_phc(phc);
    house.state.accounts.set_password(account.id, &hash, now).await.expect("set");
    for _ in 0..2 {
        assert_eq!(house.browser().sign_in("minjun").await.location(), "/account");
        let stored = house.state.accounts.find(account.id).await.expect("sql").expect("there");
        assert!(stored.password.expect("a hash").as_phc().contains("$m=64,t=1,p=1$"));
    }
}

#[tokio::test]
async fn a_flood_is_told_to_come_back() {
    let house = House::open_with(|config| {
        config.auth.password.memory_kib = 16 * 1024;
        config.auth.password.concurrency = 1;
        config.auth.password.queue = 1;
        config.auth.login.attempts = 1000;
    })
    .await;
    let mut browser = house.browser();
    let page = browser.get("/login").await;
    let flood = (0..12).map(|_| {
        let (mut browser, page) = (browser.clone(), &page);
        async move { browser.submit(page, &[("username", "x"), ("password", "y")]).await }
    });
    let answers = futures::future::join_all(flood).await;
    let busy: Vec<_> = answers.iter().filter(|got| got.status == 503).collect();
    assert!(!busy.is_empty() && busy.len() < 12, "{}", busy.len());
    assert!(busy.iter().all(|got| got.fields["retry-after"] == "2"));
}

#[tokio::test]
async fn without_redis_a_sign_in_is_told_to_come_back() {
    let mut house = House::open().await;
    house.person("minjun").await;
    let mut browser = house.browser();
    let page = browser.get("/login").await;
    house.redis.stop();
    let answer = browser.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.fields.contains_key("retry-after"));
    assert!(answer.body.contains("Not available just now"));
    assert!(answer.body.contains(r#"<a class="button full" href="/login">Try again</a>"#));
}

#[tokio::test]
async fn a_browser_is_led_on_to_a_web_application_by_a_page_and_a_program_by_redirects() {
    let house = House::open().await;
    house.person("minjun").await;
    house.client("partner", true).await;
    house.web_client("web").await;
    let web = AUTHORIZE
        .replace("partner", "web")
        .replace("http%3A%2F%2F127.0.0.1%3A4711%2Fcallback", "https%3A%2F%2Fapp.example%2Fcb");
    let fields = [("username", "minjun"), ("password", PASSWORD)];
    let mut browser = house.browser();
    browser.navigates = true;
    let page = browser.open(&web).await;
    let policy = page.fields["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("form-action 'self' https://app.example"), "{policy}");
    let between = browser.submit(&page, &fields).await;
    assert_eq!(between.status, 200);
    let next = between.after(r#"<meta http-equiv="refresh" content="0; url="#);
    assert_eq!(next, between.after(r#"<p class="aside"><a href=""#));
    assert!(next.starts_with("/oauth2/authorize/resume?request="), "{next}");
    let answer = browser.get(&next).await;
    assert!(answer.location().starts_with("https://app.example/cb?code="), "{answer:?}");
    // A program, and an application on the device: redirects all the way.
    for (navigates, authorize) in [(false, web.as_str()), (true, AUTHORIZE)] {
        let mut browser = house.browser();
        browser.navigates = navigates;
        let page = browser.open(authorize).await;
        assert!(browser.submit(&page, &fields).await.location().starts_with("/oauth2/"));
    }
}
