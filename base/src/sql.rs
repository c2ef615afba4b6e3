//! Connecting to SQL: SQLite in WAL mode with one writer connection and readers beside it, or PostgreSQL
//! with a bounded pool, behind one type.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{
    ConnAcquireErr, ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, RuntimeErr, SqliteTransactionMode, TransactionOptions, TransactionTrait, sqlx,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// A database, with the connections for writing kept apart from those for reading.
#[derive(Clone, Debug)]
pub struct Sql {
    /// For transactions that write. On SQLite this is a single connection: writers queue here, in
    /// memory, instead of failing with `SQLITE_BUSY` in the file.
    pub write: DatabaseConnection,
    /// For reading. On PostgreSQL the same pool as `write`.
    pub read: DatabaseConnection,
}

/// A database that cannot be used, in a line for the operator. The URL never gets into it: it may hold a
/// password.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is not one.
    #[error(
        "{setting} is not a database URL; write sqlite:///PATH or postgres://USER:PASSWORD@HOST/NAME, with \
         what a URL reserves written as %XX"
    )]
    Url {
        /// The setting that holds it.
        setting: &'static str,
    },
    /// The file would be in a folder that is not there.
    #[error(
        "there is no folder {folder} for the database {setting}; make it, or correct the address"
    )]
    NoFolder {
        /// The setting that names the file.
        setting: &'static str,
        /// The folder.
        folder: String,
    },
    /// Nobody answers there.
    #[error(
        "no answer from the database {setting} at {place} within {} s; start it, or correct the address",
        PATIENCE.as_secs()
    )]
    Unreachable {
        /// The setting that names it.
        setting: &'static str,
        /// Where, without the password.
        place: String,
    },
    /// It answers, and cannot be used.
    #[error("cannot open the database {setting} at {place}: {source}")]
    Unusable {
        /// The setting that names it.
        setting: &'static str,
        /// Where, without the password.
        place: String,
        /// Why.
        source: DbErr,
    },
}

impl ConnectError {
    fn of(setting: &'static str, place: String, source: DbErr) -> Self {
        let timed_out = match &source {
            DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => true,
            DbErr::Conn(RuntimeErr::SqlxError(error)) => {
                matches!(**error, sqlx::Error::PoolTimedOut)
            }
            _ => false,
        };
        if timed_out {
            Self::Unreachable { setting, place }
        } else {
            Self::Unusable { setting, place, source }
        }
    }
}

/// How long a connection may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the database at `url` is, for a person: a file, or host and name. `None` when it is no database
/// URL.
fn place(url: &str) -> Option<String> {
    let parsed = Url::parse(url).ok()?;
    match parsed.scheme() {
        "sqlite" => {
            let path = url.split_once(':')?.1;
            let path = path.strip_prefix("//").unwrap_or(path);
            Some(file(path).map_or_else(|| path.to_owned(), |file| file.display().to_string()))
        }
        "postgres" | "postgresql" => {
            let host = parsed.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
            Some(format!("{host}:{}{}", parsed.port().unwrap_or(5432), parsed.path()))
        }
        _ => None,
    }
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
const SQLITE_PRAGMAS: [(&str, &str); 5] = [
    ("journal_mode", "WAL"),
    ("synchronous", "FULL"),
    ("foreign_keys", "ON"),
    ("busy_timeout", "5000"),
    ("temp_store", "MEMORY"),
];

/// The pages that each connection keeps, in KiB (negative is what SQLite takes for KiB). They count for every
/// connection of every role, and the system keeps the file's pages anyway: with eight readers of 64 MiB each a role
/// grew to half a gigabyte, and searching 336,776 items took as long with 2 MiB.
const WRITER_CACHE: &str = "-16384";
const READER_CACHE: &str = "-4096";

/// The file of an absolute path as a URL writes it, with `%XX` and a query.
fn file(path: &str) -> Option<PathBuf> {
    let url = path.starts_with('/').then(|| Url::parse(&format!("file://{path}")).ok())??;
    url.to_file_path().ok()
}

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
        let place = place(url.expose_secret()).ok_or(ConnectError::Url { setting })?;
        let failed = |source| ConnectError::of(setting, place.clone(), source);
        let mut options = ConnectOptions::new(url.expose_secret());
        options.sqlx_logging(false).connect_timeout(PATIENCE).acquire_timeout(PATIENCE);
        if !url.expose_secret().starts_with("sqlite:") {
            options.max_connections(max_connections.max(2)).min_connections(1);
            let pool = Database::connect(options).await.map_err(failed)?;
            return Ok(Self { write: pool.clone(), read: pool });
        }
        let folder = Path::new(&place).parent().filter(|folder| folder.is_absolute());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(ConnectError::NoFolder { setting, folder: folder.display().to_string() });
        }
        let writer = sqlite(options.clone(), 1, WRITER_CACHE).await.map_err(failed)?;
        let readers = sqlite(options, max_connections.clamp(2, 8), READER_CACHE).await;
        let readers = readers.map_err(failed)?;
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
    cache: &'static str,
) -> Result<DatabaseConnection, DbErr> {
    options.max_connections(connections).min_connections(1);
    options.map_sqlx_sqlite_opts(move |sqlite| {
        let sqlite = sqlite.create_if_missing(true).pragma("cache_size", cache);
        SQLITE_PRAGMAS.into_iter().fold(sqlite, |sqlite, (name, value)| sqlite.pragma(name, value))
    });
    Database::connect(options).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_path_is_written_as_a_url_writes_it() {
        let folder = std::env::temp_dir().join(format!("haetae sql 해태 {}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = Url::from_file_path(folder.join("a.db")).expect("absolute").path().to_owned();
        assert!(path.contains("%20"), "{path}");
        let url = format!("sqlite://{path}?mode=rwc");
        assert_eq!(place(&url), Some(folder.join("a.db").display().to_string()));
        let sql = Sql::connect(&url.into(), "database.auth_url", 2).await.expect("opens");
        assert!(sql.ping().await);
        assert!(folder.join("a.db").exists());
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[tokio::test]
    async fn an_error_says_where_and_never_the_password() {
        let folder = std::env::temp_dir().join(format!("haetae-sql-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let broken = folder.join("broken.db");
        std::fs::write(&broken, "not a database ".repeat(100)).expect("a file");
        let broken = format!("sqlite://{}", broken.display());
        for (url, said) in [
            ("postgres://ann:hunter 2@@:x:/haetae", "is not a database URL"),
            ("postgres://ann:hunter2@127.0.0.1:99999/haetae", "is not a database URL"),
            ("mysql://ann:hunter2@127.0.0.1/haetae", "is not a database URL"),
            ("hunter2", "is not a database URL"),
            ("postgres://ann:hunter2@127.0.0.1:1/haetae", "at 127.0.0.1:1/haetae within 5 s"),
            ("sqlite:///nowhere/hunter.db", "there is no folder /nowhere "),
            (broken.as_str(), "file is not a database"),
        ] {
            let error = Sql::connect(&url.to_owned().into(), "database.auth_url", 2).await;
            let error = error.expect_err(url);
            let text = format!("{error} {error:?}");
            assert!(text.contains(said) && text.contains("database.auth_url"), "{url}: {text}");
            assert!(!text.contains("hunter2") && !text.contains("hunter 2"), "{text}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
