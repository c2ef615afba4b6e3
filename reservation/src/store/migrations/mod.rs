//! The schema and its history. Both roles apply what is missing when they start; a lock in the database
//! lets one of them do it.

mod m0001_reservation;

use haetae_base::sql::Sql;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, DynIden,
    sea_query::{Alias, IntoIden},
};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// The migrations of the reservation service.
#[derive(Clone, Copy, Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_reservation::Migration)]
    }

    // The services may share a PostgreSQL database: each keeps its own list.
    fn migration_table_name() -> DynIden {
        Alias::new("reservation_migrations").into_iden()
    }
}

/// Applies every migration that is missing, in one transaction.
///
/// # Errors
/// When the database refuses one; nothing of it is kept.
pub async fn apply(sql: &Sql) -> Result<(), DbErr> {
    let transaction = sql.begin_write().await?;
    if sql.backend() != DbBackend::Sqlite {
        // On SQLite the write lock of the transaction does the same.
        transaction.execute_unprepared("SELECT pg_advisory_xact_lock(727065736572)").await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}
