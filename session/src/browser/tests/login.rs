//! A login is finished once, in the browser in which it began, in time.

use super::*;

const TIMEOUT: Duration = Duration::from_mins(10);

async fn logins() -> (TestRedis, ManualClock, LoginStore) {
    let (redis, clock) = (TestRedis::start().await, ManualClock::at(START));
    let store = LoginStore::connect(redis.connect().await, TIMEOUT, Arc::new(clock.clone()))
        .await
        .expect("connects");
    (redis, clock, store)
}

async fn take(store: &LoginStore, cookie: &SecretString, login: &Login) -> Option<Login> {
    store.take(cookie.expose_secret(), login.state.expose_secret()).await.expect("answers")
}

#[tokio::test]
async fn it_is_taken_once_and_only_with_its_cookie() {
    let (redis, _, store) = logins().await;
    let (login, cookie) = store.begin(None, "/reservations?page=2").await.expect("begins");
    let dump = redis.dump().await;
    for secret in [&cookie, &login.state, &login.nonce, &login.code_verifier] {
        assert!(!shows(&dump, secret.expose_secret()));
    }
    assert!(!shows(&dump, "/reservations"));
    assert_eq!(redis.keys_without_end().await, Vec::<String>::new());

    let (_, stranger) = store.begin(None, "/").await.expect("begins");
    assert!(take(&store, &stranger, &login).await.is_none(), "an answer in another browser");
    let taken = take(&store, &cookie, &login).await.expect("the first time");
    assert_eq!(taken.return_to, "/reservations?page=2");
    assert_eq!(taken.nonce.expose_secret(), login.nonce.expose_secret());
    assert_eq!(taken.code_verifier.expose_secret(), login.code_verifier.expose_secret());
    assert!(take(&store, &cookie, &login).await.is_none(), "a second time");
}

#[tokio::test]
async fn a_second_tab_does_not_spoil_the_first_and_tabs_do_not_pile_up() {
    let (_redis, clock, store) = logins().await;
    let (first, cookie) = store.begin(None, "/0").await.expect("begins");
    let mut logins = vec![first];
    for tab in 1..8 {
        clock.advance(Duration::from_millis(1));
        let (login, same) =
            store.begin(Some(cookie.expose_secret()), &format!("/{tab}")).await.expect("begins");
        assert_eq!(same.expose_secret(), cookie.expose_secret());
        logins.push(login);
    }
    for (tab, login) in logins.iter().enumerate() {
        let taken = take(&store, &cookie, login).await.map(|login| login.return_to);
        assert_eq!(taken, (tab >= 3).then(|| format!("/{tab}")), "the newest five are kept");
    }
}

#[tokio::test]
async fn it_ends_in_time() {
    let (_redis, clock, store) = logins().await;
    let (late, cookie) = store.begin(None, "/").await.expect("begins");
    clock.advance(TIMEOUT / 2);
    let (in_time, _) = store.begin(Some(cookie.expose_secret()), "/").await.expect("begins");
    clock.advance(TIMEOUT / 2);
    assert!(take(&store, &cookie, &late).await.is_none());
    assert!(take(&store, &cookie, &in_time).await.is_some());
}

#[tokio::test]
async fn a_cookie_that_was_planted_is_not_adopted() {
    let (_redis, _, store) = logins().await;
    let planted = haetae_base::entropy::token();
    for sent in [planted.expose_secret(), "short", ""] {
        let (_, cookie) = store.begin(Some(sent), "/").await.expect("begins");
        assert_ne!(cookie.expose_secret(), sent);
    }
}
