//! What is known of the HTTP/2 connections from outside Pingora: how many of their requests are under way, and those
//! that were answered and never end. Pingora goes on reading such a body without a deadline, and
//! keeps the connection to the service for it: one client could take all descriptors that there are, a hundred with
//! each connection, by saying nothing. Nobody can get at one of its streams from outside, so whoever lets one stand
//! still for too long loses the connection. Over HTTP/1 there is a deadline for each piece of a body.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use pingora::protocols::SocketDigest;
use tokio::sync::{Notify, watch};

use crate::{clean::Refusal, metrics};

/// The HTTP/2 connections that are open, by the address of their socket's digest: what a request knows of its
/// connection.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<HashMap<usize, Arc<Open>>>);

#[derive(Debug, Default)]
struct Open {
    cut: Notify,
    /// How many requests are under way.
    streams: watch::Sender<usize>,
}

/// A request that is under way until dropped.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Open>);

/// One of them; known until dropped.
#[derive(Debug)]
pub(super) struct Entered {
    connections: Arc<Connections>,
    /// Kept, so that no other connection gets its address.
    digest: Arc<SocketDigest>,
    open: Arc<Open>,
}

/// How much of a body has arrived, as long as it is being read.
#[derive(Debug, Default)]
pub(crate) struct Arriving(AtomicU64);

impl Connections {
    pub(super) fn enter(self: &Arc<Self>, digest: Arc<SocketDigest>) -> Entered {
        let open = Arc::<Open>::default();
        self.lock().insert(key(&digest), Arc::clone(&open));
        Entered { connections: Arc::clone(self), digest, open }
    }

    /// Counts a request of the connection of `digest`.
    pub(crate) fn begin(&self, digest: &Arc<SocketDigest>) -> Option<Stream> {
        let open = Arc::clone(self.lock().get(&key(digest))?);
        open.streams.send_modify(|streams| *streams += 1);
        Some(Stream(open))
    }

    /// Cuts the connection of `digest` off when a body that it brings stands still for `patience`. Gives what has to
    /// be told of the body's progress, and dropped when it has ended.
    pub(crate) fn watch(
        self: &Arc<Self>,
        digest: &Arc<SocketDigest>,
        patience: Duration,
    ) -> Arc<Arriving> {
        let arriving = Arc::<Arriving>::default();
        let (connections, connection) = (Arc::clone(self), key(digest));
        tokio::spawn({
            let arriving = Arc::downgrade(&arriving);
            async move {
                if stands_still(&arriving, patience).await {
                    connections.cut(connection);
                }
            }
        });
        arriving
    }

    fn cut(&self, connection: usize) {
        if let Some(open) = self.lock().get(&connection) {
            metrics::front_door_refusal(Refusal::BodyTooSlow);
            open.cut.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Arc<Open>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entered {
    /// Ends when the connection is to be cut off.
    pub(super) async fn cut(&self) {
        self.open.cut.notified().await;
    }

    /// Ends when no request is under way.
    pub(super) async fn idle(&self) {
        self.until(|streams| streams == 0).await;
    }

    /// Ends when one is.
    pub(super) async fn busy(&self) {
        self.until(|streams| streams > 0).await;
    }

    async fn until(&self, holds: impl Fn(usize) -> bool) {
        let mut streams = self.open.streams.subscribe();
        // It cannot fail: the sender is ours.
        let _held = streams.wait_for(|&streams| holds(streams)).await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.send_modify(|streams| *streams -= 1);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.connections.lock().remove(&key(&self.digest));
    }
}

impl Arriving {
    /// So many bytes of it have come.
    pub(crate) fn progress(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

/// `false` when the body has ended.
async fn stands_still(arriving: &Weak<Arriving>, patience: Duration) -> bool {
    let mut before = None;
    loop {
        let Some(now) = arriving.upgrade().map(|arriving| arriving.0.load(Ordering::Relaxed))
        else {
            return false;
        };
        if before.replace(now) == Some(now) {
            return true;
        }
        tokio::time::sleep(patience).await;
    }
}

fn key(digest: &Arc<SocketDigest>) -> usize {
    Arc::as_ptr(digest).addr()
}
