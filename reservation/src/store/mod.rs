//! What is durable. One code for SQLite and PostgreSQL: statements are written once, with `$1`
//! placeholders that both read, and many rows travel as one JSON parameter (`table.rs`), so that a batch
//! of any size is one prepared statement. Every write checks how many rows it changed.

pub mod accept;
pub mod batch;
pub mod due;
pub mod idempotency;
pub mod intent;
pub mod inventory;
pub mod migrations;
pub mod outbox;
pub mod partitions;
pub mod reservations;
pub mod search;

mod mapping;
mod open;
mod table;

use haetae_base::sql::{Sql, UnexpectedRows};
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, FromQueryResult, RuntimeErr, Statement,
    Value,
    sqlx::{self, error::ErrorKind},
};

pub(crate) use self::table::{Column, Kind};

/// How many old rows one statement removes at most: whoever wants all of them gone asks until it was fewer.
pub const PURGED_AT_ONCE: u64 = 10_000;

/// The reservation service's database.
#[derive(Clone, Debug)]
pub struct Store {
    sql: Sql,
    #[cfg(test)]
    pub(crate) guard: batch::Guard,
}

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, or refused a statement.
    #[error("the database failed: {0}")]
    Database(#[from] DbErr),
    /// It did not answer just now, and was not asked again.
    #[error("the database is away")]
    Away,
    /// A write changed another number of rows than it had to; nothing of it was kept.
    #[error("a write met rows that had moved: {0}")]
    Moved(#[from] UnexpectedRows),
    /// A row holds what no code of this program writes.
    #[error("the row {id} of {table} is inconsistent in {column}")]
    Inconsistent {
        /// Its table.
        table: &'static str,
        /// The column that makes no sense.
        column: &'static str,
        /// Its id.
        id: String,
    },
    /// What is written could not be put into words.
    #[error("a value cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl StoreError {
    /// Whether the same may succeed in a moment.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Database(error) => !is_about_values(error),
            Self::Away | Self::Moved(_) => true,
            Self::Inconsistent { .. } | Self::Json(_) => false,
        }
    }
}

/// Whether the database answered, and does not take these values or holds some that cannot be read: a constraint is
/// broken, or a text has what PostgreSQL cannot store (SQLSTATE class 22). It would say so again.
fn is_about_values(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error))) =
        error
    else {
        return false;
    };
    match &**error {
        sqlx::Error::Database(error) => {
            let data = error.code().is_some_and(|code| code.len() == 5 && code.starts_with("22"));
            data || !matches!(error.kind(), ErrorKind::Other)
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => true,
        _ => false,
    }
}

impl Store {
    /// The service's tables in `sql`.
    pub const fn new(sql: Sql) -> Self {
        Self {
            sql,
            #[cfg(test)]
            guard: batch::Guard::Checked,
        }
    }

    /// The connections.
    pub const fn sql(&self) -> &Sql {
        &self.sql
    }

    pub(crate) fn backend(&self) -> DbBackend {
        self.sql.backend()
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin_write(&self) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.sql.begin_write().await?;
        if self.backend() != DbBackend::Sqlite {
            // A process that is stopped in the middle must not hold its locks for ever: whoever sends the
            // same request to another process would make that one wait, with all that came with it.
            let bound = "SET LOCAL idle_in_transaction_session_timeout = '10s'";
            transaction.execute_unprepared(bound).await?;
        }
        Ok(transaction)
    }

    /// Rows handed over as the JSON parameter number `parameter`, under the name `alias`.
    pub(crate) fn table(&self, parameter: usize, alias: &str, columns: &[Column]) -> String {
        table::table(self.backend(), parameter, alias, columns)
    }

    /// What PostgreSQL appends to a `SELECT` to lock its rows. SQLite has locked the file.
    pub(crate) fn lock(&self, clause: &'static str) -> &'static str {
        if self.backend() == DbBackend::Sqlite { "" } else { clause }
    }

    async fn all<T: FromQueryResult + Send + Sync>(
        &self,
        on: &impl ConnectionTrait,
        text: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<T>, DbErr> {
        let statement = Statement::from_sql_and_values(self.backend(), text, values);
        T::find_by_statement(statement).all(on).await
    }

    async fn one<T: FromQueryResult + Send + Sync>(
        &self,
        on: &impl ConnectionTrait,
        text: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<Option<T>, DbErr> {
        let statement = Statement::from_sql_and_values(self.backend(), text, values);
        T::find_by_statement(statement).one(on).await
    }

    async fn execute(
        &self,
        on: &DatabaseTransaction,
        text: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, DbErr> {
        let statement = Statement::from_sql_and_values(self.backend(), text, values);
        Ok(on.execute_raw(statement).await?.rows_affected())
    }
}

/// A row of one number.
#[derive(FromQueryResult)]
struct Number {
    number: i64,
}

/// A row of one text.
#[derive(FromQueryResult)]
struct Text {
    text: String,
}
