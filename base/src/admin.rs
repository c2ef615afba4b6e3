//! The admin listener of every role: `/metrics` (Prometheus text), `/healthz` (the process answers) and
//! `/readyz` (each part that the role needs, 503 when one is missing). Loopback unless configured otherwise.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use crate::{shutdown::Shutdown, telemetry::metrics::Metrics};

/// One part that a role needs, as `/readyz` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The part: `redis`, `sql`, `denylist`.
    pub name: &'static str,
    /// `Ok` when it works, otherwise why it does not, for an operator.
    pub state: Result<(), String>,
}

/// What `/readyz` asks: the state of each part, now. Must answer from memory, at once.
pub type Readiness = Arc<dyn Fn() -> Vec<Check> + Send + Sync>;

/// How long whoever asks something may take to have asked it when the role stops: half a question, or an
/// answer that is not fetched, holds no stop up.
const LAST_QUESTION: Duration = Duration::from_millis(500);

/// How often the metrics are looked after, whether anybody asks for them or not.
const UPKEEP: Duration = if cfg!(test) { Duration::from_millis(5) } else { Duration::from_secs(5) };

/// The admin listener, bound but not yet serving.
#[derive(Debug)]
pub struct Admin(TcpListener, SocketAddr);

impl Admin {
    /// Binds the listener.
    ///
    /// # Errors
    /// With one line that names the address and the setting, when the address cannot be bound.
    pub async fn bind(address: SocketAddr, setting: &str) -> Result<Self, BindError> {
        let listener = bind(address, setting).await?;
        let bound = listener.local_addr().unwrap_or(address);
        Ok(Self(listener, bound))
    }

    /// The address as bound.
    pub const fn address(&self) -> SocketAddr {
        self.1
    }

    /// Serves until shutdown, and looks after the metrics meanwhile.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self,
        metrics: Metrics,
        readiness: Readiness,
        shutdown: Shutdown,
    ) -> io::Result<()> {
        let app = Router::new()
            .route("/metrics", get(render_metrics))
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(render_readiness))
            .with_state((metrics.clone(), readiness));
        let stop = shutdown.clone();
        let serving =
            axum::serve(self.0, app).with_graceful_shutdown(async move { stop.requested().await });
        let cut_off = async {
            shutdown.requested().await;
            tokio::time::sleep(LAST_QUESTION).await;
        };
        tokio::select! {
            served = serving => served,
            () = cut_off => Ok(()),
            never = look_after(metrics) => match never {},
        }
    }
}

/// Without it the histograms of a role whose metrics nobody fetches would grow for as long as it runs.
async fn look_after(metrics: Metrics) -> Infallible {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.upkeep();
    }
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({setting}): {}", reason(.source))]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The setting that names it.
    pub setting: String,
    /// Why.
    #[source]
    pub source: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; stop the program that uses it or choose another port".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need a privilege".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// Binds a TCP listener; `setting` names the configuration key for the error.
///
/// # Errors
/// When the address cannot be bound.
pub async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError {
        address,
        setting: setting.to_owned(),
        source,
    })
}

async fn render_metrics(State((metrics, _)): State<(Metrics, Readiness)>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
        .into_response()
}

async fn render_readiness(State((_, readiness)): State<(Metrics, Readiness)>) -> Response {
    let checks = readiness();
    let ready = checks.iter().all(|check| check.state.is_ok());
    let parts: Map<String, Value> = checks
        .into_iter()
        .map(|check| {
            let state = check.state.err().map_or_else(|| "ok".into(), Value::from);
            (check.name.to_owned(), state)
        })
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(serde_json::json!({"ready": ready, "checks": parts}))).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn ask(address: SocketAddr, question: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        stream.write_all(question).await.expect("sent");
        stream
    }

    #[tokio::test]
    async fn metrics_that_nobody_fetches_are_looked_after() {
        let admin =
            Admin::bind("127.0.0.1:0".parse().expect("an address"), "test").await.expect("binds");
        let metrics = Metrics::start();
        let (before, shutdown) = (Metrics::upkeeps(), Shutdown::new());
        let readiness: Readiness = Arc::new(Vec::new);
        let serving = tokio::spawn(admin.serve(metrics.clone(), readiness, shutdown.clone()));
        let looked_after = async {
            while Metrics::upkeeps() < before + 2 {
                tokio::time::sleep(UPKEEP).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), looked_after).await.expect("twice and more");
        shutdown.request();
        serving.await.expect("joined").expect("stopped");
    }

    #[tokio::test]
    async fn half_a_question_holds_no_stop_up() {
        let admin =
            Admin::bind("127.0.0.1:0".parse().expect("an address"), "test").await.expect("binds");
        let (address, shutdown) = (admin.address(), Shutdown::new());
        let readiness: Readiness = Arc::new(Vec::new);
        let serving = tokio::spawn(admin.serve(Metrics::start(), readiness, shutdown.clone()));
        let _half = ask(address, b"GET /met").await;
        // Accepted after the first, so that one is being served by now.
        let mut whole = ask(address, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut answer = [0; 12];
        whole.read_exact(&mut answer).await.expect("answered");
        assert_eq!(&answer, b"HTTP/1.1 200");
        shutdown.request();
        let stopped = tokio::time::timeout(Duration::from_secs(5), serving).await;
        stopped.expect("in time").expect("joined").expect("stopped");
    }
}
