//! The claims of the tokens: what an access token (RFC 9068) and an ID token (OpenID Connect Core 2) say,
//! and the small types that they are made of. Members that are not listed are tolerated and ignored.

mod access;
mod assurance;
mod audience;
mod confirmation;
mod half_hash;
mod id;
pub(crate) mod numeric_date;
mod scope;

pub use access::AccessClaims;
pub use assurance::{Acr, UnknownAcr};
pub use audience::Audience;
pub use confirmation::Confirmation;
pub use half_hash::half_hash;
pub use id::IdClaims;
pub use scope::{InvalidScope, Scope};
