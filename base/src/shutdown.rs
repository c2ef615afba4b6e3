//! How a role begins and ends: it announces once that it serves, and it stops gracefully when asked to.

use std::{net::SocketAddr, sync::Arc};

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// A request to stop, shared by all parts of a role. Clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A request that nobody has made yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every holder to stop.
    pub fn request(&self) {
        self.0.cancel();
    }

    /// Whether stopping was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Ends when stopping is asked for.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    /// Requests the stop at SIGINT or SIGTERM. Call inside a runtime.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            shutdown.request();
        });
        Ok(())
    }

    /// Requests the stop when standard input ends. A supervisor holds the other end of that pipe, so its
    /// children go with it even when it is killed and can tell them nothing.
    pub fn on_stdin_end(&self) {
        let shutdown = self.clone();
        tokio::spawn(async move {
            let mut input = tokio::io::stdin();
            let mut buffer = [0; 64];
            while matches!(input.read(&mut buffer).await, Ok(read) if read > 0) {}
            shutdown.request();
        });
    }
}

/// Where a role serves, as bound: with the real port where the setting said 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The role's own listener; the worker has none.
    pub listen: Option<SocketAddr>,
    /// Metrics, health and readiness.
    pub admin: SocketAddr,
}

/// What a role calls once, when it serves.
#[derive(Clone)]
pub struct Ready(Arc<dyn Fn(Addresses) + Send + Sync>);

impl Ready {
    /// Calls `announce` when the role serves.
    pub fn new(announce: impl Fn(Addresses) + Send + Sync + 'static) -> Self {
        Self(Arc::new(announce))
    }

    /// Says that the role serves at `addresses`.
    pub fn announce(&self, addresses: Addresses) {
        (self.0)(addresses);
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Ready")
    }
}
