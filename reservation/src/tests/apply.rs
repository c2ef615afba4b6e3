//! Batches on real databases: the states, the stock, the fence, and the guard with its control.

use crate::{
    apply_batch::{Fences, Work, apply},
    domain::{fence::Partition, reservation::Status},
    tests::bench::{Bench, PARTITIONS, POLICY, now},
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
