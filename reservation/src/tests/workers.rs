//! Workers: several at once, Redis that is lost or wiped, holds that run out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use haetae_base::{
    clock::{Clock, Timestamp},
    entropy,
    secret::ExposeSecret,
    shutdown::Shutdown,
};
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use serde_json::json;

use super::{
    bench::{Bench, PARTITIONS, POLICY, now},
    stand::{CUSTOMER, RedisServer, Stand, basket, history},
};
use crate::{
    apply_batch::Policy, domain::hold::HoldPolicy, payment::simulator::PaymentSimulator,
    store::PURGED_AT_ONCE, worker::Worker,
};

#[tokio::test]
async fn several_workers_share_and_one_may_leave() {
    for mut stand in Stand::each().await {
        stand.work().await;
        stand.work().await;
        let mut items = Vec::new();
        for _ in 0..8 {
            items.push(stand.bench.item(30).await.to_string());
        }
        for round in 0..3 {
            let answers = futures::future::join_all((0..40).map(|number| {
                let (first, second) = (&items[number % 8], &items[(number * 3 + 1) % 8]);
                let body = if first == second {
                    basket(&[(first, 1)])
                } else {
                    basket(&[(first, 1), (second, 1)])
                };
                let stand = &stand;
                async move { stand.reserve(&body, 25).await }
            }))
            .await;
            for answer in answers {
                assert!([201, 409].contains(&answer.status), "round {round}: {}", answer.text);
            }
            if round < 2 {
                stand.dismiss().await;
            }
        }
    }
}

#[tokio::test]
async fn without_redis_it_is_accepted_and_done_when_redis_is_back() {
    for mut stand in Stand::each().await {
        let item = stand.bench.item(30).await.to_string();
        assert_eq!(stand.reserve(&basket(&[(&item, 1)]), 20).await.status, 201);
        stand.redis.stop();
        let mut ids = Vec::new();
        for _ in 0..5 {
            let accepted = stand.reserve(&basket(&[(&item, 1)]), 0).await;
            assert_eq!(accepted.status, 202, "{}", accepted.text);
            ids.push(accepted.json()["id"].as_str().expect("an id").to_owned());
        }
        stand.redis.start_again();
        for id in &ids {
            stand.settled(id, &["held"]).await;
        }
        assert_eq!(stand.bench.stock(item.parse().expect("an id")).await.held(), 6);
    }
}

#[tokio::test]
async fn a_wiped_redis_loses_nothing() {
    for bench in Bench::each().await {
        let mut stand = Stand::on(bench, POLICY).await;
        let item = stand.bench.item(30).await.to_string();
        let mut ids = Vec::new();
        for _ in 0..10 {
            let accepted = stand.reserve(&basket(&[(&item, 1)]), 0).await;
            assert_eq!(accepted.status, 202, "{}", accepted.text);
            ids.push(accepted.json()["id"].as_str().expect("an id").to_owned());
        }
        stand.redis.wipe();
        stand.work().await;
        for id in &ids {
            stand.settled(id, &["held"]).await;
        }
        // And once more under a worker that runs.
        stand.redis.wipe();
        let after = stand.reserve(&basket(&[(&item, 1)]), 20).await;
        assert_eq!(after.status, 201, "{}", after.text);
    }
}

#[tokio::test]
async fn a_hold_runs_out_unless_it_is_being_paid() {
    let policy = Policy { hold: HoldPolicy { duration: Duration::from_millis(1200) }, ..POLICY };
    for bench in Bench::each().await {
        let mut stand = Stand::on(bench, policy).await;
        stand.work_as(policy, Duration::from_millis(1500)).await;
        let item = stand.bench.priced_item(2, Some(100)).await;
        let waits = stand.reserve(&basket(&[(&item.to_string(), 1)]), 20).await.json();
        let mut body = basket(&[(&item.to_string(), 1)]);
        // Authorizing and capturing take three seconds together, longer than the hold.
        body["payment"] = json!({"token": "tok_ok"});
        let pays = stand.reserve(&body, 20).await;
        assert_eq!(pays.status, 201, "{}", pays.text);
        assert_eq!(history(&pays.json()), ["pending", "held", "confirmed"]);
        let id = waits["id"].as_str().expect("an id");
        let expired = stand.settled(id, &["expired"]).await;
        assert_eq!(history(&expired), ["pending", "held", "expired"]);
        let confirm = format!("/api/v1/reservations/{id}/confirm");
        let late = stand.post(&confirm, CUSTOMER, &json!({})).await;
        late.problem(409, "reservation-state");
        let stock = stand.bench.stock(item).await;
        assert_eq!((stock.available(), stock.held(), stock.sold()), (1, 0, 1));
    }
}

/// Confirmed when there were more partitions than there are now, and cancelled today.
#[tokio::test]
async fn work_of_a_partition_that_is_gone_is_done_by_somebody() {
    for stand in Stand::each().await {
        let item = stand.bench.item(3).await;
        let held = stand.reserve(&basket(&[(&item.to_string(), 2)]), 20).await.json();
        let id = held["id"].as_str().expect("an id");
        let confirm = format!("/api/v1/reservations/{id}/confirm");
        assert_eq!(stand.post(&confirm, CUSTOMER, &json!({})).await.status, 202);
        stand.settled(id, &["confirmed"]).await;
        let moved = format!("UPDATE reservations SET part = 900 WHERE id = '{id}'");
        stand.bench.store.sql().write.execute_unprepared(&moved).await.expect("moved");
        let cancel = format!("/api/v1/reservations/{id}/cancel");
        assert_eq!(stand.post(&cancel, CUSTOMER, &json!({})).await.status, 202);
        stand.settled(id, &["cancelled"]).await;
        let stock = stand.bench.stock(item).await;
        assert_eq!((stock.available(), stock.held(), stock.sold()), (3, 0, 0));
    }
}

#[derive(FromQueryResult)]
struct Count {
    number: i64,
}

/// However many there are: a busy shop uses more keys in ten minutes than one statement forgets.
#[tokio::test]
async fn all_old_keys_are_forgotten_and_no_young_one() {
    for bench in Bench::each().await {
        let used = 2 * PURGED_AT_ONCE + 1;
        let (young, old) = (now(), now().minus(Duration::from_hours(25)));
        let fill = format!(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {used}) \
             INSERT INTO idempotency_keys (subject, idempotency_key, fingerprint, reservation_id, \
             created_at) SELECT '{}', 'k' || i, 'f', 'rsv', \
             CASE WHEN i < {used} THEN {} ELSE {} END FROM n",
            entropy::token().expose_secret(),
            old.as_millis(),
            young.as_millis(),
        );
        bench.store.sql().write.execute_unprepared(&fill).await.expect("used keys");
        let mut stand = Stand::on(bench, POLICY).await;
        stand.work().await;
        let count = async || {
            let sql = stand.bench.store.sql();
            let text = "SELECT COUNT(*) AS number FROM idempotency_keys";
            let count = Count::find_by_statement(Statement::from_string(sql.backend(), text));
            count.one(&sql.read).await.expect("a count").expect("a row").number
        };
        let begin = now();
        while count().await > 1 {
            assert!(
                now().since(begin) < Duration::from_secs(30),
                "{} keys are left",
                count().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(count().await, 1, "the young one");
    }
}

/// A row that no code of this program writes is worked on by nobody, and holds nobody up.
#[tokio::test]
async fn one_broken_row_holds_nobody_up() {
    for bench in Bench::each().await {
        let mut stand = Stand::on(bench, POLICY).await;
        let item = stand.bench.item(30).await.to_string();
        let mut ids = Vec::new();
        for _ in 0..21 {
            let accepted = stand.reserve(&basket(&[(&item, 1)]), 0).await.json();
            ids.push(accepted["id"].as_str().expect("an id").to_owned());
        }
        let broken = ids.remove(7);
        let breaks = format!("UPDATE reservations SET keeps = 'sold' WHERE id = '{broken}'");
        stand.bench.store.sql().write.execute_unprepared(&breaks).await.expect("broken");
        stand.work().await;
        for id in &ids {
            stand.settled(id, &["held"]).await;
        }
        let mends = format!("UPDATE reservations SET keeps = 'nothing' WHERE id = '{broken}'");
        stand.bench.store.sql().write.execute_unprepared(&mends).await.expect("mended");
        stand.settled(&broken, &["held"]).await;
    }
}

/// What the database itself refuses is not tried again for ever, with all others of its batch behind it.
#[tokio::test]
async fn one_write_that_sql_refuses_holds_nobody_up() {
    for bench in Bench::each().await {
        let mut stand = Stand::on(bench, POLICY).await;
        let item = stand.bench.item(30).await.to_string();
        let mut ids = Vec::new();
        for _ in 0..9 {
            let accepted = stand.reserve(&basket(&[(&item, 1)]), 0).await.json();
            ids.push(accepted["id"].as_str().expect("an id").to_owned());
        }
        let refused = ids.remove(4);
        // The line of its history that comes next is there already.
        let write =
            format!("INSERT INTO reservation_history VALUES ('{refused}', 2, 'held', NULL, 0)");
        let sql = stand.bench.store.sql().clone();
        sql.write.execute_unprepared(&write).await.expect("written");
        stand.work().await;
        for id in &ids {
            stand.settled(id, &["held"]).await;
        }
        let text = format!("SELECT due_at AS number FROM reservations WHERE id = '{refused}'");
        let due = Count::find_by_statement(Statement::from_string(sql.backend(), text));
        let due = due.one(&sql.read).await.expect("read").expect("a row").number;
        assert!(due > now().as_millis(), "it is left alone for a while");
        let mend = format!(
            "DELETE FROM reservation_history WHERE reservation_id = '{refused}' AND at = 0"
        );
        sql.write.execute_unprepared(&mend).await.expect("mended");
        stand.settled(&refused, &["held"]).await;
    }
}

/// A clock that breaks when it is told to.
#[derive(Default)]
struct Breaking(AtomicBool);

impl Clock for Breaking {
    fn now(&self) -> Timestamp {
        assert!(!self.0.load(Ordering::SeqCst), "the clock is broken");
        now()
    }
}

#[tokio::test]
async fn a_worker_with_a_part_that_died_ends() {
    let bench = Bench::sqlite().await;
    let redis = RedisServer::start();
    let clock = Arc::new(Breaking::default());
    let store = bench.another().await;
    let worker = Worker {
        redis: redis.connect().await,
        provider: Arc::new(PaymentSimulator::new(store.sql().clone(), Duration::ZERO, [])),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        policy: POLICY,
        partitions: PARTITIONS,
        lease: Duration::from_millis(300),
        batch: 64,
        store,
    };
    let running = tokio::spawn(worker.run(Shutdown::new()));
    // Nothing is to be done, so only those who look for work and keep the leases ask for the time.
    clock.0.store(true, Ordering::SeqCst);
    let ended = tokio::time::timeout(Duration::from_secs(10), running).await;
    let error = ended.expect("in time").expect("no panic").expect_err("a part died").to_string();
    assert!(
        error.contains("ended unexpectedly") && error.contains("the clock is broken"),
        "{error}"
    );
}
