//! Tokens that come back: userinfo, introspection, revocation. And what is public: discovery, the keys.

use std::time::Duration;

use axum::{body::Body, http::Request};
use haetae_base::clock::Clock;
use haetae_config::keys::Algorithm;
use haetae_session::denylist::RevocationLog;
use serde_json::{Value, json};

use super::{SECRET, World, register, text, token::eventually_refused};
use crate::store::revocations::Revocations;

#[tokio::test]
async fn userinfo_tells_what_the_scope_allows() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    let access = text(&tokens["access_token"]);
    let got = world.with_bearer("/oauth2/userinfo", &access).await;
    assert_eq!(got.status, 200);
    let body = got.json();
    assert_eq!(body["preferred_username"], "minjun");
    assert!(body.get("email").is_none());
    let posted = world.call("/oauth2/userinfo", &[("access_token", &access)], None).await;
    assert_eq!(posted.json(), body);

    let got = world.browser.get("/oauth2/userinfo").await;
    assert_eq!(
        (got.status.as_u16(), got.fields["www-authenticate"].to_str().expect("text")),
        (401, "Bearer realm=\"haetae\"")
    );
    let id_token = text(&tokens["id_token"]);
    let forged = format!("{}x", &access[..access.len() - 1]);
    for token in ["junk", "a.b.c", &id_token, &forged] {
        let got = world.with_bearer("/oauth2/userinfo", token).await;
        assert_eq!(got.status, 401, "{token}");
        assert!(got.fields["www-authenticate"].to_str().expect("text").contains("invalid_token"));
    }
    let service = [("grant_type", "client_credentials")];
    let service = world.call("/oauth2/token", &service, Some(("service", SECRET))).await.tokens();
    let got = world.with_bearer("/oauth2/userinfo", &text(&service["access_token"])).await;
    assert_eq!(got.status, 403);
    assert!(got.fields["www-authenticate"].to_str().expect("text").contains("insufficient_scope"));
    // After it has expired.
    world.house.clock.advance(Duration::from_secs(400));
    world.settle().await;
    assert_eq!(world.with_bearer("/oauth2/userinfo", &access).await.status, 401);
}

#[tokio::test]
async fn a_client_learns_about_its_own_tokens_only() {
    let mut world = World::open().await;
    world.sign_in().await;
    let mine = [("grant_type", "client_credentials")];
    let mine = world.call("/oauth2/token", &mine, Some(("service", SECRET))).await.tokens();
    let mine = text(&mine["access_token"]);
    let theirs = world.tokens().await;
    let service = Some(("service", SECRET));
    let got = world.call("/oauth2/introspect", &[("token", &mine)], service).await;
    let body = got.json();
    assert_eq!((&body["active"], &body["client_id"]), (&json!(true), &json!("service")));
    assert_eq!(body["token_type"], "Bearer");
    for token in
        [&theirs["access_token"], &theirs["refresh_token"], &json!("junk"), &json!("a.b.c")]
    {
        let token = token.as_str().expect("a text");
        let got = world.call("/oauth2/introspect", &[("token", token)], service).await;
        assert_eq!((got.status.as_u16(), got.json()), (200, json!({"active": false})), "{token}");
    }
    // A public client proves nothing, so it is told nothing.
    let own =
        [("token", theirs["access_token"].as_str().expect("a token")), ("client_id", "mobile")];
    world.call("/oauth2/introspect", &own, None).await.refused(401, "invalid_client");
    world
        .call("/oauth2/introspect", &[("token", &mine)], None)
        .await
        .refused(401, "invalid_client");
    world.call("/oauth2/introspect", &[], service).await.refused(400, "invalid_request");
    // Revoked is inactive.
    let got = world.call("/oauth2/revoke", &[("token", &mine)], service).await;
    assert_eq!(got.status, 200);
    for _ in 0..200 {
        let got = world.call("/oauth2/introspect", &[("token", &mine)], service).await;
        if got.json() == json!({"active": false}) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still active");
}

#[tokio::test]
async fn introspection_knows_the_refresh_tokens_of_its_client() {
    let mut world = World::open_with(|config| {
        config.keys.algorithms = vec![Algorithm::Es256, Algorithm::Rs256];
    })
    .await;
    world.sign_in().await;
    register(&world.house, "web", true, &json!({
        "redirect_uris": [super::CALLBACK], "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid offline_access",
    }))
    .await;
    let code = world.code(&[("client_id", "web")]).await;
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", super::CALLBACK),
        ("code_verifier", super::VERIFIER),
    ];
    let web = Some(("web", SECRET));
    let tokens = world.call("/oauth2/token", &fields, web).await.tokens();
    let refresh = text(&tokens["refresh_token"]);
    let body = world.call("/oauth2/introspect", &[("token", &refresh)], web).await.json();
    assert_eq!((&body["active"], &body["client_id"]), (&json!(true), &json!("web")));
    assert_eq!(body["scope"], "offline_access openid");
    let header: Value = {
        use base64::Engine;
        let token = text(&tokens["id_token"]);
        let header = token.split('.').next().expect("a header");
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header);
        serde_json::from_slice(&json.expect("base64url")).expect("json")
    };
    assert_eq!(header["alg"], "RS256", "what OIDC Registration 2 makes the default");
    // Without offline access it is worth as much as the session that it ends with.
    let code = world.code(&[("client_id", "web"), ("scope", "openid")]).await;
    let fields = [("code", code.as_str()), fields[0], fields[2], fields[3]];
    let online = text(&world.call("/oauth2/token", &fields, web).await.tokens()["refresh_token"]);
    for (hours, online_is_active) in [(11, true), (2, false)] {
        world.house.clock.advance(Duration::from_hours(hours));
        for (token, active) in [(&online, online_is_active), (&refresh, true)] {
            let body = world.call("/oauth2/introspect", &[("token", token)], web).await.json();
            assert_eq!(body["active"], json!(active), "{body}");
        }
    }
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_grant() {
    let mut world = World::open().await;
    world.sign_in().await;
    let first = world.tokens().await;
    let refreshed = world.refresh(&text(&first["refresh_token"])).await.tokens();
    let other = world.tokens().await;
    let refresh = text(&refreshed["refresh_token"]);
    // Another client cannot.
    let got = world.call("/oauth2/revoke", &[("token", &refresh)], Some(("partner", SECRET))).await;
    got.refused(400, "invalid_request");
    let refreshed_again = world.refresh(&refresh).await.tokens();
    let newest = text(&refreshed_again["refresh_token"]);
    let fields = [("token", newest.as_str()), ("client_id", "mobile")];
    assert_eq!(world.call("/oauth2/revoke", &fields, None).await.status, 200);
    world.refresh(&newest).await.refused(400, "invalid_grant");
    for tokens in [&first, &refreshed, &refreshed_again] {
        eventually_refused(&mut world, &text(&tokens["access_token"])).await;
    }
    let got = world.with_bearer("/oauth2/userinfo", &text(&other["access_token"])).await;
    assert_eq!(got.status, 200, "another grant of the same session lives on");
    // What is unknown or over is as good as revoked.
    for token in ["junk", "a.b.c", "hrt_x", &newest] {
        let fields = [("token", token), ("client_id", "mobile")];
        assert_eq!(world.call("/oauth2/revoke", &fields, None).await.status, 200, "{token}");
    }
    world
        .call("/oauth2/revoke", &[("client_id", "mobile")], None)
        .await
        .refused(400, "invalid_request");
}

#[tokio::test]
async fn a_client_that_refreshes_all_the_time_leaves_no_token_alive() {
    let mut world = World::open().await;
    world.sign_in().await;
    let first = world.tokens().await;
    let mut newest = first.clone();
    for _ in 0..40 {
        newest = world.refresh(&text(&newest["refresh_token"])).await.tokens();
    }
    let refresh = text(&newest["refresh_token"]);
    let fields = [("token", refresh.as_str()), ("client_id", "mobile")];
    assert_eq!(world.call("/oauth2/revoke", &fields, None).await.status, 200);
    for tokens in [&first, &newest] {
        eventually_refused(&mut world, &text(&tokens["access_token"])).await;
    }
}

/// Whoever holds a spent token may present it for ever; the log of revocations does not grow for it.
#[tokio::test]
async fn a_replay_that_comes_again_and_again_is_written_down_once() {
    let mut world = World::open().await;
    world.sign_in().await;
    let first = world.tokens().await;
    let spent = text(&first["refresh_token"]);
    let mut newest = first.clone();
    for _ in 0..20 {
        newest = world.refresh(&text(&newest["refresh_token"])).await.tokens();
    }
    world.house.clock.advance(Duration::from_mins(1));
    let recorded = async |world: &World| {
        let log = Revocations::new(world.house.state.sql.clone());
        log.live(world.house.clock.now(), 0, 10_000).await.expect("sql").len()
    };
    world.refresh(&spent).await.refused(400, "invalid_grant");
    eventually_refused(&mut world, &text(&newest["access_token"])).await;
    let once = recorded(&world).await;
    assert!(once > 0);
    for _ in 0..10 {
        world.refresh(&spent).await.refused(400, "invalid_grant");
    }
    assert_eq!(recorded(&world).await, once);
}

#[tokio::test]
async fn discovery_is_truthful_and_both_documents_are_one() {
    let mut world = World::open().await;
    let got = world.browser.get("/.well-known/openid-configuration").await;
    assert!(got.fields["cache-control"].to_str().expect("text").contains("max-age"));
    let document = got.json();
    let other = world.browser.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(document, other);
    let issuer = world.house.state.issuer.clone();
    assert_eq!(document["issuer"], issuer);
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    for (member, value) in document.as_object().expect("an object") {
        if member.ends_with("_endpoint") || member == "jwks_uri" {
            let path = text(value);
            let path = path.strip_prefix(&issuer).expect("of this issuer").to_owned();
            let status = world.browser.get(&path).await.status;
            assert_ne!(status, 404, "{member}");
        }
    }
    let jwks = world.browser.get("/oauth2/jwks").await;
    assert!(jwks.fields["cache-control"].to_str().expect("text").contains("max-age=300"));
    let keys = jwks.json();
    assert!(!keys["keys"].as_array().expect("keys").is_empty());
    for key in keys["keys"].as_array().expect("keys") {
        assert!(key.get("d").is_none() && key["use"] == "sig" && key["kid"].is_string());
    }
}

#[tokio::test]
async fn scripts_of_registered_clients_may_call_and_others_may_not() {
    let mut world = World::open().await;
    let mut ask = async |method: &str, path: &str, origin: &str| {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .body(Body::empty())
            .expect("a request");
        let got = world.browser.send(request).await;
        let allowed = got.fields.get("access-control-allow-origin");
        (got.status.as_u16(), allowed.map(|value| value.to_str().expect("text").to_owned()))
    };
    let good = "https://partner.example";
    for path in ["/oauth2/token", "/oauth2/revoke", "/oauth2/userinfo", "/oauth2/jwks"] {
        assert_eq!(ask("OPTIONS", path, good).await, (204, Some(good.to_owned())), "{path}");
        assert_eq!(ask("OPTIONS", path, "https://evil.example").await, (204, None), "{path}");
    }
    assert_eq!(ask("GET", "/oauth2/jwks", good).await, (200, Some(good.to_owned())));
    assert_eq!(ask("GET", "/oauth2/jwks", "null").await, (200, None));
    // The pages and the endpoints of browsers answer nobody's script.
    for path in ["/oauth2/authorize", "/oauth2/logout", "/login", "/oauth2/introspect"] {
        assert_eq!(ask("OPTIONS", path, good).await.1, None, "{path}");
    }
}
