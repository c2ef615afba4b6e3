//! Raw bytes to the gateway, and an upstream that writes down what came through: for what no HTTP library
//! would send.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Sends `parts` with a short pause between two, and returns everything that came back until the peer
/// closed or nothing came for `quiet`.
pub async fn exchange(address: SocketAddr, parts: &[&[u8]], quiet: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("the gateway accepts");
    stream.set_nodelay(true).expect("a TCP socket");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        // The peer may close before the last part: that is an answer too.
        if stream.write_all(part).await.is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(Ok(read)) = tokio::time::timeout(quiet, stream.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..read]);
    }
    answer
}

/// The status codes of all answers in `bytes`, in order.
pub fn statuses(bytes: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(bytes);
    text.match_indices("HTTP/1.")
        .filter_map(|(index, _)| text.get(index + 9..index + 12)?.parse().ok())
        .collect()
}

/// An upstream that answers 200 to every request and keeps every byte that it got.
#[derive(Clone, Debug)]
pub struct Recorder {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    /// Starts listening.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let record = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&record)));
            }
        });
        Self { address, seen }
    }

    /// What came since the last call.
    pub fn take(&self) -> String {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&std::mem::take(&mut *seen)).into_owned()
    }
}

/// Answers once for each head that arrives, whatever its body: a naive server, which is the one that
/// smuggling aims at. It reads a body only as far as one Content-Length or a chunked body says.
async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        while let Some(end) = end_of_request(&buffer) {
            buffer.drain(..end);
            let answer =
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                seen.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .extend_from_slice(&chunk[..read]);
                buffer.extend_from_slice(&chunk[..read]);
            }
        }
    }
}

fn end_of_request(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
    if text.contains("transfer-encoding: chunked") {
        let last = buffer[head..].windows(5).position(|window| window == b"0\r\n\r\n")?;
        return Some(head + last + 5);
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (buffer.len() >= head + length).then_some(head + length)
}
