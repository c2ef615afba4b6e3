//! One refresh, however many want it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// An authserver that counts how often it is asked.
#[derive(Clone, Default)]
struct Authserver(Arc<AtomicUsize>);

#[derive(Debug, PartialEq)]
struct Refused;

impl Authserver {
    async fn answer(self, session: BrowserSession, takes: Duration) -> Result<Tokens, Refused> {
        assert_eq!(session.tokens.refresh_token.expect("it has one").expose_secret(), "refresh-0");
        let asked = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(takes).await;
        Ok(tokens(asked))
    }

    fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// The key of the refresh lock.
fn lock_of(cookie: &SecretString) -> String {
    let id = haetae_base::secret::SecretHash::of(cookie.expose_secret()).to_base64url();
    format!("haetae:browser:{{{id}}}:refresh")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_requests_at_many_gateways_refresh_once() {
    let bench = Bench::new().await;
    let (seen, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let server = Authserver::default();
    let mut calls = Vec::new();
    for _ in 0..4 {
        let store = gateway(&bench.redis, &bench.clock).await;
        for _ in 0..16 {
            let (store, cookie, seen, server) =
                (store.clone(), cookie.clone(), seen.clone(), server.clone());
            calls.push(tokio::spawn(async move {
                store
                    .refresh(&cookie, &seen, |session| {
                        server.answer(session, Duration::from_millis(100))
                    })
                    .await
            }));
        }
    }
    for call in futures::future::join_all(calls).await {
        let session = call.expect("no panic").expect("refreshed");
        assert_eq!(access(&session), "access-1");
    }
    assert_eq!(server.asked(), 1);
    // Whoever comes later with the new version refreshes again.
    let seen = bench.find(&cookie).await.expect("it lives");
    let again = bench
        .store
        .refresh(&cookie, &seen, |_| async { Ok::<_, Refused>(tokens(7)) })
        .await
        .expect("refreshed");
    assert_eq!(access(&again), "access-7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_lock_each_gateway_would_ask() {
    let bench = Bench::new().await;
    let (seen, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let server = Authserver::default();
    let mut calls = Vec::new();
    for _ in 0..4 {
        let store = gateway(&bench.redis, &bench.clock).await;
        let (cookie, seen, server) = (cookie.clone(), seen.clone(), server.clone());
        let (lock, raw) = (lock_of(&cookie), bench.redis.raw().await);
        calls.push(tokio::spawn(async move {
            store
                .refresh(&cookie, &seen, |session| async move {
                    let mut raw = raw;
                    redis::cmd("DEL").arg(lock).exec_async(&mut raw).await.expect("deletes");
                    server.answer(session, Duration::from_millis(300)).await
                })
                .await
        }));
    }
    let mut last = Vec::new();
    for call in futures::future::join_all(calls).await {
        last.push(access(&call.expect("no panic").expect("refreshed")).to_owned());
    }
    assert!(server.asked() > 1, "the control must fail, or the test above shows nothing");
    // And yet all end with what one of them wrote.
    assert!(last.iter().all(|token| *token == last[0]), "{last:?}");
}

#[tokio::test]
async fn the_lock_is_renewed_for_as_long_as_the_exchange_takes() {
    let mut bench = Bench::new().await;
    bench.store.lock.lease = Duration::from_millis(150);
    let other = gateway(&bench.redis, &bench.clock).await;
    let (seen, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let server = Authserver::default();
    let slow = |server: Authserver| {
        move |session| async move { server.answer(session, Duration::from_millis(700)).await }
    };
    let (first, second) = tokio::join!(
        bench.store.refresh(&cookie, &seen, slow(server.clone())),
        other.refresh(&cookie, &seen, slow(server.clone())),
    );
    assert_eq!(access(&first.expect("refreshed")), "access-1");
    assert_eq!(access(&second.expect("refreshed")), "access-1");
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn the_lock_of_a_dead_gateway_runs_out() {
    let bench = Bench::new().await;
    let (seen, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    redis::cmd("SET")
        .arg(lock_of(&cookie))
        .arg("somebody who died")
        .arg("PX")
        .arg(300)
        .query_async::<()>(&mut bench.redis.raw().await)
        .await
        .expect("set");
    let server = Authserver::default();
    let asking = server.clone();
    let refreshed =
        bench.store.refresh(&cookie, &seen, |session| asking.answer(session, Duration::ZERO)).await;
    assert_eq!(access(&refreshed.expect("refreshed")), "access-1");
}

#[tokio::test]
async fn a_browser_that_hangs_up_loses_nothing() {
    let bench = Bench::new().await;
    let (seen, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let server = Authserver::default();
    let asking = server.clone();
    let call = bench
        .store
        .refresh(&cookie, &seen, |session| asking.answer(session, Duration::from_millis(200)));
    let hung_up = tokio::time::timeout(Duration::from_millis(100), call).await;
    assert!(hung_up.is_err());
    let asking = server.clone();
    let next = bench
        .store
        .refresh(&cookie, &seen, |session| asking.answer(session, Duration::ZERO))
        .await
        .expect("refreshed");
    assert_eq!((access(&next), server.asked()), ("access-1", 1));
}

#[tokio::test]
async fn a_failure_is_told_to_those_who_waited_and_forgotten_soon() {
    let mut bench = Bench::new().await;
    bench.store.lock.failed = Duration::from_millis(200);
    let (seen, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    let asked = Arc::new(AtomicUsize::new(0));
    let calls = (0..16).map(|_| {
        let asked = asked.clone();
        bench.store.refresh(&cookie, &seen, |_| async move {
            asked.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err(Refused)
        })
    });
    let answers = futures::future::join_all(calls).await;
    let own =
        answers.iter().filter(|answer| matches!(answer, Err(RefreshError::Exchange(Refused))));
    assert_eq!((own.count(), asked.load(Ordering::SeqCst)), (1, 1));
    let told = answers.iter().filter(|answer| matches!(answer, Err(RefreshError::FailedElsewhere)));
    assert_eq!(told.count(), 15);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later =
        bench.store.refresh(&cookie, &seen, |_| async { Ok::<_, Refused>(tokens(1)) }).await;
    assert_eq!(access(&later.expect("refreshed")), "access-1");
}

#[tokio::test]
async fn a_session_that_is_over_is_not_refreshed() {
    let bench = Bench::new().await;
    let (seen, cookie) = bench.store.create(sign_in("sid_1")).await.expect("creates");
    bench.store.remove(cookie.expose_secret()).await.expect("removes");
    let refused = bench
        .store
        .refresh(&cookie, &seen, |_| async { Err::<Tokens, _>("the authserver was asked") })
        .await;
    assert!(matches!(refused, Err(RefreshError::Ended)), "{refused:?}");
    assert_eq!(bench.redis.keys().await, Vec::<String>::new(), "the lock is let go");
}
