//! Signing out at the wish of a client.

use std::time::Duration;

use haetae_keys::Algorithm;
use serde_json::json;

use super::{SECRET, VERIFIER, World, form, register, text, token::eventually_refused};

const SIGNED_OUT: &str = "http://127.0.0.1:99/signed-out";

pub(super) fn logout(fields: &[(&str, &str)]) -> String {
    format!("/oauth2/logout?{}", form(fields))
}

#[tokio::test]
async fn the_id_token_of_the_session_signs_out_at_once() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    let hint = text(&tokens["id_token"]);
    // Also an ID token that has expired.
    world.house.clock.advance(Duration::from_mins(10));
    world.settle().await;
    let fresh = world.tokens().await;
    let fields = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", SIGNED_OUT),
        ("state", "a b&c"),
    ];
    let got = world.browser.get(&logout(&fields)).await;
    assert_eq!(got.location(), format!("{SIGNED_OUT}?state=a+b%26c"));
    assert_eq!(world.browser.cookie("haetae-sso"), None);
    world.refresh(&text(&fresh["refresh_token"])).await.refused(400, "invalid_grant");
    eventually_refused(&mut world, &text(&fresh["access_token"])).await;
    // Signing in again works at once.
    world.sign_in().await;
    let again = world.tokens().await;
    let got = world.with_bearer("/oauth2/userinfo", &text(&again["access_token"])).await;
    assert_eq!(got.status, 200);
    // A second time, with nobody signed in, leads on too.
    let mut other = world.house.browser();
    assert!(other.get(&logout(&fields)).await.location().starts_with(SIGNED_OUT));
}

#[tokio::test]
async fn without_a_hint_of_this_session_the_person_is_asked() {
    let mut world = World::open().await;
    world.sign_in().await;
    world.house.person("seoyeon").await;
    let mut other = world.house.browser();
    other.sign_in("seoyeon").await;
    let foreign = {
        let mine = std::mem::replace(&mut world.browser, other);
        let tokens = world.tokens().await;
        world.browser = mine;
        text(&tokens["id_token"])
    };
    for fields in [
        vec![],
        vec![("client_id", "mobile"), ("post_logout_redirect_uri", SIGNED_OUT), ("state", "s")],
        vec![("id_token_hint", foreign.as_str())],
    ] {
        let page = world.browser.get(&logout(&fields)).await;
        assert_eq!(page.status, 200, "{fields:?}");
        assert!(world.browser.get("/account").await.status == 200, "still signed in");
        // A page of somebody else cannot answer for the person.
        let action = page.action();
        let forged = world.browser.post(&action, &[("csrf", "x")]).await;
        assert_eq!(forged.status, 403);
    }
    let fields =
        [("client_id", "mobile"), ("post_logout_redirect_uri", SIGNED_OUT), ("state", "s")];
    let page = world.browser.get(&logout(&fields)).await;
    let destination = page.after(r#"name="destination" value=""#);
    let evil = [("client_id", "mobile"), ("destination", "https://evil.example/?state=s")];
    let got = world.browser.submit(&page, &evil).await;
    assert_eq!(got.status, 200, "signed out, but not sent there");
    assert!(!got.body.contains("evil.example"));
    world.sign_in().await;
    let page = world.browser.get(&logout(&fields)).await;
    let good = [("client_id", "mobile"), ("destination", destination.as_str())];
    let got = world.browser.submit(&page, &good).await;
    assert_eq!(got.location(), format!("{SIGNED_OUT}?state=s"));
}

#[tokio::test]
async fn a_request_that_is_not_in_order_signs_nobody_out() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    let hint = text(&tokens["id_token"]);
    let modified = format!("{}x", &hint[..hint.len() - 1]);
    let access = text(&tokens["access_token"]);
    for fields in [
        vec![("id_token_hint", modified.as_str())],
        vec![("id_token_hint", access.as_str())],
        vec![("id_token_hint", "junk")],
        vec![("id_token_hint", hint.as_str()), ("client_id", "partner")],
        vec![
            ("id_token_hint", hint.as_str()),
            ("post_logout_redirect_uri", "https://evil.example/"),
        ],
        vec![
            ("id_token_hint", hint.as_str()),
            ("post_logout_redirect_uri", "http://127.0.0.1:99/signed-out?x=1"),
        ],
        vec![("post_logout_redirect_uri", SIGNED_OUT)],
        vec![("client_id", "nobody")],
        vec![("state", "1"), ("state", "2")],
    ] {
        let got = world.browser.get(&logout(&fields)).await;
        assert_eq!(got.status, 400, "{fields:?}");
        assert_eq!(world.browser.get("/account").await.status, 200, "{fields:?}");
    }
}

#[tokio::test]
async fn a_form_of_an_application_signs_out_although_it_comes_without_cookies() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    let hint = text(&tokens["id_token"]);
    let fields = [
        ("id_token_hint", hint.as_str()),
        ("post_logout_redirect_uri", SIGNED_OUT),
        ("state", "a b&c"),
    ];
    // What a browser sends with a form from another site: no cookie that is Lax.
    let mut without = world.browser.clone();
    without.cookies.clear();
    without.origin = "https://shop.example".to_owned();
    let got = without.post("/oauth2/logout", &fields).await;
    let again = got.location().to_owned();
    assert_eq!(again, logout(&fields));
    assert!(without.cookies.is_empty(), "those that the browser has stay");
    // With the request that follows a redirect it sends them.
    let got = world.browser.get(&again).await;
    assert_eq!(got.location(), format!("{SIGNED_OUT}?state=a+b%26c"));
    assert_eq!(world.browser.cookie("haetae-sso"), None);
    world.refresh(&text(&tokens["refresh_token"])).await.refused(400, "invalid_grant");
    // A form that is not in order is told so as it is.
    let twice = [("state", "1"), ("state", "2")];
    assert_eq!(without.post("/oauth2/logout", &twice).await.status, 400);
}

#[tokio::test]
async fn an_id_token_whose_key_is_gone_is_as_good_as_none() {
    let mut world = World::open().await;
    world.sign_in().await;
    let hint = text(&world.tokens().await["id_token"]);
    let keys = &world.house.state.keys;
    let kid = keys.signer().kid(Algorithm::Es256).expect("a key").to_owned();
    keys.revoke(&kid).await.expect("revoked");
    let fields = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", SIGNED_OUT)];
    let page = world.browser.get(&logout(&fields)).await;
    assert_eq!(page.status, 200, "the person is asked: {}", page.body);
    assert_eq!(world.browser.get("/account").await.status, 200, "still signed in");
    let destination = page.after(r#"name="destination" value=""#);
    let good = [("client_id", "mobile"), ("destination", destination.as_str())];
    assert_eq!(world.browser.submit(&page, &good).await.location(), SIGNED_OUT);
    assert_eq!(world.browser.cookie("haetae-sso"), None);
    // It opens no other way out.
    let evil =
        [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", "https://evil.example/")];
    assert_eq!(world.browser.get(&logout(&evil)).await.status, 400);
}

#[tokio::test]
async fn the_gateway_ends_a_session_without_the_browser() {
    let mut world = World::open().await;
    world.sign_in().await;
    let callback = "https://app.example/cb";
    register(&world.house, "gateway", true, &json!({"redirect_uris": [callback]})).await;
    let gateway = ("gateway", SECRET);
    let path = "/oauth2/logout";
    let tokens = world.tokens().await;
    let (foreign, access) = (text(&tokens["id_token"]), text(&tokens["access_token"]));
    let request = [("client_id", "gateway"), ("redirect_uri", callback), ("scope", "openid")];
    let code = world.code(&request).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", callback),
        ("code_verifier", VERIFIER),
    ];
    let hint =
        text(&world.call("/oauth2/token", &fields, Some(gateway)).await.tokens()["id_token"]);
    // Only with an ID token of this client, which is of the house and knows its secret.
    for (fields, basic, code) in [
        (vec![("id_token_hint", foreign.as_str())], gateway, "invalid_request"),
        (vec![], gateway, "invalid_request"),
        (vec![("id_token_hint", hint.as_str())], ("gateway", "wrong"), "invalid_client"),
        (vec![("id_token_hint", hint.as_str())], ("partner", SECRET), "unauthorized_client"),
    ] {
        let status = if code == "invalid_client" { 401 } else { 400 };
        world.call(path, &fields, Some(basic)).await.refused(status, code);
    }
    assert_eq!(world.with_bearer("/oauth2/userinfo", &access).await.status, 200);
    let got = world.call(path, &[("id_token_hint", &hint)], Some(gateway)).await;
    assert_eq!(got.status, 204, "{}", got.body);
    eventually_refused(&mut world, &access).await;
    world.refresh(&text(&tokens["refresh_token"])).await.refused(400, "invalid_grant");
    assert_ne!(world.browser.get("/account").await.status, 200, "the browser is signed out too");
}

#[tokio::test]
async fn a_browser_goes_on_from_the_question_by_a_page_of_its_own() {
    let mut world = World::open().await;
    let away = "https://shop.example/bye?x=1";
    let client = json!({
        "redirect_uris": ["https://shop.example/cb"], "post_logout_redirect_uris": [away],
    });
    register(&world.house, "shop", true, &client).await;
    let fields = [("client_id", "shop"), ("post_logout_redirect_uri", away), ("state", "s;'\"")];
    for navigates in [false, true] {
        world.sign_in().await;
        let page = world.browser.get(&logout(&fields)).await;
        let destination = page.after(r#"name="destination" value=""#);
        world.browser.navigates = navigates;
        let good = [("client_id", "shop"), ("destination", destination.as_str())];
        let got = world.browser.submit(&page, &good).await;
        world.browser.navigates = false;
        if navigates {
            assert_eq!(got.status, 200);
            assert_eq!(got.after(r#"http-equiv="refresh" content="0; url="#), destination);
        } else {
            assert_eq!(got.location(), destination);
        }
        assert_eq!(world.browser.cookie("haetae-sso"), None);
    }
}
