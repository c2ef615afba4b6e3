//! The gateway: the one door that everybody comes through, on Pingora.
//!
//! A request goes through the house in steps, each of which takes the type that the step before made, so
//! that none can be left out: `clean` refuses what two servers could read differently,
//! `route` finds what is asked for, `limit` counts it,
//! `authenticate` turns credentials into verified claims,
//! `authorize` decides, and `upstream` picks an instance that lives.
//! Browser sessions (RFC 10017) are in `browser`.

mod access_log;
mod answer;
mod authenticate;
mod authorize;
mod browser;
mod challenge;
mod clean;
mod cors;
mod ctx;
mod file_limit;
mod forwarded;
mod front;
mod limit;
mod metrics;
mod pages;
mod phases;
mod proxy;
mod request_id;
mod route;
mod run;
mod upstream;

pub use run::{RunError, run, run_with_clock};
