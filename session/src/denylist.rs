//! Revoked tokens: one log, replayed.
//!
//! To revoke is to append an [`Entry`] to SQL, then to one Redis stream ([`DenylistWriter`]). Every gateway
//! reads the stream from its beginning, holds it in memory and follows it ([`DenylistReplica`]), so that no
//! request waits for Redis. SQL keeps what Redis loses; the stream's epoch tells the replicas when that
//! happened, and that it is whole again:
//!
//! - The epoch is written only after the stream has everything that SQL has. No epoch, no trust.
//! - A replica that finds another epoch than the one that it has loaded, or misses the very entry that it
//!   had read last, does not trust its copy until it has read the whole stream again.
//! - Nobody ever forgets an entry before its `until` (and [`LEEWAY`] for clocks that disagree).

mod entry;
mod log;
mod replica;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use entry::{Entry, Kind, LEEWAY};
pub use log::{LogError, Recorded, RevocationLog};
pub use replica::{DenylistReplica, Status};
pub use writer::{DenylistWriter, RevokeError};
