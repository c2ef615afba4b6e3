//! The life of a request in Pingora's phases, in order.

pub(crate) mod early_request;
pub(crate) mod failure;
pub(crate) mod logging;
pub(crate) mod request;
pub(crate) mod request_body;
pub(crate) mod response;
pub(crate) mod upstream_peer;
pub(crate) mod upstream_request;

/// The error that makes Pingora ask [`failure::answer`], which finds the answer in the context.
const HANDLED: pingora::ErrorType = pingora::ErrorType::Custom("haetae");
