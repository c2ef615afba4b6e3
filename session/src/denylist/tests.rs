//! The whole denylist against a real Redis: what a wipe, a hang, a crash and a crowd of authservers do to it.

mod bench;
mod outage;
mod wipe;
mod writers;

use std::time::Duration;

use bench::{Bench, eventually, token};

use super::*;

#[tokio::test]
async fn what_is_revoked_is_refused_everywhere_and_soon() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let (first, second) = (bench.replica().await, bench.replica().await);
    first.wait_loaded().await;
    second.wait_loaded().await;
    let token = token("usr_1");
    assert!(!bench::refuses(&first, &token));
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    eventually("both refuse it", || {
        bench::refuses(&first, &token) && bench::refuses(&second, &token)
    })
    .await;
    eventually("all is well", || first.check().state.is_ok() && writer.check().state.is_ok()).await;
    // One that starts only now knows it before it is trusted.
    let third = bench.replica().await;
    third.wait_loaded().await;
    assert!(bench::refuses(&third, &token));
}

#[tokio::test]
async fn a_replica_is_not_fresh_before_the_stream_was_filled() {
    let bench = Bench::new().await;
    bench.log.record_as_published(&Entry::token("tok_old", bench::soon())).await;
    let replica = bench.replica().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!replica.is_fresh() && replica.check().state.is_err());
    bench.writer().await.maintain().await.expect("fills");
    replica.wait_loaded().await;
    eventually("it is fresh", || replica.is_fresh()).await;
    assert_eq!(replica.status().entries[0], (Kind::Jti, 1));
}

/// `cargo test -- --ignored measure --nocapture`: from the acknowledgement to the refusal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
async fn measure_the_propagation() {
    let bench = Bench::new().await;
    bench.redis.forgetful().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    let (mut revoking, mut spreading) = (Vec::new(), Vec::new());
    for n in 0..500 {
        let (sub, began) = (format!("usr_{n}"), std::time::Instant::now());
        let token = token(&sub);
        writer.revoke_everything(Kind::Sub, &sub).await.expect("revokes");
        revoking.push(began.elapsed());
        let acknowledged = std::time::Instant::now();
        while !bench::refuses(&replica, &token) {
            tokio::task::yield_now().await;
        }
        spreading.push(acknowledged.elapsed());
    }
    revoking.sort();
    spreading.sort();
    println!("revoke (without SQL): median {:?}, p99 {:?}", revoking[250], revoking[495]);
    println!("until refused: median {:?}, p99 {:?}", spreading[250], spreading[495]);
}
