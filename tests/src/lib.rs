//! The harness of the black-box tests: it starts the built binary in a temporary folder on free ports,
//! plays browser, OpenID client, mobile app and attacker against it, and takes its parts away.
//!
//! It must not know any crate of the product: what it knows, a stranger could know.
//!
//! A step that fails ends the test with a panic that names the step and shows the log of the stack; that is
//! why this crate, alone in the workspace, unwraps.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a harness of tests: a panic is its report, and the real clock and environment are its business"
)]

pub mod agent;
pub mod api;
pub mod binary;
pub mod browser;
pub mod compose;
pub mod html;
pub mod oidc;
pub mod postgres;
pub mod prometheus;
pub mod raw;
pub mod reaper;
pub mod redis;
pub mod shop;
pub mod stack;
pub mod token;
pub mod totp;
pub mod wait;
