//! Checked items, put aside until the whole file has been read: rows as the database takes them, some
//! thousand in one JSON array a line, in a file without a name. So the memory of an import does not grow with the
//! file, but for the skus, which are remembered to find those that stand there twice.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek, Write},
};

use haetae_base::clock::Timestamp;
use serde::Serialize;

use crate::{
    domain::{
        inventory::{ItemId, Stock},
        money::Money,
    },
    store::{
        Column, Kind,
        inventory::{Description, attributes_column},
        search,
    },
};

/// How many items share a statement, and a transaction: written in a quarter of a second. With fewer the
/// index of words has more pieces to merge, with more whoever reserves meanwhile waits longer.
const CHUNK: u64 = 8000;

#[derive(Serialize)]
struct Row<'a> {
    line: u64,
    id: ItemId,
    sku: Option<&'a str>,
    name: &'a str,
    description: Option<&'a str>,
    quantity: u32,
    price_minor: Option<i64>,
    currency: Option<String>,
    starts_at: Option<i64>,
    attributes: Option<String>,
    terms: String,
}

/// The columns of the rows.
pub(super) const COLUMNS: [Column; 11] = [
    ("line", Kind::Number),
    ("id", Kind::Text),
    ("sku", Kind::Text),
    ("name", Kind::Text),
    ("description", Kind::Text),
    ("quantity", Kind::Number),
    ("price_minor", Kind::Number),
    ("currency", Kind::Text),
    ("starts_at", Kind::Number),
    ("attributes", Kind::Text),
    ("terms", Kind::Text),
];

/// Takes rows in.
pub(super) struct Spool {
    file: BufWriter<File>,
    items: u64,
    now: Timestamp,
}

/// Gives them back.
pub(super) struct Chunks {
    file: BufReader<File>,
    pub(super) items: u64,
}

impl Spool {
    pub(super) fn new(now: Timestamp) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(tempfile::tempfile()?), items: 0, now })
    }

    pub(super) const fn items(&self) -> u64 {
        self.items
    }

    pub(super) fn put(&mut self, line: u64, about: &Description, stock: Stock) -> io::Result<()> {
        let separator: &[u8] = match (self.items, self.items % CHUNK) {
            (0, _) => b"[",
            (_, 0) => b"]\n[",
            _ => b",",
        };
        self.file.write_all(separator)?;
        let row = Row {
            line,
            id: ItemId::new(self.now),
            sku: about.sku.as_deref(),
            name: &about.name,
            description: about.description.as_deref(),
            quantity: stock.quantity(),
            price_minor: about.price.map(Money::minor),
            currency: about.price.map(|price| price.currency().into()),
            starts_at: about.starts_at.map(Timestamp::as_millis),
            attributes: attributes_column(&about.attributes)?,
            terms: search::terms(about),
        };
        serde_json::to_writer(&mut self.file, &row)?;
        self.items += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<Chunks> {
        if self.items > 0 {
            self.file.write_all(b"]\n")?;
        }
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Chunks { file: BufReader::new(file), items: self.items })
    }
}

impl Chunks {
    /// From the first one again.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file.rewind()
    }

    /// The next chunk: a JSON array, and how many items are in it.
    pub(super) fn next(&mut self, left: u64) -> io::Result<Option<(String, u64)>> {
        let mut chunk = String::new();
        if self.file.read_line(&mut chunk)? == 0 {
            return Ok(None);
        }
        Ok(Some((chunk, left.min(CHUNK))))
    }
}
