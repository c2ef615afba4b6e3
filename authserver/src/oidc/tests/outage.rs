//! What goes on and what says 503 while Redis or SQL is away.

use super::{SECRET, World, text};

#[tokio::test]
async fn without_redis_keys_and_discovery_go_on_and_the_rest_says_so() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    world.house.redis.stop();
    for path in ["/oauth2/jwks", "/.well-known/openid-configuration"] {
        assert_eq!(world.browser.get(path).await.status, 200, "{path}");
    }
    let got = world.refresh(&text(&tokens["refresh_token"])).await;
    assert_eq!(got.fields["retry-after"], "2");
    got.refused(503, "temporarily_unavailable");
    let fields =
        [("token", tokens["access_token"].as_str().expect("one")), ("client_id", "mobile")];
    world.call("/oauth2/revoke", &fields, None).await.refused(503, "temporarily_unavailable");
    // A service needs neither Redis nor SQL.
    let grant = [("grant_type", "client_credentials")];
    world.call("/oauth2/token", &grant, Some(("service", SECRET))).await.tokens();
    // A person gets a page to try again from; a client that asks without a person gets its error.
    let got = world.browser.get(&World::request(&[])).await;
    assert_eq!(got.status, 503);
    assert_eq!(got.fields["retry-after"], "5");
    let got = world.browser.get(&World::request(&[("prompt", "none")])).await;
    assert_eq!(super::answer_of(&got)["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn without_sql_a_refresh_works() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    let state = &world.house.state;
    state.sql.write.clone().close().await.expect("closed");
    state.sql.read.clone().close().await.expect("closed");
    // Older than the cache would trust without asking.
    world.house.clock.advance(std::time::Duration::from_mins(2));
    let next = world.refresh(&text(&tokens["refresh_token"])).await.tokens();
    assert_ne!(next["refresh_token"], tokens["refresh_token"]);
    let grant = [("grant_type", "client_credentials")];
    let unknown = world.call("/oauth2/token", &grant, Some(("nobody", SECRET))).await;
    unknown.refused(503, "temporarily_unavailable");
    // Revoking is not acknowledged before it is durable.
    let fields = [("token", next["access_token"].as_str().expect("one")), ("client_id", "mobile")];
    world.call("/oauth2/revoke", &fields, None).await.refused(503, "temporarily_unavailable");
    assert_eq!(world.browser.get("/oauth2/jwks").await.status, 200);
}

/// SQL answers here, but is known not to: whoever needs it is told without it being asked.
#[tokio::test]
async fn while_sql_is_known_to_be_away_nobody_waits_for_it() {
    let mut world = World::open().await;
    world.sign_in().await;
    let tokens = world.tokens().await;
    let access = text(&tokens["access_token"]);
    let revoke = [("token", access.as_str()), ("client_id", "mobile")];
    let state = world.house.state.clone();
    state.sql_health.note(false);
    // One answer that did not come may be a moment of much work.
    assert_eq!(world.with_bearer("/oauth2/userinfo", &access).await.status, 200);
    assert!(!state.sql_health.answers());
    state.sql_health.note(false);
    let got = world.with_bearer("/oauth2/userinfo", &access).await;
    assert_eq!((got.status.as_u16(), got.fields.contains_key("retry-after")), (503, true));
    let got = world.call("/oauth2/revoke", &revoke, None).await;
    assert!(got.fields.contains_key("retry-after"));
    got.refused(503, "temporarily_unavailable");
    let mut stranger = world.house.browser();
    let got = stranger.sign_in("minjun").await;
    assert_eq!((got.status.as_u16(), got.fields.contains_key("retry-after")), (503, true));
    let got = world.browser.get("/account").await;
    assert_eq!((got.status.as_u16(), got.fields.contains_key("retry-after")), (503, true));
    // What does not need it goes on.
    let next = world.refresh(&text(&tokens["refresh_token"])).await.tokens();
    assert_eq!(world.browser.get("/oauth2/jwks").await.status, 200);
    state.sql_health.note(true);
    let access = text(&next["access_token"]);
    assert_eq!(world.with_bearer("/oauth2/userinfo", &access).await.status, 200);
    assert_eq!(world.browser.get("/account").await.status, 200);
}
