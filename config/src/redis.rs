//! The section `[redis]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, SecretSource, Size};

/// Redis, which all roles share.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Where it is: `redis://[:PASSWORD@]HOST:PORT[/DB]`, `rediss://` for TLS, `redis+unix:///PATH`.
    /// Default: the private one that `haetae up` runs in `data_dir`.
    pub url: Option<SecretSource>,
    /// How long a command may take.
    pub timeout: Duration,
    /// What the private Redis of `haetae up` may hold in memory. When that is full it refuses to write
    /// (sign-ins wait) rather than forget sessions and revocations.
    pub private_max_memory: Size,
}
