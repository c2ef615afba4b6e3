//! The reservation service: inventory that is never oversold, reservations accepted at once and applied
//! by workers, paid in steps that are undone when one fails; its API and its page.
//!
//! [`domain`] decides and knows nothing of the outside; [`store`] is what is durable; everything else
//! carries between them.

pub mod apply_batch;
pub mod domain;
pub mod lease;
pub mod payment;
pub mod ports;
pub mod queue;
pub mod saga;
pub mod store;
pub mod worker;

mod crash;

#[cfg(test)]
mod tests;
