//! Instances that come, go and move, watched as in a running gateway.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use haetae_base::{
    clock::{Clock, SystemClock},
    shutdown::Shutdown,
};
use haetae_config::{Config, gateway::Upstream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::{Pool, watch};

/// What the name server of this test says.
static NAMED: Mutex<Option<SocketAddr>> = Mutex::new(None);

fn name(address: Option<SocketAddr>) {
    *NAMED.lock().unwrap_or_else(PoisonError::into_inner) = address;
}

fn look_up(_: &str) -> io::Result<Vec<SocketAddr>> {
    let named = *NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    named.map(|address| vec![address]).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// An instance that says that it lives.
async fn instance() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 1024]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _written = stream.write_all(answer).await;
        }
    });
    (address, serving)
}

async fn until_it_is(pool: &Pool, address: SocketAddr) {
    let found = async {
        while !pool.endpoints().iter().map(|it| it.address()).eq([address]) {
            tokio::task::yield_now().await;
        }
    };
    // Without a name, names are looked up twice a minute.
    tokio::time::timeout(Duration::from_secs(10), found).await.expect("found soon");
}

#[tokio::test]
async fn an_instance_that_is_started_again_elsewhere_is_found_soon() {
    let config = Config::for_tests("/nowhere");
    let setting = Upstream {
        name: "auth".to_owned(),
        addresses: vec!["auth.test:8081".to_owned()],
        health_path: "/healthz".to_owned(),
        cookies: None,
    };
    // It is not there yet when the gateway starts.
    name(None);
    let pool = Arc::new(Pool::new(&config, &setting, look_up));
    assert!(pool.endpoints().is_empty());
    let shutdown = Shutdown::new();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let watching = tokio::spawn(watch(Arc::clone(&pool), client, clock, shutdown.clone()));
    let (first, serving) = instance().await;
    name(Some(first));
    until_it_is(&pool, first).await;
    // While nothing has its name, it stays: a name server that is away takes nobody away.
    serving.abort();
    name(None);
    let (second, _serving) = instance().await;
    assert!(pool.endpoints().iter().map(|it| it.address()).eq([first]));
    name(Some(second));
    until_it_is(&pool, second).await;
    shutdown.request();
    watching.await.expect("it ends");
}
