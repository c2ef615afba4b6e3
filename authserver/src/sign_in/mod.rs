//! Signing in: the password, the one-time code, the recovery code, and what slows down guessing.

pub mod hash_pool;
pub(crate) mod password;
pub(crate) mod recovery_code;
pub(crate) mod throttle;
pub(crate) mod totp;
