//! The migrations of the authserver's tables, one file each, applied in order.

mod m001_begin;
mod m002_account_epoch;

use haetae_base::sql::Sql;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, TransactionTrait};
use sea_orm_migration::prelude::*;

/// Brings the authserver's tables up to date.
struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m001_begin::Migration), Box::new(m002_account_epoch::Migration)]
    }

    // A name of its own, for installations where both services share one database.
    fn migration_table_name() -> DynIden {
        "auth_migrations".into_iden()
    }
}

/// Applies what is missing. Any number of processes may do so at once: on PostgreSQL they queue at an
/// advisory lock, on SQLite at the file's write lock.
///
/// # Errors
/// When the database is away or a migration fails.
pub async fn migrate(sql: &Sql) -> Result<(), DbErr> {
    let transaction = sql.begin_write().await?;
    if sql.backend() == DbBackend::Postgres {
        transaction.execute_unprepared("SELECT pg_advisory_xact_lock(4842001)").await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Whether every migration is applied.
///
/// # Errors
/// When the database is away.
pub async fn is_current(sql: &Sql) -> Result<bool, DbErr> {
    let transaction = sql.write.begin().await?;
    let pending = Migrator::get_pending_migrations(&transaction).await?;
    transaction.commit().await?;
    Ok(pending.is_empty())
}
