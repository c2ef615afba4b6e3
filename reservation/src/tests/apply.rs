//! Batches on real databases: the states, the stock, the fence, and the guard with its control.

use std::time::Duration;

use sea_orm::ConnectionTrait;

use crate::{
    apply_batch::{Fences, Work, apply},
    domain::{
        fence::Partition,
        payment::{Call, Outcome},
        reservation::Status,
    },
    store::accept::{AcceptRequest, Acceptance},
    tests::bench::{Bench, PARTITIONS, POLICY, RULES, now, request},
};

#[tokio::test]
async fn a_batch_holds_what_there_is_and_rejects_the_rest() {
    for bench in Bench::each().await {
        let item = bench.item(3).await;
        let mut work = Vec::new();
        for _ in 0..5 {
            let id = bench.accept(&[(item, 1)], None).await;
            let partition = Partition::of(item, PARTITIONS);
            work.push(Work { id, partition, answer: None });
        }
        let fences: Fences = bench.own_all(PARTITIONS, "a").await.into_iter().collect();
        let applied = apply(&bench.store, &fences, &work, &POLICY, now()).await.expect("applied");
        let held = applied.changed.iter().filter(|(_, status)| *status == Status::Held).count();
        let rejected =
            applied.changed.iter().filter(|(_, status)| *status == Status::Rejected).count();
        assert_eq!((held, rejected), (3, 2));
        let stock = bench.stock(item).await;
        assert_eq!((stock.available(), stock.held(), stock.sold()), (0, 3, 0));
        let record = bench.store.find_reservation(work[4].id).await.expect("read").expect("there");
        assert_eq!(record.status, Status::Rejected);
        assert_eq!(record.history.len(), 2);
        // A second time there is nothing to do.
        let again = apply(&bench.store, &fences, &work, &POLICY, now()).await.expect("applied");
        assert!(again.changed.is_empty());
    }
}

#[tokio::test]
async fn a_stale_owner_changes_nothing() {
    for bench in Bench::each().await {
        let item = bench.item(3).await;
        let partition = Partition::of(item, PARTITIONS);
        let before: Fences = bench.own_all(PARTITIONS, "a").await.into_iter().collect();
        let id = bench.accept(&[(item, 1)], None).await;
        // The owner sleeps past its lease; another one takes over.
        let other = bench.another().await;
        let fence = other.take_partition(partition, "b", now()).await.expect("taken");
        assert!(before[&partition] < fence);
        let work = [Work { id, partition, answer: None }];
        let applied = apply(&bench.store, &before, &work, &POLICY, now()).await.expect("an answer");
        assert_eq!(applied.stale, [partition].into());
        assert!(applied.changed.is_empty());
        let stock = bench.stock(item).await;
        assert_eq!((stock.available(), stock.held()), (3, 0));
        let record = bench.store.find_reservation(id).await.expect("read").expect("there");
        assert_eq!((record.status, record.version), (Status::Pending, 1));
        // The new owner is not hindered by it.
        let after = Fences::from([(partition, fence)]);
        let applied = apply(&other, &after, &work, &POLICY, now()).await.expect("applied");
        assert_eq!(applied.changed, [(id, Status::Held)]);
    }
}

/// A provider that answers what it cannot have been asked is not asked again at once and for ever: later, a
/// few times, and then an administrator is.
#[tokio::test]
async fn a_provider_that_contradicts_itself_is_given_time_and_then_up() {
    for bench in Bench::each().await {
        let item = bench.priced_item(3, Some(100)).await;
        let partition = Partition::of(item, PARTITIONS);
        let fences: Fences = bench.own_all(PARTITIONS, "a").await.into_iter().collect();
        let id = bench.accept(&[(item, 1)], Some("tok_ok")).await;
        let mut time = now();
        for attempt in 1..=POLICY.attempts {
            let work = [Work { id, partition, answer: None }];
            let asks = apply(&bench.store, &fences, &work, &POLICY, time).await.expect("applied");
            let [(_, charge)] = asks.charges.as_slice() else {
                panic!("attempt {attempt}: {asks:?}")
            };
            assert_eq!(charge.call, Call::Authorize);
            // Nobody asked for a refund.
            let work =
                [Work { id, partition, answer: Some((charge.payment.id, Outcome::Refunded)) }];
            let heard = apply(&bench.store, &fences, &work, &POLICY, time).await.expect("applied");
            assert!(heard.charges.is_empty(), "asked again at once: {heard:?}");
            time = time.plus(Duration::from_mins(1));
        }
        let record = bench.store.find_reservation(id).await.expect("read").expect("there");
        assert_eq!(record.status, Status::Attention);
        let stock = bench.stock(item).await;
        assert_eq!((stock.available(), stock.held()), (2, 1), "kept until somebody decides");
    }
}

/// An API is frozen between two statements, and its client sends the request to another one: with the same
/// key, which the frozen one has written and not committed.
#[tokio::test]
async fn a_frozen_process_holds_nobody_up_for_ever() {
    let Some(bench) = Bench::postgres().await else { return };
    let item = bench.item(3).await;
    let new = request(&[(item, 1)], None);
    let frozen = bench.another().await;
    let transaction = frozen.begin_write().await.expect("a transaction");
    let key = format!(
        "INSERT INTO idempotency_keys (subject, idempotency_key, fingerprint, reservation_id, \
         created_at) VALUES ('{}', '{}', 'f', '{}', 0)",
        new.subject, new.key.key, new.id
    );
    transaction.execute_unprepared(&key).await.expect("written");
    let accepting = bench.store.accept(vec![AcceptRequest { new, answer: None }], RULES, now());
    let accepted = tokio::time::timeout(Duration::from_secs(20), accepting).await;
    let accepted = accepted.expect("not for ever").expect("accepted");
    assert!(matches!(accepted.as_slice(), [Acceptance::Accepted(_)]), "{accepted:?}");
    assert!(transaction.commit().await.is_err(), "the frozen one wakes up to nothing");
}
