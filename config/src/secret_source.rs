//! A secret as a setting: the value itself, a file that holds it, or an environment variable that does.
//! Nothing here ever prints the secret.

use std::{
    borrow::Cow,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, MapAccess},
    ser::SerializeMap,
};

/// A secret: the text itself, `{ file = "PATH" }` (its content without the last line break), or
/// `{ env = "NAME" }`. The loader reads the file or the variable, so a loaded configuration has the
/// value of each.
#[derive(Clone)]
pub struct SecretSource {
    origin: Origin,
    value: Option<SecretString>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Plain,
    File(PathBuf),
    Env(String),
}

/// A secret that cannot be had, in a line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SecretUnavailable {
    /// The file cannot be read.
    #[error("cannot read the secret {setting} from {}: {source}", .path.display())]
    Unreadable {
        /// The key of the setting.
        setting: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is there and has nothing in it.
    #[error("the file {} of the secret {setting} is empty", .path.display())]
    Empty {
        /// The key of the setting.
        setting: String,
        /// The file.
        path: PathBuf,
    },
    /// Nothing gives the secret, and its file in the data folder is not there either.
    #[error(
        "{setting} is not set, and there is no {path}, which `haetae up` would make; set it to a text, \
         {{ file = \"PATH\" }} or {{ env = \"NAME\" }}"
    )]
    Missing {
        /// The key of the setting.
        setting: String,
        /// The file.
        path: PathBuf,
    },
    /// The environment variable is not set, or empty.
    #[error("the environment variable {variable} of the secret {setting} is not set")]
    Unset {
        /// The key of the setting.
        setting: String,
        /// The variable.
        variable: String,
    },
}

impl SecretSource {
    /// A secret that is given as it is.
    pub fn plain(value: impl Into<SecretString>) -> Self {
        Self { origin: Origin::Plain, value: Some(value.into()) }
    }

    /// The secret. `None` before the loader has read the file or the variable, and where it was told not
    /// to (`Secrets::Only`).
    pub const fn value(&self) -> Option<&SecretString> {
        self.value.as_ref()
    }

    /// The secret, or an empty text, which opens nothing, when it was not read. What is set and not read
    /// must never look like what is not set, which has a default.
    pub(crate) fn value_or_nothing(&self) -> SecretString {
        self.value.clone().unwrap_or_default()
    }

    /// Reads the file, relative to `base`, or takes the variable from `environment`.
    pub(crate) fn resolve(
        &mut self,
        setting: &str,
        base: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), SecretUnavailable> {
        match &self.origin {
            Origin::Plain => {}
            Origin::File(path) => self.value = Some(read(setting, &base.join(path))?),
            Origin::Env(variable) => match environment(variable).filter(|text| !text.is_empty()) {
                Some(text) => self.value = Some(text.into()),
                None => {
                    return Err(SecretUnavailable::Unset {
                        setting: setting.to_owned(),
                        variable: variable.clone(),
                    });
                }
            },
        }
        Ok(())
    }

    /// The value of `source` when it is set, otherwise the content of `file`.
    pub(crate) fn value_or_file(
        source: Option<&Self>,
        setting: &str,
        file: &Path,
    ) -> Result<SecretString, SecretUnavailable> {
        match source {
            Some(source) => Ok(source.value_or_nothing()),
            None => read(setting, file).map_err(|error| match error {
                SecretUnavailable::Unreadable { setting, path, source }
                    if source.kind() == io::ErrorKind::NotFound =>
                {
                    SecretUnavailable::Missing { setting, path }
                }
                error => error,
            }),
        }
    }
}

fn read(setting: &str, path: &Path) -> Result<SecretString, SecretUnavailable> {
    let text = fs::read_to_string(path).map_err(|source| SecretUnavailable::Unreadable {
        setting: setting.to_owned(),
        path: path.to_owned(),
        source,
    })?;
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        return Err(SecretUnavailable::Empty {
            setting: setting.to_owned(),
            path: path.to_owned(),
        });
    }
    Ok(text.into())
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Plain => formatter.write_str("\"***\""),
            Origin::File(path) => write!(formatter, "{{ file = {path:?} }}"),
            Origin::Env(name) => write!(formatter, "{{ env = {name:?} }}"),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = SecretSource;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a secret: a text, { file = \"PATH\" } or { env = \"NAME\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretSource, E> {
                if text.is_empty() {
                    return Err(E::custom("a secret cannot be empty"));
                }
                Ok(SecretSource::plain(text))
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<SecretSource, M::Error> {
                let wrong = || de::Error::custom("write { file = \"PATH\" } or { env = \"NAME\" }");
                let (key, text) = map.next_entry::<String, String>()?.ok_or_else(wrong)?;
                if text.is_empty() || map.next_key::<String>()?.is_some() {
                    return Err(wrong());
                }
                let origin = match key.as_str() {
                    "file" => Origin::File(text.into()),
                    "env" => Origin::Env(text),
                    _ => return Err(wrong()),
                };
                Ok(SecretSource { origin, value: None })
            }

            // The number or flag itself must not get into the message: it may be the secret.
            fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretSource, E> {
                Err(E::custom("a secret is a text: put it in quotes"))
            }

            fn visit_u64<E: de::Error>(self, _: u64) -> Result<SecretSource, E> {
                Err(E::custom("a secret is a text: put it in quotes"))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretSource, E> {
                Err(E::custom("a secret is a text: put it in quotes"))
            }

            fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretSource, E> {
                Err(E::custom("a secret is a text: put it in quotes"))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What `config print` shows: where the secret comes from, and `***` for one that stands there itself.
impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, text) = match &self.origin {
            Origin::Plain => return serializer.serialize_str("***"),
            Origin::File(path) => ("file", path.display().to_string()),
            Origin::Env(name) => ("env", name.clone()),
        };
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(key, &text)?;
        map.end()
    }
}

impl JsonSchema for SecretSource {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"oneOf": [
            {"type": "string", "minLength": 1},
            {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"], "additionalProperties": false},
            {"type": "object", "properties": {"env": {"type": "string"}}, "required": ["env"], "additionalProperties": false},
        ]})
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn parse(value: serde_json::Value) -> Result<SecretSource, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn comes_from_value_file_or_environment() {
        let folder = std::env::temp_dir().join(format!("haetae-secret-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("folder");
        fs::write(folder.join("token"), "from file\n").expect("file");
        let environment = |name: &str| (name == "TOKEN").then(|| "from env".to_owned());
        for (value, expected) in [
            (json!("plain"), "plain"),
            (json!({"file": "token"}), "from file"),
            (json!({"env": "TOKEN"}), "from env"),
        ] {
            let mut source = parse(value).expect("source");
            source.resolve("a.b", &folder, &environment).expect("resolves");
            assert_eq!(source.value().expect("value").expose_secret(), expected);
            assert!(!format!("{source:?}").contains(expected));
            assert!(!serde_json::to_string(&source).expect("json").contains(expected));
        }
        for (value, message) in [
            (json!({"file": "absent"}), "cannot read the secret a.b from "),
            (
                json!({"env": "ABSENT"}),
                "the environment variable ABSENT of the secret a.b is not set",
            ),
        ] {
            let mut source = parse(value).expect("source");
            let error = source.resolve("a.b", &folder, &environment).expect_err("refused");
            assert!(error.to_string().starts_with(message), "{error}");
        }
        fs::remove_dir_all(&folder).expect("clean");
    }

    #[test]
    fn a_secret_that_nothing_gives_says_how_to_give_it() {
        let file = Path::new("/nowhere/master.key");
        let error = SecretSource::value_or_file(None, "keys.master_key", file);
        let error = error.expect_err("missing").to_string();
        assert!(
            error.starts_with("keys.master_key is not set, and there is no /nowhere/"),
            "{error}"
        );
        let given = SecretSource::plain("given");
        let value = SecretSource::value_or_file(Some(&given), "keys.master_key", file);
        assert_eq!(value.expect("given").expose_secret(), "given");
    }

    #[test]
    fn a_mistake_does_not_show_the_secret() {
        for value in [json!(12_345), json!(true), json!({"flie": "12345"}), json!(123.45)] {
            let error = parse(value).expect_err("refused");
            assert!(!error.contains("123"), "{error}");
        }
        assert!(parse(json!({"file": "a", "env": "b"})).is_err());
        assert!(parse(json!("")).is_err());
    }
}
