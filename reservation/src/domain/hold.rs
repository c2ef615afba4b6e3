//! How long stock is kept for somebody who has not confirmed yet.

use std::time::Duration;

use haetae_base::clock::Timestamp;

/// How long a hold lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldPolicy {
    /// From holding, and again from the start of a payment.
    pub duration: Duration,
}

impl HoldPolicy {
    /// When a hold that begins at `now` ends.
    pub fn until(self, now: Timestamp) -> Timestamp {
        now.plus(self.duration)
    }

    /// When a hold that would end at `until` ends if a payment starts at `now`: nobody loses the stock
    /// while paying for it (saleor/saleor#15246). Never earlier than before.
    pub fn extended(self, until: Timestamp, now: Timestamp) -> Timestamp {
        until.max(self.until(now))
    }
}
