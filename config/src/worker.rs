//! The section `[worker]`: the reservation service's worker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, gateway::Admin};

/// The reservation service's worker.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// Metrics, health and readiness.
    pub admin: Admin,
    /// How long a worker owns a partition without renewing; it renews after a third of that.
    pub lease: Duration,
    /// How many requests share one commit at most.
    pub batch: usize,
    /// The payment provider.
    pub payment: Payment,
}

/// The payment provider: a simulator, until a real one stands behind the same trait.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// How long each of its answers takes.
    pub latency: Duration,
    /// The payment tokens that it refuses.
    pub decline_tokens: Vec<String>,
}
