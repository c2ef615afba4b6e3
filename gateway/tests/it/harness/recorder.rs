//! An upstream that writes down every request as it arrives on the wire, strictly: what it cannot read as
//! one request after the other is kept as malformed, which no test ever forgives.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Which connection, from 0.
    pub(crate) connection: usize,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Recorded {
    /// The request target.
    pub(crate) fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .collect()
    }

    /// The only value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} is there {} times: {}", all.len(), self.head);
        all.first().copied()
    }
}

/// What the upstream does with requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Answers 200.
    #[default]
    Answer,
    /// Never answers.
    Hang,
    /// Closes the connection instead of answering.
    Close,
    /// Closes a connection that was used before instead of answering, and answers on a new one.
    CloseOld,
    /// Answers what is no HTTP.
    Junk,
    /// Answers with an event every 50 ms, without end.
    Stream,
    /// Answers a second late.
    Late,
    /// Accepts connections and answers nothing at all, not even when asked whether it lives.
    Dead,
    /// Answers 101 though nobody asked for another protocol.
    Switch,
    /// Answers 404 to a head, whatever body is to come, and waits until it is left alone.
    Hasty,
    /// Answers 103, then 200 in two chunks, with fields that are for the next hop only.
    Chunks,
}

#[derive(Debug, Default)]
struct State {
    requests: Vec<Recorded>,
    malformed: Vec<String>,
    behaviour: Behaviour,
    left_alone: usize,
}

/// The upstream.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    listening: tokio::task::AbortHandle,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().expect("an address")).await
    }

    pub(crate) async fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let state = Arc::<Mutex<State>>::default();
        let listening = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                let connections = AtomicUsize::new(0);
                while let Ok((stream, _)) = listener.accept().await {
                    let connection = connections.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(serve(stream, connection, Arc::clone(&state)));
                }
            }
        });
        Self { address, state, listening: listening.abort_handle() }
    }

    /// New connections are refused from here on.
    pub(crate) async fn refuse(&self) {
        self.listening.abort();
        while TcpStream::connect(self.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Every request so far, without health checks.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.lock().expect("lock").requests.clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Recorded {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        requests[0].clone()
    }

    /// The last request.
    pub(crate) fn last(&self) -> Recorded {
        self.requests().pop().expect("a request")
    }

    /// What could not be read as a request.
    pub(crate) fn malformed(&self) -> Vec<String> {
        self.state.lock().expect("lock").malformed.clone()
    }

    /// How many connections that were answered hastily have been closed.
    pub(crate) fn left_alone(&self) -> usize {
        self.state.lock().expect("lock").left_alone
    }

    /// From here on.
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.state.lock().expect("lock").behaviour = behaviour;
    }
}

async fn serve(mut stream: TcpStream, connection: usize, state: Arc<Mutex<State>>) {
    let mut input = Vec::new();
    let mut used = false;
    if state.lock().expect("lock").behaviour == Behaviour::Hasty {
        let has_head = |input: &[u8]| input.windows(4).any(|window| window == b"\r\n\r\n");
        while !has_head(&input) && fill(&mut stream, &mut input).await {}
        let answer = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("answered");
        while fill(&mut stream, &mut input).await {}
        state.lock().expect("lock").left_alone += 1;
        return;
    }
    while let Some(request) = read_request(&mut stream, &mut input, connection, &state).await {
        let health = request.target() == "/healthz";
        let behaviour = {
            let mut state = state.lock().expect("lock");
            if !health {
                state.requests.push(request.clone());
            }
            state.behaviour
        };
        let alive = behaviour != Behaviour::Dead;
        let behaviour = if health && alive { Behaviour::Answer } else { behaviour };
        let answer = match behaviour {
            Behaviour::Hang | Behaviour::Dead | Behaviour::Hasty => return std::future::pending().await,
            Behaviour::Close => return,
            Behaviour::CloseOld if used => return,
            Behaviour::Switch => "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                Upgrade: websocket\r\n\r\n"
                .to_owned(),
            Behaviour::Chunks => "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nKeep-Alive: timeout=1\r\nTrailer: X-End\r\n\
                Connection: keep-alive, X-Hop, Transfer-Encoding\r\nX-Hop: 1\r\nX-Stays: 1\r\n\r\n\
                3\r\none\r\n3\r\ntwo\r\n0\r\nX-End: 1\r\n\r\n"
                .to_owned(),
            Behaviour::Junk => "what?\r\n\r\n".to_owned(),
            Behaviour::Stream => return events(stream).await,
            Behaviour::Answer | Behaviour::Late | Behaviour::CloseOld => {
                if behaviour == Behaviour::Late {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                let body = format!("{{\"path\":\"{}\"}}", request.target());
                let body = if request.head.starts_with("HEAD ") { String::new() } else { body };
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nServer: secret/1.0\r\n\
                     X-Powered-By: secret\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
            }
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        used = true;
    }
}

async fn events(mut stream: TcpStream) {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    if stream.write_all(head.as_bytes()).await.is_err() {
        return;
    }
    while stream.write_all(b"9\r\ndata: x\n\n\r\n").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads one request. `None` at the end of the connection, in order or not.
async fn read_request(
    stream: &mut TcpStream,
    input: &mut Vec<u8>,
    connection: usize,
    state: &Mutex<State>,
) -> Option<Recorded> {
    let broken = |what: &str, bytes: &[u8]| {
        let line = format!("{what}: {}", bytes.escape_ascii());
        state.lock().expect("lock").malformed.push(line);
    };
    let end = loop {
        if let Some(at) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if !fill(stream, input).await {
            if !input.is_empty() {
                broken("a head that ends early", input);
            }
            return None;
        }
    };
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let line = head.lines().next().unwrap_or_default();
    let legal = line.split(' ').count() == 3
        && line.ends_with(" HTTP/1.1")
        && line.bytes().next().is_some_and(|byte| byte.is_ascii_uppercase());
    if !legal {
        broken("a request line", input);
        return None;
    }
    input.drain(..end + 4);
    let mut request = Recorded { connection, head, body: Vec::new() };
    let chunked = request.field("transfer-encoding").map(str::to_owned);
    let length = request.field("content-length").map(str::to_owned);
    match (chunked.as_deref(), length) {
        (Some("chunked"), None) => {
            request.body = read_chunks(stream, input).await?;
        }
        (None, Some(length)) => {
            let Ok(length) = length.parse::<usize>() else {
                broken("a length", length.as_bytes());
                return None;
            };
            while input.len() < length {
                if !fill(stream, input).await {
                    return None;
                }
            }
            request.body = input.drain(..length).collect();
        }
        (None, None) => {}
        other => {
            broken("a framing", format!("{other:?}").as_bytes());
            return None;
        }
    }
    Some(request)
}

async fn read_chunks(stream: &mut TcpStream, input: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = loop {
            if let Some(at) = input.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            if !fill(stream, input).await {
                return None;
            }
        };
        let size = usize::from_str_radix(std::str::from_utf8(&input[..line]).ok()?, 16).ok()?;
        while input.len() < line + 2 + size + 2 {
            if !fill(stream, input).await {
                return None;
            }
        }
        body.extend_from_slice(&input[line + 2..line + 2 + size]);
        input.drain(..line + 2 + size + 2);
        if size == 0 {
            return Some(body);
        }
    }
}

async fn fill(stream: &mut TcpStream, input: &mut Vec<u8>) -> bool {
    let mut space = vec![0; 16_384];
    match stream.read(&mut space).await {
        Ok(count @ 1..) => {
            input.extend_from_slice(&space[..count]);
            true
        }
        _ => false,
    }
}
