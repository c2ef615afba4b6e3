//! Connecting to SQL: SQLite in WAL mode with one writer connection and readers beside it, or PostgreSQL
//! with a bounded pool, behind one type.

use std::time::Duration;

use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use secrecy::{ExposeSecret, SecretString};

/// A database, with the connections for writing kept apart from those for reading.
#[derive(Clone, Debug)]
pub struct Sql {
    /// For transactions that write. On SQLite this is a single connection: writers queue here, in
    /// memory, instead of failing with `SQLITE_BUSY` in the file.
    pub write: DatabaseConnection,
    /// For reading. On PostgreSQL the same pool as `write`.
    pub read: DatabaseConnection,
}

/// A database that cannot be used, in a line for the operator.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the database {setting}: {source}; check the address, or start the database")]
pub struct ConnectError {
    setting: &'static str,
    source: DbErr,
}

/// A write that changed another number of rows than it had to: the rows moved under it, or a rule is
/// broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{changed} rows changed where {expected} had to")]
pub struct UnexpectedRows {
    /// How many rows had to change.
    pub expected: u64,
    /// How many did.
    pub changed: u64,
}

/// Checks the number of rows that a write changed. Every write goes through here or decides on the
/// number itself.
///
/// # Errors
/// [`UnexpectedRows`] when it is another number.
pub fn expect_rows(expected: u64, changed: u64) -> Result<(), UnexpectedRows> {
    if changed == expected { Ok(()) } else { Err(UnexpectedRows { expected, changed }) }
}

/// What SQLite is told on every connection: `synchronous=FULL` makes a commit durable in WAL mode too,
/// so that an accepted (202) reservation outlives a power cut.
const SQLITE_PRAGMAS: [(&str, &str); 6] = [
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("foreign_keys", "ON"),
    ("busy_timeout", "5000"),
    ("cache_size", "-65536"),
    ("temp_store", "MEMORY"),
];

impl Sql {
    /// Opens the database at `url` (`sqlite:PATH` or `postgres://…`). `setting` names the configuration
    /// key for the error, since the URL may hold a password.
    ///
    /// # Errors
    /// [`ConnectError`] when it cannot be opened.
    pub async fn connect(
        url: &SecretString,
        setting: &'static str,
        max_connections: u32,
    ) -> Result<Self, ConnectError> {
        let failed = |source| ConnectError { setting, source };
        let mut options = ConnectOptions::new(url.expose_secret());
        options
            .sqlx_logging(false)
            .connect_timeout(Duration::from_secs(5))
            .acquire_timeout(Duration::from_secs(5));
        if !url.expose_secret().starts_with("sqlite:") {
            options.max_connections(max_connections.max(2)).min_connections(1);
            let pool = Database::connect(options).await.map_err(failed)?;
            return Ok(Self { write: pool.clone(), read: pool });
        }
        let writer = sqlite(options.clone(), 1).await.map_err(failed)?;
        let readers = sqlite(options, max_connections.clamp(2, 8)).await.map_err(failed)?;
        Ok(Self { write: writer, read: readers })
    }

    /// Begins a transaction that will write. On SQLite it takes the file's write lock at once
    /// (`BEGIN IMMEDIATE`): two roles share one file, and a transaction that reads first and then wants
    /// to write would be refused with `SQLITE_BUSY_SNAPSHOT`, however long it is ready to wait.
    ///
    /// # Errors
    /// When the database is away or stays locked for longer than the busy timeout.
    pub async fn begin_write(&self) -> Result<DatabaseTransaction, DbErr> {
        self.write
            .begin_with_options(TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            })
            .await
    }

    /// Which of the two databases this is.
    pub fn backend(&self) -> DbBackend {
        self.write.get_database_backend()
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> bool {
        self.read.ping().await.is_ok()
    }
}

async fn sqlite(
    mut options: ConnectOptions,
    connections: u32,
) -> Result<DatabaseConnection, DbErr> {
    options.max_connections(connections).min_connections(1);
    options.map_sqlx_sqlite_opts(|sqlite| {
        SQLITE_PRAGMAS.into_iter().fold(sqlite.create_if_missing(true), |sqlite, (name, value)| {
            sqlite.pragma(name, value)
        })
    });
    Database::connect(options).await
}
