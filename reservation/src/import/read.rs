//! Reading the file line by line. It never stops at a bad line: a person who mends a file wants to know
//! all that is wrong with it.

use std::{
    collections::{HashMap, HashSet},
    io::{self, BufRead, BufReader, Read},
};

use haetae_base::{clock::Timestamp, problem::FieldError};
use serde_json::{Map, Value};

use super::{
    BadLines, Format, ImportError, OnProgress, Progress,
    lines::Counted,
    spool::{Chunks, Spool},
};
use crate::{
    item_input::{ItemInput, PriceInput},
    object::Object,
};

/// The longest line, in bytes.
const MAX_LINE: u64 = 256 * 1024;

/// How often the progress is told, in items.
const TELL: u64 = 1000;

struct Reading<'a> {
    spool: Spool,
    bad: &'a mut BadLines,
    /// The line of each sku so far: a file that names one twice does not know what it wants.
    skus: HashMap<String, u64>,
    progress: &'a mut OnProgress,
}

pub(super) fn read(
    source: impl Read,
    format: Format,
    now: Timestamp,
    bad: &mut BadLines,
    progress: &mut OnProgress,
) -> Result<Chunks, ImportError> {
    let mut reading = Reading { spool: Spool::new(now)?, bad, skus: HashMap::new(), progress };
    let source = BufReader::with_capacity(256 * 1024, source);
    match format {
        Format::Ndjson => reading.ndjson(source)?,
        Format::Csv => reading.csv(source)?,
    }
    Ok(reading.spool.finish()?)
}

impl Reading<'_> {
    fn ndjson(&mut self, mut source: impl BufRead) -> Result<(), ImportError> {
        let (mut line, mut bytes) = (Vec::new(), 0);
        for number in 1.. {
            line.clear();
            let read = source.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
            if read == 0 {
                break;
            }
            bytes += read;
            if read == MAX_LINE && line.last() != Some(&b'\n') {
                bytes += skip_line(&mut source)?;
                self.bad.add(number, format!("longer than {MAX_LINE} bytes"));
                continue;
            }
            let text = line.strip_prefix(b"\xef\xbb\xbf").filter(|_| number == 1);
            let text = text.unwrap_or(&line).trim_ascii();
            if text.is_empty() {
                continue;
            }
            match serde_json::from_slice::<Object<ItemInput>>(text).map(|Object(input)| input) {
                Ok(input) => self.item(number, input)?,
                Err(error) => self.bad.add(number, plain(&error)),
            }
            self.tell(bytes);
        }
        Ok(())
    }

    fn csv(&mut self, source: impl Read) -> Result<(), ImportError> {
        let (source, lines) = Counted::new(source);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(source);
        let head = reader.headers().map_err(|error| ImportError::File(error.to_string()))?.clone();
        for needed in ["name", "quantity"] {
            if !head.iter().any(|column| column == needed) {
                return Err(ImportError::File(format!(
                    "the first line must name the columns, and {needed} is not among them"
                )));
            }
        }
        let mut columns = HashSet::with_capacity(head.len());
        if let Some(twice) = head.iter().find(|column| !columns.insert(*column)) {
            return Err(ImportError::File(format!(
                "the first line names the column {twice} twice"
            )));
        }
        let mut record = csv::StringRecord::new();
        loop {
            let start = reader.position().byte();
            let read = reader.read_record(&mut record);
            let line = lines.of(start);
            match read {
                Ok(false) => return Ok(()),
                Ok(true) => match csv_item(&head, &record) {
                    Ok(input) => self.item(line, input)?,
                    Err(reason) => self.bad.add(line, reason),
                },
                Err(error) => match error.kind() {
                    csv::ErrorKind::Io(_) => return Err(io::Error::other(error).into()),
                    csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                        self.bad
                            .add(line, format!("{len} columns where there must be {expected_len}"));
                    }
                    csv::ErrorKind::Utf8 { .. } => self.bad.add(line, "not UTF-8"),
                    _ => self.bad.add(line, error.to_string()),
                },
            }
            self.tell(reader.position().byte());
        }
    }

    fn item(&mut self, line: u64, input: ItemInput) -> Result<(), ImportError> {
        match input.check() {
            Ok((about, stock)) => {
                if let Some(sku) = &about.sku {
                    if let Some(first) = self.skus.get(sku) {
                        self.bad.add(line, format!("the sku {sku} stands on line {first} already"));
                        return Ok(());
                    }
                    self.skus.insert(sku.clone(), line);
                }
                self.spool.put(line, &about, stock)?;
            }
            Err(errors) => self.bad.add(line, together(&errors)),
        }
        Ok(())
    }

    fn tell(&mut self, bytes: u64) {
        let items = self.spool.items();
        if items.is_multiple_of(TELL) {
            (self.progress)(Progress::Reading { bytes, items });
        }
    }
}

fn skip_line(source: &mut impl BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(skipped);
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(buffer.len(), |end| end + 1);
        source.consume(used);
        skipped += used as u64;
        if end.is_some() {
            return Ok(skipped);
        }
    }
}

/// A serde error without its place in the line, which is line 1 of a document of its own.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) if error.column() == 0 => reason.to_owned(),
        Some((reason, _)) => format!("{reason} (column {})", error.column()),
        None => text,
    }
}

fn together(errors: &[FieldError]) -> String {
    let errors: Vec<String> = errors
        .iter()
        .map(|error| format!("{} {}", error.field.trim_start_matches('/'), error.detail))
        .collect();
    errors.join("; ")
}

fn csv_item(head: &csv::StringRecord, record: &csv::StringRecord) -> Result<ItemInput, String> {
    let mut input = ItemInput {
        sku: None,
        name: String::new(),
        description: None,
        quantity: 0,
        price: None,
        starts_at: None,
        attributes: None,
    };
    let (mut minor, mut currency) = (None, None);
    let mut attributes = Map::new();
    for (column, value) in head.iter().zip(record) {
        if value.is_empty() && column != "quantity" {
            continue;
        }
        let text = value.to_owned();
        match column {
            "sku" => input.sku = Some(text),
            "name" => input.name = text,
            "description" => input.description = Some(text),
            "starts_at" => input.starts_at = Some(text),
            "currency" => currency = Some(text),
            "quantity" => {
                let wrong = || format!("quantity must be a whole number, not {value:?}");
                input.quantity = value.parse().map_err(|_| wrong())?;
            }
            "price_minor" => {
                let wrong = || format!("price_minor must be a whole number, not {value:?}");
                minor = Some(value.parse().map_err(|_| wrong())?);
            }
            name => {
                attributes.insert(name.to_owned(), Value::String(text));
            }
        }
    }
    input.price = match (minor, currency) {
        (None, None) => None,
        (Some(amount_minor), Some(currency)) => Some(PriceInput { amount_minor, currency }),
        (Some(_), None) => return Err("price_minor needs a currency".to_owned()),
        (None, Some(_)) => return Err("currency needs a price_minor".to_owned()),
    };
    input.attributes = (!attributes.is_empty()).then_some(attributes);
    Ok(input)
}
