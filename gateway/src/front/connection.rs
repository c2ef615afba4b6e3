//! One client connection as Pingora sees it: a stream that gives exactly the body of the request at hand
//! and nothing after it, refuses broken chunk framing as it passes, and gathers small writes.

use std::{
    fmt, io,
    net::SocketAddr,
    os::fd::{AsRawFd, RawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::{
    protocols::{
        ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
        TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
    },
    tls::ServerTlsStream,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_util::io::poll_read_buf;

use super::linger;
use crate::clean::{Framing, Refusal, chunked::Chunks};

/// What carries the bytes.
pub(crate) enum Transport {
    /// Plain TCP.
    Tcp(TcpStream),
    /// TLS on TCP.
    Tls(Box<ServerTlsStream<TcpStream>>),
}

impl Transport {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    pub(super) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }

    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// Where in the client's bytes this connection is.
enum Position {
    /// Between requests: the next bytes are a head, which [`Connection::fill`] reads.
    Head,
    /// In a body of known length, so many bytes left.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunks),
    /// The body broke its framing; nothing more is read.
    Broken(Refusal),
    /// HTTP/2, which frames itself.
    Raw,
}

/// What a connection counts for, given back when it is dropped.
pub(super) type Place = Box<dyn std::any::Any + Send + Sync>;

/// One client connection.
pub(crate) struct Connection {
    /// `None` only after [`Drop`] has taken it.
    transport: Option<Transport>,
    position: Position,
    /// Received and not yet handed on.
    input: BytesMut,
    /// Written and not yet sent.
    output: BytesMut,
    /// A response was begun on this connection since the last head: closing has to let it arrive.
    answered: bool,
    peer: SocketAddr,
    digest: Arc<SocketDigest>,
    alpn: Option<ALPN>,
    /// `None` only after [`Drop`] has taken it.
    held: Option<Place>,
}

/// Responses up to this size leave in one write with their head.
const OUTPUT_BUFFER: usize = 8 * 1024;
/// What is read at once while no body tells better.
const INPUT_BUFFER: usize = 4 * 1024;
/// How much of the next request is taken in while this one is being answered.
const READ_AHEAD: usize = 64 * 1024;

impl Connection {
    /// A connection from `peer`. `held` is given back when its socket is closed.
    pub(super) fn new(
        transport: Transport,
        peer: SocketAddr,
        alpn: Option<ALPN>,
        held: Place,
    ) -> Self {
        let digest = SocketDigest::from_raw_fd(transport.tcp().as_raw_fd());
        // Saves Pingora the system call.
        let _unset = digest.peer_addr.set(Some(peer.into()));
        Self {
            transport: Some(transport),
            position: Position::Head,
            input: BytesMut::new(),
            output: BytesMut::new(),
            answered: false,
            peer,
            digest: Arc::new(digest),
            alpn,
            held: Some(held),
        }
    }

    /// Who is at the other end.
    pub(super) const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What tells it from all others, also to a request of it.
    pub(super) fn digest(&self) -> Arc<SocketDigest> {
        Arc::clone(&self.digest)
    }

    /// What has arrived and was not handed on.
    pub(super) fn received(&self) -> &[u8] {
        &self.input
    }

    /// Drops the first `count` received bytes.
    pub(super) fn discard(&mut self, count: usize) {
        self.input.advance(count.min(self.input.len()));
    }

    /// Takes the first `count` received bytes: a whole head.
    pub(super) fn take(&mut self, count: usize) -> BytesMut {
        // Mostly a head comes alone, and the buffer is handed over as it is.
        if count >= self.input.len() {
            std::mem::take(&mut self.input)
        } else {
            self.input.split_to(count)
        }
    }

    /// Reads more bytes; 0 at the end of the stream.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        std::future::poll_fn(|context| self.poll_fill(context)).await
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(transport) = self.transport.as_mut() else { return Poll::Ready(Ok(0)) };
        self.input.reserve(INPUT_BUFFER);
        match transport {
            Transport::Tcp(stream) => poll_read_buf(Pin::new(stream), context, &mut self.input),
            Transport::Tls(stream) => poll_read_buf(Pin::new(stream), context, &mut self.input),
        }
    }

    /// Lets every byte through from here on, unread ones first: HTTP/2.
    pub(super) fn pass_through(&mut self) {
        self.position = Position::Raw;
    }

    /// Begins the body of the request whose head was just taken. What of a chunked body has arrived is
    /// checked now, so that a broken one is refused before anything of it goes upstream.
    pub(super) fn begin_body(&mut self, framing: Framing) -> Result<(), Refusal> {
        self.answered = false;
        self.position = match framing {
            Framing::Empty => Position::Length(0),
            Framing::Length(length) => Position::Length(length),
            Framing::Chunked => {
                Chunks::new().advance(&self.input)?;
                Position::Chunked(Chunks::new())
            }
        };
        Ok(())
    }

    /// Ends the request: the next bytes are a head. `false` when the body was not read to its end.
    pub(super) fn end_body(&mut self) -> bool {
        let complete = match &self.position {
            Position::Length(left) => *left == 0,
            Position::Chunked(chunks) => chunks.is_done(),
            Position::Head => true,
            Position::Broken(_) | Position::Raw => false,
        };
        self.position = Position::Head;
        self.answered = false;
        complete
    }

    /// How many of `bytes` belong to the body.
    fn accept(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        match &mut self.position {
            Position::Raw => Ok(bytes.len()),
            Position::Length(left) => {
                let here = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= here as u64;
                Ok(here)
            }
            Position::Chunked(chunks) => chunks.advance(bytes),
            Position::Head => Ok(0),
            Position::Broken(refusal) => Err(*refusal),
        }
        .inspect_err(|&refusal| self.position = Position::Broken(refusal))
    }

    fn body_is_over(&self) -> bool {
        match &self.position {
            Position::Length(left) => *left == 0,
            Position::Chunked(chunks) => chunks.is_done(),
            Position::Head => true,
            Position::Broken(_) | Position::Raw => false,
        }
    }

    /// After the body: notices that the client has gone, and keeps what it sends ahead.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.input.len() < READ_AHEAD {
            if ready!(self.poll_fill(context))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        // Full: nothing is read, and so nothing wakes this task, until the request has been answered.
        Poll::Pending
    }

    fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(transport) = self.transport.as_mut() else { return Poll::Ready(Ok(())) };
        while !self.output.is_empty() {
            let sent = ready!(transport.poll_write(context, &self.output))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(sent);
        }
        if self.output.capacity() > OUTPUT_BUFFER * 2 {
            self.output = BytesMut::new();
        } else {
            self.output.clear();
        }
        Poll::Ready(Ok(()))
    }
}

fn broken(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, refusal)
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.body_is_over() {
            return this.poll_idle(context);
        }
        if !this.input.is_empty() {
            let input = std::mem::take(&mut this.input);
            let offered = input.get(..input.len().min(buffer.remaining())).unwrap_or_default();
            let accepted = this.accept(offered);
            if let Ok(count) = accepted {
                buffer.put_slice(input.get(..count).unwrap_or_default());
            }
            this.input = input;
            this.input.advance(accepted.map_err(broken)?);
            return Poll::Ready(Ok(()));
        }
        if let Position::Broken(refusal) = this.position {
            return Poll::Ready(Err(broken(refusal)));
        }
        let Some(transport) = this.transport.as_mut() else { return Poll::Ready(Ok(())) };
        let before = buffer.filled().len();
        ready!(transport.poll_read(context, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(()));
        }
        // The bytes are in Pingora's buffer already: what is not the body's is taken back.
        let accepted = match this.accept(read) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                buffer.set_filled(before);
                return Poll::Ready(Err(broken(refusal)));
            }
        };
        if let Some(next) = read.get(accepted..)
            && !next.is_empty()
        {
            this.input.extend_from_slice(next);
            buffer.set_filled(before + accepted);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        this.answered = true;
        if this.output.len() + bytes.len() > OUTPUT_BUFFER {
            ready!(this.poll_output(context))?;
        }
        if bytes.len() < OUTPUT_BUFFER {
            this.output.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        match this.transport.as_mut() {
            Some(transport) => transport.poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_output(context))?;
        match self.transport.as_mut() {
            Some(transport) => transport.poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_output(context))?;
        match self.transport.as_mut() {
            Some(transport) => transport.poll_shutdown(context),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A client that is still sending would lose the answer to a reset if the socket were closed now.
        let unread = !self.input.is_empty() || !self.body_is_over();
        if self.answered
            && unread
            && !matches!(self.position, Position::Raw)
            && let Some(transport) = self.transport.take()
        {
            linger::spawn(transport, std::mem::take(&mut self.output), self.held.take());
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Connection({})", self.peer)
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        // The client has gone when this fails.
        let _gone = tokio::io::AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Connection {
    fn id(&self) -> UniqueIDType {
        self.transport.as_ref().map_or(-1, |transport| -> RawFd { transport.tcp().as_raw_fd() })
    }
}

impl Ssl for Connection {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.alpn.clone()
    }
}

impl GetTimingDigest for Connection {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Connection {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

#[async_trait]
impl Peek for Connection {}
