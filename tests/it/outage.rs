//! The table of design section 6: what still works when one thing is away, and how the rest says no.

use std::time::{Duration, Instant};

use haetae_tests::{
    agent::{Agent, Page},
    api::{self, Api},
    oidc::SCOPE,
    shop::Shop,
    stack::{Database, Options, Role, Stack, send_signal},
    wait,
};
use url::Url;

/// A page or problem of status 503 that says when to come back.
fn come_back_later(what: &str, page: &Page) {
    assert_eq!(page.status, 503, "{what}: {}", page.body);
    let seconds = page.header("retry-after").unwrap_or_else(|| panic!("{what}: no Retry-After"));
    assert!(seconds.parse::<u32>().is_ok_and(|seconds| seconds >= 1), "{what}: {seconds}");
}

fn ours(url: &Url) -> bool {
    url.as_str().starts_with("http://127.0.0.1:49152")
}

/// Whether a fresh browser can sign in.
async fn can_sign_in(shop: &Shop) -> bool {
    let page = try_to_sign_in(shop).await;
    page.location().is_some_and(|url| url.query_pairs().any(|(name, _)| name == "code"))
}

/// Tries to sign in with a fresh browser and returns the page where that ends.
async fn try_to_sign_in(shop: &Shop) -> Page {
    let agent = Agent::new();
    let page = agent.get(shop.mobile.request(SCOPE, &[]).url).await;
    let page = agent.follow(page, ours).await;
    let Some(form) = page.form_with("password") else { return page };
    let demo = shop.stack.demo().user("demo");
    let page = agent
        .submit(&page, &form.with("username", &demo.username).with("password", &demo.password))
        .await;
    agent.follow(page, ours).await
}

/// Stops Redis in its tracks: connections hang, which is worse than being refused.
async fn freeze_redis(stack: &Stack) -> impl Drop + use<> {
    struct Thaw(u32);
    impl Drop for Thaw {
        fn drop(&mut self) {
            send_signal("CONT", &self.0.to_string());
        }
    }
    let pid = stack.redis().pid().await;
    send_signal("STOP", &pid.to_string());
    Thaw(pid)
}

#[tokio::test]
async fn without_redis_tokens_live_on_and_logins_wait() {
    // Longer than this test, so that staleness, which has a test of its own, plays no part.
    let shop = Shop::open(Options::default().set("DENYLIST__MAX_STALENESS", "10m")).await;
    let item = shop.service.create_item("Patience", 5).await;
    let mine = api::id(&shop.customer.reserve(&[(&item, 1)], None, None).await);
    shop.customer.settled(&mine, &["held"]).await;
    let frozen = freeze_redis(&shop.stack).await;
    for _ in 0..5 {
        let start = Instant::now();
        let page = shop.customer.get(&format!("reservations/{mine}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "a read waited {:?} for Redis",
            start.elapsed()
        );
    }
    assert_eq!(shop.customer.item(&item).await["available"], 4);
    assert!(!shop.mobile.jwks().await["keys"].as_array().unwrap().is_empty());
    let discovery = Agent::new().get(shop.stack.url("/.well-known/openid-configuration")).await;
    assert_eq!(discovery.status, 200);
    come_back_later("a login", &try_to_sign_in(&shop).await);
    let session = Agent::new().get(shop.stack.url("/session/login?return_to=/")).await;
    assert_eq!(session.status, 503, "{}", session.body);
    come_back_later("a login of the gateway", &session);
    let refresh = shop.mobile.refresh(shop.tokens.refresh_token.as_ref().unwrap()).await;
    come_back_later("a refresh", &refresh);
    // Accepted durably, worked off when Redis is back.
    let accepted = shop.customer.reserve(&[(&item, 1)], None, None).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    drop(frozen);
    let held = shop.customer.settled(&api::id(&accepted), &["held", "rejected"]).await;
    assert_eq!(held["status"], "held");
    wait::until_true("people can sign in again", Duration::from_secs(30), async || {
        can_sign_in(&shop).await
    })
    .await;
    let refreshed = shop.mobile.refresh(shop.tokens.refresh_token.as_ref().unwrap()).await;
    assert_eq!(
        refreshed.status, 200,
        "a refresh that met no Redis was not used up: {}",
        refreshed.body
    );
}

#[tokio::test]
async fn a_gateway_that_cannot_see_revocations_reads_but_does_not_write() {
    let shop = Shop::open(Options::default().set("DENYLIST__MAX_STALENESS", "1s")).await;
    let item = shop.service.create_item("Caution", 5).await;
    let mine = api::id(&shop.customer.reserve(&[(&item, 1)], None, None).await);
    shop.customer.settled(&mine, &["held"]).await;
    assert_eq!(shop.stack.readiness(Role::Gateway).await, 200);
    let before = shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("guest")).await;
    let guest = Api::bearer(&shop.stack, &before.access_token);
    assert_eq!(guest.get("reservations").await.status, 200);
    shop.mobile.revoke(&before.access_token).await;
    let refused = wait::until("the revocation is seen", Duration::from_secs(5), async || {
        let page = guest.get("reservations").await;
        (page.status != 200).then_some(page)
    });
    refused.await.problem(401);
    let frozen = freeze_redis(&shop.stack).await;
    let page = wait::until("the gateway stops trusting", Duration::from_secs(15), async || {
        let page = shop.customer.reserve(&[(&item, 1)], None, None).await;
        (page.status != 202).then_some(page)
    })
    .await;
    come_back_later("writing through a stale gateway", &page);
    page.problem(503);
    assert_eq!(shop.stack.readiness(Role::Gateway).await, 503);
    assert_eq!(shop.customer.get(&format!("reservations/{mine}")).await.status, 200);
    // What was revoked before stays revoked.
    guest.get("reservations").await.problem(401);
    // What needs no token needs no denylist.
    assert_eq!(Api::anonymous(&shop.stack).get("inventory").await.status, 200);
    drop(frozen);
    wait::until_true("the gateway trusts again", Duration::from_secs(15), async || {
        shop.customer.reserve(&[(&item, 1)], None, None).await.status == 202
            && shop.stack.readiness(Role::Gateway).await == 200
    })
    .await;
}

#[tokio::test]
async fn without_sql_tokens_live_on_and_writes_wait() {
    let shop = Shop::open(Options::on(Database::Postgres)).await;
    let item = shop.service.create_item("Patience", 5).await;
    assert_eq!(shop.customer.item(&item).await["available"], 5);
    shop.stack.databases().go_away().await;
    // The gateway and Redis know all that these need.
    let refreshed = shop.mobile.refresh(shop.tokens.refresh_token.as_ref().unwrap()).await;
    assert_eq!(refreshed.status, 200, "a refresh needs no SQL: {}", refreshed.body);
    assert!(!shop.mobile.jwks().await["keys"].as_array().unwrap().is_empty());
    let refused = shop.customer.reserve(&[(&item, 1)], None, None).await;
    come_back_later("reserving", &refused);
    refused.problem(503);
    come_back_later("a login", &try_to_sign_in(&shop).await);
    let reading = shop.customer.get("reservations").await;
    assert!(reading.status != 401 && reading.status != 403, "the token is good: {}", reading.body);
    reading.problem(503);
    shop.stack.databases().come_back().await;
    wait::until_true("everything is back", Duration::from_secs(30), async || {
        shop.customer.reserve(&[(&item, 1)], None, None).await.status == 202
            && can_sign_in(&shop).await
    })
    .await;
}

/// Kills `role` while `up` is stopped, so that nobody starts it again before the answer drops.
struct Away<'a> {
    stack: &'a Stack,
    role: Role,
    old: u32,
    up: u32,
}

impl<'a> Away<'a> {
    fn take(stack: &'a Stack, role: Role) -> Self {
        let (old, up) = (stack.pid(role), stack.instance().pid);
        send_signal("STOP", &up.to_string());
        send_signal("KILL", &old.to_string());
        Self { stack, role, old, up }
    }

    async fn back(self) {
        send_signal("CONT", &self.up.to_string());
        self.stack.await_return(self.role, self.old).await;
    }
}

#[tokio::test]
async fn without_the_authserver_live_tokens_are_served() {
    let shop = Shop::open(Options::default()).await;
    let item = shop.service.create_item("Independent", 5).await;
    let away = Away::take(&shop.stack, Role::Auth);
    for _ in 0..5 {
        assert_eq!(shop.customer.get("reservations").await.status, 200);
    }
    let accepted = shop.customer.reserve(&[(&item, 1)], None, Some(20)).await;
    assert_eq!(accepted.status, 201, "{}", accepted.body);
    let start = Instant::now();
    come_back_later("a login", &try_to_sign_in(&shop).await);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "at once, not after a timeout: {:?}",
        start.elapsed()
    );
    away.back().await;
    wait::until_true("people can sign in again", Duration::from_secs(30), async || {
        can_sign_in(&shop).await
    })
    .await;
}

#[tokio::test]
async fn without_the_reservation_service_logins_work() {
    let shop = Shop::open(Options::default()).await;
    let away = Away::take(&shop.stack, Role::Reservation);
    // A signal takes a moment: until then the dying process still takes requests, and cuts them off.
    let listen = shop.stack.process(Role::Reservation).listen.expect("the API listens");
    wait::until_true("the service is gone", Duration::from_secs(10), async || {
        tokio::net::TcpStream::connect(listen).await.is_err()
    })
    .await;
    let start = Instant::now();
    for _ in 0..10 {
        let page = shop.customer.get("reservations").await;
        come_back_later("its routes", &page);
        page.problem(503);
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "at once, not after a timeout: {:?}",
        start.elapsed()
    );
    shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("guest")).await;
    assert_eq!(shop.mobile.userinfo(&shop.tokens.access_token).await.status, 200);
    away.back().await;
    wait::until_true("its routes are back", Duration::from_secs(30), async || {
        shop.customer.get("reservations").await.status == 200
    })
    .await;
}

/// Each role may be killed; `up` starts it again on its old addresses, and everybody finds it.
#[tokio::test]
async fn a_killed_role_comes_back() {
    let shop = Shop::open(Options::default()).await;
    let item = shop.service.create_item("Resilient", 50).await;
    for role in Role::ALL {
        let before = shop.stack.process(role).clone();
        shop.stack.kill_and_await_return(role).await;
        let after = shop.stack.instance().roles[role.name()].clone();
        assert_eq!((before.listen, before.admin), (after.listen, after.admin), "{role:?}");
        wait::until_true(
            &format!("all is well after {role:?}"),
            Duration::from_secs(30),
            async || shop.customer.reserve(&[(&item, 1)], None, Some(10)).await.status == 201,
        )
        .await;
    }
    shop.mobile.sign_in(&Agent::new(), shop.stack.demo().user("guest")).await;
}

/// A role that dies while Redis is away is started when Redis is back, not into the void.
#[tokio::test]
async fn roles_that_die_with_redis_come_back_with_it() {
    let shop = Shop::open(Options::default()).await;
    let item = shop.service.create_item("Resilient", 50).await;
    for _ in 0..3 {
        let old: Vec<u32> = Role::ALL.iter().map(|role| shop.stack.pid(*role)).collect();
        send_signal("KILL", &shop.stack.redis().pid().await.to_string());
        for pid in &old {
            send_signal("KILL", &pid.to_string());
        }
        for (role, old) in Role::ALL.into_iter().zip(old) {
            shop.stack.await_return(role, old).await;
        }
        wait::until_true("all is well", Duration::from_secs(30), async || {
            shop.customer.reserve(&[(&item, 1)], None, Some(10)).await.status == 201
        })
        .await;
    }
    for (name, log) in shop.stack.logs() {
        assert!(!log.contains("Redis does not answer"), "{name}: started without Redis\n{log}");
    }
}
