//! The token endpoint.

use std::time::Duration;

use axum::http::Request;
use haetae_base::secret::SecretHash;
use serde_json::json;

use super::{SECRET, World, claims, text};
use crate::{domain::account::Role, store::clients::Clients};

#[tokio::test]
async fn tokens_say_what_the_standards_ask_for() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 300);
    assert_eq!(tokens["scope"], "offline_access openid profile reservations:read");
    let access = claims(&tokens["access_token"]);
    let state = &world.house.state;
    assert_eq!(access["iss"], state.issuer);
    assert_eq!(access["aud"], state.audience);
    assert_eq!(access["client_id"], "mobile");
    assert_eq!(access["scope"], tokens["scope"]);
    assert_eq!((&access["acr"], &access["amr"]), (&json!("1fa"), &json!(["pwd"])));
    assert_eq!(access["exp"].as_i64(), access["iat"].as_i64().map(|iat| iat + 300));
    assert!(text(&access["jti"]).starts_with("tok_") && text(&access["sid"]).starts_with("sid_"));
    assert!(access["auth_time"].is_i64() && access.get("roles").is_none());
    let id = claims(&tokens["id_token"]);
    assert_eq!((&id["aud"], &id["azp"]), (&json!("mobile"), &json!("mobile")));
    assert_eq!(
        (&id["nonce"], &id["sub"], &id["sid"]),
        (&json!("n-1"), &access["sub"], &access["sid"])
    );
    assert_eq!(id["preferred_username"], "minjun");
    assert!(id["at_hash"].is_string() && id["auth_time"] == access["auth_time"]);
    // Without openid there is no ID token, without offline_access still a refresh token, of the session.
    let code = world.code(&[("scope", "reservations:read")]).await;
    let plain = world.redeem(&code, &[]).await.tokens();
    assert!(plain.get("id_token").is_none() && plain["refresh_token"].is_string());
}

#[tokio::test]
async fn a_code_is_bound_to_its_client_its_address_and_its_verifier() {
    let mut world = World::open().await;
    world.sign_in().await;
    for changes in [
        ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl"),
        ("code_verifier", super::CHALLENGE),
        ("code_verifier", "short"),
        ("redirect_uri", "http://127.0.0.1:4712/callback"),
        ("redirect_uri", ""),
    ] {
        let code = world.code(&[]).await;
        world.redeem(&code, &[changes]).await.refused(400, "invalid_grant");
        // It is used up: whoever had it without the verifier stole it.
        world.redeem(&code, &[]).await.refused(400, "invalid_grant");
    }
    let code = world.code(&[]).await;
    world.redeem(&code, &[("code_verifier", "")]).await.refused(400, "invalid_request");
    world.redeem(&code, &[("code", "")]).await.refused(400, "invalid_request");
    // Another client changes nothing.
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", super::CALLBACK),
        ("code_verifier", super::VERIFIER),
    ];
    let got = world.call("/oauth2/token", &fields, Some(("partner", SECRET))).await;
    got.refused(400, "invalid_grant");
    world.redeem(&code, &[]).await.tokens();
    world.redeem("made-up", &[]).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_code_ends_after_a_minute() {
    let mut world = World::open().await;
    world.sign_in().await;
    let code = world.code(&[]).await;
    world.house.clock.advance(Duration::from_secs(61));
    world.redeem(&code, &[]).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_code_that_comes_back_ends_everything_that_came_from_it() {
    let mut world = World::open().await;
    world.sign_in().await;
    let code = world.code(&[]).await;
    let first = world.redeem(&code, &[]).await.tokens();
    let other = world.tokens().await;
    let refreshed = world.refresh(&text(&first["refresh_token"])).await.tokens();
    for token in [&first, &refreshed, &other] {
        let got = world.with_bearer("/oauth2/userinfo", &text(&token["access_token"])).await;
        assert_eq!(got.status, 200);
    }
    world.redeem(&code, &[]).await.refused(400, "invalid_grant");
    world.refresh(&text(&refreshed["refresh_token"])).await.refused(400, "invalid_grant");
    for token in [&first, &refreshed] {
        let access = text(&token["access_token"]);
        eventually_refused(&mut world, &access).await;
    }
    // The control: what came from another code lives on.
    let got = world.with_bearer("/oauth2/userinfo", &text(&other["access_token"])).await;
    assert_eq!(got.status, 200);
    world.refresh(&text(&other["refresh_token"])).await.tokens();
}

/// The replica follows within milliseconds.
pub(super) async fn eventually_refused(world: &mut World, access: &str) {
    for _ in 0..200 {
        let got = world.with_bearer("/oauth2/userinfo", access).await;
        if got.status == 401 {
            let challenge = got.fields["www-authenticate"].to_str().expect("text").to_owned();
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the token is still accepted");
}

#[tokio::test]
async fn of_many_who_redeem_a_code_at_once_at_most_one_keeps_its_tokens() {
    let mut world = World::open().await;
    world.sign_in().await;
    let code = world.code(&[]).await;
    let tries = (0..16).map(|_| {
        let router = world.house.router.clone();
        let body = super::form(&[
            ("grant_type", "authorization_code"),
            ("client_id", "mobile"),
            ("code", &code),
            ("redirect_uri", super::CALLBACK),
            ("code_verifier", super::VERIFIER),
        ]);
        let request = Request::post("/oauth2/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(axum::body::Body::from(body))
            .expect("a request");
        async move { tower::ServiceExt::oneshot(router, request).await.expect("an answer") }
    });
    let answers = futures::future::join_all(tries).await;
    let good: Vec<_> = answers.into_iter().filter(|answer| answer.status() == 200).collect();
    assert!(good.len() <= 1, "{} got tokens", good.len());
    for answer in good {
        let body = axum::body::to_bytes(answer.into_body(), 65536).await.expect("a body");
        let tokens: serde_json::Value = serde_json::from_slice(&body).expect("json");
        world.refresh(&text(&tokens["refresh_token"])).await.refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn a_refresh_token_rotates_and_its_replay_ends_the_family() {
    let mut world = World::open().await;
    world.sign_in().await;
    let first = world.tokens().await;
    let token = text(&first["refresh_token"]);
    let second = world.refresh(&token).await.tokens();
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    let (before, after) = (claims(&first["access_token"]), claims(&second["access_token"]));
    for claim in ["sub", "sid", "acr", "amr", "auth_time", "scope", "client_id", "aud"] {
        assert_eq!(before[claim], after[claim], "{claim}");
    }
    assert_ne!(before["jti"], after["jti"]);
    assert!(claims(&second["id_token"]).get("nonce").is_none());
    // A lost answer: the same successor again.
    let again = world.refresh(&token).await.tokens();
    assert_eq!(again["refresh_token"], second["refresh_token"]);
    // Less scope may be asked for, more not.
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", "mobile"),
        ("refresh_token", second["refresh_token"].as_str().expect("a token")),
        ("scope", "openid inventory:write"),
    ];
    world.call("/oauth2/token", &fields, None).await.refused(400, "invalid_scope");
    world.house.clock.advance(Duration::from_secs(11));
    world.settle().await;
    world.refresh(&token).await.refused(400, "invalid_grant");
    world.refresh(&text(&second["refresh_token"])).await.refused(400, "invalid_grant");
    for tokens in [&second, &again] {
        eventually_refused(&mut world, &text(&tokens["access_token"])).await;
    }
}

#[tokio::test]
async fn a_refresh_token_is_its_clients() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    let token = text(&tokens["refresh_token"]);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token.as_str())];
    let got = world.call("/oauth2/token", &fields, Some(("partner", SECRET))).await;
    got.refused(400, "invalid_grant");
    world.refresh(&token).await.tokens();
    for junk in ["", "x", "hrt_", "hrt_AAAA"] {
        let got = world.refresh(junk).await;
        got.refused(400, if junk.is_empty() { "invalid_request" } else { "invalid_grant" });
    }
}

#[tokio::test]
async fn a_client_authenticates_in_one_way_and_with_its_secret() {
    let mut world = World::open().await;
    let grant = ("grant_type", "client_credentials");
    let path = "/oauth2/token";
    let tokens = world.call(path, &[grant], Some(("service", SECRET))).await.tokens();
    assert_eq!(tokens["scope"], "inventory:write reservations:read");
    assert!(tokens.get("refresh_token").is_none() && tokens.get("id_token").is_none());
    let access = claims(&tokens["access_token"]);
    assert_eq!((&access["sub"], &access["client_id"]), (&json!("service"), &json!("service")));
    assert!(access.get("sid").is_none() && access.get("auth_time").is_none());
    let posted = [grant, ("client_id", "service"), ("client_secret", SECRET)];
    world.call(path, &posted, None).await.tokens();

    let wrong = world.call(path, &[grant], Some(("service", "wrong"))).await;
    assert!(wrong.fields["www-authenticate"].to_str().expect("text").starts_with("Basic"));
    wrong.refused(401, "invalid_client");
    for (fields, basic) in [
        (vec![grant], Some(("nobody", SECRET))),
        (vec![grant, ("client_id", "service")], None),
        (vec![grant, ("client_id", "service"), ("client_secret", "wrong")], None),
        (vec![grant], None),
        (vec![grant, ("client_id", "mobile"), ("client_secret", "x")], None),
    ] {
        world.call(path, &fields, basic).await.refused(401, "invalid_client");
    }
    let both = [grant, ("client_id", "service"), ("client_secret", SECRET)];
    world.call(path, &both, Some(("service", SECRET))).await.refused(400, "invalid_request");
    let twice = [grant, grant];
    world.call(path, &twice, Some(("service", SECRET))).await.refused(400, "invalid_request");
    let service = Some(("service", SECRET));
    let personal = [grant, ("scope", "openid")];
    world.call(path, &personal, service).await.refused(400, "invalid_scope");
    let more = [grant, ("scope", "inventory:write payments:write")];
    world.call(path, &more, service).await.refused(400, "invalid_scope");
    let code = [("grant_type", "authorization_code"), ("code", "x")];
    world.call(path, &code, service).await.refused(400, "unauthorized_client");
    let password = [("grant_type", "password"), ("username", "minjun"), ("password", "x")];
    world.call(path, &password, service).await.refused(400, "unsupported_grant_type");
    world.call(path, &[], service).await.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_secret_may_be_sent_form_encoded_or_as_it_is() {
    let mut world = World::open().await;
    let state = &world.house.state;
    let clients = Clients::new(state.sql.clone(), &state.master);
    let mut client = clients.find("service").await.expect("sql").expect("there");
    client.secret = Some(SecretHash::of("q/+Z9%2B=="));
    clients.update(&client, client.updated_at).await.expect("updated");
    let grant = [("grant_type", "client_credentials")];
    for (secret, is_it) in [
        ("q%2F%2BZ9%252B%3D%3D", true),
        ("q/+Z9%2B==", true),
        ("q/ Z9+==", false),
        ("q/+Z9+==", false),
        ("q%2F+Z9%252B==", false),
    ] {
        for id in ["service", "s%65rvice"] {
            let got = world.call("/oauth2/token", &grant, Some((id, secret))).await;
            // Both are encoded or neither.
            let is_it = is_it && (id == "service" || secret.contains("%25"));
            if is_it { drop(got.tokens()) } else { got.refused(401, "invalid_client") }
        }
    }
}

#[tokio::test]
async fn only_an_administrator_gets_the_inventory_and_only_while_it_is_one() {
    let mut world = World::open().await;
    world.sign_in().await;
    let wanted = [("scope", "openid inventory:write")];
    let code = world.code(&wanted).await;
    assert_eq!(world.redeem(&code, &[]).await.tokens()["scope"], "openid");
    let admin = world.house.person("root").await;
    let roles = std::collections::BTreeSet::from([Role::Admin]);
    let now = world.house.state.now();
    world.house.state.accounts.set_roles(admin.id, &roles, now).await.expect("set");
    world.browser = world.house.browser();
    world.browser.sign_in("root").await;
    let code = world.code(&wanted).await;
    let tokens = world.redeem(&code, &[]).await.tokens();
    assert_eq!(tokens["scope"], "inventory:write openid");
    assert_eq!(claims(&tokens["access_token"])["roles"], json!(["admin"]));
    let refreshed = world.refresh(&text(&tokens["refresh_token"])).await.tokens();
    assert_eq!(claims(&refreshed["access_token"])["roles"], json!(["admin"]));
}

#[tokio::test]
async fn a_code_of_a_person_who_was_shut_out_or_signed_out_is_worth_nothing() {
    let mut world = World::open().await;
    world.sign_in().await;
    let code = world.code(&[]).await;
    let account =
        world.house.state.accounts.find_by_username("minjun").await.expect("sql").expect("one");
    let now = world.house.state.now();
    world.house.state.accounts.set_disabled(account.id, Some(now), now).await.expect("shut");
    world.redeem(&code, &[]).await.refused(400, "invalid_grant");
    world.house.state.accounts.set_disabled(account.id, None, now).await.expect("opened");
    // What was signed in before stays over.
    world.browser = world.house.browser();
    world.sign_in().await;
    let code = world.code(&[]).await;
    let context = crate::context::RequestContext::new("req-1".to_owned(), None, None);
    crate::interaction::end_all_sessions(&world.house.state, &context, account.id)
        .await
        .expect("signed out");
    world.redeem(&code, &[]).await.refused(400, "invalid_grant");
}
