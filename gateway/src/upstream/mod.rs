//! The services behind the gateway: their instances, which of them live, and which is asked next.

/// The name of the upstream that browser sessions need, and whose pages may have a host of their own.
pub(crate) const AUTHSERVER: &str = "auth";

mod breaker;
mod health;
mod pool;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    health::watch,
    pool::{Endpoint, Pool},
};
