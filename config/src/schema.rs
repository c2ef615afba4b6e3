//! The JSON schema of a configuration file, generated from the types, with the defaults of the built-in
//! layer in it.

use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use crate::{Config, DEFAULTS};

/// The JSON schema (draft 2020-12) of a configuration file, for editors and checkers. Nothing is
/// required in it, since every key has a default or may be left out.
pub fn schema() -> Value {
    let mut schema = types();
    let defaults = toml::from_str::<Value>(DEFAULTS).unwrap_or_default();
    add_defaults(&mut schema, &defaults);
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), json!("Configuration of Haetae"));
    }
    schema
}

/// The schema as the types say it, sections inline.
pub(crate) fn types() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    SchemaGenerator::new(settings).into_root_schema_for::<Config>().to_value()
}

fn add_defaults(schema: &mut Value, defaults: &Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    let nothing = Map::new();
    let defaults = defaults.as_object().unwrap_or(&nothing);
    for (key, property) in properties {
        match (property.get("properties").is_some(), defaults.get(key)) {
            (true, Some(section)) => add_defaults(property, section),
            // A list of tables has a default too, which would bury the schema; the annotated file shows it.
            (false, Some(value)) if !is_list_of_tables(value) => {
                if let Some(property) = property.as_object_mut() {
                    property.insert("default".to_owned(), value.clone());
                }
            }
            _ => {}
        }
    }
    object.remove("required");
}

fn is_list_of_tables(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().any(Value::is_object))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Writes the file anew when `HAETAE_UPDATE` is set; see CONTRIBUTING.md.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a switch of this test")]
    fn the_schema_in_the_tree_is_current() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("haetae.schema.json");
        let current = format!("{}\n", serde_json::to_string_pretty(&schema()).expect("json"));
        if std::env::var_os("HAETAE_UPDATE").is_some() {
            fs::write(&path, &current).expect("write");
        }
        let checked_in = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            checked_in == current,
            "config/haetae.schema.json is not what the types say: \
             HAETAE_UPDATE=1 cargo test -p haetae-config"
        );
    }

    #[test]
    fn every_key_has_a_description_and_every_plain_key_a_default() {
        fn walk(path: &str, schema: &Value, missing: &mut Vec<String>) {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
                return;
            };
            for (key, property) in properties {
                let path = format!("{path}.{key}");
                if property.get("description").is_none() {
                    missing.push(path.clone());
                }
                walk(&path, property, missing);
            }
        }
        let mut missing = Vec::new();
        walk("", &schema(), &mut missing);
        assert_eq!(missing, Vec::<String>::new(), "no description");
        assert_eq!(schema()["properties"]["gateway"]["properties"]["threads"]["default"], 0);
        assert_eq!(schema()["properties"]["gateway"].get("required"), None);
    }
}
