//! The gateway's side of a browser: the session behind its one opaque cookie (RFC 10017), the refresh that
//! happens once however many requests and gateways want it, and the state of a login on its way.
//!
//! A record is found by the hash of the cookie and sealed under a key derived from the cookie, so that a
//! dump of Redis gives away no token.

mod login;
mod refresh;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod turns;

pub use login::{Login, LoginStore};
pub use refresh::RefreshError;
pub use session::{BrowserSession, SignIn, Tokens};
pub use store::{BrowserLifetimes, BrowserStore};
