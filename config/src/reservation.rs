//! The section `[reservation]`: the reservation service's API and pages.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, ListenAddr, gateway::Admin};

/// The reservation service's API and pages.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    /// Where it listens. The gateway stands in front of it: keep it on a private network.
    pub listen: ListenAddr,
    /// Metrics, health and readiness.
    pub admin: Admin,
    /// The audience (`aud`) that access tokens for it carry. Default: `<public_url>/api/v1`.
    pub audience: Option<String>,
    /// How long a hold keeps the stock while it waits for a confirmation.
    pub hold: Duration,
    /// How many units one person may have in reservations that are not confirmed yet. 0: any number.
    pub max_open_per_subject: u32,
    /// Into how many queues the work is divided. All roles must agree.
    pub partitions: u16,
    /// How many accepted requests share one commit at most.
    pub accept_batch: usize,
    /// How long the first of them waits for the others.
    pub accept_linger: Duration,
}
