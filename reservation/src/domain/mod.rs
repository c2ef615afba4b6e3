//! What a reservation is and what may become of it: stock, money, states and their transitions. No I/O,
//! no framework, no clock: every function is given what it needs.

pub mod advance;
pub mod basket;
pub mod cancellation;
pub mod fence;
pub mod hold;
pub mod inventory;
pub mod money;
pub mod payment;
pub mod quantity;
pub mod reservation;
pub mod version;

#[cfg(test)]
mod model_tests;
