//! Browser sessions, their refresh and logins on their way, against a real Redis.

mod login;
mod refresh;

use std::{sync::Arc, time::Duration};

use haetae_base::clock::{ManualClock, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::test_redis::{TestRedis, shows};

const LIFETIMES: BrowserLifetimes = BrowserLifetimes {
    idle: Duration::from_mins(10),
    absolute: Duration::from_mins(100),
    per_account: 5,
};
const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn tokens(generation: usize) -> Tokens {
    Tokens {
        access_token: format!("access-{generation}").into(),
        access_expires_at: START.plus(Duration::from_mins(5)),
        refresh_token: Some(format!("refresh-{generation}").into()),
        id_token: format!("identity-{generation}").into(),
    }
}

fn sign_in(sid: &str) -> SignIn {
    SignIn {
        sid: sid.to_owned(),
        sub: "usr_1".to_owned(),
        username: Some("demo".to_owned()),
        tokens: tokens(0),
    }
}

fn access(session: &BrowserSession) -> &str {
    session.tokens.access_token.expose_secret()
}

struct Bench {
    redis: TestRedis,
    clock: ManualClock,
    store: BrowserStore,
}

impl Bench {
    async fn new() -> Self {
        let (redis, clock) = (TestRedis::start().await, ManualClock::at(START));
        let store = gateway(&redis, &clock).await;
        Self { redis, clock, store }
    }

    async fn find(&self, cookie: &SecretString) -> Option<BrowserSession> {
        self.store.find(cookie.expose_secret()).await.expect("answers")
    }
}

/// The store of one more gateway.
async fn gateway(redis: &TestRedis, clock: &ManualClock) -> BrowserStore {
    BrowserStore::connect(redis.connect().await, LIFETIMES, Arc::new(clock.clone()))
        .await
        .expect("connects")
}

#[tokio::test]
async fn a_cookie_opens_its_session_and_a_dump_opens_none() {
    let bench = Bench::new().await;
    let (_, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let found = bench.find(&cookie).await.expect("it lives");
    assert_eq!((found.sid.as_str(), found.sub.as_str()), ("sid_1", "usr_1"));
    assert_eq!((access(&found), found.created_at), ("access-0", START));
    let dump = bench.redis.dump().await;
    assert!(shows(&dump, "sid_1"), "the index is in the dump");
    let secrets = [cookie.expose_secret(), "access-0", "refresh-0", "identity-0", "usr_1", "demo"];
    for secret in secrets {
        assert!(!shows(&dump, secret), "{secret}");
    }
    assert_eq!(bench.redis.keys_without_end().await, Vec::<String>::new());
    let other = haetae_base::entropy::token();
    for junk in ["", "x", other.expose_secret()] {
        assert!(bench.store.find(junk).await.expect("answers").is_none());
    }
}

#[tokio::test]
async fn use_slides_it_and_a_page_that_polls_does_not() {
    let bench = Bench::new().await;
    let (_, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    for _ in 0..10 {
        bench.clock.advance(Duration::from_secs(590));
        assert!(bench.find(&cookie).await.is_some());
    }
    bench.clock.advance(Duration::from_secs(99));
    assert!(bench.find(&cookie).await.is_some());
    bench.clock.advance(Duration::from_secs(1));
    assert!(bench.find(&cookie).await.is_none(), "it is 6000 seconds old");

    let (_, cookie) = bench.store.create(sign_in("sid_2")).await.expect("creates");
    bench.clock.advance(Duration::from_secs(500));
    assert!(bench.store.peek(cookie.expose_secret()).await.expect("answers").is_some());
    bench.clock.advance(Duration::from_secs(100));
    assert!(bench.find(&cookie).await.is_none());
}

#[tokio::test]
async fn only_the_latest_version_is_replaced() {
    let bench = Bench::new().await;
    let (session, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let text = cookie.expose_secret();
    let next = bench.store.replace(text, &session, tokens(1)).await.expect("answers");
    assert_eq!(access(&next.expect("it was the latest")), "access-1");
    let stale = bench.store.replace(text, &session, tokens(2)).await.expect("answers");
    assert!(stale.is_none());
    assert_eq!(access(&bench.find(&cookie).await.expect("it lives")), "access-1");
}

#[tokio::test]
async fn it_ends_by_its_cookie_once_and_by_its_sso_session() {
    let bench = Bench::new().await;
    let (session, first) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let (_, second) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let (_, other) = bench.store.create(sign_in("sid_2")).await.expect("creates");
    let removed = bench.store.remove(first.expose_secret()).await.expect("removes");
    assert_eq!(removed.expect("once").tokens.id_token.expose_secret(), "identity-0");
    assert!(bench.store.remove(first.expose_secret()).await.expect("removes").is_none());
    let late = bench.store.replace(first.expose_secret(), &session, tokens(1)).await;
    assert!(late.expect("answers").is_none(), "a refresh does not bring it back");
    assert_eq!(bench.store.end_sid("sid_1").await.expect("ends"), 1);
    assert!(bench.find(&second).await.is_none());
    assert!(bench.find(&other).await.is_some());
    assert_eq!(bench.store.end_sid("sid_1").await.expect("ends"), 0);
}

#[tokio::test]
async fn one_more_than_an_account_may_have_ends_the_first() {
    let bench = Bench::new().await;
    let mut cookies = Vec::new();
    for number in 0..LIFETIMES.per_account {
        // Two browsers of each SSO session.
        let (_, cookie) =
            bench.store.create(sign_in(&format!("sid_{}", number / 2))).await.expect("creates");
        cookies.push(cookie);
        bench.clock.advance(Duration::from_millis(1));
    }
    let stranger = SignIn { sub: "usr_2".to_owned(), ..sign_in("sid_x") };
    let (_, stranger) = bench.store.create(stranger).await.expect("creates");
    for cookie in &cookies {
        assert!(bench.find(cookie).await.is_some(), "as many as may be all live");
    }
    let (_, one_more) = bench.store.create(sign_in("sid_y")).await.expect("creates");
    assert!(bench.find(&cookies[0]).await.is_none());
    // The other browser of the same SSO session goes on, and its index knows of this one alone.
    assert_eq!(bench.store.end_sid("sid_0").await.expect("ends"), 1);
    assert!(bench.find(&cookies[1]).await.is_none());
    // That one's place is free again: nobody has to go for the next.
    let (_, next) = bench.store.create(sign_in("sid_z")).await.expect("creates");
    for cookie in cookies[2..].iter().chain([&one_more, &next, &stranger]) {
        assert!(bench.find(cookie).await.is_some());
    }
    for cookie in cookies[2..].iter().chain([&one_more, &next, &stranger]) {
        bench.store.remove(cookie.expose_secret()).await.expect("answers");
    }
    // What `end_sid` ended is swept by the next one of the account.
    bench.clock.advance(LIFETIMES.absolute);
    let (_, last) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    bench.store.remove(last.expose_secret()).await.expect("answers");
    assert_eq!(bench.redis.keys().await, Vec::<String>::new(), "nothing is left behind");
}

#[tokio::test]
async fn a_session_is_found_and_ended_when_redis_is_full() {
    let bench = Bench::new().await;
    let (_, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    bench.redis.fill_up().await;
    bench.clock.advance(Duration::from_mins(5));
    assert!(bench.find(&cookie).await.is_some());
    bench.store.remove(cookie.expose_secret()).await.expect("ends");
    assert!(bench.find(&cookie).await.is_none());
}
