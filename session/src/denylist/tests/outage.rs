//! Redis hangs or crashes and comes back.

use bench::{MAX_STALENESS, refuses};
use haetae_base::shutdown::Shutdown;

use super::*;

#[tokio::test]
async fn silence_ends_the_trust_and_the_first_word_restores_it() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    eventually("it is fresh", || replica.is_fresh()).await;
    let token = token("usr_1");
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    eventually("it is refused", || refuses(&replica, &token)).await;

    bench.redis.freeze();
    tokio::time::sleep(MAX_STALENESS / 3).await;
    assert!(replica.is_fresh(), "a short silence is nothing");
    tokio::time::sleep(MAX_STALENESS).await;
    assert!(!replica.is_fresh(), "a long one is");
    assert!(replica.check().state.expect_err("not ready").contains("silent"));
    assert!(refuses(&replica, &token), "what it knows it knows");

    bench.redis.thaw();
    eventually("it is fresh again", || replica.is_fresh()).await;
}

#[tokio::test]
async fn a_revocation_during_an_outage_says_so_and_arrives_after_it() {
    let mut bench = Bench::new().await;
    let writer = bench.writer().await;
    let shutdown = Shutdown::new();
    let task = tokio::spawn(writer.clone().run(shutdown.clone()));
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    let epoch = replica.status().epoch;
    bench.redis.kill();
    let token = token("usr_1");
    let refused = writer.revoke_everything(Kind::Sub, "usr_1").await.expect_err("Redis is away");
    assert!(matches!(refused, RevokeError::NotPropagated(_)), "{refused}");
    assert!(refused.to_string().starts_with("recorded, not yet propagated"), "{refused}");
    assert!(writer.check().state.is_err());
    assert!(!refuses(&replica, &token));

    bench.redis.restart().await;
    eventually("it arrives", || refuses(&replica, &token)).await;
    eventually("all is well", || replica.is_fresh() && writer.check().state.is_ok()).await;
    assert_eq!(replica.status().epoch, epoch, "Redis kept its data: nothing was filled anew");
    shutdown.request();
    task.await.expect("ends");
    assert_eq!(bench.log.unpublished_count(), 0);
}

#[tokio::test]
async fn what_was_revoked_while_a_gateway_was_cut_off_is_not_missed() {
    let mut bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    // Cut the replica's connection, again and again, while others revoke.
    let mut raw = bench.redis.raw().await;
    for n in 0..40 {
        redis::cmd("CLIENT")
            .arg("KILL")
            .arg("TYPE")
            .arg("normal")
            .arg("SKIPME")
            .arg("yes")
            .exec_async(&mut raw)
            .await
            .expect("kills");
        let entry = Entry::token(format!("tok_{n}"), bench::soon());
        // The writer's own connection was cut as well; it may have to be told twice.
        if writer.revoke(entry).await.is_err() {
            tokio::time::sleep(Duration::from_millis(30)).await;
            writer.maintain().await.expect("delivers");
        }
    }
    eventually("all of them are there", || replica.status().entries[0] == (Kind::Jti, 40)).await;
    // And after a crash that kept the data.
    bench.redis.kill();
    bench.redis.restart().await;
    let newcomer = bench.replica().await;
    newcomer.wait_loaded().await;
    assert_eq!(newcomer.status().entries[0], (Kind::Jti, 40));
}

#[tokio::test]
async fn a_crash_that_lost_everything_is_repaired_from_sql() {
    let mut bench = Bench::new().await;
    let writer = bench.writer().await;
    let shutdown = Shutdown::new();
    let task = tokio::spawn(writer.clone().run(shutdown.clone()));
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    bench.redis.kill_and_wipe();
    bench.redis.restart().await;
    let newcomer = bench.replica().await;
    newcomer.wait_loaded().await;
    assert!(refuses(&newcomer, &token("usr_1")));
    eventually("the old one trusts itself again", || replica.is_fresh()).await;
    assert!(refuses(&replica, &token("usr_1")));
    shutdown.request();
    task.await.expect("ends");
}

#[tokio::test]
async fn a_revocation_gets_everywhere_when_redis_is_full() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    bench.redis.fill_up().await;
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    eventually("it is refused", || refuses(&replica, &token("usr_1"))).await;
    writer.maintain().await.expect("goes on");
    assert!(replica.is_fresh());
}
