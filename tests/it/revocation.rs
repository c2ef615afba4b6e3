//! What was accepted a moment before is refused at once, and stays refused whatever happens to Redis.

use std::time::{Duration, Instant};

use haetae_tests::{
    agent::Agent,
    api::Api,
    oidc::{self, Client},
    shop::Shop,
    stack::{Extra, Options, Role, Stack},
    token, wait,
};

/// Waits until the gateway refuses this caller, and says how long it took.
async fn refused_within(caller: &Api, limit: Duration) -> Duration {
    let start = Instant::now();
    let page = wait::until("the gateway refuses a revoked token", limit, async || {
        let page = caller.get("reservations").await;
        (page.status != 200).then_some(page)
    })
    .await;
    page.problem(401);
    assert!(page.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    start.elapsed()
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_moments() {
    let shop = Shop::open(Options::default()).await;
    let mut delays = Vec::new();
    for _ in 0..20 {
        let tokens = shop.mobile.sign_in(&shop.agent, shop.stack.demo().user("demo")).await;
        let caller = Api::bearer(&shop.stack, &tokens.access_token);
        // Twice, so that the verified-token cache has it.
        for _ in 0..2 {
            assert_eq!(caller.get("reservations").await.status, 200);
        }
        shop.mobile.revoke(&tokens.access_token).await;
        delays.push(refused_within(&caller, Duration::from_secs(2)).await);
    }
    delays.sort();
    println!(
        "from the acknowledged revocation to the refusal: median {:?}, worst {:?}",
        delays[delays.len() / 2],
        delays[delays.len() - 1]
    );
    // The control: another token of the same person lives on.
    assert_eq!(shop.customer.get("reservations").await.status, 200);
}

/// Every gateway refuses, also one that starts after the revocation.
#[tokio::test]
async fn every_gateway_refuses_a_revoked_token() {
    let shop = Shop::open(Options::default()).await;
    let second = shop.stack.one_more(Role::Gateway).await;
    let ask = async |gateway: &Extra, token: &str| {
        let url = gateway.url("/api/v1/reservations");
        shop.agent.http().get(url).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    let token = &shop.tokens.access_token;
    let control =
        shop.mobile.sign_in(&shop.agent, shop.stack.demo().user("demo")).await.access_token;
    assert_eq!(ask(&second, token).await, 200);
    shop.mobile.revoke(token).await;
    refused_within(&shop.customer, Duration::from_secs(2)).await;
    wait::until_true("the second gateway refuses it", Duration::from_secs(2), async || {
        ask(&second, token).await == 401
    })
    .await;
    let late = shop.stack.one_more(Role::Gateway).await;
    assert_eq!(ask(&late, token).await, 401, "one that never heard of the token");
    for gateway in [&second, &late] {
        assert_eq!(ask(gateway, &control).await, 200);
    }
}

#[tokio::test]
async fn signing_out_ends_every_token_of_the_session() {
    let shop = Shop::open(Options::default()).await;
    let second = shop.mobile.sign_in(&shop.agent, shop.stack.demo().user("demo")).await;
    let elsewhere = Agent::new();
    let other = shop.mobile.sign_in(&elsewhere, shop.stack.demo().user("demo")).await;
    let callers =
        [&shop.tokens, &second].map(|tokens| Api::bearer(&shop.stack, &tokens.access_token));
    let others = Api::bearer(&shop.stack, &other.access_token);
    for caller in &callers {
        assert_eq!(caller.get("reservations").await.status, 200);
    }
    let mut logout = shop.mobile.endpoint("oauth2/logout");
    logout
        .query_pairs_mut()
        .append_pair("id_token_hint", shop.tokens.id_token.as_ref().unwrap())
        .append_pair("client_id", "demo-mobile");
    let mut page = shop.agent.open(&logout).await;
    if let Some(form) = page.form_to("logout") {
        page = shop.agent.submit(&page, &form.pressing(&["yes", "confirm", "logout"])).await;
    }
    assert!(
        page.status.is_success() || page.status.is_redirection(),
        "{} {}",
        page.status,
        page.text()
    );
    for caller in &callers {
        refused_within(caller, Duration::from_secs(2)).await;
    }
    for tokens in [&shop.tokens, &second] {
        let refresh = tokens.refresh_token.as_ref().unwrap();
        oidc::refused(&shop.mobile.refresh(refresh).await, 400, "invalid_grant");
    }
    // The browser has to sign in again; the session in the other browser is untouched.
    let request = shop.mobile.request("openid", &[("prompt", "none")]);
    let demo = shop.stack.demo().user("demo");
    let answer = shop.mobile.authorize(&shop.agent, &request, demo, None).await;
    assert!(answer.contains(&("error".to_owned(), "login_required".to_owned())), "{answer:?}");
    assert_eq!(others.get("reservations").await.status, 200);
    // A new sign-in right after, in the same second perhaps, works.
    let again = shop.mobile.sign_in(&shop.agent, demo).await;
    assert_eq!(Api::bearer(&shop.stack, &again.access_token).get("reservations").await.status, 200);
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_its_family() {
    let shop = Shop::open(Options::default()).await;
    let refresh = shop.tokens.refresh_token.clone().unwrap();
    let next = oidc::tokens(&shop.mobile.refresh(&refresh).await);
    let caller = Api::bearer(&shop.stack, &next.access_token);
    assert_eq!(caller.get("reservations").await.status, 200);
    // RFC 7009 2.1: a client revokes its own tokens only.
    let service = Client::new(&shop.stack, shop.stack.demo().client("demo-service"));
    service.post("oauth2/revoke", &[("token", next.refresh_token.as_ref().unwrap())]).await;
    let next = oidc::tokens(&shop.mobile.refresh(next.refresh_token.as_ref().unwrap()).await);
    shop.mobile.revoke(next.refresh_token.as_ref().unwrap()).await;
    let page = shop.mobile.refresh(next.refresh_token.as_ref().unwrap()).await;
    oidc::refused(&page, 400, "invalid_grant");
    // RFC 7009 2.2: what is unknown is as good as revoked.
    shop.mobile.revoke("never-issued").await;
}

/// Redis loses everything while a revoked token is alive.
async fn stays_refused(lose: impl AsyncFnOnce(&Stack)) {
    let shop = Shop::open(Options::default()).await;
    let revoked = shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("demo")).await;
    let revoked = (Api::bearer(&shop.stack, &revoked.access_token), revoked.access_token);
    assert_eq!(revoked.0.get("reservations").await.status, 200);
    shop.mobile.revoke(&revoked.1).await;
    refused_within(&revoked.0, Duration::from_secs(2)).await;
    lose(&shop.stack).await;
    // At no moment while everything finds itself again is the revoked token accepted.
    let control = token::Token::read(&shop.tokens.access_token);
    let mut served = 0;
    let start = Instant::now();
    while served < 20 {
        let refused = revoked.0.get("reservations").await;
        assert!(
            [401, 503].contains(&refused.status.as_u16()),
            "{} {}",
            refused.status,
            refused.body
        );
        // The control: the gateway serves others again, so the refusal is not a general one.
        let page = shop.customer.get("reservations").await;
        assert!([200, 503].contains(&page.status.as_u16()), "{}: {}", control.claims, page.body);
        served += u32::from(page.status == 200);
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "the gateway does not recover: {}",
            page.body
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    revoked.0.get("reservations").await.problem(401);
    // Also a gateway that knows nothing but what it reads now.
    shop.stack.kill_and_await_return(Role::Gateway).await;
    wait::until_true("a fresh gateway serves", Duration::from_mins(1), async || {
        let refused = revoked.0.get("reservations").await;
        assert!(
            [401, 503].contains(&refused.status.as_u16()),
            "{} {}",
            refused.status,
            refused.body
        );
        shop.customer.get("reservations").await.status == 200
    })
    .await;
    revoked.0.get("reservations").await.problem(401);
    // People can sign in again.
    let again = shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("guest")).await;
    assert_eq!(Api::bearer(&shop.stack, &again.access_token).get("reservations").await.status, 200);
}

#[tokio::test]
async fn a_wiped_redis_revives_no_token() {
    stays_refused(async |stack| stack.redis().wipe().await).await;
}

#[tokio::test]
async fn a_redis_that_lost_its_disk_revives_no_token() {
    stays_refused(async |stack| {
        let pid = stack.redis().pid().await;
        haetae_tests::stack::send_signal("KILL", &pid.to_string());
        stack.delete_redis_data();
        wait::until_true("Redis is started again", Duration::from_secs(30), async || {
            stack.redis().is_up().await && stack.redis().pid().await != pid
        })
        .await;
    })
    .await;
}
