//! A gateway with everything that it needs, for one test.

mod authserver;
mod denylist;
mod raw;
mod recorder;
mod redis;
mod tokens;

use std::{net::SocketAddr, sync::Arc, thread::JoinHandle, time::Duration};

use haetae_base::{
    shutdown::{Addresses, Ready, Shutdown},
    telemetry::log,
};
use haetae_config::{Config, gateway};
use serde::Deserialize;
use tempfile::TempDir;

pub(crate) use self::{
    authserver::Authserver,
    denylist::Denylist,
    raw::{Answer, exchange, exchange_slowly, tls},
    recorder::{Behaviour, Recorder},
    redis::TestRedis,
    tokens::Tokens,
};

/// The public address that the gateway believes to have.
pub(crate) const PUBLIC: &str = "http://gateway.test";
/// The audience of its API.
pub(crate) const AUDIENCE: &str = "http://gateway.test/api/v1";

/// What the tests reach, unless they say otherwise.
const ROUTES: &str = r#"
[[routes]]
name = "open"
path = "/open/{*rest}"
upstream = "reservation"
authenticate = "none"

[[routes]]
name = "api"
path = "/api/v1/things"
upstream = "reservation"
scopes = ["things:read"]

[[routes]]
name = "api-thing"
path = "/api/v1/things/{id}"
methods = ["GET", "POST"]
upstream = "reservation"

[[routes]]
name = "api-lenient"
path = "/api/v1/lenient"
upstream = "reservation"
when_stale = "allow"

[[routes]]
name = "api-strong"
path = "/api/v1/strong"
upstream = "reservation"
acr = "2fa"
max_age = "5m"

[[routes]]
name = "page"
path = "/pages/{*rest}"
upstream = "reservation"

[[routes]]
name = "page-strong"
path = "/strong"
upstream = "reservation"
acr = "2fa"

[[routes]]
name = "home"
path = "/"
upstream = "reservation"
authenticate = "optional"

[[routes]]
name = "oauth2"
path = "/oauth2/{*rest}"
upstream = "auth"
authenticate = "none"
"#;

#[derive(Deserialize)]
struct Routes {
    routes: Vec<gateway::Route>,
}

/// The routes of `text`.
pub(crate) fn routes(text: &str) -> Vec<gateway::Route> {
    toml::from_str::<Routes>(text).expect("routes").routes
}

/// A running gateway, its upstreams and its Redis.
pub(crate) struct House {
    pub(crate) gateway: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) upstream: Recorder,
    pub(crate) authserver: Authserver,
    pub(crate) redis: TestRedis,
    pub(crate) denylist: Denylist,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) shutdown: Shutdown,
    thread: Option<JoinHandle<Result<(), String>>>,
    _folder: TempDir,
}

impl House {
    /// A gateway with the settings of the tests.
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// A gateway with settings that `change` makes.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let house = Self::unready(change).await;
        house.wait_ready().await;
        house
    }

    /// The same, not yet waited for.
    pub(crate) async fn unready(change: impl FnOnce(&mut Config)) -> Self {
        let redis = TestRedis::start();
        let denylist = Denylist::connect(redis.url()).await;
        denylist.fill().await;
        Self::on(redis, denylist, change).await
    }

    /// A gateway in whose Redis nobody has filled the denylist.
    pub(crate) async fn unfilled() -> Self {
        let redis = TestRedis::start();
        let denylist = Denylist::connect(redis.url()).await;
        Self::on(redis, denylist, |_| {}).await
    }

    async fn on(redis: TestRedis, denylist: Denylist, change: impl FnOnce(&mut Config)) -> Self {
        if let Some(level) = option_env!("HAETAE_TEST_LOG") {
            log::start(log::Format::Text, level).expect("a level");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let tokens = Arc::new(Tokens::new());
        let upstream = Recorder::start().await;
        let authserver = Authserver::start(Arc::clone(&tokens)).await;
        let mut config = Config::for_tests(folder.path());
        config.public_url = PUBLIC.parse().expect("a URL");
        config.redis.url = Some(haetae_config::SecretSource::plain(redis.url()));
        config.gateway.threads = 2;
        config.gateway.access_log = true;
        config.gateway.limits.clear();
        config.gateway.routes = routes(ROUTES);
        for setting in &mut config.gateway.upstreams {
            let address =
                if setting.name == "auth" { authserver.address } else { upstream.address };
            setting.addresses = vec![address.to_string()];
        }
        change(&mut config);
        let (shutdown, announced) = (Shutdown::new(), tokio::sync::oneshot::channel());
        let thread = std::thread::spawn({
            let (shutdown, sender) = (shutdown.clone(), std::sync::Mutex::new(Some(announced.0)));
            move || {
                let ready = Ready::new(move |addresses: Addresses| {
                    let sender = sender.lock().expect("lock").take().expect("announced once");
                    sender.send(addresses).expect("somebody waits");
                });
                let run = haetae_gateway::run(&Arc::new(config), &ready, &shutdown);
                run.map_err(|error| error.to_string())
            }
        });
        let Ok(addresses) = announced.1.await else {
            let outcome = thread.join().expect("the gateway does not panic");
            panic!("the gateway did not start: {outcome:?}");
        };
        Self {
            gateway: addresses.listen.expect("it listens"),
            admin: addresses.admin,
            upstream,
            authserver,
            redis,
            denylist,
            tokens,
            shutdown,
            thread: Some(thread),
            _folder: folder,
        }
    }

    /// Waits until `/readyz` is green.
    pub(crate) async fn wait_ready(&self) {
        for _ in 0..500 {
            if self.readiness().await.0 == 200 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not ready: {:?}", self.readiness().await);
    }

    /// What `/readyz` says.
    pub(crate) async fn readiness(&self) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}/readyz", self.admin)).await.expect("admin");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    /// The metrics.
    pub(crate) async fn metrics(&self) -> String {
        let answer = reqwest::get(format!("http://{}/metrics", self.admin)).await.expect("admin");
        answer.text().await.expect("text")
    }

    /// What was counted in all series of which `labels` are a part: they stand at zero before that.
    pub(crate) async fn counted(&self, name: &str, labels: &str) -> f64 {
        let text = self.metrics().await;
        let lines = text.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// The address of `path`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.gateway)
    }

    /// Sends `bytes` on a connection of its own and reads what comes back until it is closed or quiet.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<Answer> {
        exchange(self.gateway, bytes.as_ref()).await
    }

    /// Proves that the connections to the upstream are clean: the next request arrives as it was sent,
    /// as one request, and nothing else does.
    pub(crate) async fn prove_clean(&self) {
        let before = self.upstream.requests().len();
        for count in 1..=2 {
            let answers =
                self.raw("GET /open/proof HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            assert_eq!(answers.len(), 1, "{answers:?}");
            assert_eq!(answers[0].status, 200, "{answers:?}");
            let requests = self.upstream.requests();
            assert_eq!(requests.len(), before + count, "{requests:#?}");
            assert_eq!(requests[before + count - 1].target(), "/open/proof");
        }
        assert_eq!(self.upstream.malformed(), Vec::<String>::new());
    }

    /// Asks the gateway to stop and waits for it.
    pub(crate) async fn stop(&mut self) -> Result<(), String> {
        self.shutdown.request();
        let thread = self.thread.take().expect("it runs");
        tokio::task::spawn_blocking(move || thread.join().expect("it does not panic"))
            .await
            .expect("joined")
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.shutdown.request();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            let outcome = thread.join().expect("the gateway does not panic");
            assert_eq!(outcome, Ok(()));
        }
    }
}

/// An HTTP client that follows nothing and keeps no cookie.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client")
}
