//! Settings that come as text: environment variables and flags.

use serde_json::Value as Json;

use crate::{
    load::{
        file::{self, Text},
        shape::{Shape, nearest},
        tree::{Node, Value},
    },
    mistake::{Mistake, Origin},
};

/// What an environment variable that sets something begins with.
pub const PREFIX: &str = "HAETAE__";

/// The environment variable that sets `key`: `HAETAE__GATEWAY__LISTEN` for `gateway.listen`.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Puts the setting of an environment variable on top of `tree`. An empty one counts as not set, except
/// that it empties a list.
pub(crate) fn set_variable(tree: &mut Node, name: &str, text: &str, mistakes: &mut Vec<Mistake>) {
    let Some(rest) = name.strip_prefix(PREFIX) else { return };
    let key = rest.to_ascii_lowercase().replace("__", ".");
    let origin = Origin::Variable(name.to_owned());
    let shape = Shape::of_config();
    if shape.at(key.split('.')).is_none() {
        let known: Vec<String> = shape.settings().iter().map(|setting| variable(setting)).collect();
        let meant = nearest(name, known.iter().map(String::as_str));
        let reason = meant.map_or_else(
            || "no setting has this name; see `haetae config print`".to_owned(),
            |meant| format!("no setting has this name; did you mean {meant}?"),
        );
        mistakes.push(Mistake { origin, key: String::new(), reason });
        return;
    }
    set(tree, &key, text, origin, mistakes);
}

/// Puts the setting of a flag on top of `tree`.
pub(crate) fn set_flag(
    tree: &mut Node,
    flag: &str,
    key: &str,
    text: &str,
    mistakes: &mut Vec<Mistake>,
) {
    let origin = Origin::Flag(flag.to_owned());
    let shape = Shape::of_config();
    if shape.at(key.split('.')).is_none() {
        let known = shape.settings();
        let reason = nearest(key, known.iter().map(String::as_str)).map_or_else(
            || "no setting has this name; see `haetae config print`".to_owned(),
            |meant| format!("no setting has this name; did you mean {meant}?"),
        );
        mistakes.push(Mistake { origin, key: key.to_owned(), reason });
        return;
    }
    set(tree, key, text, origin, mistakes);
}

fn set(tree: &mut Node, key: &str, text: &str, origin: Origin, mistakes: &mut Vec<Mistake>) {
    let config = Shape::of_config();
    let keys: Vec<&str> = key.split('.').collect();
    let Some(shape) = config.at(keys.iter().copied()) else { return };
    if text.is_empty() && !matches!(shape, Shape::List(_)) {
        return;
    }
    match read(text, shape, &origin) {
        Ok(value) => tree.set(&keys, Node { origin, value }, Some(config)),
        Err(reason) => mistakes.push(Mistake { origin, key: key.to_owned(), reason }),
    }
}

/// Reads a text as the kind of value that the setting takes.
fn read(text: &str, shape: &Shape, origin: &Origin) -> Result<Value, String> {
    let leaf = |text: &str| Value::Leaf(text.into());
    match shape {
        Shape::Leaf { table: true, .. } if text.starts_with('{') => {
            Ok(toml(text, origin).unwrap_or_else(|_| leaf(text)))
        }
        Shape::Leaf { text: true, .. } => Ok(leaf(text)),
        // A number or a flag; anything else goes on as text, which its type then refuses.
        Shape::Leaf { .. } => Ok(match toml(text.trim(), origin) {
            Ok(value @ Value::Leaf(Json::Number(_) | Json::Bool(_))) => value,
            _ => leaf(text),
        }),
        Shape::List(_) if text.trim_start().starts_with('[') => toml(text, origin),
        Shape::List(_) => Ok(Value::List(
            text.split(',')
                .map(str::trim)
                .filter(|element| !element.is_empty())
                .map(|element| Node { origin: origin.clone(), value: leaf(element) })
                .enumerate()
                .collect(),
        )),
        Shape::Table { .. } if text.trim_start().starts_with('{') => toml(text, origin),
        Shape::Table { .. } => {
            Err("is a table: set its keys, or write it as TOML, { key = … }".to_owned())
        }
    }
}

fn toml(text: &str, origin: &Origin) -> Result<Value, String> {
    let mut mistakes = Vec::new();
    let document = format!("value = {text}");
    let node = file::read(&document, &Text::Other(origin), &mut mistakes);
    if let Some(mistake) = mistakes.into_iter().next() {
        return Err(mistake.reason);
    }
    match node.value {
        Value::Table(mut keys) if keys.len() == 1 => keys.remove("value").map(|node| node.value),
        _ => None,
    }
    .ok_or_else(|| "not one TOML value".to_owned())
}
