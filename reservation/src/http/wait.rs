//! Waiting for what becomes of a reservation (`Prefer: wait`): on being told, not on a clock.

use std::time::Duration;

use super::{ApiError, ApiState};
use crate::{
    domain::reservation::{ReservationId, Status},
    queue::changes::Waiter,
    store::reservations::{Record, Standing},
};

/// How long a waiting request relies on being told before it looks by itself.
const LOOK: Duration = Duration::from_secs(1);

/// Where a reservation is that was read as a whole.
pub(super) fn standing_of(record: &Record) -> Standing {
    Standing {
        subject: record.subject.clone(),
        status: record.status,
        confirming: record.confirming,
    }
}

/// Whether the request for a reservation has its outcome: held and nothing more is wanted, or further.
pub(super) fn is_decided(standing: &Standing) -> bool {
    match standing.status {
        Status::Pending => false,
        Status::Held => !standing.confirming,
        _ => true,
    }
}

/// Waits until `done` says so, or the time is over. SQL is asked when something changed, and once a second
/// in case nobody said so.
pub(super) async fn wait_until(
    state: &ApiState,
    id: ReservationId,
    mut waiter: Waiter,
    wait: Duration,
    done: impl Fn(&Standing) -> bool,
) -> Result<(), ApiError> {
    let looking = async {
        loop {
            match state.store.standing(id).await? {
                Some(standing) if done(&standing) => return Ok(()),
                None => return Ok(()),
                Some(_) => waiter.changed(LOOK).await,
            }
        }
    };
    tokio::select! {
        result = tokio::time::timeout(wait, looking) => result.unwrap_or(Ok(())),
        () = state.shutdown.requested() => Ok(()),
    }
}
