//! Several authservers, broken logs, and entries that live longer than the stream.

use std::sync::{Arc, atomic::Ordering};

use bench::{LONGEST, now, refuses, soon};
use haetae_base::clock::ManualClock;

use super::*;

#[tokio::test]
async fn several_fill_an_empty_redis_at_once_without_doing_it_several_times() {
    let bench = Bench::new().await;
    for n in 0..3000 {
        bench.log.record_as_published(&Entry::token(format!("tok_{n}"), soon())).await;
    }
    let mut writers = Vec::new();
    for _ in 0..6 {
        writers.push(bench.writer().await);
    }
    let rounds = writers.iter().map(|writer| writer.maintain());
    for round in futures::future::join_all(rounds).await {
        round.expect("a round");
    }
    // Those that did not fill compare later, and find nothing to add.
    for writer in &writers {
        writer.maintain().await.expect("a round");
    }
    assert_eq!(bench.length().await, 3000 + 1, "each once, and one filling's mark");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    assert_eq!(replica.status().entries[0], (Kind::Jti, 3000));
}

#[tokio::test]
async fn nothing_is_revoked_that_sql_did_not_take() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let length = bench.length().await;
    bench.log.broken.store(true, Ordering::SeqCst);
    let refused = writer.revoke_everything(Kind::Sub, "usr_1").await.expect_err("SQL is away");
    assert!(matches!(refused, RevokeError::NotRecorded(_)));
    assert_eq!(bench.length().await, length);
    assert!(writer.maintain().await.is_err());
}

#[tokio::test]
async fn what_a_dead_authserver_recorded_another_one_publishes() {
    let bench = Bench::new().await;
    let clock = ManualClock::at(now());
    let writer = bench.writer_at(Arc::new(clock.clone())).await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    // Committed, and then its authserver died.
    let entry = Entry::everything(Kind::Sub, "usr_1", now(), LONGEST);
    bench.log.append(&[entry], now()).await.expect("appends");
    clock.advance(Duration::from_secs(10));
    writer.maintain().await.expect("publishes");
    eventually("it is refused", || refuses(&replica, &token("usr_1"))).await;
    writer.maintain().await.expect("marks");
    assert_eq!(bench.log.unpublished_count(), 0);
    let length = bench.length().await;
    writer.maintain().await.expect("a round");
    assert_eq!(bench.length().await, length, "and only once");
}

#[tokio::test]
async fn an_entry_that_outlives_the_stream_is_added_again_before_it_is_trimmed() {
    let bench = Bench::new().await;
    // Redis goes by its own clock, so what is to be old there is written with an old id.
    let horizon = LONGEST + 2 * LEEWAY;
    let old = now().minus(horizon * 3 / 4).as_millis();
    let entry = Entry::key("kid_stolen", now().plus(Duration::from_hours(24)));
    bench.log.record_as_published(&entry).await;
    redis::pipe()
        .cmd("XADD")
        .arg("haetae:denylist")
        .arg(format!("{old}-0"))
        .arg("kind")
        .arg("kid")
        .arg("value")
        .arg("kid_stolen")
        .arg("issued_before")
        .arg(entry.issued_before.as_millis())
        .arg("until")
        .arg(entry.until.as_millis())
        .cmd("SET")
        .arg("haetae:{haetae:denylist}:epoch")
        .arg("an epoch")
        .exec_async(&mut bench.redis.raw().await)
        .await
        .expect("written");
    let writer = bench.writer().await;
    writer.maintain().await.expect("a round");
    assert_eq!(bench.length().await, 2, "it is there again, young");
    writer.maintain().await.expect("a round");
    assert_eq!(bench.length().await, 2);
}

#[tokio::test]
async fn sql_forgets_what_is_over_and_nothing_else() {
    let bench = Bench::new().await;
    let clock = ManualClock::at(now());
    let writer = bench.writer_at(Arc::new(clock.clone())).await;
    writer.revoke_everything(Kind::Sub, "usr_1").await.expect("revokes");
    writer.revoke(Entry::key("kid_1", now().plus(LONGEST * 10))).await.expect("revokes");
    clock.advance((LONGEST + LEEWAY).checked_sub(Duration::from_secs(1)).unwrap());
    writer.maintain().await.expect("a round");
    assert_eq!(bench.log.len(), 2);
    clock.advance(LONGEST);
    writer.maintain().await.expect("a round");
    assert_eq!(bench.log.len(), 1);
}

#[tokio::test]
async fn the_clock_of_the_machine_may_jump() {
    let bench = Bench::new().await;
    bench.writer().await.maintain().await.expect("fills");
    let clock = ManualClock::at(now());
    let replica = DenylistReplica::start(
        bench.redis.connect().await,
        Arc::new(clock.clone()),
        Duration::from_mins(1),
    );
    replica.wait_loaded().await;
    assert!(replica.is_fresh());
    clock.advance(Duration::from_secs(61));
    assert!(!replica.is_fresh(), "nothing was heard for a minute, says the clock");
    eventually("Redis is heard by the new time", || replica.is_fresh()).await;
}

#[tokio::test]
async fn an_emptied_stream_is_declared_whole_again_though_there_is_nothing_to_add() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    redis::cmd("XTRIM")
        .arg("haetae:denylist")
        .arg("MAXLEN")
        .arg(0)
        .exec_async(&mut bench.redis.raw().await)
        .await
        .expect("trimmed");
    eventually("the copy is not trusted", || !replica.is_fresh()).await;
    writer.maintain().await.expect("mends");
    eventually("it is again", || replica.is_fresh()).await;
}

#[tokio::test]
async fn a_broken_sql_does_not_hold_up_what_redis_can_still_be_told() {
    let mut bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    bench.redis.kill();
    let recorded = writer.revoke_everything(Kind::Sub, "usr_1").await;
    assert!(matches!(recorded, Err(RevokeError::NotPropagated(_))));
    bench.redis.restart().await;
    bench.log.broken.store(true, Ordering::SeqCst);
    for _ in 0..50 {
        assert!(writer.maintain().await.is_err(), "SQL is broken");
        if refuses(&replica, &token("usr_1")) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refuses(&replica, &token("usr_1")));
    bench.log.broken.store(false, Ordering::SeqCst);
    writer.maintain().await.expect("a round");
    assert_eq!(bench.log.unpublished_count(), 0);
}

#[tokio::test]
async fn very_many_at_once() {
    let bench = Bench::new().await;
    let writer = bench.writer().await;
    writer.maintain().await.expect("fills");
    let replica = bench.replica().await;
    replica.wait_loaded().await;
    let entries = (0..20_000).map(|n| Entry::token(format!("tok_{n}"), soon())).collect();
    writer.revoke_all(entries).await.expect("revokes");
    eventually("all are there", || replica.status().entries[0] == (Kind::Jti, 20_000)).await;
    writer.maintain().await.expect("marks");
    assert_eq!(bench.log.unpublished_count(), 0);
}
