//! Finding what is due, without an engine that would do it.

use std::{collections::HashSet, time::Duration};

use haetae_base::shutdown::Shutdown;

use super::*;
use crate::{
    apply_batch::{Fences, Policy, apply},
    domain::hold::HoldPolicy,
    payment::simulator::PaymentSimulator,
    tests::{
        bench::{Bench, PARTITIONS, POLICY, clock, now},
        stand::RedisServer,
    },
};

/// When a great many holds end at once, their stock is not given back page by page with a pause after each.
#[tokio::test]
async fn all_that_is_due_is_found_without_a_pause() {
    const ALL: usize = 100;
    let bench = Bench::sqlite().await;
    let redis = RedisServer::start();
    let item = bench.item(1000).await;
    let mut work = Vec::new();
    for _ in 0..ALL {
        let id = bench.accept(&[(item, 1)], None).await;
        work.push(Work { id, partition: Partition::of(item, PARTITIONS), answer: None });
    }
    let fences: Fences = bench.own_all(PARTITIONS, "another").await.into_iter().collect();
    let policy = Policy { hold: HoldPolicy { duration: Duration::from_millis(1) }, ..POLICY };
    apply(&bench.store, &fences, &work, &policy, now()).await.expect("held, for a moment");

    let store = bench.another().await;
    let worker = Worker {
        redis: redis.connect().await,
        provider: Arc::new(PaymentSimulator::new(store.sql().clone(), Duration::ZERO, [])),
        clock: clock(),
        policy,
        partitions: PARTITIONS,
        lease: Duration::from_secs(5),
        batch: 8,
        store,
    };
    let shutdown = Shutdown::new();
    let ownership = Arc::new(Ownership::new(&worker, "this".to_owned()));
    let keeping = tokio::spawn(Arc::clone(&ownership).keep(shutdown.clone()));
    let (sender, mut receiver) = mpsc::channel(32);
    let never_again = Duration::from_hours(1);
    let underway = Underway::default();
    let gathering = tokio::spawn(from_sql(
        worker,
        ownership,
        underway.clone(),
        sender,
        shutdown.clone(),
        never_again,
    ));
    let found = async {
        let mut found = HashSet::new();
        while found.len() < ALL {
            found.insert(receiver.recv().await.expect("more").work.id);
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("all of them");
    assert_eq!(underway.waiting(), ALL);
    shutdown.request();
    gathering.await.expect("no panic");
    keeping.await.expect("no panic");
}
