//! Many callers with one token at once get one successor; without the guard they would not.

use std::collections::HashSet;

use super::*;

/// Presents one token `callers` times at once, through connections of their own.
async fn stampede(redis: &TestRedis, script: &str, callers: usize) -> (usize, usize) {
    let mut stores = Vec::new();
    for _ in 0..8 {
        let connection = redis.connect().await;
        stores.push(
            FamilyStore::with_script(connection, POLICY, &master(), script)
                .await
                .expect("connects"),
        );
    }
    let token = begin(&stores[0]).await;
    let calls = (0..callers).map(|caller| {
        let (store, token) = (stores[caller % stores.len()].clone(), token.clone());
        tokio::spawn(async move {
            store.rotate(token.expose_secret(), "shop", None, after(1)).await.expect("rotates")
        })
    });
    let answers: Vec<Rotated> = futures::future::join_all(calls)
        .await
        .into_iter()
        .map(|answer| answer.expect("no panic"))
        .collect();
    let successors: HashSet<&str> =
        answers.iter().map(|answer| answer.refresh_token.expose_secret()).collect();
    (successors.len(), answers.iter().filter(|answer| !answer.replayed).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_at_once_get_one_successor() {
    let redis = TestRedis::start().await;
    for _ in 0..20 {
        assert_eq!(stampede(&redis, include_str!("../family.lua"), 64).await, (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_guard_each_caller_gets_one_of_its_own() {
    let guard = "if successor then return { 'replayed', grant, f[5], successor } end";
    let script = include_str!("../family.lua");
    assert!(script.contains(guard));
    let redis = TestRedis::start().await;
    let (successors, _) = stampede(&redis, &script.replace(guard, ""), 64).await;
    assert_eq!(successors, 64, "the control must fail, or the test above shows nothing");
}

#[tokio::test]
async fn of_many_late_replays_one_raises_the_alarm() {
    let (_redis, store) = store().await;
    let first = begin(&store).await;
    rotate(&store, &first, after(1)).await;
    let replays = (0..32).map(|_| refusal(&store, &first, after(60)));
    let alarms = futures::future::join_all(replays)
        .await
        .into_iter()
        .filter(|refused| matches!(refused, RotateError::Reused { first: true, .. }))
        .count();
    assert_eq!(alarms, 1);
}

/// `cargo test -- --ignored measure --nocapture`: how long one rotation takes, as they come (one every few
/// minutes) and at worst (as many within the grace window as a family remembers).
#[tokio::test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
async fn measure_a_rotation() {
    for (what, pause) in [("as they come", Duration::from_mins(5)), ("at worst", Duration::ZERO)] {
        let redis = TestRedis::start().await;
        redis.forgetful().await;
        let policy = FamilyPolicy { absolute: Duration::from_hours(24 * 365), ..POLICY };
        let store =
            FamilyStore::connect(redis.connect().await, policy, &master()).await.expect("connects");
        let (mut token, mut now) = (begin(&store).await, START);
        let mut durations = Vec::new();
        for _ in 0..5000 {
            now = now.plus(pause);
            let before = std::time::Instant::now();
            let rotated = store.rotate(token.expose_secret(), "shop", None, now).await;
            durations.push(before.elapsed());
            token = rotated.expect("rotates").refresh_token;
        }
        durations.sort();
        println!(
            "rotation {what}: fastest {:?}, median {:?}, p99 {:?}; inside Redis {}",
            durations[0],
            durations[2500],
            durations[4950],
            redis.cost_of("evalsha").await
        );
    }
}
