//! Connections that are asked nothing: what is closed to make room when there is none. Their clients lose nothing, and
//! must expect it at any time (RFC 9112 9.5, RFC 9113 9.1).

use std::{
    cell::Cell,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The connections that are idle now. Each registers here after every answer, so they are spread over several lists by
/// thread, or they would all meet at one lock.
#[derive(Debug)]
pub(super) struct Idle {
    shards: [Shard; SHARDS],
    /// The list that has to give up one next.
    next: AtomicUsize,
}

const SHARDS: usize = 16;

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// Wakes the one that has waited longest.
    give_up: Notify,
    /// Those that wait and were not told to give up.
    waiting: AtomicUsize,
}

impl Idle {
    pub(super) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Shard::default()), next: AtomicUsize::new(0) }
    }

    /// Has one of those that are idle for longest closed. `false` when none is idle.
    pub(super) fn reclaim(&self) -> bool {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let (before, from) = self.shards.split_at(first);
        let given_up = from.iter().chain(before).find(|shard| shard.take_one());
        if let Some(shard) = given_up {
            shard.give_up.notify_one();
        }
        given_up.is_some()
    }

    /// Ends when this connection, which is idle, is to be closed.
    pub(super) async fn reclaimed(&self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        let at = THREAD.with(Cell::get) % SHARDS;
        let [first, ..] = &self.shards;
        let shard = self.shards.get(at).unwrap_or(first);
        let notified = shard.give_up.notified();
        tokio::pin!(notified);
        // One that was told and had its next request at that moment leaves it to the next one.
        if notified.as_mut().enable() {
            return;
        }
        shard.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Waiting(shard);
        notified.await;
        // Whoever told it has counted it out.
        std::mem::forget(waiting);
    }
}

impl Shard {
    fn take_one(&self) -> bool {
        let one_less = |waiting: usize| waiting.checked_sub(1);
        self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
    }
}

/// Counted as waiting until dropped.
struct Waiting<'a>(&'a Shard);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Not there any more when it was told to give up just now.
        let _counted_out = self.0.take_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::{Pin, pin},
        task::{Context, Waker},
    };

    use super::*;

    fn is_told(waiting: Pin<&mut impl Future<Output = ()>>) -> bool {
        waiting.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn the_one_that_waited_longest_goes_and_only_one() {
        let idle = Idle::new();
        assert!(!idle.reclaim(), "nobody is idle");
        let (mut one, mut two) = (pin!(idle.reclaimed()), pin!(idle.reclaimed()));
        assert!(!is_told(one.as_mut()) && !is_told(two.as_mut()));
        assert!(idle.reclaim());
        assert!(!is_told(two.as_mut()), "it came later");
        assert!(is_told(one.as_mut()));
        assert!(idle.reclaim() && is_told(two.as_mut()));
        assert!(!idle.reclaim(), "nobody is left");
    }

    #[test]
    fn who_is_asked_something_is_not_idle() {
        let idle = Idle::new();
        {
            let mut busy = pin!(idle.reclaimed());
            assert!(!is_told(busy.as_mut()));
        }
        assert!(!idle.reclaim());
    }

    #[test]
    fn whoever_is_told_too_late_leaves_it_to_the_next() {
        let idle = Idle::new();
        {
            let mut late = pin!(idle.reclaimed());
            assert!(!is_told(late.as_mut()));
            assert!(idle.reclaim());
        }
        assert!(!idle.reclaim());
        let mut next = pin!(idle.reclaimed());
        assert!(is_told(next.as_mut()));
        assert!(!idle.reclaim(), "and is not counted");
    }
}
