//! Everything in Redis about a person's session: the single sign-on session of the authserver, refresh
//! token families, the browser sessions of the gateway, and the denylist of revoked tokens.
//!
//! Redis sees no bearer secret: cookies and refresh tokens are kept as hashes, and what must be read back
//! (the tokens of a browser session, the successor of a refresh token) is sealed under a key that only the
//! holder of the cookie or token can make. Everything has a time to live, so nothing needs a janitor.
//! Knows nothing of HTTP, SQL or what a login looks like. Needs Redis 7.0 or newer.

mod bearer;
pub mod browser;
pub mod denylist;
pub mod family;
pub mod health;
mod ids;
mod index;
pub mod metrics;
mod script;
pub mod sso;
mod store_error;
#[cfg(test)]
mod test_redis;

pub use ids::{FamilyId, RefreshFamily, Session, SessionId};
pub use store_error::StoreError;
