//! Payment providers.

pub mod simulator;
