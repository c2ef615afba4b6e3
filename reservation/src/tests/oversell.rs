//! The last ten of an item and sixty-four who want one, at the same moment, each in a transaction of its
//! own. With the guard exactly ten get it, even if each of them believes in stock that it saw long ago.
//! Without the guard the same rush oversells: it is the guard that holds.

use std::{collections::HashMap, sync::Arc};

use sea_orm::ConnectionTrait;

use super::bench::{Bench, PARTITIONS, POLICY, now};
use crate::{
    apply_batch::{Fences, Work, apply},
    domain::{
        fence::Partition,
        inventory::ItemId,
        reservation::{ReservationId, Status},
    },
    store::{Store, batch::Guard},
};

const CLIENTS: usize = 64;

/// Everybody applies one reservation; returns how many are held in the end, by their own account.
async fn rush(bench: &Bench, store: &Store, item: ItemId, ids: Vec<ReservationId>) -> usize {
    let fences: Fences = bench.own_all(PARTITIONS, "all").await.into_iter().collect();
    let fences = Arc::new(fences);
    let partition = Partition::of(item, PARTITIONS);
    let start = Arc::new(tokio::sync::Barrier::new(ids.len()));
    let tasks = ids.into_iter().map(|id| {
        let (store, fences, start) = (store.clone(), Arc::clone(&fences), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let work = [Work { id, partition, answer: None }];
            loop {
                // A database under such a rush may ask for patience; a worker has it.
                match apply(&store, &fences, &work, &POLICY, now()).await {
                    Ok(applied) => return applied.changed,
                    Err(error) => assert!(error.is_temporary(), "{error}"),
                }
            }
        })
    });
    let mut held = 0;
    for changed in futures::future::join_all(tasks).await {
        let changed = changed.expect("no panic");
        held += changed.iter().filter(|(_, status)| *status == Status::Held).count();
    }
    held
}

async fn accepted(bench: &Bench, item: ItemId) -> Vec<ReservationId> {
    let mut ids = Vec::new();
    for _ in 0..CLIENTS {
        ids.push(bench.accept(&[(item, 1)], None).await);
    }
    ids
}

async fn seen(
    bench: &Bench,
    item: ItemId,
) -> Arc<HashMap<ItemId, crate::domain::inventory::Stock>> {
    Arc::new(HashMap::from([(item, bench.stock(item).await)]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_clients_get_the_last_ten() {
    for bench in Bench::each().await {
        let item = bench.item(10).await;
        let ids = accepted(&bench, item).await;
        assert_eq!(rush(&bench, &bench.store, item, ids).await, 10);
        let stock = bench.stock(item).await;
        assert_eq!((stock.available(), stock.held()), (0, 10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_guard_alone_is_enough() {
    for bench in Bench::each().await {
        let item = bench.item(10).await;
        let ids = accepted(&bench, item).await;
        let mut store = bench.store.clone();
        store.guard = Guard::StaleRead(seen(&bench, item).await);
        assert_eq!(rush(&bench, &store, item, ids).await, 10);
        let stock = bench.stock(item).await;
        assert_eq!((stock.available(), stock.held()), (0, 10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_guard_it_oversells() {
    for bench in Bench::each().await {
        let item = bench.item(10).await;
        let ids = accepted(&bench, item).await;
        let sql = bench.store.sql();
        let statement = if sql.backend() == sea_orm::DbBackend::Sqlite {
            "PRAGMA ignore_check_constraints = ON"
        } else {
            "ALTER TABLE inventory DROP CONSTRAINT stock_is_not_negative"
        };
        sql.write.execute_unprepared(statement).await.expect("the last line of defence is gone");
        let mut store = bench.store.clone();
        store.guard = Guard::Removed(seen(&bench, item).await);
        let held = rush(&bench, &store, item, ids).await;
        assert_eq!(held, CLIENTS, "everybody believes that there are ten");
    }
}
