//! Redis as the worker's bell: a stream a partition says which reservations are new, and one stream says
//! which of them changed. SQL stays the truth; whatever gets lost here is found there.

pub mod bell;
pub mod changes;
pub mod stream;
