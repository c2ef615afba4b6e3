//! Words of every script: SQLite's tokenizer takes the vowel signs of Thai, Hindi or Arabic for gaps between
//! words, and a word with a gap in it cannot be looked for. What a word is was decided before (`search.rs`),
//! so for the index all but a space is a part of one.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager};

use super::m0002_bounds;

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "m0003_scripts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Sqlite {
            manager.get_connection().execute_unprepared(SEARCH).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Sqlite {
            let before = m0002_bounds::search("1 2 3");
            manager.get_connection().execute_unprepared(&before).await?;
        }
        Ok(())
    }
}

/// As in `m0002_bounds`: an FTS5 table cannot be changed, the triggers stay.
const SEARCH: &str = "
DROP TABLE inventory_search;
CREATE VIRTUAL TABLE inventory_search USING fts5(
    terms, content='inventory', content_rowid='num', detail='none', columnsize=0, prefix='1 2 3',
    tokenize=\"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'\"
);
INSERT INTO inventory_search (inventory_search) VALUES ('rebuild');
";
