//! SSO sessions against a real Redis.

use std::time::Duration;

use haetae_base::clock::Timestamp;
use haetae_keys::claims::Acr;
use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::test_redis::{TestRedis, shows};

const LIFETIMES: SsoLifetimes = SsoLifetimes {
    idle: Duration::from_mins(10),
    absolute: Duration::from_mins(100),
    per_account: 5,
};
const START: Timestamp = Timestamp::from_seconds(1_700_000_000);

fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn password(at: Timestamp) -> Factors {
    Factors { auth_time: at, acr: Acr::OneFactor, amr: vec!["pwd".to_owned()], epoch: 0 }
}

async fn store() -> (TestRedis, SsoStore) {
    let redis = TestRedis::start().await;
    let store = SsoStore::connect(redis.connect().await, LIFETIMES).await.expect("connects");
    (redis, store)
}

async fn sign_in(store: &SsoStore, sub: &str) -> (SsoSession, SecretString) {
    let start = Start {
        sub: sub.to_owned(),
        factors: password(START),
        user_agent: Some("Lynx".to_owned()),
        address: None,
    };
    let created = store.create(start, START).await.expect("creates");
    (created.session, created.cookie)
}

async fn find(store: &SsoStore, cookie: &SecretString, now: Timestamp) -> Option<SsoSession> {
    store.find(cookie.expose_secret(), now).await.expect("answers")
}

#[tokio::test]
async fn a_cookie_finds_its_session_until_it_ends() {
    let (redis, store) = store().await;
    let (session, cookie) = sign_in(&store, "usr_1").await;
    assert_eq!(find(&store, &cookie, START).await.as_ref(), Some(&session));
    let dump = redis.dump().await;
    assert!(shows(&dump, "Lynx") && !shows(&dump, cookie.expose_secret()));
    assert_eq!(redis.keys_without_end().await, Vec::<String>::new());

    let changed = cookie.expose_secret().replace(&cookie.expose_secret()[64..], "AAAA");
    for junk in ["", "x", &changed] {
        assert_eq!(store.find(junk, START).await.expect("answers"), None);
    }
    assert_eq!(store.end(session.sid).await.expect("ends"), Some(session.clone()));
    assert_eq!(store.end(session.sid).await.expect("ends"), None, "only one tells the clients");
    assert_eq!(find(&store, &cookie, START).await, None);
    assert_eq!(redis.keys().await, Vec::<String>::new(), "nothing is left behind");
}

#[tokio::test]
async fn use_keeps_it_alive_but_not_for_ever() {
    let (_redis, store) = store().await;
    let (session, cookie) = sign_in(&store, "usr_1").await;
    assert!(find(&store, &cookie, after(599)).await.is_some());
    assert!(find(&store, &cookie, after(600)).await.is_none());
    let mut session = session;
    for step in 1..=11 {
        store.touch(&session, after(step * 500)).await.expect("touches");
        session = find(&store, &cookie, after(step * 500)).await.expect("it is in use");
        assert_eq!(session.last_seen_at, after(step * 500));
    }
    store.touch(&session, after(5999)).await.expect("touches");
    assert!(find(&store, &cookie, after(5999)).await.is_some());
    assert!(find(&store, &cookie, after(6000)).await.is_none());
}

#[tokio::test]
async fn a_step_up_replaces_the_cookie_and_keeps_the_session() {
    let (_redis, store) = store().await;
    let (session, before) = sign_in(&store, "usr_1").await;
    store.add_client(session.sid, "shop").await.expect("adds");
    let both = Factors {
        auth_time: after(60),
        acr: Acr::TwoFactor,
        amr: vec!["pwd".to_owned(), "otp".to_owned()],
        epoch: 3,
    };
    let (upgraded, cookie) = store
        .upgrade(before.expose_secret(), both, after(60))
        .await
        .expect("answers")
        .expect("it lives");
    assert_ne!(before.expose_secret(), cookie.expose_secret());
    assert_eq!(find(&store, &before, after(60)).await, None, "who planted the old one has nothing");
    let found = find(&store, &cookie, after(60)).await.expect("it lives");
    assert_eq!(found, upgraded);
    assert_eq!((found.sid, found.acr, found.auth_time), (session.sid, Acr::TwoFactor, after(60)));
    assert!(found.clients.contains("shop"));
    let stale = store.upgrade(before.expose_secret(), password(after(61)), after(61)).await;
    assert!(stale.expect("answers").is_none());
}

#[tokio::test]
async fn of_two_step_ups_at_once_one_wins() {
    let (_redis, store) = store().await;
    let (_, cookie) = sign_in(&store, "usr_1").await;
    let upgrades = (0..16).map(|_| {
        let (store, cookie) = (store.clone(), cookie.clone());
        async move { store.upgrade(cookie.expose_secret(), password(after(1)), after(1)).await }
    });
    let won = futures::future::join_all(upgrades)
        .await
        .into_iter()
        .filter(|upgraded| upgraded.as_ref().expect("answers").is_some())
        .count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn what_has_ended_is_not_brought_back_by_halves() {
    let (redis, store) = store().await;
    let (session, cookie) = sign_in(&store, "usr_1").await;
    store.end(session.sid).await.expect("ends");
    store.touch(&session, after(300)).await.expect("touches");
    assert!(!store.add_client(session.sid, "shop").await.expect("answers"));
    let late = store.upgrade(cookie.expose_secret(), password(after(300)), after(300)).await;
    assert!(late.expect("answers").is_none());
    assert_eq!(redis.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn all_sessions_of_an_account_are_found_and_ended() {
    let (_redis, store) = store().await;
    let (first, cookie) = sign_in(&store, "usr_1").await;
    let (second, _) = sign_in(&store, "usr_1").await;
    let (other, others) = sign_in(&store, "usr_2").await;
    store.add_client(second.sid, "shop").await.expect("adds");
    store.add_client(second.sid, "blog").await.expect("adds");
    let mut listed = store.list("usr_1", START).await.expect("lists");
    listed.sort_by_key(|session| session.clients.len());
    assert_eq!(
        listed.iter().map(|session| session.sid).collect::<Vec<_>>(),
        [first.sid, second.sid]
    );
    assert_eq!(listed[1].clients.iter().collect::<Vec<_>>(), ["blog", "shop"]);
    assert_eq!(store.end_all("usr_1", START).await.expect("ends").len(), 2);
    assert!(find(&store, &cookie, START).await.is_none());
    assert!(store.list("usr_1", START).await.expect("lists").is_empty());
    assert_eq!(find(&store, &others, START).await.expect("another's").sid, other.sid);
    assert_eq!(store.get(other.sid, START).await.expect("answers"), Some(other));
}

#[tokio::test]
async fn one_more_than_an_account_may_have_ends_the_first() {
    let (redis, store) = store().await;
    let begin = async |sub: &str, seconds| {
        let start = Start {
            sub: sub.to_owned(),
            factors: password(START),
            user_agent: None,
            address: None,
        };
        store.create(start, after(seconds)).await.expect("creates")
    };
    let mut sessions = Vec::new();
    for number in 0..LIFETIMES.per_account {
        sessions.push(begin("usr_1", number as u64).await);
    }
    let other = begin("usr_2", 0).await;
    assert!(sessions.iter().all(|created| created.ended.is_empty()));
    for created in &sessions {
        assert!(find(&store, &created.cookie, after(6)).await.is_some());
    }
    let one_more = begin("usr_1", 7).await;
    assert_eq!(one_more.ended, [sessions[0].session.sid]);
    assert!(find(&store, &sessions[0].cookie, after(8)).await.is_none());
    // What its owner has ended makes room by itself.
    store.end(sessions[1].session.sid).await.expect("ends");
    let again = begin("usr_1", 9).await;
    assert_eq!(again.ended, []);
    for created in sessions[2..].iter().chain([&one_more, &again, &other]) {
        assert!(find(&store, &created.cookie, after(10)).await.is_some());
    }
    // What nobody used for long is over and goes before anything that lives.
    let record = format!("haetae:sso:{{{}}}", sessions[3].session.sid);
    let _: i64 =
        redis::cmd("DEL").arg(record).query_async(&mut redis.raw().await).await.expect("it goes");
    assert_eq!(begin("usr_1", 11).await.ended, []);
    assert_eq!(store.list("usr_1", after(12)).await.expect("lists").len(), LIFETIMES.per_account);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_are_as_many_as_may_be() {
    let redis = TestRedis::start().await;
    let mut stores = Vec::new();
    for _ in 0..4 {
        let store = SsoStore::connect(redis.connect().await, LIFETIMES).await.expect("connects");
        stores.push(store);
    }
    let starts = (0..100).map(|number| {
        let store = stores[number % stores.len()].clone();
        tokio::spawn(async move { sign_in(&store, "usr_1").await })
    });
    futures::future::join_all(starts).await;
    let living = stores[0].list("usr_1", START).await.expect("lists");
    assert_eq!(living.len(), LIFETIMES.per_account);
    assert_eq!(redis.keys().await.len(), LIFETIMES.per_account + 1);
}

#[tokio::test]
async fn a_session_is_found_and_ended_when_redis_is_full() {
    let (redis, store) = store().await;
    let (session, cookie) = sign_in(&store, "usr_1").await;
    redis.fill_up().await;
    assert!(find(&store, &cookie, after(60)).await.is_some());
    store.end(session.sid).await.expect("ends");
    assert!(find(&store, &cookie, after(61)).await.is_none());
}
