//! Refresh token families: all refresh tokens that descend from one grant. Each use rotates the token; a
//! rotated token that comes back ends the whole family (RFC 9700 4.14.2), unless it comes back so soon that
//! it can only be a lost answer or a parallel tab: then it gets the successor that it got before.
//!
//! One hash per family, `haetae:family:{fam_…}`, so that a rotation is one step on one key, in one round
//! trip (`family.lua`). Its fields:
//!
//! | field | holds |
//! |---|---|
//! | `current`, `generation` | SHA-256 of the one token that may be used, and how many came before it |
//! | `client`, `scope`, `offline`, `grant` | what was granted, and to whom |
//! | `absolute`, `idle` | when it ends, in ms |
//! | `recent` | what was rotated within the grace window: hash, instant, sealed successor |
//! | `issued` | the access tokens that came from it and may still live: id and end |
//! | `session` | the key of the SSO session that it ends with, unless it has offline access |
//! | `dead` | since when nothing works any more (the tombstone), in ms |
//!
//! An account has so many at a client (`begin.lua`): one more ends the one that began first. Tombstones and
//! what is over count, and go first.
//!
//! The successor of a rotated token is sealed under a key derived from that token: only who presents the
//! token can be given its successor, and a dump of Redis gives nobody any.

mod grant;
mod rotate;
mod store;
#[cfg(test)]
mod tests;

pub use grant::{AccessRef, FamilyGrant};
pub(crate) use rotate::OUTCOMES;
pub use rotate::{RotateError, Rotated};
pub use store::{FamilyPolicy, FamilyStatus, FamilyStore, Offline, RevokeError, Started};
