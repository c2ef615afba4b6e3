//! The life of a client connection: accepted, its heads read and checked against a deadline, each request
//! handed to Pingora, closed when idle for too long, when a rule is broken or when the gateway stops.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use haetae_base::{clock::Clock, problem::Problem};
use haetae_config::Cidr;
use pingora::{
    apps::{HttpServerApp, ServerApp},
    prelude::timeout,
    protocols::{ALPN, http::ServerSession},
    proxy::HttpProxy,
    server::ShutdownWatch,
    tls::TlsAcceptor,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    Connection, Connections, Drain,
    connection::Transport,
    idle::Idle,
    linger::LINGER,
    seldom::Seldom,
    share::{Share, Shares},
    unended::Entered,
};
use crate::{
    access_log,
    clean::{Clean, HeadLimits, Refusal, head},
    metrics::{self, Blame, RouteMetrics, Stopwatch},
    proxy::Gateway,
    request_id::RequestId,
};

/// How the listener treats its clients.
#[derive(Clone, Debug)]
pub(crate) struct FrontSettings {
    /// How large a head may be.
    pub(crate) limits: HeadLimits,
    /// How long a whole head, or a TLS handshake, may take.
    pub(crate) header_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub(crate) keepalive_timeout: Duration,
    /// How many connections may be open at once.
    pub(crate) max_connections: usize,
    /// How many of them one address may have.
    pub(crate) max_connections_per_address: usize,
    /// The addresses that may have all of them.
    pub(crate) trusted_proxies: Vec<Cidr>,
    /// Whether refused requests are logged.
    pub(crate) access_log: bool,
}

/// The listener's side of the gateway.
pub(crate) struct Front {
    pub(crate) proxy: Arc<HttpProxy<Gateway>>,
    pub(crate) settings: FrontSettings,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) drain: Arc<Drain>,
    /// Those that speak HTTP/2.
    connections: Arc<Connections>,
    /// What is counted for requests without a route.
    pub(crate) stray_metrics: Arc<RouteMetrics>,
    /// The same stop, in the form that Pingora knows.
    pub(crate) shutdown: ShutdownWatch,
    clock: Arc<dyn Clock>,
    /// The heads and handshakes that are half sent. Each holds a connection and a buffer until its deadline; an
    /// honest client sends a head at once and is never counted.
    slow: Arc<Shares>,
    /// The open connections.
    shares: Arc<Shares>,
    open: Arc<AtomicUsize>,
    idle: Idle,
    said_full: Seldom,
    said_full_for_address: Seldom,
    said_cannot_accept: Seldom,
}

/// So many heads one address may have half sent.
const MOST_SLOW: usize = 256;
/// So many connections may be on their way out while others have taken their places.
const MOST_LEAVING: usize = 256;
/// How many idle connections give up their descriptors when there are none.
const RECLAIM: usize = 32;

/// How long connections are still accepted after the stop was asked for.
const LAST_CALL: Duration = Duration::from_millis(150);
/// How long a connection that has asked nothing yet may still ask: a round trip, also of a phone.
const LAST_QUESTION: Duration = Duration::from_millis(500);
/// The client connection preface of HTTP/2 (RFC 9113 3.4).
const HTTP2_PREFACE: usize = 24;

impl Front {
    pub(crate) fn new(
        proxy: Arc<HttpProxy<Gateway>>,
        settings: FrontSettings,
        tls: Option<TlsAcceptor>,
        (drain, shutdown): (Arc<Drain>, ShutdownWatch),
        connections: Arc<Connections>,
        stray_metrics: Arc<RouteMetrics>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            proxy,
            shares: Shares::new(settings.max_connections_per_address),
            settings,
            tls,
            drain,
            connections,
            stray_metrics,
            shutdown,
            clock,
            slow: Shares::new(MOST_SLOW),
            open: Arc::default(),
            idle: Idle::new(),
            said_full: Seldom::default(),
            said_full_for_address: Seldom::default(),
            said_cannot_accept: Seldom::default(),
        }
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Accepts connections until the gateway stops.
    pub(crate) async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.drain.begun() => break,
            };
            self.take_in(accepted).await;
        }
        // Who had connected before the listener closes is still answered, and told to close.
        let last = async {
            loop {
                self.take_in(listener.accept().await).await;
            }
        };
        // It has no end of its own.
        let Err(_) = tokio::time::timeout(LAST_CALL, last).await;
    }

    async fn take_in(self: &Arc<Self>, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, peer)) => {
                let Some(held) = self.admit(peer.ip()) else { return };
                // Only a socket that is gone already cannot be told.
                let _gone = stream.set_nodelay(true);
                let front = Arc::clone(self);
                tokio::spawn(async move { front.serve(stream, peer, held).await });
            }
            Err(error) => {
                metrics::connection_refused("accept-failed");
                if let Some(times) = self.said_cannot_accept.count(self.clock.now()) {
                    tracing::warn!(%error, times, "cannot accept connections");
                }
                // Out of file descriptors, mostly. Idle connections have some.
                for _ in 0..RECLAIM {
                    self.reclaim();
                }
                // Accepting again at once would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// A place for a connection from `address`. `None` when it has all that one address may have, or when all
    /// places are taken by connections that are at work: then it is closed, before a word is said to it.
    fn admit(&self, address: IpAddr) -> Option<Held> {
        let settings = &self.settings;
        // A load balancer has few addresses and many clients.
        let trusted = settings.trusted_proxies.iter().any(|range| range.contains(address));
        let share = if trusted { None } else { self.shares.enter(address) };
        if share.is_none() && !trusted {
            metrics::connection_refused("too-many-from-address");
            if let Some(times) = self.said_full_for_address.count(self.clock.now()) {
                tracing::warn!(%address, times, "connections refused: their address has gateway.max_connections_per_address open");
            }
            return None;
        }
        let held = Held::enter(&self.open, share);
        let excess = self.open().saturating_sub(settings.max_connections);
        if excess > 0 && (excess > MOST_LEAVING || !self.reclaim()) {
            metrics::connection_refused("too-many");
            if let Some(times) = self.said_full.count(self.clock.now()) {
                tracing::warn!(
                    times,
                    "connections refused: gateway.max_connections are open and none is idle"
                );
            }
            return None;
        }
        Some(held)
    }

    /// Closes an idle connection. `false` when there is none.
    fn reclaim(&self) -> bool {
        let reclaimed = self.idle.reclaim();
        if reclaimed {
            metrics::idle_connection_closed();
        }
        reclaimed
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, held: Held) {
        let Some(acceptor) = &self.tls else {
            let connection = Connection::new(Transport::Tcp(stream), peer, None, Box::new(held));
            return self.serve_http1(Box::new(connection)).await;
        };
        let Some(handshake) = self.slow.enter(peer.ip()) else {
            return metrics::connection_refused("too-many-slow");
        };
        let stream = match timeout(self.settings.header_timeout, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "TLS handshake failed");
                return metrics::connection_refused("tls");
            }
            Err(_) => return metrics::connection_refused("tls-too-slow"),
        };
        drop(handshake);
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2".as_slice());
        let alpn = if http2 { ALPN::H2 } else { ALPN::H1 };
        let transport = Transport::Tls(Box::new(stream));
        let connection = Box::new(Connection::new(transport, peer, Some(alpn), Box::new(held)));
        if http2 { self.serve_http2(connection).await } else { self.serve_http1(connection).await }
    }

    async fn serve_http2(&self, mut connection: Box<Connection>) {
        // The handshake of HTTP/2 has no deadline of its own.
        let preface = async {
            while connection.received().len() < HTTP2_PREFACE {
                if !matches!(connection.fill().await, Ok(1..)) {
                    return false;
                }
            }
            true
        };
        if matches!(timeout(self.settings.header_timeout, preface).await, Ok(true)) {
            connection.pass_through();
            let entered = self.connections.enter(connection.digest());
            let (leave, leaving) = watch::channel(false);
            tokio::select! {
                _ = self.proxy.process_new(connection, &leaving) => {}
                () = entered.cut() => {}
                () = self.part(&entered, &leave) => {}
            }
        }
    }

    /// Says that no further requests are taken (RFC 9113 6.8) when the gateway stops, or when others need the place
    /// of an idle connection. Ends when the client does not leave although nothing is under way.
    async fn part(&self, entered: &Entered, leave: &watch::Sender<bool>) {
        tokio::select! {
            () = self.drain.begun() => {
                leave.send_replace(true);
                // `gateway.drain` says how long it may take.
                std::future::pending::<()>().await;
            }
            () = self.reclaimed(entered) => {
                leave.send_replace(true);
                // What it has just asked is on its way, and so may be the end of its last answer.
                loop {
                    entered.idle().await;
                    tokio::select! {
                        () = entered.busy() => {}
                        () = tokio::time::sleep(LINGER) => return,
                    }
                }
            }
        }
    }

    /// Ends when the connection is idle and is to make room.
    async fn reclaimed(&self, entered: &Entered) {
        loop {
            entered.idle().await;
            tokio::select! {
                biased;
                () = entered.busy() => {}
                () = self.idle.reclaimed() => return,
            }
        }
    }

    async fn serve_http1(&self, mut connection: Box<Connection>) {
        let mut first = true;
        loop {
            let head = match self.read_head(&mut connection, first).await {
                Ok(Some(head)) => head,
                Ok(None) => return self.say_goodbye(&mut connection).await,
                Err(refusal) => return self.refuse(connection, refusal).await,
            };
            first = false;
            let checked = head::check(&head, &self.settings.limits).and_then(|clean| {
                connection.begin_body(clean.framing())?;
                Ok(clean)
            });
            let clean = match checked {
                Ok(clean) => clean,
                Err(refusal) => return self.refuse(connection, refusal).await,
            };
            match self.proxy(connection, head, clean).await {
                Some(reusable) => connection = reusable,
                None => return,
            }
        }
    }

    /// Has Pingora serve one request, and gives the connection back when another may follow.
    async fn proxy(
        &self,
        connection: Box<Connection>,
        head: BytesMut,
        clean: Clean,
    ) -> Option<Box<Connection>> {
        let mut session = ServerSession::new_http1(connection);
        session.set_keepalive(Some(0));
        session.set_connection_user_context(Some(Box::new(clean)));
        session.set_pipelined_prefix(head);
        let (stream, _) = self.proxy.process_new_http(session, &self.shutdown).await?.consume();
        let mut connection = stream.into_any().downcast::<Connection>().ok()?;
        (connection.end_body() && !self.drain.has_begun()).then_some(connection)
    }

    /// Reads a head. `None` when the client has gone, was idle for too long, or the gateway stops.
    async fn read_head(
        &self,
        connection: &mut Connection,
        first: bool,
    ) -> Result<Option<BytesMut>, Refusal> {
        if connection.received().is_empty() {
            let settings = &self.settings;
            let patience = if first { settings.header_timeout } else { settings.keepalive_timeout };
            let arrived = tokio::select! {
                biased;
                read = timeout(patience, connection.fill()) => matches!(read, Ok(Ok(1..))),
                () = self.stops(first) => false,
                // Who has asked nothing yet is about to.
                () = self.idle.reclaimed(), if !first => false,
            };
            if !arrived {
                return Ok(None);
            }
        }
        let mut scanner = head::Scanner::default();
        if let Some(head) = advance(&mut scanner, connection, &self.settings.limits)? {
            return Ok(Some(head));
        }
        // Not all of it came at once: from here it is counted and timed.
        let _counted: Share =
            self.slow.enter(connection.peer().ip()).ok_or(Refusal::TooManySlow)?;
        let rest = async {
            while matches!(connection.fill().await, Ok(1..)) {
                if let Some(head) = advance(&mut scanner, connection, &self.settings.limits)? {
                    return Ok(Some(head));
                }
            }
            Ok(None)
        };
        timeout(self.settings.header_timeout, rest).await.unwrap_or(Err(Refusal::HeadTooSlow))
    }

    /// Ends when nothing more is to be waited for because the gateway stops: at once between two requests,
    /// a moment later before the first, which whoever has just connected is about to send.
    async fn stops(&self, first: bool) {
        self.drain.begun().await;
        if first {
            tokio::time::sleep(LAST_QUESTION).await;
        }
    }

    /// Closes in order: over TLS, whoever is closed on without a word cannot tell it from being cut off
    /// (RFC 8446 6.1).
    async fn say_goodbye(&self, connection: &mut Connection) {
        // Who has gone already hears nothing.
        let _gone = timeout(self.settings.header_timeout, connection.shutdown()).await;
    }

    /// Answers a request that breaks a rule, and closes the connection.
    async fn refuse(&self, mut connection: Box<Connection>, refusal: Refusal) {
        let (id, watch) = (RequestId::make(), Stopwatch::start());
        metrics::front_door_refusal(refusal);
        if self.settings.access_log {
            access_log::refused(&id, connection.peer().ip(), refusal);
        }
        let answer = wire(refusal.problem(), &id);
        let written = async {
            connection.write_all(&answer).await?;
            // Sends it, and says over TLS that this was all.
            connection.shutdown().await
        };
        // Who breaks rules may be gone already, or not be listening.
        let _gone = timeout(self.settings.header_timeout, written).await;
        self.stray_metrics.answered(refusal.status(), Blame::Client, watch.elapsed());
    }
}

fn advance(
    scanner: &mut head::Scanner,
    connection: &mut Connection,
    limits: &HeadLimits,
) -> Result<Option<BytesMut>, Refusal> {
    if scanner.is_fresh() && connection.received().starts_with(b"\r\n") {
        // An empty line before a request line is an old client's habit (RFC 9112 2.2): one is ignored.
        connection.discard(2);
    }
    Ok(scanner.scan(connection.received(), limits)?.map(|length| connection.take(length)))
}

/// A problem as the bytes of an HTTP/1.1 response that closes the connection.
fn wire(problem: Problem, id: &RequestId) -> Vec<u8> {
    let response = problem.request_id(id.as_str()).into_http();
    let mut bytes = format!(
        "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\nx-request-id: {}\r\n",
        response.status(),
        response.body().len(),
        id.as_str()
    )
    .into_bytes();
    for (name, value) in response.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(response.body());
    bytes
}

/// One open connection; counted until dropped.
struct Held {
    open: Arc<AtomicUsize>,
    _share: Option<Share>,
}

impl Held {
    fn enter(open: &Arc<AtomicUsize>, share: Option<Share>) -> Self {
        open.fetch_add(1, Ordering::AcqRel);
        Self { open: Arc::clone(open), _share: share }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}
