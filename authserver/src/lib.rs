//! The OpenID Provider: accounts, sign-in and its pages, the OAuth and OpenID Connect endpoints, the audit
//! trail, and the services behind the command line.

pub mod domain;
pub mod store;
