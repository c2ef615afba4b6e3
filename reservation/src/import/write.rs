//! Writing what was read: chunk by chunk, each in a transaction of its own. Whoever reserves meanwhile waits
//! for one chunk at most: on SQLite for the file, on PostgreSQL for the rows of the items that change.

use std::time::Duration;

use haetae_base::{clock::Timestamp, sql::Sql};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Statement};

use super::{
    BadLines, ImportError, Imported, OnProgress, Options, Progress,
    spool::{COLUMNS, Chunks},
};
use crate::store::{Column, Kind, Store, StoreError};

/// How long SQLite's file is left to others between two chunks. They ask for it again and again, with pauses
/// of up to 100 ms, and there is no queue: without this they would hardly ever find it free.
const PAUSE: Duration = Duration::from_millis(25);

/// An item of the file that is known, where more is held and sold than it would have.
#[derive(FromQueryResult)]
struct ShortRow {
    line: i64,
    least: i64,
}

/// An item that was written; a new one is at its first version.
#[derive(FromQueryResult)]
struct WrittenRow {
    version: i64,
}

#[derive(FromQueryResult)]
struct KnownRow {
    line: i64,
    wanted: i64,
    least: i64,
}

pub(super) async fn write(
    sql: &Sql,
    mut chunks: Chunks,
    options: Options,
    now: Timestamp,
    bad: &mut BadLines,
    mut progress: OnProgress,
) -> Result<Imported, ImportError> {
    let store = Store::new(sql.clone());
    if !options.skip_bad {
        check(&store, &mut chunks, bad).await?;
        if bad.count > 0 {
            return Err(ImportError::BadLines(std::mem::take(bad)));
        }
    }
    let of = chunks.items;
    let (mut imported, mut done) = (Imported::default(), 0);
    while let Some((chunk, items)) = chunks.next(of - done)? {
        if done > 0 && sql.backend() == DbBackend::Sqlite {
            tokio::time::sleep(PAUSE).await;
        }
        let written = write_chunk(&store, chunk, items, now, bad).await;
        written.map_err(|source| ImportError::Stopped { done, of, source })?.add_to(&mut imported);
        done += items;
        progress(Progress::Writing { items: done, of });
    }
    if sql.backend() != DbBackend::Sqlite {
        tidy(sql).await;
    }
    Ok(imported)
}

/// Looks for lines that cannot be written, before any is.
async fn check(store: &Store, chunks: &mut Chunks, bad: &mut BadLines) -> Result<(), ImportError> {
    const NEEDED: [Column; 3] =
        [("line", Kind::Number), ("sku", Kind::Text), ("quantity", Kind::Number)];
    let text = format!(
        "SELECT w.line, v.held + v.sold AS least FROM {} CROSS JOIN inventory v \
         WHERE v.sku = w.sku AND w.quantity < v.held + v.sold",
        store.table(1, "w", &NEEDED)
    );
    let of = chunks.items;
    let mut done = 0;
    while let Some((chunk, items)) = chunks.next(of - done)? {
        let statement =
            Statement::from_sql_and_values(store.backend(), text.clone(), [chunk.into()]);
        let found = ShortRow::find_by_statement(statement).all(&store.sql().read).await;
        for row in found.map_err(StoreError::from)? {
            too_few(bad, &row);
        }
        done += items;
    }
    Ok(chunks.rewind()?)
}

fn too_few(bad: &mut BadLines, row: &ShortRow) {
    let least = row.least;
    bad.add(
        u64::try_from(row.line).unwrap_or(0),
        format!("quantity must be at least {least}: so many are held or sold already"),
    );
}

/// What became of a chunk.
struct Written {
    created: u64,
    updated: u64,
    unchanged: u64,
}

impl Written {
    fn add_to(self, imported: &mut Imported) {
        imported.created += self.created;
        imported.updated += self.updated;
        imported.unchanged += self.unchanged;
    }
}

async fn write_chunk(
    store: &Store,
    chunk: String,
    items: u64,
    now: Timestamp,
    bad: &mut BadLines,
) -> Result<Written, StoreError> {
    let transaction = store.begin_write().await?;
    if store.backend() != DbBackend::Sqlite {
        // The words of many items are sorted into the index together, not of each chunk anew.
        let room = "SET LOCAL gin_pending_list_limit = '128MB'; SET LOCAL work_mem = '128MB'";
        transaction.execute_unprepared(room).await?;
        // Two imports of the same items in another order would each wait for rows of the other.
        transaction.execute_unprepared("SELECT pg_advisory_xact_lock(727065736573)").await?;
    }
    let known = known(store, &transaction, &chunk).await?;
    let written = upsert(store, &transaction, chunk, now).await?;
    transaction.commit().await?;
    // With the lines that were to be left out: those of which more was reserved since they were checked.
    let mut short = 0;
    for row in known.iter().filter(|row| row.wanted < row.least) {
        too_few(bad, &ShortRow { line: row.line, least: row.least });
        short += 1;
    }
    let created = written.iter().filter(|row| row.version == 1).count() as u64;
    let written = written.len() as u64;
    Ok(Written { created, updated: written - created, unchanged: items - written - short })
}

/// What was written stays whatever becomes of this: it only makes the next search quick.
async fn tidy(sql: &Sql) {
    for statement in ["SELECT gin_clean_pending_list('inventory_search')", "ANALYZE inventory"] {
        if let Err(error) = sql.write.execute_unprepared(statement).await {
            tracing::warn!(%error, statement, "the import is done, but not tidied up");
        }
    }
}

/// The items of the chunk that are known, and how many of each are held or sold already.
async fn known(
    store: &Store,
    transaction: &DatabaseTransaction,
    chunk: &str,
) -> Result<Vec<KnownRow>, DbErr> {
    let text = format!(
        "SELECT w.line, w.quantity AS wanted, v.held + v.sold AS least FROM {} \
         CROSS JOIN inventory v WHERE v.sku = w.sku ORDER BY v.id{}",
        store.table(1, "w", &COLUMNS),
        store.lock(" FOR NO KEY UPDATE OF v")
    );
    KnownRow::find_by_statement(Statement::from_sql_and_values(
        store.backend(),
        text,
        [chunk.into()],
    ))
    .all(transaction)
    .await
}

async fn upsert(
    store: &Store,
    transaction: &DatabaseTransaction,
    chunk: String,
    now: Timestamp,
) -> Result<Vec<WrittenRow>, DbErr> {
    let text = format!(
        "INSERT INTO inventory (id, sku, name, description, quantity, available, held, sold, \
         version, price_minor, currency, starts_at, attributes, terms, created_at, updated_at) \
         SELECT w.id, w.sku, w.name, w.description, w.quantity, w.quantity, 0, 0, 1, w.price_minor, \
         w.currency, w.starts_at, w.attributes, w.terms, $2, $2 FROM {} WHERE true \
         ON CONFLICT (sku) DO UPDATE SET name = excluded.name, \
         description = excluded.description, quantity = excluded.quantity, \
         available = excluded.quantity - inventory.held - inventory.sold, \
         version = inventory.version + 1, price_minor = excluded.price_minor, \
         currency = excluded.currency, starts_at = excluded.starts_at, \
         attributes = excluded.attributes, terms = excluded.terms, \
         updated_at = excluded.updated_at \
         WHERE excluded.quantity >= inventory.held + inventory.sold AND ( \
         inventory.name IS DISTINCT FROM excluded.name \
         OR inventory.description IS DISTINCT FROM excluded.description \
         OR inventory.quantity IS DISTINCT FROM excluded.quantity \
         OR inventory.price_minor IS DISTINCT FROM excluded.price_minor \
         OR inventory.currency IS DISTINCT FROM excluded.currency \
         OR inventory.starts_at IS DISTINCT FROM excluded.starts_at \
         OR inventory.attributes IS DISTINCT FROM excluded.attributes) RETURNING version",
        store.table(1, "w", &COLUMNS)
    );
    let values = [chunk.into(), now.as_millis().into()];
    let statement = Statement::from_sql_and_values(store.backend(), text, values);
    WrittenRow::find_by_statement(statement).all(transaction).await
}
