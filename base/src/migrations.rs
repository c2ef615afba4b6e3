//! Bringing the tables of a service up to date, once, by whichever of its processes comes first.
//!
//! While a new version is rolled out, and after a step back, processes of an older version run on tables that a newer
//! one has changed. They do not refuse to: each version's migrations leave the version before it working.

use std::collections::BTreeSet;

use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, Statement,
    TransactionTrait,
};
use sea_orm_migration::{MigratorTrait, SchemaManager};

use crate::sql::Sql;

/// How the tables stand to what this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Something is missing.
    Behind,
    /// They are what this program expects.
    Current,
    /// A newer version has changed them since.
    Ahead,
}

#[derive(FromQueryResult)]
struct Applied {
    version: String,
}

/// Applies what is missing of `M`, in one transaction. Any number of processes may do so at once: on PostgreSQL they
/// queue at the advisory lock `lock`, on SQLite at the file's write lock.
///
/// # Errors
/// When the database is away or refuses a migration; nothing of it is kept.
pub async fn apply<M: MigratorTrait>(sql: &Sql, lock: i64) -> Result<(), DbErr> {
    let transaction = sql.begin_write().await?;
    if sql.backend() == DbBackend::Postgres {
        transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({lock})")).await?;
    }
    match state::<M>(&transaction).await? {
        State::Behind => M::up(&transaction, None).await?,
        State::Current => {}
        State::Ahead => {
            tracing::warn!(
                tables = M::migration_table_name().to_string(),
                "a newer version of Haetae has changed these tables; this one works on them as they are"
            );
        }
    }
    transaction.commit().await
}

/// Whether nothing of `M` is missing. Changes nothing, and needs no right to.
///
/// # Errors
/// When the database is away.
pub async fn is_applied<M: MigratorTrait>(sql: &Sql) -> Result<bool, DbErr> {
    let transaction = sql.read.begin().await?;
    let state = state::<M>(&transaction).await?;
    transaction.commit().await?;
    Ok(state != State::Behind)
}

async fn state<M: MigratorTrait>(connection: &DatabaseTransaction) -> Result<State, DbErr> {
    let table = M::migration_table_name().to_string();
    if !SchemaManager::new(connection).has_table(&table).await? {
        return Ok(State::Behind);
    }
    let text = format!("SELECT version FROM {table}");
    let rows =
        Applied::find_by_statement(Statement::from_string(connection.get_database_backend(), text));
    let applied: BTreeSet<String> =
        rows.all(connection).await?.into_iter().map(|row| row.version).collect();
    let known: BTreeSet<String> =
        M::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    Ok(if !known.is_subset(&applied) {
        State::Behind
    } else if known == applied {
        State::Current
    } else {
        State::Ahead
    })
}

#[cfg(test)]
mod tests {
    use sea_orm::DynIden;
    use sea_orm_migration::{MigrationTrait, prelude::*};

    use super::*;

    struct Step(&'static str);

    impl MigrationName for Step {
        fn name(&self) -> &str {
            self.0
        }
    }

    #[async_trait::async_trait]
    impl MigrationTrait for Step {
        async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
            let text = format!("CREATE TABLE {} (id INTEGER)", self.0);
            manager.get_connection().execute_unprepared(&text).await.map(|_done| ())
        }
    }

    /// The migrations of a version, and of the one after it.
    struct Older;
    struct Newer;

    impl MigratorTrait for Older {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            vec![Box::new(Step("one"))]
        }
        fn migration_table_name() -> DynIden {
            "test_migrations".into_iden()
        }
    }

    impl MigratorTrait for Newer {
        fn migrations() -> Vec<Box<dyn MigrationTrait>> {
            vec![Box::new(Step("one")), Box::new(Step("two"))]
        }
        fn migration_table_name() -> DynIden {
            Older::migration_table_name()
        }
    }

    #[tokio::test]
    async fn an_older_version_starts_on_the_tables_of_a_newer_one() {
        let folder = std::env::temp_dir().join(format!("haetae-migrations-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let url = format!("sqlite://{}", folder.join("a.db").display());
        let sql = Sql::connect(&url.into(), "database.auth_url", 2).await.expect("opens");
        assert!(!is_applied::<Older>(&sql).await.expect("asked"), "there is nothing yet");
        apply::<Older>(&sql, 1).await.expect("applied");
        assert!(is_applied::<Older>(&sql).await.expect("asked"));
        assert!(!is_applied::<Newer>(&sql).await.expect("asked"), "the second step is missing");
        apply::<Newer>(&sql, 1).await.expect("applied");
        apply::<Newer>(&sql, 1).await.expect("a second time changes nothing");
        assert!(is_applied::<Newer>(&sql).await.expect("asked"));
        assert!(is_applied::<Older>(&sql).await.expect("asked"), "what it knows is there");
        apply::<Older>(&sql, 1).await.expect("it goes on");
        // The control: sea-orm's own refuses.
        let transaction = sql.begin_write().await.expect("a transaction");
        assert!(Older::up(&transaction, None).await.is_err());
        drop(transaction);
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
