//! A TOML file as a tree that knows its lines.

use std::{path::Path, sync::Arc};

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use crate::{
    load::tree::{Node, Value},
    mistake::{Mistake, Origin},
};

/// Which text is read.
#[derive(Clone, Debug)]
pub(crate) enum Text<'a> {
    /// The built-in defaults.
    BuiltIn,
    /// A file.
    File(Arc<Path>),
    /// A value in an environment variable or flag, which has no lines.
    Other(&'a Origin),
}

impl Text<'_> {
    fn origin(&self, line: usize) -> Origin {
        match self {
            Self::BuiltIn => Origin::Default(line),
            Self::File(path) => Origin::File(path.clone(), line),
            Self::Other(origin) => (*origin).clone(),
        }
    }
}

/// Reads `text` as TOML. What is not TOML is told, every place of it, and left out.
pub(crate) fn read(text: &str, from: &Text<'_>, mistakes: &mut Vec<Mistake>) -> Node {
    let lines = Lines::of(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(0, |span| lines.at(span.start));
        mistakes.push(Mistake {
            origin: from.origin(line),
            key: String::new(),
            reason: format!("not TOML: {}", error.message().trim_end()),
        });
    }
    Node { origin: from.origin(0), value: self::table(table.get_ref(), from, &lines) }
}

fn table(table: &DeTable<'_>, from: &Text<'_>, lines: &Lines) -> Value {
    Value::Table(
        table
            .iter()
            .map(|(key, value)| {
                let origin = from.origin(lines.at(key.span().start));
                (key.get_ref().to_string(), node(value.get_ref(), origin, from, lines))
            })
            .collect(),
    )
}

fn node(value: &DeValue<'_>, origin: Origin, from: &Text<'_>, lines: &Lines) -> Node {
    let value = match value {
        DeValue::Table(keys) => table(keys, from, lines),
        DeValue::Array(elements) => Value::List(
            elements
                .iter()
                .map(|element| {
                    let origin = from.origin(lines.at(element.span().start));
                    node(element.get_ref(), origin, from, lines)
                })
                .enumerate()
                .collect(),
        ),
        DeValue::String(text) => Value::Leaf(text.as_ref().into()),
        DeValue::Boolean(flag) => Value::Leaf((*flag).into()),
        DeValue::Integer(number) => {
            Value::Leaf(i64::from_str_radix(number.as_str(), number.radix()).map_or_else(
                // Too large for TOML's integers: kept as the text, which no number takes.
                |_| number.as_str().into(),
                Json::from,
            ))
        }
        DeValue::Float(number) => {
            Value::Leaf(number.as_str().parse::<f64>().map_or(Json::Null, Json::from))
        }
        DeValue::Datetime(instant) => Value::Leaf(instant.to_string().into()),
    };
    Node { origin, value }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(index, _)| index + 1).collect())
    }

    /// The line, from 1, of a byte.
    fn at(&self, byte: usize) -> usize {
        1 + self.0.partition_point(|start| *start <= byte)
    }
}
