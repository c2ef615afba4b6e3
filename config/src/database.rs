//! The section `[database]`: SQL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::SecretSource;

/// The SQL databases: `sqlite:///PATH` or `postgres://USER:PASSWORD@HOST/NAME`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// The authserver's. Default: the SQLite file `auth.db` in `data_dir`.
    pub auth_url: Option<SecretSource>,
    /// The reservation service's. Default: the SQLite file `reservation.db` in `data_dir`.
    pub reservation_url: Option<SecretSource>,
    /// Whether a role applies the migrations that are missing when it starts.
    pub migrate: bool,
    /// How many connections a role keeps to PostgreSQL at most.
    pub max_connections: u32,
}
