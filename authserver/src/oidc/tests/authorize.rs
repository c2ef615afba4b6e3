//! The authorization endpoint: what it lets through, what it refuses, and where it says so.

use std::time::Duration;

use axum::http::header;
use serde_json::{Value, json};

use super::{CALLBACK, World, answer_of, register};
use crate::testing::PASSWORD;

#[tokio::test]
async fn a_person_signs_in_once_and_the_client_gets_a_code() {
    let mut world = World::open().await;
    let first = world.browser.get(&World::request(&[])).await;
    assert!(first.location().starts_with("/login?request="), "{}", first.location());
    let page = world.browser.follow(first).await;
    let answer =
        world.browser.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    let answer = world.browser.follow(answer).await;
    assert!(answer.location().starts_with(&format!("{CALLBACK}?code=")));
    let fields = answer_of(&answer);
    assert_eq!(fields["state"], "xyz");
    assert_eq!(fields["iss"], world.house.state.issuer, "RFC 9207");
    // Signed in already: no page at all.
    let again = world.authorize(&[("state", "abc")]).await;
    assert!(again.contains_key("code") && again["state"] == "abc");
    // Without a state none comes back.
    assert!(!world.authorize(&[("state", "")]).await.contains_key("state"));
}

#[tokio::test]
async fn what_cannot_be_told_to_the_client_is_told_on_our_own_page() {
    let mut world = World::open().await;
    world.sign_in().await;
    for changes in [
        ("client_id", ""),
        ("client_id", "nobody"),
        ("redirect_uri", ""),
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", "http://127.0.0.1:4711/callback/"),
        ("redirect_uri", "http://127.0.0.1:4711/callback?x=1"),
        ("redirect_uri", "http://127.0.0.1:4711@evil.example/callback"),
        ("redirect_uri", "http://localhost:4711/callback"),
        ("redirect_uri", "dev.haetae.demo:/callback#"),
        ("redirect_uri", "javascript:alert(1)"),
    ] {
        let got = world.browser.get(&World::request(&[changes])).await;
        assert_eq!(got.status, 400, "{changes:?}");
        assert!(!got.fields.contains_key(header::LOCATION), "{changes:?}");
        assert!(got.body.contains("invalid_request"), "{changes:?}");
        for link in ["href=\"https://evil", "href=\"javascript", "action=\"https://evil"] {
            assert!(!got.body.contains(link), "{changes:?}");
        }
    }
    for twice in ["client_id=mobile", "redirect_uri=https%3A%2F%2Fevil.example"] {
        let got = world.browser.get(&format!("{}&{twice}", World::request(&[]))).await;
        assert_eq!(got.status, 400, "{twice}");
    }
}

#[tokio::test]
async fn every_rule_is_told_to_the_client_with_its_code() {
    let mut world = World::open().await;
    world.sign_in().await;
    let long = "x".repeat(3000);
    for (changes, error) in [
        (("response_type", ""), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", "code id_token"), "unsupported_response_type"),
        (("response_mode", "fragment"), "invalid_request"),
        (("response_mode", "web_message"), "invalid_request"),
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("scope", "payments:write"), "invalid_scope"),
        (("scope", "openid  profile"), "invalid_scope"),
        (("scope", "openid\"x"), "invalid_scope"),
        (("prompt", "none login"), "invalid_request"),
        (("max_age", "-1"), "invalid_request"),
        (("max_age", "soon"), "invalid_request"),
        (("acr_values", "phr"), "unmet_authentication_requirements"),
        (("id_token_hint", "a.b.c"), "invalid_request"),
        (("request", "e30.e30."), "request_not_supported"),
        (("request_uri", "https://evil.example/r"), "request_uri_not_supported"),
        (("registration", "{}"), "registration_not_supported"),
        (("nonce", long.as_str()), "invalid_request"),
    ] {
        let answer = world.authorize(&[changes]).await;
        assert_eq!(answer.get("error").map(String::as_str), Some(error), "{changes:?} {answer:?}");
        assert_eq!(answer["state"], "xyz", "{changes:?}");
        assert_eq!(answer["iss"], world.house.state.issuer, "{changes:?}");
        assert!(!answer.contains_key("code"));
    }
    for twice in ["scope=openid", "nonce=2", "code_challenge=x", "unknown=1&unknown=2"] {
        let got = world.browser.get(&format!("{}&{twice}", World::request(&[]))).await;
        assert_eq!(answer_of(&got)["error"], "invalid_request", "{twice}");
    }
    let got = world.browser.get(&format!("{}&state=other", World::request(&[]))).await;
    assert!(!answer_of(&got).contains_key("state"), "nobody could say which");
}

#[tokio::test]
async fn what_is_unknown_or_only_a_wish_does_no_harm() {
    let mut world = World::open().await;
    world.sign_in().await;
    for changes in [
        ("foo", "bar"),
        ("display", "popup"),
        ("claims_locales", "se"),
        ("ui_locales", "se ko"),
        ("claims", r#"{"userinfo":{"name":{"essential":true}}}"#),
        ("acr_values", "1 2 silver"),
        ("acr_values", "1fa"),
        ("login_hint", "somebody"),
        ("nonce", ""),
        ("max_age", "10000"),
        ("scope", "openid phone address"),
        ("redirect_uri", "http://127.0.0.1/callback"),
        ("redirect_uri", "dev.haetae.demo:/callback"),
    ] {
        assert!(world.authorize(&[changes]).await.contains_key("code"), "{changes:?}");
    }
}

#[tokio::test]
async fn without_pages_nobody_is_asked() {
    let mut world = World::open().await;
    let answer = world.authorize(&[("prompt", "none")]).await;
    assert_eq!(answer["error"], "login_required");
    world.sign_in().await;
    assert!(world.authorize(&[("prompt", "none")]).await.contains_key("code"));
    let answer = world.authorize(&[("prompt", "none"), ("acr_values", "2fa")]).await;
    assert_eq!(answer["error"], "interaction_required");
    world.house.clock.advance(Duration::from_secs(30));
    let answer = world.authorize(&[("prompt", "none"), ("max_age", "10")]).await;
    assert_eq!(answer["error"], "login_required");
    let partner = [
        ("client_id", "partner"),
        ("redirect_uri", "https://partner.example/callback?tenant=1"),
        ("prompt", "none"),
    ];
    assert_eq!(world.authorize(&partner).await["error"], "consent_required");
}

#[tokio::test]
async fn a_sign_in_that_is_too_old_or_not_wanted_is_done_again() {
    let mut world = World::open().await;
    world.sign_in().await;
    world.house.clock.advance(Duration::from_secs(30));
    for changes in
        [("prompt", "login"), ("prompt", "select_account"), ("max_age", "10"), ("max_age", "0")]
    {
        let got = world.browser.get(&World::request(&[changes])).await;
        assert!(got.location().starts_with("/login?request="), "{changes:?} {}", got.location());
        let page = world.browser.follow(got).await;
        world.house.clock.advance(Duration::from_secs(3));
        let answer =
            world.browser.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
        // However long the way back takes.
        world.house.clock.advance(Duration::from_secs(15));
        let answer = world.browser.follow(answer).await;
        assert!(answer_of(&answer).contains_key("code"), "{changes:?}");
        world.house.clock.advance(Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_pending_request_belongs_to_its_browser_and_is_used_once() {
    let mut world = World::open().await;
    let got = world.browser.get(&World::request(&[])).await;
    let id = got.location().split_once('=').expect("an id").1.to_owned();
    let resume = format!("/oauth2/authorize/resume?request={id}");
    // Another browser, one that is signed in even, gets nothing out of it.
    let mut other = world.house.browser();
    other.sign_in("minjun").await;
    assert_eq!(other.get(&resume).await.status, 400);
    assert_eq!(other.get(&format!("/login?request={id}")).await.status, 400);
    // Without a sign-in it only leads to the sign-in again, under a new id.
    let again = world.browser.get(&resume).await;
    assert!(again.location().starts_with("/login?request="));
    assert_eq!(world.browser.get(&resume).await.status, 400, "used up");
    for junk in ["", "x", "%00", "../../etc"] {
        let path = format!("/oauth2/authorize/resume?request={junk}");
        assert_eq!(world.browser.get(&path).await.status, 400, "{junk}");
    }
}

#[tokio::test]
async fn a_client_of_somebody_else_needs_consent_once() {
    let mut world = World::open().await;
    world.sign_in().await;
    let partner = [
        ("client_id", "partner"),
        ("redirect_uri", "https://partner.example/callback?tenant=1"),
        ("scope", "openid profile"),
    ];
    let got = world.browser.get(&World::request(&partner)).await;
    assert!(got.location().starts_with("/consent?request="), "{}", got.location());
    let page = world.browser.follow(got).await;
    let refused = world.browser.submit(&page, &[("decision", "deny")]).await;
    let refused = world.browser.follow(refused).await;
    assert_eq!(answer_of(&refused)["error"], "access_denied");
    assert_eq!(answer_of(&refused)["tenant"], "1", "the registered query stays");

    let got = world.browser.get(&World::request(&partner)).await;
    let page = world.browser.follow(got).await;
    let allowed = world.browser.submit(&page, &[("decision", "allow")]).await;
    let allowed = world.browser.follow(allowed).await;
    assert!(answer_of(&allowed).contains_key("code"), "{}", allowed.location());
    // Once; for more it asks again, and for a prompt.
    assert!(world.authorize(&partner).await.contains_key("code"));
    let more = [partner[0], partner[1], ("scope", "openid profile email")];
    assert!(world.browser.get(&World::request(&more)).await.location().starts_with("/consent"));
    let again = [partner[0], partner[1], partner[2], ("prompt", "consent")];
    let got = world.browser.get(&World::request(&again)).await;
    let page = world.browser.follow(got).await;
    let allowed = world.browser.submit(&page, &[("decision", "allow")]).await;
    let allowed = world.browser.follow(allowed).await;
    assert!(answer_of(&allowed).contains_key("code"));
}

#[tokio::test]
async fn a_form_carries_the_answer_when_the_client_wants_one() {
    let mut world = World::open().await;
    world.sign_in().await;
    let evil = "\"><script>alert(1)</script>";
    let got = world
        .browser
        .get(&World::request(&[("response_mode", "form_post"), ("state", evil)]))
        .await;
    assert_eq!(got.status, 200);
    assert!(got.body.contains("name=\"code\"") && !got.body.contains("<script>alert"));
    let policy = got.fields[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.contains("form-action http://127.0.0.1:4711"), "{policy}");
    let error = world
        .browser
        .get(&World::request(&[("response_mode", "form_post"), ("response_type", "token")]))
        .await;
    assert!(error.body.contains("unsupported_response_type"));
    let script = world.browser.get("/oauth2/form_post.js").await;
    assert!(script.body.contains("submit()"));
}

#[tokio::test]
async fn a_request_may_be_posted() {
    let mut world = World::open().await;
    world.sign_in().await;
    let request = World::request(&[]);
    let query = request.split_once('?').expect("a query").1.to_owned();
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let got = world.browser.post("/oauth2/authorize", &fields).await;
    assert!(answer_of(&got).contains_key("code"));
    // What is kept while a person signs in has a bound.
    let long = "x".repeat(20_000);
    let mut too_long = fields.clone();
    too_long.push(("claims", &long));
    let got = world.browser.post("/oauth2/authorize", &too_long).await;
    assert_eq!(got.status, 400);
}

#[tokio::test]
async fn a_request_that_an_application_posts_finds_who_is_signed_in() {
    let mut world = World::open().await;
    world.sign_in().await;
    let request = World::request(&[("prompt", "none"), ("response_mode", "form_post")]);
    let query = request.split_once('?').expect("a query").1.to_owned();
    let fields: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    // What a browser sends with a form from another site: no cookie that is Lax.
    let mut without = world.browser.clone();
    without.cookies.clear();
    without.origin = "https://shop.example".to_owned();
    let got = without.post("/oauth2/authorize", &fields).await;
    let again = got.location().to_owned();
    assert_eq!(again, request);
    assert!(without.cookies.is_empty(), "requests that wait in other windows stay this browser's");
    let page = world.browser.get(&again).await;
    assert!(page.body.contains(r#"name="code""#), "{}", page.body);
    // What does not fit in an address is answered at once.
    let long = "x".repeat(7000);
    let mut too_long = fields.clone();
    too_long.push(("claims", &long));
    let page = without.post("/oauth2/authorize", &too_long).await;
    assert!(page.body.contains("login_required"), "{}", page.body);
}

#[tokio::test]
async fn nothing_is_kept_that_means_nothing() {
    let mut world = World::open().await;
    let (junk, state) = ("j".repeat(2000), "s".repeat(300));
    let got = world.browser.get(&World::request(&[("junk", &junk), ("state", &state)])).await;
    let id = got.location().split_once("request=").expect("an id").1.to_owned();
    let kept: Option<Value> = world.house.state.transient.get("request", &id).await.expect("redis");
    let kept = kept.expect("a request").to_string();
    assert!(kept.contains(&state) && !kept.contains("junk"), "{kept}");
    // And the request is none the worse for it.
    let page = world.browser.follow(got).await;
    let fields = [("username", "minjun"), ("password", PASSWORD)];
    let answer = world.browser.submit(&page, &fields).await;
    let answer = world.browser.follow(answer).await;
    assert_eq!(answer_of(&answer)["state"], state);
}

#[tokio::test]
async fn a_hint_at_somebody_else_leads_to_the_sign_in() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    let hint = super::text(&tokens["id_token"]);
    assert!(world.authorize(&[("id_token_hint", &hint)]).await.contains_key("code"));
    world.house.person("seoyeon").await;
    let mut other = world.house.browser();
    other.sign_in("seoyeon").await;
    let got = other.get(&World::request(&[("id_token_hint", &hint)])).await;
    assert!(got.location().starts_with("/login?request="));
    // Who is not the one that is meant signs in all the same: the client is told, and nobody is asked for ever.
    world.house.clock.advance(Duration::from_secs(1));
    let page = other.follow(got).await;
    let fields = [("username", "seoyeon"), ("password", PASSWORD)];
    let answer = other.submit(&page, &fields).await;
    let answer = other.follow(answer).await;
    assert_eq!(answer_of(&answer)["error"], "login_required");
    let got = other.get(&World::request(&[("id_token_hint", &hint), ("prompt", "none")])).await;
    assert_eq!(answer_of(&got)["error"], "login_required");
    // An access token, and an ID token of another client, are no hints.
    let access = super::text(&tokens["access_token"]);
    assert_eq!(world.authorize(&[("id_token_hint", &access)]).await["error"], "invalid_request");
    register(
        &world.house,
        "other",
        true,
        &json!({
            "redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none",
        }),
    )
    .await;
    let foreign = [("client_id", "other"), ("id_token_hint", hint.as_str())];
    assert_eq!(world.authorize(&foreign).await["error"], "invalid_request");
}

#[tokio::test]
async fn a_client_that_was_shut_while_the_person_signed_in_gets_nothing() {
    let mut world = World::open().await;
    let got = world.browser.get(&World::request(&[])).await;
    let page = world.browser.follow(got).await;
    let clients = crate::store::clients::Clients::new(
        world.house.state.sql.clone(),
        &world.house.state.master,
    );
    let mut client = clients.find("mobile").await.expect("sql").expect("a client");
    client.disabled_at = Some(client.created_at);
    clients.update(&client, client.created_at).await.expect("shut");
    world.house.state.clients.forget();
    let answer =
        world.browser.submit(&page, &[("username", "minjun"), ("password", PASSWORD)]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(world.browser.get(&World::request(&[])).await.status, 400);
}
