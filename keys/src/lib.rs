//! What makes a token trusted: sealing of secrets at rest, the ring of signing keys and its rotation,
//! signing, the published keys, verification and the claims. Knows nothing of HTTP routes, SQL or Redis.

pub mod algorithm;
pub mod claims;
pub mod issuer;
pub mod jwks;
pub mod metrics;
pub mod ring;
pub mod seal;
pub mod sign;
pub mod verify;

pub use algorithm::Algorithm;
