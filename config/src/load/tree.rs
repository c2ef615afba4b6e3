//! A configuration before it has types: a tree of values that each know where they were said.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::{load::shape::Shape, mistake::Origin};

/// A value and where it was said.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) origin: Origin,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Table(BTreeMap<String, Node>),
    /// Elements with the index that they were said at, which stays when another one is taken out.
    List(Vec<(usize, Node)>),
    Leaf(Json),
}

/// A step into the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Key(String),
    /// An index as it was said.
    Index(usize),
}

/// A way into the tree.
pub(crate) type Path = Vec<Step>;

/// A path as people read it: `gateway.routes[3].path`.
pub(crate) fn written(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => {
                text.push('.');
                text.push_str(key);
            }
            Step::Index(index) => {
                text.push('[');
                text.push_str(&index.to_string());
                text.push(']');
            }
        }
    }
    text
}

impl Node {
    /// Puts `over` on top: tables key by key, everything else as a whole.
    pub(crate) fn merge(&mut self, over: Self, shape: Option<&Shape>) {
        let keys = match shape {
            Some(Shape::Table { keys, .. }) => Some(keys),
            _ => None,
        };
        match (&mut self.value, over.value, keys) {
            (Value::Table(under), Value::Table(over), Some(keys)) => {
                for (key, node) in over {
                    match under.get_mut(&key) {
                        Some(below) => below.merge(node, keys.get(&key)),
                        None => {
                            under.insert(key, node);
                        }
                    }
                }
            }
            (_, value, _) => *self = Self { origin: over.origin, value },
        }
    }

    /// Puts `node` at `keys`, making the tables on the way.
    pub(crate) fn set(&mut self, keys: &[&str], node: Self, shape: Option<&Shape>) {
        let wrapped = keys.iter().rev().fold(node, |node, key| Self {
            origin: node.origin.clone(),
            value: Value::Table(BTreeMap::from([((*key).to_owned(), node)])),
        });
        self.merge(wrapped, shape);
    }

    /// The node at `path`.
    pub(crate) fn at(&self, path: &[Step]) -> Option<&Self> {
        path.iter().try_fold(self, |node, step| node.child(step))
    }

    fn child(&self, step: &Step) -> Option<&Self> {
        match (&self.value, step) {
            (Value::Table(keys), Step::Key(key)) => keys.get(key),
            (Value::List(elements), Step::Index(index)) => {
                elements.iter().find(|(said, _)| said == index).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    pub(crate) fn child_mut(&mut self, step: &Step) -> Option<&mut Self> {
        match (&mut self.value, step) {
            (Value::Table(keys), Step::Key(key)) => keys.get_mut(key),
            (Value::List(elements), Step::Index(index)) => {
                elements.iter_mut().find(|(said, _)| said == index).map(|(_, node)| node)
            }
            _ => None,
        }
    }

    pub(crate) fn at_mut(&mut self, path: &[Step]) -> Option<&mut Self> {
        path.iter().try_fold(self, |node, step| node.child_mut(step))
    }

    /// Where the value at `path` was said, or what is nearest above it.
    pub(crate) fn origin(&self, path: &[Step]) -> Origin {
        let mut node = self;
        for step in path {
            match node.child(step) {
                Some(child) => node = child,
                None => break,
            }
        }
        node.origin.clone()
    }

    /// A value that is known to be good for `path`: the one there, or at the same place of another
    /// element of a list.
    pub(crate) fn sample(&self, path: &[Step]) -> Option<&Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        match (&self.value, step) {
            (Value::List(elements), Step::Index(_)) => {
                elements.iter().find_map(|(_, node)| node.sample(rest))
            }
            (Value::Table(keys), Step::Key(key)) => keys.get(key)?.sample(rest),
            _ => None,
        }
    }

    /// Takes out what stands at `path`. Whether there was something.
    pub(crate) fn remove(&mut self, path: &[Step]) -> bool {
        let Some((last, above)) = path.split_last() else { return false };
        match (self.at_mut(above).map(|node| &mut node.value), last) {
            (Some(Value::Table(keys)), Step::Key(key)) => keys.remove(key).is_some(),
            (Some(Value::List(elements)), Step::Index(index)) => {
                let before = elements.len();
                elements.retain(|(said, _)| said != index);
                elements.len() < before
            }
            _ => false,
        }
    }

    /// The values without their origins.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Table(keys) => Json::Object(
                keys.iter().map(|(key, node)| (key.clone(), node.to_json())).collect::<Map<_, _>>(),
            ),
            Value::List(elements) => elements.iter().map(|(_, node)| node.to_json()).collect(),
            Value::Leaf(leaf) => leaf.clone(),
        }
    }
}
