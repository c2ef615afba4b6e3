//! The single sign-on session of the authserver: that a person is signed in in this browser, how surely,
//! and for which clients.
//!
//! One hash per session, found by its id. The cookie is the id and 256 random bits; the record has only the
//! cookie's hash, so replacing the cookie (`upgrade`) is a change of one field of one key.

mod record;
mod session;
mod store;
#[cfg(test)]
mod tests;

pub use session::{Factors, SsoSession, Start};
pub use store::{Created, SsoLifetimes, SsoStore};
pub(crate) use store::{lives, record_key};
