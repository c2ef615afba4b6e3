//! Redis loses data; no revocation is lost.

use bench::{refuses, soon};
use haetae_base::shutdown::Shutdown;

use super::*;

#[tokio::test]
async fn a_wipe_does_not_make_a_revoked_token_good_again() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    let token = token("usr_1");
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    eventually("it is refused", || refuses(&replica, &token)).await;
    let epoch = replica.status().epoch;

    bench.redis.flush().await;
    eventually("the copy is not trusted", || !replica.is_fresh()).await;
    assert!(refuses(&replica, &token), "what it knows it knows");
    // Nobody has filled the stream: a gateway that starts now knows nothing, and knows that.
    let newcomer = bench.replica().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!newcomer.is_fresh() && !replica.is_fresh());
    assert!(refuses(&replica, &token));

    writer.maintain().await.expect("fills");
    newcomer.wait_loaded().await;
    assert!(refuses(&newcomer, &token), "it was in SQL");
    eventually("both are fresh", || replica.is_fresh() && newcomer.is_fresh()).await;
    assert!(refuses(&replica, &token));
    assert_ne!(replica.status().epoch, epoch);
}

#[tokio::test]
async fn the_control_a_stream_that_nobody_fills_from_sql_forgets() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let token = token("usr_1");
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    bench.redis.flush().await;
    // An epoch without a filling, as if there were no SQL behind it.
    redis::pipe()
        .cmd("XADD")
        .arg("haetae:denylist")
        .arg("*")
        .arg("kind")
        .arg("filled")
        .cmd("SET")
        .arg("haetae:{haetae:denylist}:epoch")
        .arg("a lie")
        .exec_async(&mut bench.redis.raw().await)
        .await
        .expect("lies");
    let newcomer = bench.replica().await;
    newcomer.wait_loaded().await;
    assert!(!refuses(&newcomer, &token), "or the test above shows nothing");
}

#[tokio::test]
async fn a_revocation_between_a_wipe_and_the_filling_is_kept() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    bench.redis.flush().await;
    writer.revoke_everything(Kind::Sub, "usr_2").await.expect("revokes");
    eventually("it is refused at once", || refuses(&replica, &token("usr_2"))).await;
    writer.maintain().await.expect("fills");
    let newcomer = bench.replica().await;
    newcomer.wait_loaded().await;
    for sub in ["usr_1", "usr_2"] {
        assert!(refuses(&newcomer, &token(sub)), "{sub}");
        assert!(refuses(&replica, &token(sub)), "{sub}");
    }
}

#[tokio::test]
async fn a_revocation_counts_at_once_while_nobody_has_filled_the_stream() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    bench.redis.flush().await;
    eventually("the copy waits for a filling", || !replica.is_fresh()).await;
    let newcomer = bench.replica().await;
    for sub in ["usr_1", "usr_2"] {
        writer.revoke_everything(Kind::Sub, sub).await.expect("revokes");
        eventually("both refuse it already", || {
            refuses(&replica, &token(sub)) && refuses(&newcomer, &token(sub))
        })
        .await;
    }
    assert!(!replica.is_fresh() && !newcomer.is_fresh(), "and are not trusted for it");
    assert!(writer.check().state.is_err(), "the writer has seen that the stream is gone");
}

#[tokio::test]
async fn a_wipe_in_the_middle_of_a_filling_is_noticed() {
    let bench = Bench::new().await;
    for n in 0..1200 {
        bench.log.record_as_published(&Entry::token(format!("tok_{n}"), soon())).await;
    }
    let client = bench.redis.client();
    *bench.log.while_reading.lock().expect("no panic") = Some(Box::new(move || {
        let client = client.clone();
        Box::pin(async move {
            let mut raw = client.get_multiplexed_async_connection().await.expect("answers");
            redis::cmd("FLUSHALL").query_async::<()>(&mut raw).await.expect("flushed");
        })
    }));
    let writer = bench.writer().await;
    writer.maintain().await.expect("a round");
    let epoch: Option<String> = redis::cmd("GET")
        .arg("haetae:{haetae:denylist}:epoch")
        .query_async(&mut bench.redis.raw().await)
        .await
        .expect("answers");
    assert_eq!(epoch, None, "the stream is not whole and must not be called so");
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    assert_eq!(replica.status().entries[0], (Kind::Jti, 1200));
}

#[tokio::test]
async fn a_failover_that_loses_the_newest_entries_is_noticed_on_both_sides() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    writer.revoke_everything(Kind::Sub, "usr_2").await.expect("revokes");
    eventually("both are refused", || {
        refuses(&replica, &token("usr_1")) && refuses(&replica, &token("usr_2"))
    })
    .await;
    // What a replica of Redis that lagged behind does not have.
    redis::cmd("XTRIM")
        .arg("haetae:denylist")
        .arg("MAXLEN")
        .arg(0)
        .exec_async(&mut bench.redis.raw().await)
        .await
        .expect("trimmed");
    eventually("the copy is not trusted", || !replica.is_fresh()).await;
    writer.maintain().await.expect("mends");
    eventually("it is fresh again", || replica.is_fresh()).await;
    let newcomer = bench.replica().await;
    newcomer.wait_loaded().await;
    for sub in ["usr_1", "usr_2"] {
        assert!(refuses(&newcomer, &token(sub)) && refuses(&replica, &token(sub)), "{sub}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn wipe_after_wipe_while_everybody_is_at_it_loses_nothing() {
    let bench = Bench::new().await;
    let shutdown = Shutdown::new();
    let (mut writers, mut loops) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let writer = bench.writer().await;
        loops.push(tokio::spawn(writer.clone().run(shutdown.clone())));
        writers.push(writer);
    }
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    let mut revoked = Vec::new();
    for round in 0..30 {
        let sub = format!("usr_{round}");
        let token = token(&sub);
        writers[round % 3].revoke_everything(Kind::Sub, &sub).await.expect("revokes");
        revoked.push(token);
        if round % 6 == 5 {
            bench.redis.flush().await;
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    eventually("it is fresh", || replica.is_fresh()).await;
    let newcomer = bench.replica().await;
    newcomer.wait_loaded().await;
    for token in &revoked {
        assert!(refuses(&replica, token) && refuses(&newcomer, token), "{}", token.sub);
    }
    shutdown.request();
    for task in loops {
        task.await.expect("ends");
    }
    assert_eq!(bench.log.unpublished_count(), 0);
}
