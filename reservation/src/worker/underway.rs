//! The reservations that this worker is busy with, so that one that is found due again a moment later is not begun a
//! second time.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::domain::reservation::ReservationId;

/// Clones are the same list.
#[derive(Clone, Debug, Default)]
pub(super) struct Underway(Arc<Mutex<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    /// Found in SQL, waiting for its batch.
    waiting: HashSet<ReservationId>,
    /// The payment provider is being asked.
    paying: HashSet<ReservationId>,
}

impl Underway {
    /// Notes that `id` was found. `false` when it is known already.
    pub(super) fn found(&self, id: ReservationId) -> bool {
        let mut lists = self.lists();
        !lists.paying.contains(&id) && lists.waiting.insert(id)
    }

    /// How many were found and wait for their batch.
    pub(super) fn waiting(&self) -> usize {
        self.lists().waiting.len()
    }

    /// Notes that the batch of `id` has come, or never will.
    pub(super) fn taken(&self, id: ReservationId) {
        self.lists().waiting.remove(&id);
    }

    /// Notes that the provider is asked for `id`. `false` when it is being asked already.
    pub(super) fn pays(&self, id: ReservationId) -> bool {
        self.lists().paying.insert(id)
    }

    /// Notes that the provider's answer for `id` is here.
    pub(super) fn paid(&self, id: ReservationId) {
        self.lists().paying.remove(&id);
    }

    /// Whether the provider is being asked for `id`.
    pub(super) fn is_paying(&self, id: ReservationId) -> bool {
        self.lists().paying.contains(&id)
    }

    /// How many calls of the provider are open.
    pub(super) fn open_calls(&self) -> usize {
        self.lists().paying.len()
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
