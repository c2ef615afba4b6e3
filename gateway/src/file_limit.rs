//! File descriptors: each connection needs one. What a process gets at first is meant for programs that
//! use `select`, and is often 1024; what it may have is far more.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one, and says so when that is not enough for `wanted`.
pub(crate) fn raise(wanted: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let granted = if raised.is_ok() { maximum } else { current };
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    // Without a limit there is none to run into.
    if granted.is_some_and(|granted| granted < wanted) {
        tracing::warn!(
            granted,
            wanted,
            "fewer open files are permitted than gateway.max_connections may need; raise ulimit -n"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        raise(1);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
    }
}
