//! The crate against real databases and a real Redis. Each test has its own of everything.

mod apply;
pub(crate) mod bench;
