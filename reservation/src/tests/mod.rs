//! The crate against real databases and a real Redis. Each test has its own of everything.

mod api;
mod apply;
pub(crate) mod bench;
mod crashes;
mod import;
mod oversell;
mod page;
mod random_operations;
pub(crate) mod stand;
mod workers;
