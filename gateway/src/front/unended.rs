//! Requests over HTTP/2 that were answered and never end. Pingora goes on reading such a body without a deadline, and
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
use tokio::sync::Notify;

use crate::{clean::Refusal, metrics};

/// The HTTP/2 connections that are open, by the address of their socket's digest: what a request knows of its
/// connection.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<HashMap<usize, Arc<Notify>>>);

/// One of them; known until dropped.
#[derive(Debug)]
pub(super) struct Entered {
    connections: Arc<Connections>,
    /// Kept, so that no other connection gets its address.
    digest: Arc<SocketDigest>,
    cut: Arc<Notify>,
}

/// How much of a body has arrived, as long as it is being read.
#[derive(Debug, Default)]
pub(crate) struct Arriving(AtomicU64);

impl Connections {
    pub(super) fn enter(self: &Arc<Self>, digest: Arc<SocketDigest>) -> Entered {
        let cut = Arc::new(Notify::new());
        self.lock().insert(key(&digest), Arc::clone(&cut));
        Entered { connections: Arc::clone(self), digest, cut }
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
        if let Some(cut) = self.lock().get(&connection) {
            metrics::front_door_refusal(Refusal::BodyTooSlow);
            cut.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entered {
    /// Ends when the connection is to be cut off.
    pub(super) async fn cut(&self) {
        self.cut.notified().await;
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
