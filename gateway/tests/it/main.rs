//! The gateway as it runs, on a free port in a thread of this process: raw bytes in front of it, an upstream
//! behind it that writes down every byte, a real Redis, and tokens signed by the real code.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test that panics has failed, and it measures by the machine's own clock"
)]

mod bearer;
mod browser;
mod cors;
mod forwarded;
mod front_door;
mod harness;
mod http2;
mod lifecycle;
mod limits;
mod routes;
mod upstreams;
mod versions;
