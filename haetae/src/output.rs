//! What commands say: results on standard output, everything else on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
    process,
};

use serde::Serialize;

/// Writes a line of the result. A reader that has gone away (`haetae audit | head`) ends the program
/// quietly.
pub(crate) fn line(text: impl Display) {
    write(&mut io::stdout().lock(), &text);
}

/// Writes a line for the person beside the result.
pub(crate) fn note(text: impl Display) {
    write(&mut io::stderr().lock(), &text);
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

fn write(to: &mut impl Write, text: &dyn Display) {
    if let Err(error) = writeln!(to, "{text}").and_then(|()| to.flush()) {
        // Nobody reads: no line can say so.
        process::exit(i32::from(error.kind() != io::ErrorKind::BrokenPipe));
    }
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
