//! One hot item: reservations held a second, applied as the worker does it (many in one transaction,
//! under a fence) against the usual way (a Redis lock and a transaction for each). Both do the same work
//! on the same tables: reservation, history, event, stock.
//!
//! ```text
//! cargo run --release -p haetae-reservation --example hot_item -- [sqlite|postgres://…] [redis://…] [SECONDS]
//! ```
//!
//! Prints one JSON object. Without arguments: a SQLite file in a temporary folder, Redis on 127.0.0.1:6379,
//! 5 seconds a side.

use std::{
    collections::VecDeque,
    error::Error,
    time::{Duration, Instant},
};

use haetae_base::{
    clock::{Clock, SystemClock},
    entropy,
    redis::Redis,
    sql::Sql,
};
use haetae_reservation::{
    apply_batch::{Fences, Policy, Work, apply},
    domain::{
        basket::{Basket, Line},
        fence::Partition,
        hold::HoldPolicy,
        inventory::{ItemId, Stock},
        quantity::Quantity,
        reservation::{ReservationId, Status},
    },
    lease,
    store::{
        Store,
        accept::{AcceptRequest, AcceptRules, Acceptance, IdempotencyKey, NewReservation},
        inventory::Description,
        migrations,
    },
};

type Done<T> = Result<T, Box<dyn Error>>;

const POLICY: Policy = Policy {
    hold: HoldPolicy { duration: Duration::from_mins(10) },
    patience: Duration::from_secs(5),
    attempts: 5,
    backoff: Duration::from_millis(10),
};

/// The only partition.
const PARTITION: Partition = Partition::new(0);

struct Bench {
    store: Store,
    redis: Redis,
    item: ItemId,
    fences: Fences,
    waiting: VecDeque<ReservationId>,
}

#[tokio::main]
async fn main() -> Done<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = tempfile::tempdir()?;
    let file = format!("sqlite:{}", folder.path().join("hot.db").display());
    let database = match arguments.first().map(String::as_str) {
        None | Some("sqlite") => file,
        Some(url) => url.to_owned(),
    };
    let redis = arguments.get(1).cloned().unwrap_or("redis://127.0.0.1:6379".to_owned());
    let seconds = arguments.get(2).map_or(Ok(5), |text| text.parse())?;
    let mut bench = Bench::open(&database, &redis).await?;
    let time = Duration::from_secs(seconds);
    let mut figures = Vec::new();
    // In turns, so that whatever else the machine does meets both.
    for (name, batch) in [("locked", 0), ("batch_64", 64), ("batch_256", 256)] {
        let rate = bench.run(batch, time).await?;
        figures.push(format!("\"{name}\": {rate:.0}"));
    }
    let stock = bench.store.find_item(bench.item).await?.ok_or("the item is gone")?.stock;
    let kind = if database.starts_with("sqlite") { "sqlite" } else { "postgres" };
    #[expect(clippy::print_stdout, reason = "the result")]
    {
        println!(
            "{{\"database\": \"{kind}\", \"unit\": \"holds/s\", {}, \"held\": {}}}",
            figures.join(", "),
            stock.held()
        );
    }
    Ok(())
}

impl Bench {
    async fn open(database: &str, redis: &str) -> Done<Self> {
        let sql = Sql::connect(&database.to_owned().into(), "database", 16).await?;
        migrations::apply(&sql).await?;
        let store = Store::new(sql);
        let about = Description {
            sku: None,
            name: "the hot one".to_owned(),
            description: None,
            price: None,
            starts_at: None,
            attributes: serde_json::Map::new(),
        };
        let now = SystemClock.now();
        let item = store.create_item(about, Stock::new(Stock::MAX)?, now).await?.id;
        let fence = store.take_partition(PARTITION, "bench", now).await?;
        let redis = Redis::connect(&redis.to_owned().into(), Duration::from_secs(1)).await?;
        let fences = Fences::from([(PARTITION, fence)]);
        Ok(Self { store, redis, item, fences, waiting: VecDeque::new() })
    }

    /// Holds for `time`; `batch` 0 is a lock and a transaction for each. Accepting is not timed: both
    /// sides accept alike.
    async fn run(&mut self, batch: usize, time: Duration) -> Done<f64> {
        let (mut spent, mut held) = (Duration::ZERO, 0_u32);
        while spent < time {
            if self.waiting.len() < batch.max(1) {
                self.accept(2048).await?;
            }
            let count = batch.max(1).min(self.waiting.len());
            let work: Vec<Work> = self
                .waiting
                .drain(..count)
                .map(|id| Work { id, partition: PARTITION, answer: None })
                .collect();
            let begin = instant();
            if batch == 0 {
                self.locked(&work).await?;
            } else {
                self.apply(&work).await?;
            }
            spent += begin.elapsed();
            held += u32::try_from(count)?;
        }
        Ok(f64::from(held) / spent.as_secs_f64())
    }

    async fn apply(&self, work: &[Work]) -> Done<()> {
        let now = SystemClock.now();
        let applied = apply(&self.store, &self.fences, work, &POLICY, now).await?;
        let held = applied.changed.iter().filter(|(_, status)| *status == Status::Held).count();
        if held == work.len() { Ok(()) } else { Err("not all of them were held".into()) }
    }

    async fn locked(&self, work: &[Work]) -> Done<()> {
        let token = ReservationId::new(SystemClock.now()).to_string();
        while !lease::take(&self.redis, PARTITION, &token, Duration::from_secs(5)).await? {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.apply(work).await?;
        lease::release(&self.redis, PARTITION, &token).await?;
        Ok(())
    }

    async fn accept(&mut self, count: usize) -> Done<()> {
        let now = SystemClock.now();
        let mut requests = Vec::with_capacity(count);
        for _ in 0..count {
            let line = Line { item: self.item, quantity: Quantity::new(1)? };
            let id = ReservationId::new(now);
            let new = NewReservation {
                id,
                subject: format!("usr_{}", entropy::below(1000)),
                client_id: "bench".to_owned(),
                basket: Basket::new([line])?,
                partition: PARTITION,
                payment_token: None,
                note: None,
                key: IdempotencyKey { key: id.to_string(), fingerprint: String::new() },
            };
            requests.push(AcceptRequest { new, answer: None });
        }
        let rules = AcceptRules { grace: Duration::from_secs(1), max_open: None };
        for outcome in self.store.accept(requests, rules, now).await? {
            if let Acceptance::Accepted(accepted) = outcome {
                self.waiting.push_back(accepted.request.id);
            }
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a stopwatch")]
fn instant() -> Instant {
    Instant::now()
}
