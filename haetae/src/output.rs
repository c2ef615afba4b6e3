//! What commands say: results on standard output, everything else on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
    process,
};

use serde::Serialize;

/// Writes a line of the result. A reader that has gone away (`haetae audit | head`) ends the program
/// quietly; a result that cannot be kept (a full disk) ends it with an error.
pub(crate) fn line(text: impl Display) {
    let Err(error) = write(&mut io::stdout().lock(), &text) else { return };
    if error.kind() == io::ErrorKind::BrokenPipe {
        process::exit(0);
    }
    note(format_args!("haetae: cannot write the result: {error}"));
    process::exit(1);
}

/// Writes a line for whoever watches a program that runs on. It runs on when nobody does.
pub(crate) fn say(text: impl Display) {
    let _seen = write(&mut io::stdout().lock(), &text);
}

/// Writes a line for the person beside the result. A terminal that has closed must not keep anybody from
/// ending what runs.
pub(crate) fn note(text: impl Display) {
    let _seen = write(&mut io::stderr().lock(), &text);
}

/// Writes a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?);
    Ok(())
}

/// Writes an error as one line (or as the list of mistakes that it is), with each cause that the line
/// does not name already.
pub(crate) fn error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    note(format_args!("haetae: {text}"));
}

fn write(to: &mut impl Write, text: &dyn Display) -> io::Result<()> {
    writeln!(to, "{text}")?;
    to.flush()
}

/// So many things of a kind: `1 line`, `2 lines`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Rows with aligned columns, for a person.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|name| name.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let format = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            if !text.is_empty() {
                text.push_str("  ");
            }
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        text.trim_end().to_owned()
    };
    line(format(&mut head.iter().copied()));
    for row in rows {
        line(format(&mut row.iter().map(String::as_str)));
    }
}
