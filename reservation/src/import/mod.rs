//! Bringing in many items at once, from NDJSON or CSV. The file is read and checked to its end first, against
//! what is reserved too, and only then written: if a line is bad, nothing is. An item with a known `sku` is
//! brought up to date, every other line is a new item.
//!
//! It is written in chunks of some thousand items, each all or nothing, and between them everybody else gets
//! on. An import that was interrupted has written the first of them: of items with a `sku`, importing the
//! same file once more finishes the work.

mod lines;
mod read;
mod spool;
mod write;

use std::{path::Path, sync::Arc};

use haetae_base::{clock::Clock, sql::Sql};
use tokio::io::AsyncRead;
use tokio_util::io::SyncIoBridge;

use crate::store::StoreError;

/// How the items are written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, as `POST /api/v1/inventory` takes it.
    Ndjson,
    /// Comma-separated values with a head line. The columns `sku`, `name`, `description`, `quantity`,
    /// `price_minor`, `currency` and `starts_at` are the item's; every other one is an attribute.
    Csv,
}

impl Format {
    /// The format that the name of a file says. `None` when it says none.
    pub fn of(file: &Path) -> Option<Self> {
        let extension = file.extension()?.to_str()?.to_ascii_lowercase();
        match extension.as_str() {
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// How to import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Leave bad lines out and import the others, instead of nothing.
    pub skip_bad: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Reading and checking.
    Reading {
        /// Bytes read so far.
        bytes: u64,
        /// Items found so far.
        items: u64,
    },
    /// Writing.
    Writing {
        /// Items written so far.
        items: u64,
        /// Of how many.
        of: u64,
    },
}

/// Takes note of the progress.
pub type OnProgress = Box<dyn FnMut(Progress) + Send>;

/// A line that is no item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// The lines that are no items: the first [`BadLines::KEPT`] of them, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadLines {
    /// The first of them, in order.
    pub first: Vec<BadLine>,
    /// All of them.
    pub count: u64,
}

impl BadLines {
    /// How many are kept.
    pub const KEPT: usize = 1000;

    fn add(&mut self, line: u64, reason: impl Into<String>) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(BadLine { line, reason: reason.into() });
        }
    }
}

/// What was imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// New items.
    pub created: u64,
    /// Items that were known and differed.
    pub updated: u64,
    /// Items that were known and did not.
    pub unchanged: u64,
    /// Lines that were left out: those that are bad, and those of which more was reserved between the check
    /// and the writing.
    pub bad: BadLines,
}

/// Why not everything was imported: nothing, unless it says [`ImportError::Stopped`].
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Some lines are no items.
    #[error("{} bad lines; nothing was imported", .0.count)]
    BadLines(BadLines),
    /// The file as a whole makes no sense.
    #[error("{0}")]
    File(String),
    /// It cannot be read, or not be put aside meanwhile.
    #[error("cannot read the items: {0}")]
    Read(#[from] std::io::Error),
    /// The database failed; nothing was imported.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database failed in the middle.
    #[error("only the first {done} of {of} items were imported: {source}")]
    Stopped {
        /// How many items were done with.
        done: u64,
        /// Of how many.
        of: u64,
        /// What happened.
        source: StoreError,
    },
}

/// Imports what `reader` has.
///
/// # Errors
/// [`ImportError`].
pub async fn run(
    sql: &Sql,
    reader: impl AsyncRead + Unpin + Send + 'static,
    format: Format,
    options: Options,
    clock: Arc<dyn Clock>,
    mut progress: OnProgress,
) -> Result<Imported, ImportError> {
    let now = clock.now();
    let source = SyncIoBridge::new(reader);
    let (spool, mut bad, progress) = tokio::task::spawn_blocking(move || {
        let mut bad = BadLines::default();
        let spool = read::read(source, format, now, &mut bad, &mut progress)?;
        Ok::<_, ImportError>((spool, bad, progress))
    })
    .await
    .map_err(|error| std::io::Error::other(error.to_string()))??;
    if bad.count > 0 && !options.skip_bad {
        return Err(ImportError::BadLines(bad));
    }
    let mut imported = write::write(sql, spool, options, now, &mut bad, progress).await?;
    bad.first.sort_by_key(|bad| bad.line);
    imported.bad = bad;
    Ok(imported)
}

/// Whether there is no item yet in the database that `config` names.
///
/// # Errors
/// When it cannot be opened or read.
pub async fn is_empty(config: &haetae_config::Config) -> Result<bool, crate::RunError> {
    let url = config.reservation_database_url();
    let sql = Sql::connect(&url, "database.reservation_url", 2).await?;
    let first = crate::store::Store::new(sql).list_items(None, 0, 1).await?;
    Ok(first.is_empty())
}
