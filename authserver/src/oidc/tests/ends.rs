//! What ends while a code or a sign-in is still on its way.

use std::time::Duration;

use haetae_session::{denylist::Kind, family::Offline};

use super::{SECRET, World, answer_of, logout::logout, text};
use crate::{
    context::RequestContext,
    interaction::end_all_sessions,
    shut_clients,
    store::clients::Clients,
    testing::{Browser, House},
};

/// Codes and tokens, one after the other, until there are none.
async fn hoard(house: &House, mut browser: Browser) {
    loop {
        let got = browser.get(&World::request(&[("prompt", "none")])).await;
        let Some(code) = answer_of(&got).remove("code") else { return };
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", "mobile"),
            ("code", code.as_str()),
            ("redirect_uri", super::CALLBACK),
            ("code_verifier", super::VERIFIER),
        ];
        house.browser().post("/oauth2/token", &fields).await;
    }
}

#[tokio::test]
async fn a_sign_out_outlasts_those_who_redeem_codes_meanwhile() {
    let mut world = World::open().await;
    for everywhere in [false, true, false, true, false, true] {
        world.browser = world.house.browser();
        world.sign_in().await;
        let hint = text(&world.tokens().await["id_token"]);
        let house = &world.house;
        let account = house.state.accounts.find_by_username("minjun").await.expect("sql");
        let account = account.expect("minjun").id;
        let thieves = (0..8).map(|_| hoard(house, world.browser.clone()));
        let mut person = world.browser.clone();
        let sign_out = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if everywhere {
                let context = RequestContext::new("req".to_owned(), None, None);
                end_all_sessions(&house.state, &context, account).await.expect("ended");
            } else {
                let got = person.get(&logout(&[("id_token_hint", hint.as_str())])).await;
                assert_eq!(got.status, 200);
            }
        };
        futures::join!(futures::future::join_all(thieves), sign_out);
        let now = house.state.now();
        let left = house.state.families.list(&account.to_string(), now).await.expect("redis");
        assert_eq!(left.len(), 0, "everywhere: {everywhere}");
    }
}

#[tokio::test]
async fn a_code_is_worth_nothing_from_the_first_step_of_a_sign_out_and_the_last_can_be_done_later()
{
    let mut world = World::open().await;
    world.sign_in().await;
    let code = world.code(&[]).await;
    let tokens = world.tokens().await;
    let state = &world.house.state;
    let sub = state.accounts.find_by_username("minjun").await.expect("sql").expect("one").id;
    let now = state.now();
    let session = state.sso.list(&sub.to_string(), now).await.expect("redis").remove(0);
    // A sign-out that gets no further than this.
    state.sso.close(session.sid).await.expect("closed");
    state.families.revoke_sid(session.sid, Offline::Spare, now).await.expect("revoked");
    world.redeem(&code, &[]).await.refused(400, "invalid_grant");
    assert!(world.browser.get("/account").await.location().starts_with("/login"));
    let state = &world.house.state;
    // The one that was there before; none of the code's.
    assert_eq!(state.families.list(&sub.to_string(), now).await.expect("redis").len(), 1);
    // Asked for again, it is done to the end.
    assert_eq!(world.browser.get(&logout(&[])).await.status, 200);
    world.refresh(&text(&tokens["refresh_token"])).await.refused(400, "invalid_grant");
    super::token::eventually_refused(&mut world, &text(&tokens["access_token"])).await;
}

#[tokio::test]
async fn a_code_of_an_application_that_was_revoked_is_worth_nothing() {
    let mut world = World::open().await;
    world.sign_in().await;
    let callback = "https://partner.example/callback?tenant=1";
    let partner = [("client_id", "partner"), ("redirect_uri", callback)];
    let page = world.browser.open(&World::request(&partner)).await;
    let allowed = world.browser.submit(&page, &[("decision", "allow")]).await;
    let resumed = allowed.location().to_owned();
    let first = answer_of(&world.browser.get(&resumed).await).remove("code").expect("a code");
    let second = world.code(&partner).await;
    let redeem = |code: &str| {
        let fields = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code.to_owned()),
            ("redirect_uri", callback.to_owned()),
            ("code_verifier", super::VERIFIER.to_owned()),
        ];
        let (house, fields) = (&world.house, fields);
        async move {
            let fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            super::call(house, "/oauth2/token", &fields, Some(("partner", SECRET))).await
        }
    };
    // The control: while it is allowed, it gets its tokens.
    assert_eq!(redeem(&first).await.status, 200);
    let mut browser = world.browser.clone();
    let overview = browser.get("/account").await;
    let csrf = overview.csrf();
    let fields = [("csrf", csrf.as_str()), ("client_id", "partner")];
    assert_eq!(browser.post("/account/applications/revoke", &fields).await.status, 303);
    redeem(&second).await.refused(400, "invalid_grant");
    let state = &world.house.state;
    let sub = state.accounts.find_by_username("minjun").await.expect("sql").expect("one").id;
    let left = state.families.list(&sub.to_string(), state.now()).await.expect("redis");
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_session_that_runs_out_takes_along_what_was_not_for_offline_access() {
    let mut world = World::open().await;
    world.sign_in().await;
    let code = world.code(&[("scope", "openid reservations:read")]).await;
    let online = text(&world.redeem(&code, &[]).await.tokens()["refresh_token"]);
    let offline = text(&world.tokens().await["refresh_token"]);
    let hours = |count| Duration::from_hours(count);
    // Twelve hours without use end a session; an application that is used uses it.
    world.house.clock.advance(hours(11));
    let online = text(&world.refresh(&online).await.tokens()["refresh_token"]);
    world.house.clock.advance(hours(11));
    let online = text(&world.refresh(&online).await.tokens()["refresh_token"]);
    assert_eq!(world.browser.get("/account").await.status, 200);
    world.house.clock.advance(hours(13));
    world.refresh(&online).await.refused(400, "invalid_grant");
    world.refresh(&offline).await.tokens();
}

#[tokio::test]
async fn what_a_shut_client_gets_from_an_authserver_that_hears_late_is_revoked_when_it_hears() {
    let mut world = World::open().await;
    let token = async |world: &mut World| {
        let grant = [("grant_type", "client_credentials")];
        let got = world.call("/oauth2/token", &grant, Some(("service", SECRET))).await;
        text(&got.tokens()["access_token"])
    };
    token(&mut world).await;
    // Shut as the command line does it, and nothing is heard of it here.
    let (state, clock) = (world.house.state.clone(), world.house.clock.clone());
    let clients = Clients::new(state.sql.clone(), &state.master);
    let mut service = clients.find("service").await.expect("sql").expect("registered");
    service.disabled_at = Some(state.now());
    clients.update(&service, state.now()).await.expect("shut");
    state.denylist.revoke_everything(Kind::ClientId, "service").await.expect("revoked");
    clock.advance(Duration::from_secs(1));
    let late = token(&mut world).await;
    world.settle().await;
    // It is no token for this address, and good: that is the gap.
    assert_eq!(world.with_bearer("/oauth2/userinfo", &late).await.status, 403);
    state.clients.forget();
    shut_clients::close(&state).await.expect("closed");
    super::token::eventually_refused(&mut world, &late).await;
    let grant = [("grant_type", "client_credentials")];
    let got = world.call("/oauth2/token", &grant, Some(("service", SECRET))).await;
    got.refused(401, "invalid_client");
    // Open again: what it gets now is good, and stays so when this is done once more.
    clock.advance(Duration::from_secs(1));
    let mut service = clients.find("service").await.expect("sql").expect("registered");
    service.disabled_at = None;
    clients.update(&service, state.now()).await.expect("opened");
    state.clients.forget();
    let new = token(&mut world).await;
    shut_clients::close(&state).await.expect("closed");
    world.settle().await;
    assert_eq!(world.with_bearer("/oauth2/userinfo", &new).await.status, 403);
    assert_eq!(world.with_bearer("/oauth2/userinfo", &late).await.status, 401);
}

/// An authserver that hears of no changes serves no client that was shut.
#[tokio::test]
async fn who_hears_nothing_asks() {
    let mut world = World::open().await;
    let state = world.house.state.clone();
    let grant = [("grant_type", "client_credentials")];
    let clients = Clients::new(state.sql.clone(), &state.master);
    let mut service = clients.find("service").await.expect("sql").expect("registered");
    world.call("/oauth2/token", &grant, Some(("service", SECRET))).await.tokens();
    service.disabled_at = Some(state.now());
    clients.update(&service, state.now()).await.expect("shut");
    // From memory, as long as it would hear of a change.
    world.call("/oauth2/token", &grant, Some(("service", SECRET))).await.tokens();
    state.clients.set_hearing(false);
    let got = world.call("/oauth2/token", &grant, Some(("service", SECRET))).await;
    got.refused(401, "invalid_client");
}
