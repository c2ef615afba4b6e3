//! The section `[denylist]`: the revocation log as the gateways see it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// The revocation log as the gateways see it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Denylist {
    /// A gateway that has not heard from Redis for this long stops trusting its copy.
    pub max_staleness: Duration,
}
