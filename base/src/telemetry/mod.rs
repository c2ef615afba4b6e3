//! What a role tells its operators: a log on standard error and metrics for Prometheus.

pub mod log;
pub mod metrics;
