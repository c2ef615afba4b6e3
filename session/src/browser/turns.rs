//! One at a time per session within this process: requests of one page arrive together, and only the first
//! needs to ask Redis who may refresh.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::OwnedMutexGuard;

type Gate = tokio::sync::Mutex<()>;

/// The gates of the sessions that somebody is refreshing now. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<HashMap<String, Weak<Gate>>>>);

impl Turns {
    /// Waits until nobody else in this process is at `id`.
    pub(super) async fn wait(&self, id: &str) -> OwnedMutexGuard<()> {
        let gate = self.gate(id);
        gate.lock_owned().await
    }

    fn gate(&self, id: &str) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(id).and_then(Weak::upgrade) {
            return gate;
        }
        // Whoever opens a gate first clears away those that nobody stands at any more.
        gates.retain(|_, gate| gate.strong_count() > 0);
        let gate = Arc::new(Gate::default());
        gates.insert(id.to_owned(), Arc::downgrade(&gate));
        gate
    }
}
