//! What bounds the work of a request: an index of beginnings of one letter, so that a search for one
//! gathers nothing, and one of open reservations, so that a person's are counted without their history.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0002_bounds"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared(OPEN).await?;
        if manager.get_database_backend() == DbBackend::Sqlite {
            connection.execute_unprepared(&search("1 2 3")).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared("DROP INDEX reservations_open").await?;
        if manager.get_database_backend() == DbBackend::Sqlite {
            connection.execute_unprepared(&search("2 3")).await?;
        }
        Ok(())
    }
}

/// Asked by `store::open` with the same condition.
const OPEN: &str = "
CREATE INDEX reservations_open ON reservations (subject) WHERE status IN ('pending', 'held');
";

/// The search with an index of beginnings of these lengths. An FTS5 table cannot be changed; it is made again
/// out of the inventory. The triggers stay.
pub(super) fn search(prefix: &str) -> String {
    SEARCH.replace("{prefix}", prefix)
}

const SEARCH: &str = "
DROP TABLE inventory_search;
CREATE VIRTUAL TABLE inventory_search USING fts5(
    terms, content='inventory', content_rowid='num', detail='none', columnsize=0,
    prefix='{prefix}', tokenize='unicode61 remove_diacritics 0'
);
INSERT INTO inventory_search (inventory_search) VALUES ('rebuild');
";
