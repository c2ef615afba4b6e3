//! PKCE: demanded of everybody, but for a client that authenticates and is registered to do without.

use serde_json::json;

use super::{Got, SECRET, World, register};

const CALLBACK: &str = "https://legacy.example/callback";

/// A world with a client that may do without PKCE.
async fn world() -> World {
    let mut world = World::open().await;
    let metadata = json!({ "redirect_uris": [CALLBACK], "require_pkce": false });
    register(&world.house, "legacy", true, &metadata).await;
    world.sign_in().await;
    world
}

const LEGACY: [(&str, &str); 2] = [("client_id", "legacy"), ("redirect_uri", CALLBACK)];
const WITHOUT: [(&str, &str); 2] = [("code_challenge", ""), ("code_challenge_method", "")];

async fn redeem(world: &mut World, code: &str, more: &[(&str, &str)]) -> Got {
    let mut fields = vec![("grant_type", "authorization_code"), ("code", code)];
    fields.extend(more);
    world.call("/oauth2/token", &fields, Some(("legacy", SECRET))).await
}

#[tokio::test]
async fn a_client_that_authenticates_may_be_registered_to_do_without() {
    let mut world = world().await;
    let code = world.code(&[LEGACY, WITHOUT].concat()).await;
    let tokens = redeem(&mut world, &code, &[("redirect_uri", CALLBACK)]).await.tokens();
    assert!(tokens["id_token"].is_string());
    // The control: everybody else is refused, a client that authenticates by default too.
    let partner =
        [("client_id", "partner"), ("redirect_uri", "https://partner.example/callback?tenant=1")];
    for client in [&[] as &[_], &partner] {
        let answer = world.authorize(&[client, &WITHOUT].concat()).await;
        assert_eq!(answer["error"], "invalid_request", "{client:?}");
    }
}

#[tokio::test]
async fn who_sends_a_challenge_is_held_to_it_and_nobody_takes_it_away() {
    let mut world = world().await;
    let verifier = ("code_verifier", super::VERIFIER);
    let uri = ("redirect_uri", CALLBACK);
    let code = world.code(&LEGACY).await;
    redeem(&mut world, &code, &[uri, verifier]).await.tokens();
    for (with_challenge, presented) in [
        (true, &[uri] as &[_]),
        (true, &[uri, ("code_verifier", super::CHALLENGE)]),
        // Somebody took the challenge out of the request on its way to us (RFC 9700 4.8.2).
        (false, &[uri, verifier]),
        // Without PKCE the address is all that ties the code to its request.
        (false, &[]),
    ] {
        let without = if with_challenge { &[] as &[_] } else { &WITHOUT };
        let code = world.code(&[&LEGACY, without].concat()).await;
        redeem(&mut world, &code, presented).await.refused(400, "invalid_grant");
        redeem(&mut world, &code, &[uri]).await.refused(400, "invalid_grant");
    }
    // A method without a challenge is a mistake, not a wish.
    let answer = world.authorize(&[&LEGACY as &[_], &[("code_challenge", "")]].concat()).await;
    assert_eq!(answer["error"], "invalid_request");
}
