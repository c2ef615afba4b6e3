//! GCRA, the generic cell rate algorithm (ITU-T I.371), in whole numbers.
//!
//! A key's account is one instant, the theoretical arrival time. Instants are counted in units of a
//! millisecond over the quota, so that the time between two requests at the full rate, `window / quota`,
//! is a whole number of them (the window in milliseconds): nothing is ever rounded, and in no window are
//! more than `burst + quota` requests admitted.

use std::time::Duration;

use haetae_base::clock::Timestamp;

use super::Verdict;

/// So many requests in a time, so many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    quota: u32,
    window_millis: u64,
    burst: u32,
}

/// An account: when the next request would be due at the full rate. Zero is an account of nobody yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Account(u128);

/// Numbers that cannot be counted exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRate {
    /// Nothing would ever be admitted, or nothing ever limited.
    #[error("quota, burst and window must be more than zero")]
    Zero,
    /// The window is too long.
    #[error("the window may be at most 366d")]
    TooLarge,
}

const LONGEST_MILLIS: u64 = 366 * 86_400_000;

impl Rate {
    /// `quota` requests in each `window`, up to `burst` of them at once.
    ///
    /// # Errors
    /// [`InvalidRate`].
    pub(crate) fn new(quota: u32, window: Duration, burst: u32) -> Result<Self, InvalidRate> {
        let window_millis = u64::try_from(window.as_millis()).map_err(|_| InvalidRate::TooLarge)?;
        if quota == 0 || burst == 0 || window_millis == 0 {
            return Err(InvalidRate::Zero);
        }
        if window_millis > LONGEST_MILLIS {
            return Err(InvalidRate::TooLarge);
        }
        Ok(Self { quota, window_millis, burst })
    }

    /// The number of requests.
    pub(crate) const fn quota(&self) -> u32 {
        self.quota
    }

    /// How many may come at once.
    pub(crate) const fn burst(&self) -> u32 {
        self.burst
    }

    /// The window in whole seconds, at least one.
    pub(crate) const fn window_seconds(&self) -> u64 {
        let seconds = self.window_millis / 1000;
        if seconds == 0 { 1 } else { seconds }
    }

    /// Counts one request at `now`.
    pub(crate) fn count(&self, account: &mut Account, now: Timestamp) -> Verdict {
        let now = self.units(now);
        // Each request costs the window; the account may be ahead of the time by the burst's cost.
        let cost = u128::from(self.window_millis);
        let full = u128::from(self.burst) * cost;
        // Nobody owes more than the burst. An account that says so was written before the clock was set back, and
        // would refuse its holder until the clock is there again.
        let due = account.0.clamp(now, now + full);
        let ahead = due - now;
        if ahead + cost > full {
            account.0 = due;
            let seconds = self.seconds(ahead + cost - full).max(1);
            return Verdict { admitted: false, remaining: 0, seconds };
        }
        account.0 = due + cost;
        let ahead = ahead + cost;
        Verdict {
            admitted: true,
            remaining: narrow((full - ahead) / cost),
            seconds: self.seconds(ahead),
        }
    }

    /// Whether an account has its full burst again, so that forgetting it changes nothing.
    pub(crate) fn is_idle(&self, account: Account, now: Timestamp) -> bool {
        account.0 <= self.units(now)
    }

    /// An instant in units of a millisecond over the quota. No product of these numbers comes near 2^128.
    fn units(&self, now: Timestamp) -> u128 {
        u128::try_from(now.as_millis()).unwrap_or(0) * u128::from(self.quota)
    }

    /// A length of time in those units as whole seconds, rounded up.
    fn seconds(&self, units: u128) -> u64 {
        narrow(units.div_ceil(u128::from(self.quota) * 1000))
    }
}

fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + i64::try_from(millis).expect("small"))
    }

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate::new(10, Duration::from_secs(10), 3).expect("rate");
        let mut account = Account::default();
        for remaining in [2, 1, 0] {
            let verdict = rate.count(&mut account, at(0));
            assert!(verdict.admitted);
            assert_eq!(verdict.remaining, remaining);
        }
        let refused = rate.count(&mut account, at(0));
        assert_eq!(refused, Verdict { admitted: false, remaining: 0, seconds: 1 });
        assert!(!rate.count(&mut account, at(999)).admitted);
        assert!(rate.count(&mut account, at(1000)).admitted);
        assert!(!rate.count(&mut account, at(1000)).admitted);
        assert!(!rate.is_idle(account, at(3999)));
        assert!(rate.is_idle(account, at(4000)));
    }

    #[test]
    fn waits_as_long_as_it_says_and_not_longer() {
        let rate = Rate::new(1, Duration::from_mins(1), 1).expect("rate");
        let mut account = Account::default();
        assert!(rate.count(&mut account, at(0)).admitted);
        let refused = rate.count(&mut account, at(500));
        assert_eq!(refused.seconds, 60);
        assert!(!rate.count(&mut account, at(59_999)).admitted);
        assert!(rate.count(&mut account, at(500 + refused.seconds * 1000)).admitted);
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let rate = Rate::new(10, Duration::from_secs(10), 3).expect("rate");
        let mut account = Account::default();
        for _ in 0..3 {
            assert!(rate.count(&mut account, at(3_600_000)).admitted);
        }
        // An hour back: the burst is spent, as it was, and comes back at the rate.
        let refused = rate.count(&mut account, at(0));
        assert_eq!(refused, Verdict { admitted: false, remaining: 0, seconds: 1 });
        assert!(!rate.count(&mut account, at(999)).admitted);
        assert!(rate.count(&mut account, at(1000)).admitted);
        assert!(rate.is_idle(account, at(4000)));
    }

    #[test]
    fn numbers_that_cannot_be_counted() {
        let second = Duration::from_secs(1);
        assert_eq!(Rate::new(0, second, 1), Err(InvalidRate::Zero));
        assert_eq!(Rate::new(1, second, 0), Err(InvalidRate::Zero));
        assert_eq!(Rate::new(1, Duration::ZERO, 1), Err(InvalidRate::Zero));
        assert_eq!(Rate::new(1, Duration::from_hours(10_000), 1), Err(InvalidRate::TooLarge));
        // The largest that is taken neither wraps nor panics, and is as exact as the smallest.
        let year = Duration::from_hours(24 * 366);
        let largest = Rate::new(u32::MAX, year, u32::MAX).expect("rate");
        let mut account = Account::default();
        let verdict = largest.count(&mut account, at(0));
        assert_eq!((verdict.admitted, verdict.remaining), (true, u64::from(u32::MAX) - 1));
        let fast = Rate::new(100_000_000, Duration::from_mins(1), 2).expect("rate");
        let mut account = Account::default();
        assert!((0..2).all(|_| fast.count(&mut account, at(0)).admitted));
        assert!(!fast.count(&mut account, at(0)).admitted);
        assert!(fast.count(&mut account, at(1)).admitted);
    }

    proptest! {
        /// In every window, however the requests arrive: at most burst + quota.
        #[test]
        fn no_window_admits_more(
            quota in 1_u32..20,
            window in 1_u64..2000,
            burst in 1_u32..20,
            gaps in proptest::collection::vec(0_u64..300, 1..200),
        ) {
            let rate = Rate::new(quota, Duration::from_millis(window), burst).expect("rate");
            let mut account = Account::default();
            let mut now = 0;
            let mut admitted = Vec::new();
            for gap in gaps {
                now += gap;
                if rate.count(&mut account, at(now)).admitted {
                    admitted.push(now);
                }
            }
            for (first, start) in admitted.iter().enumerate() {
                let within = admitted.iter().skip(first).take_while(|&&at| at < start + window).count();
                prop_assert!(within as u64 <= u64::from(quota) + u64::from(burst));
            }
        }

        /// And the full rate is really given: who keeps to it is never refused.
        #[test]
        fn the_rate_itself_is_never_refused(quota in 1_u32..50, seconds in 1_u64..60, burst in 1_u32..5) {
            let window = Duration::from_secs(seconds);
            let rate = Rate::new(quota, window, burst).expect("rate");
            let mut account = Account::default();
            let step = (seconds * 1000).div_ceil(u64::from(quota));
            for request in 0..100 {
                prop_assert!(rate.count(&mut account, at(request * step)).admitted);
            }
        }
    }
}
