//! The section `[log]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The log of every role, on standard error.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How a line is written.
    pub format: Format,
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`), or a list by target such as
    /// `info,haetae_gateway=debug`.
    pub level: String,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For a person.
    Text,
    /// One JSON object a line, for a collector.
    Json,
}
