//! Asking a role's admin listener whether it is ready: one small request, not worth an HTTP client.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whether `/readyz` answers 200.
pub(crate) async fn is_ready(admin: SocketAddr) -> bool {
    let head = time::timeout(PATIENCE, ask(admin)).await;
    matches!(head, Ok(Ok(head)) if head.starts_with(b"HTTP/1.1 200") || head.starts_with(b"HTTP/1.0 200"))
}

async fn ask(admin: SocketAddr) -> io::Result<[u8; 12]> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use haetae_base::{
        admin::{Admin, Check},
        shutdown::Shutdown,
        telemetry::metrics::Metrics,
    };

    use super::*;

    #[tokio::test]
    async fn tells_a_whole_role_from_one_that_lacks_something_and_from_none() {
        let any = "127.0.0.1:0".parse().expect("an address");
        let admin = Admin::bind(any, "a test").await.expect("bound");
        let address = admin.address();
        let whole = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&whole);
        let readiness = Arc::new(move || {
            let state = seen.load(Ordering::SeqCst).then_some(()).ok_or("loading".to_owned());
            vec![Check { name: "copy", state }]
        });
        let shutdown = Shutdown::new();
        let served = tokio::spawn(admin.serve(Metrics::start(), readiness, shutdown.clone()));
        assert!(!is_ready(address).await, "it lacks something");
        whole.store(true, Ordering::SeqCst);
        assert!(is_ready(address).await);
        shutdown.request();
        served.await.expect("no panic").expect("served");
        assert!(!is_ready(address).await, "it is gone");
    }
}
