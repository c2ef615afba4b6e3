//! The seams that every Haetae service needs and nothing else: time, randomness, typed ids, secrets,
//! `problem+json`, telemetry, shutdown, connecting to Redis and SQL, and the look and language of
//! the pages.
//!
//! Nothing here knows a token, a session or a reservation.

pub mod admin;
pub mod asset;
pub mod background;
pub mod clock;
pub mod entropy;
pub mod id;
pub mod language;
pub mod migrations;
pub mod problem;
pub mod redis;
pub mod secret;
pub mod shutdown;
pub mod sql;
pub mod telemetry;
