//! A whole authserver for the tests: real SQL (PostgreSQL when there is one), a Redis of its own, a clock
//! that the test moves, and a browser that keeps its cookies.

use std::{
    collections::BTreeMap,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use haetae_base::{
    clock::{Clock, ManualClock, Timestamp},
    redis::Redis,
    shutdown::Shutdown,
};
use haetae_config::Config;
use haetae_keys::seal::MasterKey;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{
    domain::{
        account::{Account, PasswordHash},
        client::Client,
    },
    run,
    sign_in::{hash_cost, hash_pool::hash_now},
    state::AppState,
    store::{
        clients::Clients,
        testing::{new_account, postgres_url},
    },
};

/// The password of every account of the tests.
pub(crate) const PASSWORD: &str = "tiger lily on the roof";

/// A Redis of one's own, stopped at the end.
pub(crate) struct OwnRedis {
    server: Child,
    folder: TempDir,
}

impl OwnRedis {
    pub(crate) async fn start() -> (Self, Redis) {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let own = Self { server, folder };
        let socket = own.folder.path().join("redis.sock");
        let url = format!("redis+unix://{}", socket.display()).into();
        for _ in 0..500 {
            if let Ok(redis) = Redis::connect(&url, Duration::from_secs(2)).await {
                return (own, redis);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("redis-server does not start");
    }

    /// Stops it now.
    pub(crate) fn stop(&mut self) {
        self.server.kill().expect("killed");
        self.server.wait().expect("gone");
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        // It may be stopped already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A running authserver.
pub(crate) struct House {
    pub(crate) state: AppState,
    pub(crate) clock: ManualClock,
    pub(crate) router: Router,
    pub(crate) redis: OwnRedis,
    _folder: TempDir,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::for_tests(folder.path());
        config.auth.password.memory_kib = 64;
        config.auth.password.iterations = 1;
        config.keys.algorithms.truncate(1);
        if let Some(url) = postgres_url().await {
            config.database.auth_url = Some(haetae_config::SecretSource::plain(url));
        }
        change(&mut config);
        let (redis, connection) = OwnRedis::start().await;
        let clock = ManualClock::at(Timestamp::from_seconds(1_800_000_000));
        let sql = run::open_sql(&config).await.expect("sqlite");
        let master = MasterKey::from_secret(&MasterKey::generate()).expect("a key");
        let shared = Arc::new(clock.clone());
        let (state, writer) =
            run::assemble(Arc::new(config), sql, connection, master, shared).await.expect("parts");
        tokio::spawn(writer.run(Shutdown::new()));
        let router = run::app(&state);
        Self { state, clock, router, redis, _folder: folder }
    }

    /// A person with [`PASSWORD`].
    pub(crate) async fn person(&self, username: &str) -> Account {
        let mut account = new_account(username);
        account.display_name = format!("{username} 님");
        account.created_at = self.clock.now();
        let cost = hash_cost(&self.state.config);
        let phc = hash_now(cost, &PASSWORD.to_owned().into()).expect("hashes");
        account.password = Some(PasswordHash::from_phc(phc));
        self.state.accounts.insert(&account).await.expect("inserted");
        account
    }

    /// A public client on the person's device, answered at `http://127.0.0.1/callback` on any port.
    pub(crate) async fn client(&self, client_id: &str, first_party: bool) {
        let metadata = serde_json::json!({
            "client_name": "Partner & Sons", "application_type": "native",
            "redirect_uris": ["http://127.0.0.1/callback"], "grant_types": ["authorization_code"],
            "token_endpoint_auth_method": "none", "scope": "openid profile reservations:read",
        });
        self.register(client_id, metadata, first_party).await;
    }

    /// A first-party client on a server, answered at `https://app.example/cb`.
    pub(crate) async fn web_client(&self, client_id: &str) {
        let metadata = serde_json::json!({
            "client_name": "Web", "redirect_uris": ["https://app.example/cb"],
            "grant_types": ["authorization_code"], "token_endpoint_auth_method": "none",
            "scope": "openid profile",
        });
        self.register(client_id, metadata, true).await;
    }

    async fn register(&self, client_id: &str, metadata: serde_json::Value, first_party: bool) {
        let now = self.clock.now();
        let client = Client {
            client_id: client_id.to_owned(),
            metadata: serde_json::from_value(metadata).expect("metadata"),
            secret: None,
            first_party,
            disabled_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        Clients::new(self.state.sql.clone(), &self.state.master)
            .insert(&client)
            .await
            .expect("inserted");
    }

    /// A browser that has never been here.
    pub(crate) fn browser(&self) -> Browser {
        Browser {
            router: self.router.clone(),
            origin: self.state.issuer.clone(),
            language: "en",
            navigates: false,
            cookies: BTreeMap::new(),
        }
    }
}

/// A browser that keeps cookies and sends what browsers send.
#[derive(Clone)]
pub(crate) struct Browser {
    router: Router,
    pub(crate) origin: String,
    pub(crate) language: &'static str,
    /// Whether it says, as browsers do, that a page is what it wants.
    pub(crate) navigates: bool,
    pub(crate) cookies: BTreeMap<String, String>,
}

/// What a browser got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) fields: header::HeaderMap,
    pub(crate) body: String,
    /// The address that it was got from.
    pub(crate) address: String,
}

impl Got {
    /// Where it redirects to.
    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.body);
        self.fields[header::LOCATION].to_str().expect("text")
    }

    /// The value of an attribute right after `mark`.
    pub(crate) fn after(&self, mark: &str) -> String {
        let (_, rest) =
            self.body.split_once(mark).unwrap_or_else(|| panic!("{mark} in {}", self.body));
        unescape(rest.split('"').next().expect("a value"))
    }

    /// The token of its form.
    pub(crate) fn csrf(&self) -> String {
        self.after(r#"name="csrf" value=""#)
    }

    /// Where its form posts to.
    pub(crate) fn action(&self) -> String {
        self.after(r#"<form method="post" action=""#)
    }
}

fn unescape(text: &str) -> String {
    text.replace("&#38;", "&").replace("&amp;", "&").replace("&#34;", "\"").replace("&#39;", "'")
}

impl Browser {
    /// Sends a request and keeps the cookies of the answer.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Got {
        let address = request.uri().to_string();
        let (mut parts, body) = request.into_parts();
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        parts.headers.insert(header::COOKIE, cookies.join("; ").parse().expect("cookies"));
        parts.headers.insert(header::ACCEPT_LANGUAGE, self.language.parse().expect("a tag"));
        if self.navigates {
            parts.headers.insert("sec-fetch-mode", "navigate".parse().expect("a value"));
        }
        let answer =
            self.router.clone().oneshot(Request::from_parts(parts, body)).await.expect("an answer");
        let (parts, body) = answer.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().expect("text");
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let (name, value) = pair.split_once('=').expect("a cookie");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let body = String::from_utf8(body.to_vec()).expect("text");
        Got { status: parts.status, fields: parts.headers, body, address }
    }

    /// Opens a page.
    pub(crate) async fn get(&mut self, path: &str) -> Got {
        self.send(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    /// Opens a page and follows redirects on this origin.
    pub(crate) async fn open(&mut self, path: &str) -> Got {
        let got = self.get(path).await;
        self.follow(got).await
    }

    /// Follows redirects on this origin.
    pub(crate) async fn follow(&mut self, mut got: Got) -> Got {
        for _ in 0..10 {
            if got.status != 303 || !got.location().starts_with('/') {
                return got;
            }
            let next = got.location().to_owned();
            got = self.get(&next).await;
        }
        panic!("redirected for ever: {got:?}");
    }

    /// Posts fields to a path.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Got {
        let body: String =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::ORIGIN, &self.origin)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .expect("a request");
        self.send(request).await
    }

    /// Fills in the form of a page and sends it.
    pub(crate) async fn submit(&mut self, page: &Got, fields: &[(&str, &str)]) -> Got {
        let csrf = page.csrf();
        let mut all = vec![("csrf", csrf.as_str())];
        all.extend_from_slice(fields);
        self.post(&page.action(), &all).await
    }

    /// Signs in with [`PASSWORD`]; what comes after the password.
    pub(crate) async fn sign_in(&mut self, username: &str) -> Got {
        let page = self.get("/login").await;
        self.submit(&page, &[("username", username), ("password", PASSWORD)]).await
    }

    /// The value of a cookie.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }
}
