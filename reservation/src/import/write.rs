//! Writing what was read: chunk by chunk, one statement each, in one transaction.

use haetae_base::{clock::Timestamp, sql::Sql};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Statement};

use super::{
    BadLines, ImportError, Imported, OnProgress, Options, Progress,
    spool::{COLUMNS, Chunks},
};
use crate::store::{Store, StoreError};

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
    let transaction = sql.begin_write().await.map_err(StoreError::from)?;
    let postgres = sql.backend() != DbBackend::Sqlite;
    if postgres {
        // The words of many items are sorted into the index together, not of each chunk anew.
        let room = "SET LOCAL gin_pending_list_limit = '128MB'; SET LOCAL work_mem = '128MB'";
        transaction.execute_unprepared(room).await.map_err(StoreError::from)?;
    }
    let of = chunks.items;
    let (mut imported, mut done) = (Imported::default(), 0);
    while let Some((chunk, items)) = chunks.next(of - done)? {
        let known = known(&store, &transaction, &chunk).await.map_err(StoreError::from)?;
        let short = known.iter().filter(|row| row.wanted < row.least);
        let mut too_few = 0;
        for row in short {
            too_few += 1;
            let least = row.least;
            bad.add(
                u64::try_from(row.line).unwrap_or(0),
                format!("quantity must be at least {least}: so many are held or sold already"),
            );
        }
        let written = upsert(&store, &transaction, chunk, now).await.map_err(StoreError::from)?;
        let known = known.len() as u64;
        let created = items - known;
        imported.created += created;
        imported.updated += written - created;
        imported.unchanged += items - written - too_few;
        done += items;
        progress(Progress::Writing { items: done, of });
    }
    if bad.count > 0 && !options.skip_bad {
        transaction.rollback().await.map_err(StoreError::from)?;
        return Err(ImportError::BadLines(std::mem::take(bad)));
    }
    transaction.commit().await.map_err(StoreError::from)?;
    // What was written stays whatever becomes of this: it only makes the next search quick.
    let tidy: &[&str] = if postgres {
        &["SELECT gin_clean_pending_list('inventory_search')", "ANALYZE inventory"]
    } else {
        &["PRAGMA wal_checkpoint(TRUNCATE)"]
    };
    for statement in tidy {
        if let Err(error) = sql.write.execute_unprepared(statement).await {
            tracing::warn!(%error, statement, "the import is done, but not tidied up");
        }
    }
    Ok(imported)
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
) -> Result<u64, DbErr> {
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
         OR inventory.attributes IS DISTINCT FROM excluded.attributes)",
        store.table(1, "w", &COLUMNS)
    );
    let values = [chunk.into(), now.as_millis().into()];
    let statement = Statement::from_sql_and_values(store.backend(), text, values);
    Ok(transaction.execute_raw(statement).await?.rows_affected())
}
