//! The role: everything that the gateway needs is put together here, served, and stopped in order.
//!
//! Two runtimes. One serves requests on as many threads as are configured. The other, which outlives it,
//! has what goes on behind their backs: Redis, the denylist, the issuer's keys, health checks, the admin
//! listener; so a flood of requests starves none of them.

use std::{sync::Arc, time::Duration};

use haetae_base::{
    admin::{Admin, BindError, Check, Readiness, bind},
    background::{Background, TaskEnded},
    clock::{Clock, SystemClock},
    redis::{ConnectError, Redis},
    shutdown::{Addresses, Ready, Shutdown},
    telemetry::metrics::Metrics,
};
use haetae_config::{Config, SecretUnavailable};
use haetae_keys::{
    issuer::{FetchOptions, IssuerKeys, SetupError},
    verify::{Expectation, IdExpectation, IdVerifier, Verifier},
};
use haetae_session::{
    StoreError,
    browser::{BrowserLifetimes, BrowserStore, LoginStore},
    denylist::DenylistReplica,
    health::RedisHealth,
};
use http::HeaderValue;
use pingora::{
    apps::{HttpServerApp, HttpServerOptions},
    protocols::http::v2::server::default_h2_options,
    proxy::http_proxy,
    server::configuration::ServerConf,
};
use tokio::{net::TcpListener, runtime, sync::watch};
use url::Url;

use crate::{
    browser::{Browser, CALLBACK, Cookies, Sessions, TokenClient, TokenClientSettings},
    challenge::Challenges,
    clean::HeadLimits,
    file_limit,
    front::{Drain, Front, FrontSettings, TlsError, load_tls},
    metrics::{self, RouteMetrics},
    proxy::Gateway,
    route::{InvalidRoutes, Table},
    upstream::{self, AUTHSERVER, Pool},
};

/// Why the gateway does not run: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] ConnectError),
    /// Redis refuses what the sessions need.
    #[error("Redis does not serve sessions: {0}; Redis 7.0 or newer is needed")]
    Store(#[from] StoreError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The routes do not fit together.
    #[error(transparent)]
    Routes(#[from] InvalidRoutes),
    /// The client secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretUnavailable),
    /// The issuer's keys cannot be fetched from where they should be.
    #[error("the issuer's keys cannot be fetched: {0}")]
    Keys(#[from] SetupError),
    /// There is no authserver to send people to.
    #[error("gateway.upstreams: there is none named \"auth\", which browser sessions need")]
    NoAuthserver,
    /// The issuer or the public address is not a URL that can be built on.
    #[error("{setting}: {url:?} is not an http or https URL")]
    Url {
        /// The setting.
        setting: &'static str,
        /// Its value.
        url: String,
    },
    /// An HTTP client cannot be made.
    #[error("cannot set up the HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// A part of the gateway died: it ends as a whole, to be started again.
    #[error(transparent)]
    Part(#[from] TaskEnded),
    /// The machine has no threads or sockets to give.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// What is kept of an answer for one stream of HTTP/2. The library's own 400 KiB would make one connection
/// that reads nothing hold 40 MB.
const HTTP2_SEND_BUFFER: usize = 64 * 1024;

/// How long the start waits for what others have to give.
const STARTING: Duration = Duration::from_secs(10);

/// Runs the gateway until shutdown. Blocks: it has runtimes of its own.
///
/// # Errors
/// [`RunError`], whose text is one line that says what to do.
pub fn run(config: &Arc<Config>, ready: &Ready, shutdown: &Shutdown) -> Result<(), RunError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    run_with_clock(config, ready, shutdown, &clock)
}

/// Runs the gateway by the time of `clock`, for tests that move it.
///
/// # Errors
/// [`RunError`].
pub fn run_with_clock(
    config: &Arc<Config>,
    ready: &Ready,
    shutdown: &Shutdown,
    clock: &Arc<dyn Clock>,
) -> Result<(), RunError> {
    // First of all: a handle that is made before is never heard of.
    let metrics = Metrics::start();
    for declared in [
        metrics::METRICS,
        haetae_keys::metrics::VERIFIER,
        haetae_keys::metrics::FETCH,
        haetae_session::metrics::REDIS,
        haetae_session::metrics::REPLICA,
        haetae_session::metrics::BROWSERS,
    ] {
        metrics.declare(declared);
    }
    metrics::begin(&config.gateway);
    // One for a client, one for the service behind, and some for everything else.
    file_limit::raise(config.gateway.max_connections.saturating_mul(2).saturating_add(100));
    let behind = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("behind")
        .enable_all()
        .build()?;
    let serving = serving_runtime(config)?;
    let drain = Arc::new(Drain::new());
    let mut built = behind.block_on(Built::new(config, clock, &drain, shutdown))?;
    let listener = serving.block_on(listen(config))?;
    let addresses =
        Addresses { listen: Some(listener.local_addr()?), admin: built.admin.address() };

    let stray_metrics = Arc::clone(&built.gateway.stray_metrics);
    let connections = Arc::clone(&built.gateway.connections);
    let (stop, stopped) = watch::channel(false);
    let conf = Arc::new(ServerConf {
        max_retries: 3,
        upstream_keepalive_pool_size: 1024,
        threads: threads(config),
        ..ServerConf::default()
    });
    let mut proxy = http_proxy(&conf, built.gateway);
    let mut h2 = default_h2_options();
    h2.max_header_list_size(
        u32::try_from(config.gateway.max_header_bytes.bytes()).unwrap_or(u32::MAX),
    );
    h2.max_concurrent_streams(100);
    // Of each of those streams, so much of an answer that the client does not fetch is kept.
    h2.max_send_buffer_size(HTTP2_SEND_BUFFER);
    proxy.h2_options = Some(h2);
    let mut options = HttpServerOptions::default();
    options.h2_idle_timeout = Some(*config.gateway.keepalive_timeout);
    proxy.server_options = Some(options);
    let proxy = Arc::new(proxy);
    let front = Arc::new(Front::new(
        Arc::clone(&proxy),
        front_settings(config),
        built.tls,
        (Arc::clone(&drain), stopped),
        connections,
        stray_metrics,
        Arc::clone(clock),
    ));

    let readiness = readiness(built.checks, shutdown.clone());
    // It goes on until everything else has ended, so that readiness and metrics can be seen to the last.
    let over = Shutdown::new();
    let admin = behind.spawn(built.admin.serve(metrics, Arc::clone(&readiness), over.clone()));
    behind.spawn(upkeep(Arc::clone(&front), built.upkeep, over.clone()));

    let dead = serving.block_on(async {
        let accepting = tokio::spawn(Arc::clone(&front).accept(listener));
        tokio::select! {
            () = everything_is_there(&*readiness) => {}
            () = shutdown.requested() => {}
        }
        ready.announce(addresses);
        let dead = tokio::select! {
            () = shutdown.requested() => None,
            ended = built.background.failed(shutdown) => Some(ended),
        };
        // A part that died takes the others along, in order.
        shutdown.request();
        tracing::info!("stopping: no new connections, {} open", front.open());
        drain.begin();
        // Nobody holds the receiver only when nobody needs to be told.
        let _told = stop.send(true);
        proxy.http_cleanup().await;
        if accepting.await.is_err() {
            tracing::error!("the listener failed");
        }
        if tokio::time::timeout(*config.gateway.drain, all_closed(&front)).await.is_err() {
            tracing::warn!("{} connections are cut off after gateway.drain", front.open());
        }
        dead
    });
    serving.shutdown_timeout(Duration::from_millis(200));
    over.request();
    if let Ok(Err(error)) = behind.block_on(admin) {
        tracing::warn!(%error, "the admin listener failed");
    }
    behind.shutdown_timeout(Duration::from_millis(500));
    dead.map_or(Ok(()), |ended| Err(ended.into()))
}

fn threads(config: &Config) -> usize {
    match config.gateway.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads.into(),
    }
}

fn serving_runtime(config: &Config) -> std::io::Result<runtime::Runtime> {
    runtime::Builder::new_multi_thread()
        .worker_threads(threads(config))
        .thread_name("gateway")
        .enable_all()
        .build()
}

async fn listen(config: &Config) -> Result<TcpListener, BindError> {
    bind(config.gateway.listen.get(), "gateway.listen").await
}

/// Waits until the denylist and the issuer's keys are loaded: before that every token would be answered
/// 503. But not for ever, because there is much that needs no token.
async fn everything_is_there(readiness: &(dyn Fn() -> Vec<Check> + Send + Sync)) {
    let wait = async {
        while readiness().iter().any(|check| check.state.is_err()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(STARTING, wait).await.is_err() {
        for Check { name, state } in readiness() {
            if let Err(reason) = state {
                tracing::warn!(part = name, reason, "serving although a part is missing");
            }
        }
    }
}

async fn all_closed(front: &Front) {
    while front.open() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn front_settings(config: &Config) -> FrontSettings {
    let gateway = &config.gateway;
    FrontSettings {
        limits: head_limits(config),
        header_timeout: *gateway.header_timeout,
        keepalive_timeout: *gateway.keepalive_timeout,
        max_connections: gateway.max_connections,
        max_connections_per_address: gateway.max_connections_per_address,
        trusted_proxies: gateway.trusted_proxies.clone(),
        access_log: gateway.access_log,
    }
}

fn head_limits(config: &Config) -> HeadLimits {
    HeadLimits {
        head_bytes: config.gateway.max_header_bytes.as_usize(),
        fields: config.gateway.max_headers,
        target_bytes: config.gateway.max_uri_bytes.as_usize(),
    }
}

type Checks = Box<dyn Fn() -> Vec<Check> + Send + Sync>;

fn readiness(checks: Checks, shutdown: Shutdown) -> Readiness {
    Arc::new(move || {
        let mut all = checks();
        if shutdown.is_requested() {
            all.push(Check { name: "running", state: Err("stopping".to_owned()) });
        }
        all
    })
}

/// What is put together before anything is served.
struct Built {
    gateway: Gateway,
    tls: Option<pingora::tls::TlsAcceptor>,
    admin: Admin,
    checks: Checks,
    upkeep: Box<dyn Fn() + Send + Sync>,
    /// What goes on beside the requests.
    background: Background,
}

impl Built {
    async fn new(
        config: &Config,
        clock: &Arc<dyn Clock>,
        drain: &Arc<Drain>,
        shutdown: &Shutdown,
    ) -> Result<Self, RunError> {
        let pools = Pool::all(config);
        let table = Table::new(config, &pools)?;
        let authserver = pools.get(AUTHSERVER).ok_or(RunError::NoAuthserver)?;
        let tls = match &config.gateway.tls {
            Some(tls) => Some(load_tls(&tls.certificate, &tls.key)?),
            None => None,
        };
        let admin = Admin::bind(config.gateway.admin.listen.get(), "gateway.admin.listen").await?;
        let redis = Redis::connect(&config.redis_url(), *config.redis.timeout).await?;
        let health = RedisHealth::start(redis.clone()).await;
        let denylist = DenylistReplica::start(
            redis.clone(),
            Arc::clone(clock),
            *config.denylist.max_staleness,
        );

        let keys = issuer_keys(authserver, clock)?;
        let mut background = Background::new();
        background.spawn("keys", {
            let (keys, shutdown) = (Arc::clone(&keys), shutdown.clone());
            async move { keys.run(shutdown).await }
        });
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(*config.gateway.upstream_connect_timeout)
            .pool_idle_timeout(Duration::from_secs(30))
            .no_proxy()
            .build()?;
        for pool in pools.values() {
            let watched = upstream::watch(
                Arc::clone(pool),
                http.clone(),
                Arc::clone(clock),
                shutdown.clone(),
            );
            background.spawn("upstream", watched);
        }
        let mut expect = Expectation::new(config.issuer(), config.api_audience());
        expect.leeway = *config.auth.tokens.leeway;
        let verifier = Arc::new(Verifier::new(
            expect,
            Arc::clone(&keys),
            config.gateway.token_cache,
            Arc::clone(clock),
        ));
        let browser = browser(config, authserver, &keys, redis, http, clock).await?;
        let public_origin = config.public_url.origin().ascii_serialization();
        let gateway = Gateway {
            clock: Arc::clone(clock),
            table,
            verifier: Arc::clone(&verifier),
            denylist: Arc::clone(&denylist),
            browser,
            challenges: Challenges::new(),
            trusted_proxies: config.gateway.trusted_proxies.clone(),
            public_origin: HeaderValue::try_from(&public_origin)
                .map_err(|_| RunError::Url { setting: "public_url", url: public_origin.clone() })?,
            scheme: if config.is_https() { "https" } else { "http" },
            issuer_host: config.login_host(),
            request_timeout: *config.gateway.request_timeout,
            limits: head_limits(config),
            access_log: config.gateway.access_log,
            own_metrics: RouteMetrics::new("session"),
            stray_metrics: Arc::new(RouteMetrics::new("-")),
            drain: Arc::clone(drain),
            connections: Arc::default(),
        };
        let limits = gateway.table.limits().to_vec();
        let swept = Arc::clone(clock);
        Ok(Self {
            gateway,
            tls,
            admin,
            background,
            checks: Box::new(move || {
                let loaded = if keys.ready() { Ok(()) } else { Err("not loaded yet".to_owned()) };
                vec![health.check(), denylist.check(), Check { name: "issuer_keys", state: loaded }]
            }),
            upkeep: Box::new(move || {
                verifier.sweep();
                for limit in &limits {
                    limit.sweep(swept.now());
                }
            }),
        })
    }
}

fn issuer_keys(authserver: &Pool, clock: &Arc<dyn Clock>) -> Result<Arc<IssuerKeys>, RunError> {
    let at = |address: &String| url("gateway.upstreams", &format!("http://{address}/oauth2/jwks"));
    let urls = authserver.names().iter().map(at).collect::<Result<_, _>>()?;
    // The network between the gateway and its upstreams is trusted as every request on it is.
    let options = FetchOptions { plain_http: true, ..FetchOptions::default() };
    Ok(IssuerKeys::fetched(urls, options, Arc::clone(clock))?)
}

async fn browser(
    config: &Config,
    authserver: &Arc<Pool>,
    keys: &Arc<IssuerKeys>,
    redis: Redis,
    http: reqwest::Client,
    clock: &Arc<dyn Clock>,
) -> Result<Browser, RunError> {
    let settings = &config.gateway.browser;
    let lifetimes = BrowserLifetimes {
        idle: *settings.idle_timeout,
        absolute: *settings.absolute_timeout,
        per_account: settings.per_account,
    };
    let store = BrowserStore::connect(redis.clone(), lifetimes, Arc::clone(clock)).await?;
    let logins = LoginStore::connect(redis, *settings.login_timeout, Arc::clone(clock)).await?;
    let issuer = config.issuer();
    let issuer_url = url("auth.public_url", &issuer)?;
    let client = TokenClient::new(
        http,
        TokenClientSettings {
            authserver: Arc::clone(authserver),
            client_id: settings.client_id.clone(),
            client_secret: config.gateway_client_secret()?,
            issuer: issuer_url,
            redirect_uri: format!("{}{CALLBACK}", config.public_origin()),
        },
        Arc::clone(clock),
    );
    let id_tokens = IdVerifier::new(
        IdExpectation {
            issuer: issuer.clone(),
            client_id: settings.client_id.clone(),
            algorithms: haetae_keys::Algorithm::ALL.to_vec(),
            leeway: *config.auth.tokens.leeway,
        },
        Arc::clone(keys),
        Arc::clone(clock),
    );
    Ok(Browser {
        cookies: Cookies::new(config.is_https(), lifetimes.absolute, *settings.login_timeout),
        sessions: Sessions::new(
            store,
            client.clone(),
            *settings.refresh_before,
            lifetimes.idle,
            Arc::clone(clock),
        ),
        logins,
        client,
        id_tokens,
        authorize_url: url("auth.public_url", &format!("{issuer}/oauth2/authorize"))?,
        logout_url: url("auth.public_url", &format!("{issuer}/oauth2/logout"))?,
        issuer,
        public_origin: config.public_origin(),
        client_id: settings.client_id.clone(),
    })
}

fn url(setting: &'static str, text: &str) -> Result<Url, RunError> {
    let invalid = || RunError::Url { setting, url: text.to_owned() };
    let url = Url::parse(text).map_err(|_| invalid())?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(invalid())
    }
}

/// What has to be done now and then.
async fn upkeep(front: Arc<Front>, sweep: Box<dyn Fn() + Send + Sync>, over: Shutdown) {
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    let mut round: u32 = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = over.requested() => return,
        }
        round = round.wrapping_add(1);
        metrics::connections(front.open());
        if round.is_multiple_of(12) {
            sweep();
        }
    }
}
