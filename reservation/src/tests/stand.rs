//! A whole service for one test: a Redis of its own on a socket, the API on a free port, and as many
//! workers as the test wants.

use std::{
    num::NonZeroU32,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use haetae_base::{
    clock::{Clock, Timestamp},
    redis::Redis,
    shutdown::Shutdown,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::bench::{Bench, PARTITIONS, POLICY, clock, now};
use crate::{
    accept::{Committer, Gathering},
    apply_batch::Policy,
    http::{ApiParts, Authenticate, AuthenticateError, DatabaseUp, Identity, router},
    payment::simulator::PaymentSimulator,
    queue::{
        bell::Bell,
        changes::{self, Waiters},
    },
    worker::Worker,
};

/// A `redis-server` that ends with the test.
pub(crate) struct RedisServer {
    process: Child,
    folder: TempDir,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let process = run_redis(&folder);
        let server = Self { process, folder };
        server.wait();
        server
    }

    /// Kills it with all that it knows, and starts it again, empty.
    pub(crate) fn wipe(&mut self) {
        self.stop();
        self.process = run_redis(&self.folder);
        self.wait();
    }

    pub(crate) fn stop(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        let _absent = std::fs::remove_file(self.folder.path().join("redis.sock"));
    }

    pub(crate) fn start_again(&mut self) {
        self.process = run_redis(&self.folder);
        self.wait();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    pub(crate) async fn connect(&self) -> Redis {
        Redis::connect(&self.url().into(), Duration::from_millis(250)).await.expect("Redis")
    }

    fn wait(&self) {
        let socket = self.folder.path().join("redis.sock");
        for _ in 0..1000 {
            if std::os::unix::net::UnixStream::connect(&socket).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not start");
    }
}

fn run_redis(folder: &TempDir) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(folder.path().join("redis.sock"))
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Believes `SUBJECT:SCOPE+SCOPE`, so that a test can be whoever it wants. How tokens are verified is
/// tested in `haetae-keys`, and that this service does it, end to end.
struct Believer;

#[async_trait::async_trait]
impl Authenticate for Believer {
    async fn authenticate(&self, token: &str) -> Result<Identity, AuthenticateError> {
        let (subject, scopes) =
            token.split_once(':').ok_or_else(|| AuthenticateError::Invalid("no".to_owned()))?;
        Ok(Identity {
            subject: subject.to_owned(),
            client_id: "test".to_owned(),
            scopes: scopes.split('+').map(ToOwned::to_owned).collect(),
            expires_at: now().plus(Duration::from_hours(1)),
        })
    }
}

pub(crate) const CUSTOMER: &str = "usr_kim:reservations:read+reservations:write";
pub(crate) const OTHER: &str = "usr_lee:reservations:read+reservations:write";
pub(crate) const SELLER: &str = "usr_seller:inventory:write";

/// The service.
pub(crate) struct Stand {
    pub(crate) bench: Bench,
    pub(crate) redis: RedisServer,
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    pub(crate) database: DatabaseUp,
    pub(crate) api: Shutdown,
    workers: Vec<(Shutdown, tokio::task::JoinHandle<()>)>,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
            .to_str()
            .expect("text")
    }

    #[track_caller]
    pub(crate) fn problem(&self, status: u16, slug: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:haetae:problem:{slug}"), "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["request_id"].is_string(), "{problem}");
        problem
    }
}

impl Stand {
    /// An API and one worker, for each database.
    pub(crate) async fn each() -> Vec<Self> {
        let mut stands = Vec::new();
        for bench in Bench::each().await {
            let mut stand = Self::on(bench, POLICY).await;
            stand.work().await;
            stands.push(stand);
        }
        stands
    }

    /// An API without a worker.
    pub(crate) async fn on(bench: Bench, policy: Policy) -> Self {
        Self::bounded(bench, policy, None).await
    }

    /// One that lets a person have so many units open.
    pub(crate) async fn bounded(
        bench: Bench,
        policy: Policy,
        max_open: Option<NonZeroU32>,
    ) -> Self {
        let server = RedisServer::start();
        let redis = server.connect().await;
        let shutdown = Shutdown::new();
        let store = bench.another().await;
        let waiters = Waiters::default();
        let (bell, _) = Bell::start(redis.clone(), waiters.clone());
        let gathering = Gathering { batch: 64, linger: Duration::from_millis(1), max_open };
        let clock: Arc<dyn Clock> = clock();
        let (committer, _) =
            Committer::start(store.clone(), bell.clone(), Arc::clone(&clock), gathering);
        tokio::spawn(changes::follow(redis, waiters.clone(), shutdown.clone()));
        let database = DatabaseUp::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let parts = ApiParts {
            store,
            committer,
            bell,
            waiters,
            authenticate: Arc::new(Believer),
            clock,
            hold: policy.hold,
            partitions: PARTITIONS,
            origin: url.clone(),
            login_origin: url.clone(),
            database: database.clone(),
            shutdown: shutdown.clone(),
        };
        let asked = shutdown.clone();
        let serving = axum::serve(listener, router(parts.into()))
            .with_graceful_shutdown(async move { asked.requested().await });
        tokio::spawn(async move { serving.await });
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self { bench, redis: server, url, http, database, api: shutdown, workers: Vec::new() }
    }

    /// One worker more.
    pub(crate) async fn work(&mut self) {
        self.work_as(POLICY, Duration::ZERO).await;
    }

    pub(crate) async fn work_as(&mut self, policy: Policy, latency: Duration) {
        let shutdown = Shutdown::new();
        let store = self.bench.another().await;
        let provider = PaymentSimulator::new(store.sql().clone(), latency, []);
        let worker = Worker {
            redis: self.redis.connect().await,
            provider: Arc::new(provider),
            clock: clock(),
            policy,
            partitions: PARTITIONS,
            lease: Duration::from_millis(900),
            batch: 64,
            store,
        };
        let asked = shutdown.clone();
        let handle = tokio::spawn(async move { worker.run(asked).await.expect("a worker") });
        self.workers.push((shutdown, handle));
    }

    /// Ends the first worker in an orderly way.
    pub(crate) async fn dismiss(&mut self) {
        let (shutdown, handle) = self.workers.remove(0);
        shutdown.request();
        handle.await.expect("an orderly end");
    }

    pub(crate) fn request(&self, method: &str, path: &str, token: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        let request = self.http.request(method, format!("{}{path}", self.url));
        if token.is_empty() { request } else { request.bearer_auth(token) }
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        send(self.request("GET", path, token)).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        send(self.request("POST", path, token).json(body)).await
    }

    /// Reserves under a new key, as the customer; `wait` in seconds, 0 for not at all.
    pub(crate) async fn reserve(&self, body: &Value, wait: u32) -> Answer {
        let key = haetae_base::id::Id::<crate::domain::inventory::Item>::new(now()).to_string();
        self.reserve_as(CUSTOMER, &key, body, wait).await
    }

    pub(crate) async fn reserve_as(
        &self,
        token: &str,
        key: &str,
        body: &Value,
        wait: u32,
    ) -> Answer {
        let mut request = self.request("POST", "/api/v1/reservations", token);
        request = request.header("Idempotency-Key", key);
        if wait > 0 {
            request = request.header("Prefer", format!("wait={wait}"));
        }
        send(request.json(body)).await
    }

    /// Waits until the customer's reservation is in one of `states`.
    pub(crate) async fn settled(&self, id: &str, states: &[&str]) -> Value {
        let begin: Timestamp = now();
        loop {
            let answer = self.get(&format!("/api/v1/reservations/{id}"), CUSTOMER).await;
            if answer.status == 200 {
                let reservation = answer.json();
                if states.iter().any(|state| reservation["status"] == *state) {
                    return reservation;
                }
            }
            let waited = now().since(begin);
            assert!(waited < Duration::from_secs(30), "{id}: {}", answer.text);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.api.request();
        for (shutdown, _) in &self.workers {
            shutdown.request();
        }
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.expect("text"),
    }
}

/// A basket of these items.
pub(crate) fn basket(lines: &[(&str, u32)]) -> Value {
    let items: Vec<Value> = lines
        .iter()
        .map(|(id, quantity)| json!({"inventory_id": id, "quantity": quantity}))
        .collect();
    json!({ "items": items })
}

pub(crate) fn history(reservation: &Value) -> Vec<String> {
    let entries = reservation["history"].as_array().expect("a history");
    entries.iter().map(|entry| entry["status"].as_str().expect("a state").to_owned()).collect()
}
