//! Places where a test can let the process die. They exist in test builds only (and with the feature
//! `crash-points`, for whoever tests a whole binary): elsewhere the macro is nothing.
//!
//! `HAETAE_CRASH_POINT=<name>` makes the process kill itself with SIGKILL the first time it passes there:
//! no destructor runs, no connection is closed in an orderly way.

/// Dies here if a test wants it.
macro_rules! crash_point {
    ($name:literal) => {
        #[cfg(any(test, feature = "crash-points"))]
        crate::crash::pass($name);
    };
}
pub(crate) use crash_point;

#[cfg(any(test, feature = "crash-points"))]
pub(crate) const POINTS: [&str; 8] = [
    "batch-before-commit",
    "batch-after-commit",
    "after-ack",
    "after-publish",
    "payment-before-call",
    "payment-after-call",
    "partition-after-lease",
    "partition-after-fence",
];

#[cfg(any(test, feature = "crash-points"))]
#[expect(clippy::disallowed_methods, reason = "exists in test builds only")]
pub(crate) fn pass(name: &str) {
    debug_assert!(POINTS.contains(&name), "{name} is not in the list");
    if std::env::var("HAETAE_CRASH_POINT").is_ok_and(|point| point == name) {
        let process = std::process::id().to_string();
        let _never_returns = std::process::Command::new("kill").args(["-9", &process]).status();
        loop {
            std::thread::park();
        }
    }
}
