//! The account pages, as a browser uses them.

use std::time::Duration;

use axum::http::StatusCode;
use haetae_base::clock::Clock;
use haetae_session::family::FamilyGrant;

use crate::{
    sign_in::totp::Authenticator,
    testing::{Browser, Got, House, PASSWORD},
};

const SSO: &str = "haetae-sso";
const NEW: &str = "a wholly new passphrase";

/// Turns two-step sign-in on; the authenticator.
async fn enrol(house: &House, browser: &mut Browser) -> Authenticator {
    let page = browser.open("/account/two-step").await;
    let authenticator = shown(&page);
    let code = authenticator.code_at(house.clock.now());
    assert_eq!(browser.submit(&page, &[("code", &code)]).await.status, 200);
    authenticator
}

/// The authenticator whose key is on the page.
fn shown(page: &Got) -> Authenticator {
    let key = page.after(r#"id="key">"#);
    let key = key.split('<').next().expect("a key").replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(key).expect("base32");
    Authenticator::new(&secret, "Haetae", "minjun").expect("valid")
}

#[tokio::test]
async fn nobody_sees_an_account_who_is_not_signed_in() {
    let house = House::open().await;
    let mut browser = house.browser();
    for page in [
        "/account",
        "/account/password",
        "/account/two-step",
        "/account/two-step/off",
        "/account/recovery-codes",
        "/account/sign-out-everywhere",
    ] {
        let expected = format!("/login?return_to={}", page.replace('/', "%2F"));
        assert_eq!(browser.get(page).await.location(), expected);
    }
}

#[tokio::test]
async fn a_change_of_security_needs_a_recent_sign_in() {
    let house = House::open().await;
    house.person("minjun").await;
    let mut browser = house.browser();
    browser.sign_in("minjun").await;
    let early = browser.get("/account/password").await;
    assert_eq!(early.status, 200);
    house.clock.advance(Duration::from_mins(11));
    for page in ["/account/password", "/account/two-step"] {
        let there = browser.get(page).await.location().to_owned();
        assert!(there.starts_with("/login?") && there.contains("again=1"), "{there}");
    }
    // A form that was open since then does not help.
    let late = browser
        .submit(
            &early,
            &[("password", PASSWORD), ("new_password", NEW), ("new_password_again", NEW)],
        )
        .await;
    assert!(late.location().starts_with("/login?"), "{}", late.location());
    // Proved once more, the way leads back.
    let page = browser.open("/account/password").await;
    assert!(page.body.contains("Is it still you?"));
    let answer = browser.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    assert_eq!(answer.location(), "/account/password");
    assert_eq!(browser.follow(answer).await.status, 200);
    // Looking needs no more than a session.
    house.clock.advance(Duration::from_hours(1));
    assert_eq!(browser.get("/account").await.status, 200);
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_all_that_was_given_out_in_them() {
    let house = House::open().await;
    let account = house.person("minjun").await;
    let (mut here, mut elsewhere) = (house.browser(), house.browser());
    elsewhere.sign_in("minjun").await;
    let now = house.clock.now();
    let other = house.state.sso.list(&account.id.to_string(), now).await.expect("redis").remove(0);
    let grant = FamilyGrant {
        sub: account.id.to_string(),
        client_id: "partner".to_owned(),
        sid: Some(other.sid),
        scope: "openid".parse().expect("a scope"),
        auth_time: now,
        acr: other.acr,
        amr: other.amr.clone(),
        offline: true,
        roles: Vec::new(),
        issued: Vec::new(),
        issued_more: false,
    };
    house.state.families.start(&grant, now).await.expect("a family");
    here.sign_in("minjun").await;
    let before = here.cookie(SSO).expect("a session").to_owned();
    let page = here.get("/account/password").await;
    let fill = |current, new, again| {
        [("password", current), ("new_password", new), ("new_password_again", again)]
    };
    for (fields, text) in [
        (fill("wrong", NEW, NEW), "not your current password"),
        (fill(PASSWORD, "short", "short"), "at least 12 characters"),
        (fill(PASSWORD, NEW, "another"), "not the same"),
        (fill(PASSWORD, PASSWORD, PASSWORD), "your current password"),
    ] {
        let refused = here.submit(&page, &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.body.contains(text), "{text} in {}", refused.body);
    }
    let answer = here.submit(&page, &fill(PASSWORD, NEW, NEW)).await;
    let overview = here.follow(answer).await;
    assert!(overview.body.contains("Your password is changed"), "{}", overview.body);
    assert!(!here.get("/account").await.body.contains("Your password is changed"), "said once");
    assert_ne!(here.cookie(SSO), Some(before.as_str()));
    assert!(elsewhere.get("/account").await.location().starts_with("/login"));
    let families = house.state.families.list(&account.id.to_string(), now).await.expect("redis");
    assert!(families.is_empty(), "{families:?}");
    let mut fresh = house.browser();
    assert_eq!(fresh.sign_in("minjun").await.status, 422);
}

#[tokio::test]
async fn two_step_sign_in_is_turned_on_with_a_first_code_and_off_with_another() {
    let house = House::open().await;
    let account = house.person("minjun").await;
    let mut browser = house.browser();
    browser.sign_in("minjun").await;
    let page = browser.get("/account/two-step").await;
    assert!(page.body.contains("<svg"));
    // For an app on this very device: what the picture holds.
    let uri = page.after(r#"href="otpauth://"#);
    let key = shown(&page).secret_text().replace(' ', "");
    assert!(uri.starts_with("totp/Haetae:minjun?"), "{uri}");
    assert!(uri.contains(&format!("secret={key}")) && uri.contains("issuer=Haetae"), "{uri}");
    let wrong = browser.submit(&page, &[("code", "000000")]).await;
    assert_eq!(wrong.status, 422);
    // Until it is confirmed it protects nothing, and its key stays on the page.
    assert_eq!(shown(&page).secret_text(), shown(&wrong).secret_text());
    assert_eq!(house.browser().sign_in("minjun").await.location(), "/account");
    let authenticator = enrol(&house, &mut browser).await;
    let factors = &house.state.factors;
    assert_eq!(factors.count_recovery_codes(account.id).await.expect("sql"), 10);
    assert_eq!(browser.get("/account/two-step").await.location(), "/account");
    // The secret is nowhere in SQL as it is.
    let factor = factors.find_totp(account.id).await.expect("sql").expect("a factor");
    let text = authenticator.secret_text().replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(text).expect("base32");
    assert!(!factor.sealed_secret.windows(20).any(|window| window == &*secret));
    // Off: the code that turned it on is used up; the next one does.
    let off = browser.get("/account/two-step/off").await;
    let used = authenticator.code_at(house.clock.now());
    assert_eq!(browser.submit(&off, &[("code", &used)]).await.status, 422);
    house.clock.advance(Duration::from_secs(30));
    let code = authenticator.code_at(house.clock.now());
    assert_eq!(browser.submit(&off, &[("code", &code)]).await.location(), "/account");
    assert_eq!(factors.count_recovery_codes(account.id).await.expect("sql"), 0);
    assert_eq!(house.browser().sign_in("minjun").await.location(), "/account");
}

#[tokio::test]
async fn a_session_without_the_second_factor_changes_nothing() {
    let house = House::open().await;
    house.person("minjun").await;
    let (mut thief, mut owner) = (house.browser(), house.browser());
    // The thief has the password and a session from before.
    thief.sign_in("minjun").await;
    owner.sign_in("minjun").await;
    enrol(&house, &mut owner).await;
    for page in ["/account/password", "/account/two-step/off", "/account/recovery-codes"] {
        let there = thief.get(page).await.location().to_owned();
        assert!(there.starts_with("/mfa?"), "{page}: {there}");
    }
}

#[tokio::test]
async fn new_recovery_codes_take_the_place_of_the_old_ones() {
    let house = House::open().await;
    let account = house.person("minjun").await;
    let mut browser = house.browser();
    browser.sign_in("minjun").await;
    assert_eq!(browser.get("/account/recovery-codes").await.location(), "/account");
    enrol(&house, &mut browser).await;
    let page = browser.get("/account/recovery-codes").await;
    let first = browser.submit(&page, &[]).await;
    let second = browser.submit(&page, &[]).await;
    let code = |got: &Got| got.after("<li>").split('<').next().expect("a code").to_owned();
    let (old, new) = (code(&first), code(&second));
    let left = house.state.factors.count_recovery_codes(account.id).await.expect("sql");
    assert_eq!(left, 10);
    for (code, works) in [(old, false), (new, true)] {
        let mut lost = house.browser();
        let answer = lost.sign_in("minjun").await;
        lost.follow(answer).await;
        let page = lost.get("/mfa/recovery").await;
        assert_eq!(lost.submit(&page, &[("code", &code)]).await.status.is_redirection(), works);
    }
}

#[tokio::test]
async fn a_person_ends_their_own_sessions_and_nobody_else_s() {
    let house = House::open().await;
    let minjun = house.person("minjun").await;
    house.person("mallory").await;
    let (mut here, mut phone, mut mallory) = (house.browser(), house.browser(), house.browser());
    phone.sign_in("minjun").await;
    house.clock.advance(Duration::from_secs(5));
    here.sign_in("minjun").await;
    mallory.sign_in("mallory").await;
    let sessions = house.state.sso.list(&minjun.id.to_string(), house.clock.now()).await;
    let of_phone = sessions.expect("redis").remove(0).sid.to_string();
    let page = mallory.get("/account").await;
    let csrf = page.csrf();
    let forged = [("csrf", csrf.as_str()), ("sid", of_phone.as_str())];
    mallory.post("/account/sessions/end", &forged).await;
    assert_eq!(phone.get("/account").await.status, 200);
    let page = here.get("/account").await;
    assert!(page.body.contains(&of_phone));
    let csrf = page.csrf();
    let fields = [("csrf", csrf.as_str()), ("sid", of_phone.as_str())];
    let answer = here.post("/account/sessions/end", &fields).await;
    assert!(here.follow(answer).await.body.contains("That device is signed out"));
    assert!(phone.get("/account").await.location().starts_with("/login"));
    // And the last one: this browser's own.
    phone.sign_in("minjun").await;
    let page = here.get("/account/sign-out-everywhere").await;
    let answer = here.submit(&page, &[]).await;
    assert!(answer.body.contains("You are signed out"), "{}", answer.body);
    assert_eq!(here.cookie(SSO), None);
    assert!(phone.get("/account").await.location().starts_with("/login"));
    assert_eq!(mallory.get("/account").await.status, 200);
}

#[tokio::test]
async fn a_consent_is_taken_back() {
    let house = House::open().await;
    let account = house.person("minjun").await;
    house.client("partner", false).await;
    let mut browser = house.browser();
    browser.sign_in("minjun").await;
    let authorize = "/oauth2/authorize?client_id=partner&response_type=code&scope=openid&\
        redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback&code_challenge_method=S256&\
        code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let page = browser.open(authorize).await;
    assert!(page.body.contains("Know that it is you"), "{}", page.body);
    let denied = browser.submit(&page, &[("decision", "deny")]).await;
    assert!(denied.location().contains("error=access_denied"), "{}", denied.location());
    let page = browser.open(authorize).await;
    let allowed = browser.submit(&page, &[("decision", "allow")]).await;
    assert!(browser.follow(allowed).await.location().contains("code="));
    assert!(browser.open(authorize).await.location().contains("code="), "asked once");
    let overview = browser.get("/account").await;
    assert!(overview.body.contains("Partner &#38; Sons"), "{}", overview.body);
    let csrf = overview.csrf();
    let fields = [("csrf", csrf.as_str()), ("client_id", "partner")];
    let answer = browser.post("/account/applications/revoke", &fields).await;
    assert!(!browser.follow(answer).await.body.contains("Partner"));
    assert!(house.state.consents.list(account.id).await.expect("sql").is_empty());
    assert!(browser.open(authorize).await.body.contains("Know that it is you"), "asked anew");
}
