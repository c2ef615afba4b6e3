//! From the tree to the types, telling everything that does not fit and not only the first: what is
//! wrong is told, replaced by something good, and reading goes on.

use std::collections::BTreeSet;

use serde_path_to_error::Segment;

use crate::{
    Config,
    load::{
        shape::{Shape, nearest},
        tree::{Node, Path, Step, Value, written},
    },
    mistake::Mistake,
};

/// What reading a tree gave.
pub(crate) struct Reading {
    /// The configuration; where it was wrong, with something good in its place. `None` when nothing good
    /// was at hand.
    pub(crate) config: Option<Config>,
    /// Where something was replaced: not worth checking any further.
    pub(crate) replaced: BTreeSet<Path>,
}

/// Reads `tree`. `defaults` are known to be good.
pub(crate) fn read(tree: &mut Node, defaults: &Node, mistakes: &mut Vec<Mistake>) -> Reading {
    let mut replaced = BTreeSet::new();
    check_keys(tree, defaults, Shape::of_config(), &mut Vec::new(), &mut replaced, mistakes);
    loop {
        let json = tree.to_json();
        let error = match serde_path_to_error::deserialize::<_, Config>(&json) {
            Ok(config) => return Reading { config: Some(config), replaced },
            Err(error) => error,
        };
        let path = said(tree, error.path());
        mistakes.push(Mistake {
            origin: tree.origin(&path),
            key: written(&path),
            reason: in_plain_words(&error.inner().to_string()),
        });
        let first_time = replaced.insert(path.clone());
        let good = if first_time { defaults.sample(&path).cloned() } else { None };
        let went_on = match (good, tree.at_mut(&path)) {
            (Some(good), Some(bad)) => {
                bad.value = good.value;
                true
            }
            (None, Some(_)) => tree.remove(&path),
            (_, None) => false,
        };
        if !went_on {
            return Reading { config: None, replaced };
        }
    }
}

/// Takes out the keys that there are not, and fills in those that an element of a list must have.
fn check_keys(
    node: &mut Node,
    defaults: &Node,
    shape: &Shape,
    path: &mut Path,
    replaced: &mut BTreeSet<Path>,
    mistakes: &mut Vec<Mistake>,
) {
    match (&mut node.value, shape) {
        (Value::Table(found), Shape::Table { keys, required }) => {
            found.retain(|key, child| {
                path.push(Step::Key(key.clone()));
                let known = keys.get(key);
                if let Some(shape) = known {
                    check_keys(child, defaults, shape, path, replaced, mistakes);
                } else {
                    let meant = nearest(key, keys.keys().map(String::as_str));
                    mistakes.push(Mistake {
                        origin: child.origin.clone(),
                        key: written(path),
                        reason: meant.map_or_else(
                            || format!("unknown key; there are {}", listed(keys.keys())),
                            |meant| format!("unknown key; did you mean {meant}?"),
                        ),
                    });
                }
                path.pop();
                known.is_some()
            });
            for key in required {
                if found.contains_key(key) {
                    continue;
                }
                mistakes.push(Mistake {
                    origin: node.origin.clone(),
                    key: written(path),
                    reason: format!("the key {key} is missing"),
                });
                path.push(Step::Key(key.clone()));
                if let Some(good) = defaults.sample(path) {
                    found.insert(key.clone(), good.clone());
                }
                replaced.insert(path.clone());
                path.pop();
            }
        }
        (Value::List(elements), Shape::List(shape)) => {
            for (index, element) in elements {
                path.push(Step::Index(*index));
                check_keys(element, defaults, shape, path, replaced, mistakes);
                path.pop();
            }
        }
        _ => {}
    }
}

fn listed<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    keys.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The path of an error, with the indices as they were said.
fn said(tree: &Node, path: &serde_path_to_error::Path) -> Path {
    let mut steps = Path::new();
    for segment in path {
        let step = match segment {
            Segment::Map { key } => Step::Key(key.clone()),
            Segment::Seq { index } => match tree.at(&steps).map(|node| &node.value) {
                Some(Value::List(elements)) => {
                    Step::Index(elements.get(*index).map_or(*index, |(said, _)| *said))
                }
                _ => Step::Index(*index),
            },
            // A variant or an unknown place: its parent is as near as it gets.
            Segment::Enum { .. } | Segment::Unknown => break,
        };
        if tree.at(&steps).is_some_and(|node| matches!(node.value, Value::Leaf(_))) {
            break;
        }
        steps.push(step);
    }
    steps
}

/// What serde says about types, for somebody who does not write Rust.
fn in_plain_words(message: &str) -> String {
    const WORDS: [(&str, &str); 12] = [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number, not negative"),
        ("expected usize", "expected a whole number, not negative"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected a table"),
        ("invalid type: sequence", "this is a list"),
        ("invalid type: map", "this is a table"),
        ("invalid type: ", "this is the "),
        ("invalid value: ", "this is the "),
        ("unknown variant ", "this is "),
        ("path string", "a path"),
    ];
    let mut plain =
        WORDS.iter().fold(message.to_owned(), |text, (from, to)| text.replace(from, to));
    if let Some(start) = plain.find("expected struct ") {
        plain.truncate(start);
        plain.push_str("expected a table");
    }
    plain
}
