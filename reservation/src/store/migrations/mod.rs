//! The schema and its history. Both roles apply what is missing when they start; a lock in the database
//! lets one of them do it.

mod m0001_reservation;
mod m0002_bounds;
mod m0003_scripts;

use haetae_base::{migrations, sql::Sql};
use sea_orm::{
    DbErr, DynIden,
    sea_query::{Alias, IntoIden},
};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// The migrations of the reservation service.
#[derive(Clone, Copy, Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_reservation::Migration),
            Box::new(m0002_bounds::Migration),
            Box::new(m0003_scripts::Migration),
        ]
    }

    // The services may share a PostgreSQL database: each keeps its own list.
    fn migration_table_name() -> DynIden {
        Alias::new("reservation_migrations").into_iden()
    }
}

/// Names these migrations to processes that want to apply them at the same time.
const LOCK: i64 = 727_065_736_572;

/// Applies what is missing ([`migrations::apply`]).
///
/// # Errors
/// When the database refuses a migration; nothing of it is kept.
pub async fn apply(sql: &Sql) -> Result<(), DbErr> {
    migrations::apply::<Migrator>(sql, LOCK).await
}

/// Whether every migration is applied.
///
/// # Errors
/// When the database is away.
pub async fn is_current(sql: &Sql) -> Result<bool, DbErr> {
    migrations::is_applied::<Migrator>(sql).await
}

#[cfg(test)]
mod tests {
    use haetae_base::clock::{Clock, SystemClock};
    use serde_json::Map;

    use super::*;
    use crate::{
        domain::inventory::{ItemId, Stock},
        store::{Store, inventory::Description, search::Query},
    };

    #[tokio::test]
    async fn what_could_be_found_before_is_found_after() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("old.db").display());
        let sql = Sql::connect(&url.into(), "test", 2).await.expect("a database");
        let transaction = sql.begin_write().await.expect("a transaction");
        Migrator::up(&transaction, Some(1)).await.expect("the first schema");
        transaction.commit().await.expect("a commit");
        let store = Store::new(sql.clone());
        let about = |name: &str| Description {
            sku: None,
            name: name.to_owned(),
            description: None,
            price: None,
            starts_at: None,
            attributes: Map::new(),
        };
        let stock = || Stock::new(1).expect("a quantity");
        let now = SystemClock.now();
        let old = store.create_item(about("Room 7"), stock(), now).await.expect("an item");
        apply(&sql).await.expect("the rest");
        let new = store.create_item(about("Room 8"), stock(), now).await.expect("an item");
        let find = async |text: &str| {
            let query = Query::parse(text).expect("words");
            let found = store.list_items(Some(&query), 0, 10).await.expect("a list");
            found.into_iter().map(|item| item.id).collect::<Vec<_>>()
        };
        assert_eq!(find("roo").await, [old.id, new.id]);
        assert_eq!(find("r").await, [old.id, new.id]);
        assert_eq!(find("room 7").await, [old.id]);
        assert_eq!(find("กรุงเทพ").await, [] as [ItemId; 0], "found or not, never refused");
        let transaction = sql.begin_write().await.expect("a transaction");
        Migrator::down(&transaction, Some(2)).await.expect("and back");
        transaction.commit().await.expect("a commit");
        assert_eq!(find("room 8").await, [new.id]);
    }
}
