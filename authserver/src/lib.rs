//! The OpenID Provider: accounts, sign-in and its pages, the OAuth and OpenID Connect endpoints, the audit
//! trail, and the services behind the command line.

mod account;
pub mod audit;
mod changes;
mod client_registry;
mod context;
mod cookies;
pub mod domain;
mod fault;
mod gateway_client;
mod http_stack;
mod interaction;
mod locale;
pub mod manage;
mod metrics;
mod oidc;
mod pages;
mod register;
mod run;
mod shut_clients;
pub mod sign_in;
mod sql_health;
mod state;
pub mod store;
#[cfg(test)]
mod testing;
mod transient;

pub use run::{RunError, migrate, run};
