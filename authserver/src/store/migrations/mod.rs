//! The migrations of the authserver's tables, one file each, applied in order.

mod m001_begin;
mod m002_account_epoch;

use haetae_base::{migrations, sql::Sql};
use sea_orm::DbErr;
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

/// Names these migrations to processes that want to apply them at the same time.
const LOCK: i64 = 4_842_001;

/// Applies what is missing ([`migrations::apply`]).
///
/// # Errors
/// When the database is away or a migration fails.
pub async fn migrate(sql: &Sql) -> Result<(), DbErr> {
    migrations::apply::<Migrator>(sql, LOCK).await
}

/// Whether every migration is applied.
///
/// # Errors
/// When the database is away.
pub async fn is_current(sql: &Sql) -> Result<bool, DbErr> {
    migrations::is_applied::<Migrator>(sql).await
}
