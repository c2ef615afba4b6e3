//! The tokens that an authserver gave to a client after it was shut and before it heard of that: a request was on
//! its way, or Redis could not be reached. `haetae client disable` revokes what was issued up to then; each
//! authserver, once it knows, revokes what it may have issued since.

use std::time::Duration;

use haetae_base::shutdown::Shutdown;
use haetae_session::denylist::{Entry, Kind, RevokeError};
use tokio::sync::Notify;

use crate::{
    client_registry::FRESH,
    state::{AppState, longest_token},
    store::StoreError,
};

/// How long a request may be on its way that found the client open: longer than SQL and Redis are waited for.
const ON_ITS_WAY: Duration = Duration::from_secs(6);
/// How long until it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Closes the gap at once and once more when no request can be on its way any longer, each time that `heard`
/// says that clients may have been shut.
pub(crate) async fn follow(state: &AppState, heard: &Notify, shutdown: &Shutdown) {
    let work = async {
        loop {
            heard.notified().await;
            for pause in [Duration::ZERO, ON_ITS_WAY] {
                tokio::time::sleep(pause).await;
                while let Err(error) = close(state).await {
                    tracing::warn!(%error, "the last tokens of clients that were shut are not revoked yet");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.requested() => {}
    }
}

/// Why the gap is still open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CloseError {
    /// Which clients are shut cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing was recorded.
    #[error(transparent)]
    Revoke(RevokeError),
}

/// Revokes what clients that are shut got until now, if one of their tokens can be alive.
pub(crate) async fn close(state: &AppState) -> Result<(), CloseError> {
    // Taken before it is read who is shut: what a client gets after it was opened again stays good.
    let (now, longest) = (state.now(), longest_token(&state.config));
    let shut = state.clients.shut_since(now.minus(longest.saturating_add(FRESH))).await?;
    let entries: Vec<Entry> = shut
        .into_iter()
        .map(|client_id| Entry::everything(Kind::ClientId, client_id, now, longest))
        .collect();
    match state.denylist.revoke_all(entries).await {
        // Recorded, and the denylist's own task brings it into the stream.
        Ok(()) | Err(RevokeError::NotPropagated(_)) => Ok(()),
        Err(error) => Err(CloseError::Revoke(error)),
    }
}
