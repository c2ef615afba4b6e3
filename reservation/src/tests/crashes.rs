//! The worker is killed with SIGKILL at each place in turn, and another one is started: everything that
//! was accepted comes to its end, once, and stock and money agree.
//!
//! The worker is a process of its own: this very test program, told by the environment to be one.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use haetae_base::{redis::Redis, shutdown::Shutdown, sql::Sql};
use sea_orm::{FromQueryResult, Statement};
use serde_json::json;

use super::{
    bench::{Bench, PARTITIONS, POLICY, clock},
    stand::{CUSTOMER, Stand, basket, history},
};
use crate::{crash, payment::simulator::PaymentSimulator, store::Store, worker::Worker};

const DATABASE: &str = "HAETAE_TEST_WORKER_DATABASE";
const REDIS: &str = "HAETAE_TEST_WORKER_REDIS";

/// Not a test: the worker process. Alone it passes at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how the test tells its worker where to work")]
async fn worker_process() {
    let (Ok(database), Ok(redis)) = (std::env::var(DATABASE), std::env::var(REDIS)) else {
        return;
    };
    let sql = Sql::connect(&database.into(), "test", 4).await.expect("a database");
    let redis = Redis::connect(&redis.into(), Duration::from_millis(250)).await.expect("Redis");
    let provider = PaymentSimulator::new(sql.clone(), Duration::from_millis(10), []);
    let worker = Worker {
        store: Store::new(sql),
        redis,
        provider: Arc::new(provider),
        clock: clock(),
        policy: POLICY,
        partitions: PARTITIONS,
        lease: Duration::from_millis(600),
        batch: 8,
    };
    worker.run(Shutdown::new()).await.expect("it works until it is killed");
}

struct WorkerProcess(Child);

impl WorkerProcess {
    fn start(stand: &Stand, point: Option<&str>) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args(["--exact", "tests::crashes::worker_process", "--nocapture"])
            .env(DATABASE, &stand.bench.url)
            .env(REDIS, stand.redis.url())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(point) = point {
            command.env("HAETAE_CRASH_POINT", point);
        }
        Self(command.spawn().expect("it starts"))
    }

    async fn died(&mut self) -> std::process::ExitStatus {
        for _ in 0..1500 {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never came to the place where it should die");
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[derive(FromQueryResult)]
struct Book {
    wrong: i64,
}

/// Charges that were captured or refunded more than once, or captured without the reservation being sold.
async fn wrong_charges(store: &Store) -> i64 {
    let statement = Statement::from_string(
        store.sql().backend(),
        "SELECT COUNT(*) AS wrong FROM simulated_charges c \
         JOIN payments p ON p.id = c.charge_key JOIN reservations r ON r.id = p.reservation_id \
         WHERE c.captures > 1 OR c.refunds > 1 OR c.refunds > c.captures \
         OR (r.status = 'confirmed') <> (c.state = 'captured')",
    );
    let book = Book::find_by_statement(statement).one(&store.sql().read).await.expect("a book");
    book.expect("a number").wrong
}

async fn dies_everywhere(bench: Bench) {
    let stand = Stand::on(bench, POLICY).await;
    for point in crash::POINTS {
        let item = stand.bench.priced_item(20, Some(100)).await;
        let name = item.to_string();
        let mut ids = Vec::new();
        for token in [None, Some("tok_ok"), Some("tok_declined"), Some("tok_timeout")] {
            let mut body = basket(&[(&name, 1)]);
            if let Some(token) = token {
                body["payment"] = json!({"token": token});
            }
            let accepted = stand.reserve(&body, 0).await;
            assert_eq!(accepted.status, 202, "{}", accepted.text);
            ids.push(accepted.json()["id"].as_str().expect("an id").to_owned());
        }
        let mut first = WorkerProcess::start(&stand, Some(point));
        let status = first.died().await;
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{point}");
        let second = WorkerProcess::start(&stand, None);
        let ends = ["held", "confirmed", "failed", "confirmed"];
        for (id, end) in ids.iter().zip(ends) {
            let settled = stand.settled(id, &[end]).await;
            let reached = history(&settled);
            let mut once = reached.clone();
            once.dedup();
            assert_eq!(reached, once, "{point}");
        }
        // And the way back, killed at the same place.
        drop(second);
        let cancel = format!("/api/v1/reservations/{}/cancel", ids[1]);
        assert_eq!(stand.post(&cancel, CUSTOMER, &json!({})).await.status, 202);
        let mut third = WorkerProcess::start(&stand, Some(point));
        third.died().await;
        let _fourth = WorkerProcess::start(&stand, None);
        let cancelled = stand.settled(&ids[1], &["cancelled"]).await;
        let path = ["pending", "held", "confirmed", "cancelling", "cancelled"];
        assert_eq!(history(&cancelled), path, "{point}");
        assert_eq!(cancelled["payment"]["status"], "refunded");
        let stock = stand.bench.stock(item).await;
        assert_eq!((stock.available(), stock.held(), stock.sold()), (18, 1, 1), "{point}");
        assert_eq!(wrong_charges(&stand.bench.store).await, 0, "{point}");
    }
}

#[tokio::test]
async fn killed_between_any_two_steps_on_sqlite() {
    dies_everywhere(Bench::sqlite().await).await;
}

#[tokio::test]
async fn killed_between_any_two_steps_on_postgres() {
    if let Some(bench) = Bench::postgres().await {
        dies_everywhere(bench).await;
    }
}
