//! What a configuration may look like: which keys there are and what kind of value each takes. Taken
//! from the JSON schema, so from the types.

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::Value;

/// What may stand at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A table with these keys.
    Table { keys: BTreeMap<String, Shape>, required: Vec<String> },
    /// A list of values of one shape.
    List(Box<Shape>),
    /// A value; whether it may be a text, and whether it may be a small table instead (a secret).
    Leaf { text: bool, table: bool },
}

impl Shape {
    /// The shape of the whole configuration.
    pub(crate) fn of_config() -> &'static Self {
        static SHAPE: OnceLock<Shape> = OnceLock::new();
        SHAPE.get_or_init(|| Self::from_schema(&crate::schema::types()))
    }

    fn from_schema(schema: &Value) -> Self {
        if let Some(Value::Object(properties)) = schema.get("properties") {
            let keys = properties
                .iter()
                .map(|(key, property)| (key.clone(), Self::from_schema(property)))
                .collect();
            let required = schema
                .get("required")
                .and_then(Value::as_array)
                .map(|keys| keys.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default();
            return Self::Table { keys, required };
        }
        if let Some(items) = schema.get("items") {
            return Self::List(Box::new(Self::from_schema(items)));
        }
        let alternatives = ["anyOf", "oneOf"]
            .iter()
            .filter_map(|keyword| schema.get(keyword).and_then(Value::as_array))
            .flatten()
            .filter(|alternative| !is_type(alternative, "null"))
            .collect::<Vec<_>>();
        match alternatives.as_slice() {
            [] => Self::Leaf { text: is_type(schema, "string"), table: false },
            [only] => Self::from_schema(only),
            several => Self::Leaf {
                text: several.iter().any(|alternative| {
                    is_type(alternative, "string") || alternative.get("const").is_some()
                }),
                table: several.iter().any(|alternative| is_type(alternative, "object")),
            },
        }
    }

    /// The shape at `path`, a key of nested tables.
    pub(crate) fn at<'path>(&self, path: impl IntoIterator<Item = &'path str>) -> Option<&Self> {
        path.into_iter().try_fold(self, |shape, key| match shape {
            Self::Table { keys, .. } => keys.get(key),
            Self::List(_) | Self::Leaf { .. } => None,
        })
    }

    /// The dotted keys of everything that is not a table.
    pub(crate) fn settings(&self) -> Vec<String> {
        let mut settings = Vec::new();
        self.collect("", &mut settings);
        settings
    }

    fn collect(&self, path: &str, settings: &mut Vec<String>) {
        match self {
            Self::Table { keys, .. } => {
                for (key, shape) in keys {
                    let dot = if path.is_empty() { "" } else { "." };
                    shape.collect(&format!("{path}{dot}{key}"), settings);
                }
            }
            Self::List(_) | Self::Leaf { .. } => settings.push(path.to_owned()),
        }
    }
}

fn is_type(schema: &Value, name: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == name,
        Some(Value::Array(several)) => several.iter().any(|one| one == name),
        _ => false,
    }
}

/// The one of `known` that was probably meant by `wrong`, if any is near enough.
pub(crate) fn nearest<'known>(
    wrong: &str,
    known: impl IntoIterator<Item = &'known str>,
) -> Option<&'known str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len().max(wrong.len()) / 4)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_kind_of_value_each_key_takes() {
        let shape = Shape::of_config();
        let at = |path: &str| shape.at(path.split('.')).cloned();
        assert_eq!(at("gateway.threads"), Some(Shape::Leaf { text: false, table: false }));
        assert_eq!(at("gateway.admin.listen"), Some(Shape::Leaf { text: true, table: false }));
        assert_eq!(at("redis.url"), Some(Shape::Leaf { text: true, table: true }));
        assert_eq!(at("log.format"), Some(Shape::Leaf { text: true, table: false }));
        assert!(matches!(at("gateway.tls"), Some(Shape::Table { .. })));
        assert!(matches!(at("gateway.routes"), Some(Shape::List(_))));
        assert_eq!(at("gateway.nonsense"), None);
        let settings = shape.settings();
        assert!(settings.contains(&"auth.tokens.access".to_owned()), "{settings:?}");
    }

    #[test]
    fn guesses_only_what_is_near() {
        assert_eq!(nearest("listen", ["threads", "listen"]), Some("listen"));
        assert_eq!(nearest("lsiten", ["threads", "listen"]), Some("listen"));
        assert_eq!(nearest("colour", ["threads", "listen"]), None);
    }
}
