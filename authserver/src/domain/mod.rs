//! What the authserver is about: accounts, their factors, clients, consents, grants. No HTTP, no SQL, no
//! Redis in here.

pub mod account;
pub mod client;
pub mod consent;
pub mod factor;
pub mod grant;
pub mod redirect_uri;
pub mod scopes;
