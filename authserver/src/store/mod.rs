//! What the authserver keeps in SQL. One file a table or two that belong together; every write checks how
//! many rows it changed.

pub mod accounts;
pub mod audit;
pub mod clients;
pub mod consents;
pub mod factors;
pub mod installation;
pub mod keys;
pub mod migrations;
pub mod revocations;
#[cfg(test)]
pub(crate) mod testing;

use haetae_base::sql::UnexpectedRows;
use sea_orm::{DbErr, SqlErr};

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A value that has to be unique exists already: a username, a client id.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// The row changed or went away since it was read: read it again and decide anew.
    #[error("the row changed in the meantime")]
    Stale,
    /// A row holds what no code writes. Names where, never the value.
    #[error(
        "{table}.{column} of {id} cannot be read; what is sealed needs the master key that sealed it \
         (keys.master_key)"
    )]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: String,
    },
    /// The database does not answer, or not as it should: a 503 for whoever asks.
    #[error("the database failed: {0}")]
    Unavailable(#[source] DbErr),
}

/// Whether SQL can be asked for `text` at all. PostgreSQL has no NUL in its texts, and calls one an error: whoever
/// sends it must not hear that the database is away.
fn is_sql_text(text: &str) -> bool {
    !text.contains('\0')
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Unavailable(error)
    }
}

impl From<UnexpectedRows> for StoreError {
    fn from(_: UnexpectedRows) -> Self {
        Self::Stale
    }
}

impl StoreError {
    /// An insert's error, where a broken uniqueness means that `what` exists already.
    fn on_insert(error: DbErr, what: &'static str) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::Exists(what),
            _ => Self::Unavailable(error),
        }
    }

    fn inconsistent(table: &'static str, column: &'static str, id: &str) -> Self {
        Self::Inconsistent { table, column, id: id.to_owned() }
    }
}
