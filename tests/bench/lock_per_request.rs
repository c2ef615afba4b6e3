//! The way that most reservation services go, as the comparison for the hot item: a `SET key NX PX` lock in
//! Redis and a transaction in PostgreSQL for each request. No HTTP, no validation: all of that is given to
//! it for free.
//!
//!     lock-per-request POSTGRES_URL REDIS_URL CLIENTS SECONDS
//!     lock-per-request POSTGRES_URL -         CLIENTS SECONDS     the same without the lock in Redis
//!
//! Prints one line of JSON.

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures and reports")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, DbErr, Statement,
    TransactionTrait,
};

const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, redis, clients, seconds] = arguments.as_slice() else {
        return Err("usage: lock-per-request POSTGRES_URL REDIS_URL CLIENTS SECONDS".into());
    };
    let (clients, seconds): (u32, u64) = (clients.parse()?, seconds.parse()?);
    let mut options = ConnectOptions::new(database);
    options.max_connections(16).sqlx_logging(false);
    let sql = Database::connect(options).await?;
    for statement in [
        "DROP TABLE IF EXISTS hold",
        "DROP TABLE IF EXISTS item",
        "CREATE TABLE item (id TEXT PRIMARY KEY, available BIGINT NOT NULL CHECK (available >= 0), version BIGINT NOT NULL)",
        "CREATE TABLE hold (id TEXT PRIMARY KEY, item_id TEXT NOT NULL, quantity BIGINT NOT NULL, status TEXT NOT NULL)",
        "INSERT INTO item VALUES ('hot', 1000000000, 1)",
    ] {
        sql.execute_unprepared(statement).await?;
    }
    let redis = (redis != "-").then(|| redis::Client::open(redis.as_str())).transpose()?;
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for client in 0..clients {
        let connection = match &redis {
            Some(redis) => Some(redis.get_multiplexed_async_connection().await?),
            None => None,
        };
        tasks.push(tokio::spawn(run(sql.clone(), connection, client, end, Arc::clone(&done))));
    }
    for task in tasks {
        task.await?.map_err(|error| error.to_string())?;
    }
    let holds = done.load(Ordering::Relaxed);
    println!("{{\"holds\":{holds},\"seconds\":{:.3}}}", start.elapsed().as_secs_f64());
    Ok(())
}

async fn run(
    sql: DatabaseConnection,
    mut redis: Option<redis::aio::MultiplexedConnection>,
    client: u32,
    end: Instant,
    done: Arc<AtomicU64>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut number = 0_u64;
    while Instant::now() < end {
        number += 1;
        let token = format!("{client}-{number}");
        if let Some(redis) = &mut redis
            && !take_lock(redis, &token, end).await?
        {
            return Ok(());
        }
        let held = hold(&sql, &token).await;
        if let Some(redis) = &mut redis {
            let _released: i64 = redis::cmd("EVAL")
                .arg(RELEASE)
                .arg(1)
                .arg("bench:lock:hot")
                .arg(&token)
                .query_async(redis)
                .await?;
        }
        held?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Tries until it has the lock; `false` when the time is over first. The pause between two tries, 1 to 5 ms,
/// is short enough that the lock is hardly ever free, and long enough to leave Redis alone.
async fn take_lock(
    redis: &mut redis::aio::MultiplexedConnection,
    token: &str,
    end: Instant,
) -> Result<bool, redis::RedisError> {
    let mut pause = token.bytes().map(u64::from).sum::<u64>() * 37 % 4_000;
    while Instant::now() < end {
        let answer: Option<String> = redis::cmd("SET")
            .arg("bench:lock:hot")
            .arg(token)
            .arg("NX")
            .arg("PX")
            .arg(5_000)
            .query_async(redis)
            .await?;
        if answer.is_some() {
            return Ok(true);
        }
        pause = (pause + 1_777) % 4_000;
        tokio::time::sleep(Duration::from_micros(1_000 + pause)).await;
    }
    Ok(false)
}

/// One transaction: read the stock, check it, take from it, write the hold.
async fn hold(sql: &DatabaseConnection, id: &str) -> Result<(), DbErr> {
    let statement = |text: &str, values: Vec<sea_orm::Value>| {
        Statement::from_sql_and_values(DbBackend::Postgres, text, values)
    };
    let transaction = sql.begin().await?;
    let row = transaction
        .query_one_raw(statement(
            "SELECT available, version FROM item WHERE id = 'hot' FOR UPDATE",
            vec![],
        ))
        .await?
        .ok_or_else(|| DbErr::RecordNotFound("item".to_owned()))?;
    let (available, version): (i64, i64) =
        (row.try_get("", "available")?, row.try_get("", "version")?);
    if available < 1 {
        return transaction.rollback().await;
    }
    transaction
        .execute_raw(statement(
            "UPDATE item SET available = available - 1, version = version + 1 WHERE id = 'hot' AND version = $1",
            vec![version.into()],
        ))
        .await?;
    transaction
        .execute_raw(statement("INSERT INTO hold VALUES ($1, 'hot', 1, 'held')", vec![id.into()]))
        .await?;
    transaction.commit().await
}
