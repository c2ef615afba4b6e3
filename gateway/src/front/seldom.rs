//! A line in the log for what may happen ten thousand times a second: at once the first time, then once a minute with
//! how often it happened since.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use haetae_base::clock::Timestamp;

/// Whether it is time for a line.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Timestamp>,
    since: u64,
}

const PAUSE: Duration = Duration::from_mins(1);

impl Seldom {
    /// Counts one. How many there were since the last line when it is time for another.
    pub(super) fn count(&self, now: Timestamp) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.since += 1;
        if state.last.is_some_and(|last| now.since(last) < PAUSE) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_it_at_once_and_then_once_a_minute() {
        let at = |seconds: i64| Timestamp::from_seconds(1_800_000_000 + seconds);
        let seldom = Seldom::default();
        assert_eq!(seldom.count(at(0)), Some(1));
        for second in 1..60 {
            assert_eq!(seldom.count(at(second)), None);
        }
        assert_eq!(seldom.count(at(60)), Some(60));
        assert_eq!(seldom.count(at(61)), None);
        assert_eq!(seldom.count(at(1000)), Some(2));
    }
}
