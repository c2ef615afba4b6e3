//! The OpenID Provider: accounts, sign-in and its pages, the OAuth and OpenID Connect endpoints, the audit
//! trail, and the services behind the command line.

pub mod audit;
mod context;
mod cookies;
pub mod domain;
mod http_stack;
mod locale;
pub mod sign_in;
pub mod store;
mod transient;
