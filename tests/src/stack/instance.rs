//! The roles of a stack, and what `DIR/instance.json` says about them.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::Deserialize;
use url::Url;

/// A role, by its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `haetae gateway`
    Gateway,
    /// `haetae auth`
    Auth,
    /// `haetae reservation`
    Reservation,
    /// `haetae worker`
    Worker,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Auth, Self::Reservation, Self::Worker];

    /// As in the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Auth => "auth",
            Self::Reservation => "reservation",
            Self::Worker => "worker",
        }
    }
}

/// What `DIR/instance.json` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Instance {
    /// The address for everyone.
    pub public_url: Url,
    /// The process of `up`.
    pub pid: u32,
    /// The roles by name.
    pub roles: BTreeMap<String, RoleProcess>,
    /// The private Redis.
    pub redis_pid: Option<u32>,
}

/// One running role.
#[derive(Clone, Debug, Deserialize)]
pub struct RoleProcess {
    /// Its process.
    pub pid: u32,
    /// Where it serves.
    pub listen: Option<SocketAddr>,
    /// Its metrics, health and readiness.
    pub admin: SocketAddr,
}
