//! A circuit breaker for one instance: after a few failures in a row it is not asked any more, so that
//! requests are answered 503 at once instead of after a timeout; then one request at a time may try.

use std::{
    sync::atomic::{AtomicI64, AtomicU32, Ordering},
    time::Duration,
};

use haetae_base::clock::Timestamp;

/// The state of one instance.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// Failures in a row.
    failures: AtomicU32,
    /// Until when nobody asks, in milliseconds; 0 while closed.
    open_until: AtomicI64,
}

/// So many failures in a row open it.
const THRESHOLD: u32 = 3;
/// It stays open this long the first time, twice as long each time that a trial fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const DOUBLINGS: u32 = 4;

impl Breaker {
    /// Whether the instance may be asked now. While open, one caller is let through each time that the
    /// pause is over.
    pub(crate) fn admits(&self, now: Timestamp) -> bool {
        let until = self.open_until.load(Ordering::Acquire);
        if until == 0 {
            return true;
        }
        let next = now.plus(FIRST_PAUSE).as_millis();
        now.as_millis() >= until
            && self
                .open_until
                .compare_exchange(until, next, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
    }

    /// Whether the instance is taken for dead.
    pub(crate) fn is_open(&self) -> bool {
        self.open_until.load(Ordering::Acquire) != 0
    }

    /// Whether it failed when it was last asked.
    pub(crate) fn is_suspect(&self) -> bool {
        self.failures.load(Ordering::Relaxed) != 0
    }

    /// When the next trial may be: 0 when that is now.
    pub(crate) fn pause_left(&self, now: Timestamp) -> Duration {
        Timestamp::from_millis(self.open_until.load(Ordering::Acquire)).since(now)
    }

    /// The instance answered.
    pub(crate) fn succeeded(&self) {
        // Mostly there is nothing to change, and a line that all threads share is only read.
        if self.failures.load(Ordering::Relaxed) != 0 || self.is_open() {
            self.failures.store(0, Ordering::Release);
            self.open_until.store(0, Ordering::Release);
        }
    }

    /// The instance could not be reached, or broke off.
    pub(crate) fn failed(&self, now: Timestamp) {
        let failures = self.failures.fetch_add(1, Ordering::AcqRel).saturating_add(1);
        if failures >= THRESHOLD {
            let doublings = (failures - THRESHOLD).min(DOUBLINGS);
            let until = now.plus(FIRST_PAUSE * 2_u32.pow(doublings)).as_millis();
            self.open_until.store(until.max(1), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    #[test]
    fn opens_after_failures_in_a_row_and_lets_one_try() {
        let breaker = Breaker::default();
        breaker.failed(at(0));
        breaker.failed(at(0));
        breaker.succeeded();
        breaker.failed(at(0));
        breaker.failed(at(0));
        assert!(breaker.admits(at(0)));
        breaker.failed(at(0));
        assert!(breaker.is_open() && !breaker.admits(at(999)));
        assert_eq!(breaker.pause_left(at(400)), Duration::from_millis(600));
        assert!(breaker.admits(at(1000)), "the trial");
        assert!(!breaker.admits(at(1000)), "and only one");
        breaker.failed(at(1000));
        assert!(!breaker.admits(at(2999)), "the pause doubles");
        assert!(breaker.admits(at(3000)));
        breaker.succeeded();
        assert!(!breaker.is_open() && breaker.admits(at(3000)));
    }

    #[test]
    fn the_pause_has_an_end() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(at(0));
        }
        assert!(breaker.admits(at(16_000)));
    }
}
