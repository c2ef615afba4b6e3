//! The reservation service: inventory that is never oversold, reservations accepted at once and applied
//! by workers, paid in steps that are undone when one fails; its API and its page.
//!
//! [`domain`] decides and knows nothing of the outside; [`store`] is what is durable; everything else
//! carries between them.

pub mod accept;
pub mod apply_batch;
pub mod domain;
pub mod http;
pub mod import;
pub mod item_input;
pub mod lease;
mod object;
pub mod payment;
pub mod ports;
pub mod queue;
pub mod saga;
pub mod store;
pub mod worker;

mod crash;
mod metrics;
mod page;
mod run;

pub use self::run::{RunError, migrate, run};

#[cfg(test)]
mod tests;
