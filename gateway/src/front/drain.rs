//! The request to stop, as connections that wait for their next request hear it.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    task::Poll,
};

use tokio::sync::Notify;

/// A stop that idle connections wait for. Every request registers such a wait, so the waiters are spread
/// over several lists by thread, or they would all meet at one lock.
#[derive(Debug)]
pub(crate) struct Drain {
    begun: AtomicBool,
    shards: [Shard; SHARDS],
}

const SHARDS: usize = 16;

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Notify);

impl Drain {
    /// A stop that has not begun.
    pub(crate) fn new() -> Self {
        Self { begun: AtomicBool::new(false), shards: std::array::from_fn(|_| Shard::default()) }
    }

    /// Begins it.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        for shard in &self.shards {
            shard.0.notify_waiters();
        }
    }

    /// Whether it has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Ends when it has begun.
    pub(crate) async fn begun(&self) {
        let notified = self.shard().notified();
        tokio::pin!(notified);
        poll_fn(|context| {
            // Registered before the flag is read, so that a stop in between is not missed.
            if notified.as_mut().poll(context).is_ready() || self.has_begun() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn shard(&self) -> &Notify {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        let at = THREAD.with(Cell::get) % SHARDS;
        let [first, ..] = &self.shards;
        &self.shards.get(at).unwrap_or(first).0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn reaches_everybody_who_waits_and_who_comes_later() {
        let drain = Arc::new(Drain::new());
        let waiting: Vec<_> = (0..40)
            .map(|_| {
                let drain = Arc::clone(&drain);
                tokio::spawn(async move { drain.begun().await })
            })
            .collect();
        assert!(!drain.has_begun());
        drain.begin();
        for wait in waiting {
            wait.await.expect("waits");
        }
        drain.begun().await;
    }
}
