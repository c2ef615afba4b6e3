//! `deploy/compose` as compose reads it, and as a container of it would see its secrets and settings.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::binary;

/// The folder in the source tree.
pub fn source() -> PathBuf {
    binary::source_root().join("deploy/compose")
}

/// A compose file, its anchors, merges and variables resolved.
#[derive(Clone, Debug)]
pub struct ComposeFile(pub Value);

impl ComposeFile {
    /// Reads `name` of [`source`] with these variables, as `.env` or the shell would give them.
    pub fn read(name: &str, variables: &[(&str, &str)]) -> Self {
        let text = std::fs::read_to_string(source().join(name)).expect("a compose file");
        Self::parse(&text, variables)
    }

    /// Reads `text`.
    pub fn parse(text: &str, variables: &[(&str, &str)]) -> Self {
        let mut yaml: serde_yaml::Value = serde_yaml::from_str(text).expect("YAML");
        // Each call resolves one level, and what is merged is merged itself.
        for _ in 0..3 {
            yaml.apply_merge().expect("merges of mappings");
        }
        let mut value = serde_yaml::from_value(yaml).expect("YAML that JSON can say");
        interpolate(&mut value, variables);
        Self(value)
    }

    /// The service `name`.
    pub fn service(&self, name: &str) -> Service<'_> {
        Service(self.0["services"].get(name).unwrap_or_else(|| panic!("no service {name}")))
    }

    /// The names of all services.
    pub fn services(&self) -> Vec<&str> {
        keys(&self.0["services"])
    }

    /// The secrets: each name with the file that it is in, relative to [`source`].
    pub fn secrets(&self) -> BTreeMap<&str, &str> {
        let secrets = self.0["secrets"].as_object().expect("secrets");
        secrets
            .iter()
            .map(|(name, secret)| (name.as_str(), secret["file"].as_str().expect("a file")))
            .collect()
    }
}

/// One service of a compose file.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a>(pub &'a Value);

impl<'a> Service<'a> {
    /// The words of the list `key`.
    pub fn words(self, key: &str) -> Vec<&'a str> {
        let list = self.0[key].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().map(|word| word.as_str().expect("a text")).collect()
    }

    /// The environment.
    pub fn environment(self) -> BTreeMap<&'a str, &'a str> {
        let variables = self.0["environment"].as_object().into_iter().flatten();
        variables.map(|(name, value)| (name.as_str(), value.as_str().expect("a text"))).collect()
    }

    /// The bind mounts: source relative to [`source`], target.
    pub fn mounts(self) -> Vec<(&'a str, &'a str)> {
        let volumes = self.words("volumes").into_iter().filter(|volume| volume.starts_with('.'));
        volumes
            .map(|volume| {
                let mut parts = volume.split(':');
                (parts.next().expect("a source"), parts.next().expect("a target"))
            })
            .collect()
    }

    /// The command of the health check, without the word `CMD`.
    pub fn health_check(self) -> Vec<&'a str> {
        let test = Service(&self.0["healthcheck"]).words("test");
        assert_eq!(test.first(), Some(&"CMD"), "{test:?}");
        test.into_iter().skip(1).collect()
    }
}

/// The keys of an object.
pub fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("a mapping").keys().map(String::as_str).collect()
}

/// An environment as [`binary::run_in`] takes it.
pub fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// `${NAME:-DEFAULT}` and `$$`, as compose takes them.
fn interpolate(value: &mut Value, variables: &[(&str, &str)]) {
    match value {
        Value::String(text) => *text = expanded(text, variables),
        Value::Array(list) => list.iter_mut().for_each(|value| interpolate(value, variables)),
        Value::Object(map) => map.values_mut().for_each(|value| interpolate(value, variables)),
        _ => {}
    }
}

fn expanded(text: &str, variables: &[(&str, &str)]) -> String {
    let Some((before, after)) = text.split_once('$') else { return text.to_owned() };
    if let Some(after) = after.strip_prefix('$') {
        return format!("{before}${}", expanded(after, variables));
    }
    let inner = after.strip_prefix('{').and_then(|after| after.split_once('}'));
    let (inner, rest) = inner.unwrap_or_else(|| panic!("compose refuses a lone $: {text}"));
    let (name, default) = inner.split_once(":-").expect("every variable has a default");
    let given = variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    format!("{before}{}{}", given.unwrap_or(default), expanded(rest, variables))
}

/// An installation in a temporary folder: the files of `deploy/compose` that the roles see, and secrets that its
/// script made.
#[derive(Debug)]
pub struct Installation {
    folder: TempDir,
}

impl Installation {
    /// Copies the files and makes the secrets.
    pub fn make() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["haetae.toml", "secrets"] {
            std::fs::copy(source().join(name), folder.path().join(name)).expect("a copy");
        }
        let installation = Self { folder };
        installation.make_secrets();
        installation
    }

    /// Runs the script, and returns what it said.
    pub fn make_secrets(&self) -> String {
        // Not by itself: a copy that was just written may be busy, while another test starts a process.
        let script = self.path().join("secrets");
        let output = Command::new("bash").arg(script).output().expect("the script starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Its folder: the working directory of the roles, where `haetae.toml` is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the secrets.
    pub fn secrets(&self) -> PathBuf {
        self.path().join(".secrets")
    }

    /// A secret.
    pub fn secret(&self, name: &str) -> String {
        std::fs::read_to_string(self.secrets().join(name)).expect(name).trim_end().to_owned()
    }

    /// Replaces `from` in a file of this installation.
    pub fn replace(&self, name: &str, from: &str, to: &str) {
        let path = self.path().join(name);
        let text = std::fs::read_to_string(&path).expect("a file");
        assert!(text.contains(from), "{name} does not say {from}");
        // The secrets are read-only.
        std::fs::remove_file(&path).expect("it can be replaced");
        std::fs::write(&path, text.replace(from, to)).expect("it can be written");
    }

    /// `text` with the place of the secrets in a container made the place of them here.
    pub fn here(&self, text: &str) -> String {
        text.replace("/run/secrets", self.secrets().to_str().expect("UTF-8"))
    }

    /// The environment of `service`, as its container would have it with the image's.
    pub fn environment(&self, service: Service<'_>) -> Vec<(String, String)> {
        let data_dir = self.path().join("data").to_str().expect("UTF-8").to_owned();
        let own = service.environment();
        own.into_iter()
            .map(|(name, value)| (name.to_owned(), self.here(value)))
            .chain([("HAETAE__DATA_DIR".to_owned(), data_dir)])
            .collect()
    }
}
