//! The two roles, from configuration to shutdown.

use std::{
    future::IntoFuture,
    net::SocketAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::serve::ListenerExt;
use haetae_base::{
    admin::{Admin, BindError, Check, Readiness, bind},
    background::{Background, TaskEnded},
    clock::{Clock, SystemClock},
    redis::{self, Redis},
    shutdown::{Addresses, Ready, Shutdown},
    sql::{self, Sql},
    telemetry::metrics::Metrics,
};
use haetae_config::Config;
use haetae_keys::{
    issuer::{FetchOptions, IssuerKeys, SetupError},
    verify::{Expectation, Verifier},
};
use sea_orm::DbErr;

use crate::{
    accept::{Committer, Gathering},
    apply_batch::Policy,
    domain::hold::HoldPolicy,
    http::{self, ApiParts, DatabaseUp, TokenVerifier},
    payment::simulator::PaymentSimulator,
    queue::{
        bell::Bell,
        changes::{self, Waiters},
    },
    store::{Store, StoreError, migrations},
    worker::Worker,
};

/// How many verified tokens an API remembers.
const TOKENS: usize = 20_000;

/// How long open requests may hold up the end.
const FAREWELL: Duration = Duration::from_secs(10);

/// How long the payment provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a step of a payment is tried before an administrator is asked: some four minutes.
const ATTEMPTS: u32 = 12;

/// How long the second try waits.
const BACKOFF: Duration = Duration::from_millis(200);

/// Why a role cannot run: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] sql::ConnectError),
    /// The database refuses a migration.
    #[error("cannot bring the tables of database.reservation_url up to date: {0}")]
    Migrate(#[source] DbErr),
    /// Tables are missing, or are those of an older version.
    #[error(
        "the tables of database.reservation_url are not those of this version; run `haetae migrate`, or set \
         database.migrate"
    )]
    NotMigrated,
    /// Redis cannot be reached.
    #[error(transparent)]
    Redis(#[from] redis::ConnectError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Nobody says where the authserver is.
    #[error(
        "gateway.upstreams has no upstream \"auth\" with an address: its keys verify the access tokens"
    )]
    NoAuthserver,
    /// The authserver's address makes no sense.
    #[error("gateway.upstreams: {0:?} is not an address")]
    Address(String),
    /// The issuer's keys cannot be fetched from there.
    #[error(transparent)]
    Keys(#[from] SetupError),
    /// The database failed while the role began.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listener failed.
    #[error("a listener failed: {0}")]
    Serve(#[from] std::io::Error),
    /// A part of the role died: it ends as a whole, to be started again.
    #[error(transparent)]
    Part(#[from] TaskEnded),
}

/// Applies the migrations that are missing.
///
/// # Errors
/// [`RunError::Database`] or [`RunError::Migrate`].
pub async fn migrate(config: &Config) -> Result<(), RunError> {
    let sql = connect(config).await?;
    migrations::apply(&sql).await.map_err(RunError::Migrate)
}

async fn connect(config: &Config) -> Result<Sql, RunError> {
    let url = config.reservation_database_url();
    let most = config.database.max_connections;
    Ok(Sql::connect(&url, "database.reservation_url", most).await?)
}

async fn open(config: &Config) -> Result<Store, RunError> {
    let sql = connect(config).await?;
    if config.database.migrate {
        migrations::apply(&sql).await.map_err(RunError::Migrate)?;
    } else if !migrations::is_current(&sql).await.map_err(RunError::Migrate)? {
        return Err(RunError::NotMigrated);
    }
    Ok(Store::new(sql))
}

/// Runs the API and the page until shutdown. `ready` is called when it serves.
///
/// # Errors
/// [`RunError`].
pub async fn run(config: Arc<Config>, ready: Ready, shutdown: Shutdown) -> Result<(), RunError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::start();
    for declared in
        [crate::metrics::API, haetae_keys::metrics::FETCH, haetae_keys::metrics::VERIFIER]
    {
        metrics.declare(declared);
    }
    let store = open(&config).await?;
    let redis = Redis::connect(&config.redis_url(), *config.redis.timeout).await?;
    let listener = bind(config.reservation.listen.get(), "reservation.listen").await?;
    let listen = listener.local_addr()?;
    let admin =
        Admin::bind(config.reservation.admin.listen.get(), "reservation.admin.listen").await?;
    let keys = issuer_keys(&config, &clock)?;
    let expect = Expectation::new(config.issuer(), config.api_audience());
    let verifier = Verifier::new(expect, Arc::clone(&keys), TOKENS, Arc::clone(&clock));
    let verifier = Arc::new(TokenVerifier(verifier));
    let waiters = Waiters::default();
    let (bell, mut ringing) = Bell::start(redis.clone(), waiters.clone());
    let settings = &config.reservation;
    let gathering = Gathering {
        batch: settings.accept_batch.max(1),
        linger: *settings.accept_linger,
        max_open: NonZeroU32::new(settings.max_open_per_subject),
    };
    let (committer, mut committing) =
        Committer::start(store.clone(), bell.clone(), Arc::clone(&clock), gathering);
    let health = Arc::new(Health::default());
    let addresses = Addresses { listen: Some(listen), admin: admin.address() };
    let (watched, checked, database) = (Arc::clone(&health), Arc::clone(&keys), health.sql.clone());
    let readiness: Readiness = Arc::new(move || vec![watched.sql(), keys_check(&checked)]);
    let mut background = Background::new();
    background.spawn("admin", serve_admin(admin, metrics, readiness, shutdown.clone()));
    background.spawn("health", health.watch(store.sql().clone(), None, shutdown.clone()));
    background.spawn("sweep", sweep(Arc::clone(&verifier), shutdown.clone()));
    let keys_shutdown = shutdown.clone();
    background.spawn("keys", async move { keys.run(keys_shutdown).await });
    background.spawn("changes", changes::follow(redis, waiters.clone(), shutdown.clone()));
    let parts = ApiParts {
        store,
        committer,
        bell,
        waiters,
        authenticate: verifier,
        clock,
        hold: HoldPolicy { duration: *settings.hold },
        partitions: settings.partitions.max(1),
        origin: config.public_origin(),
        login_origin: origin_of(&config.issuer()),
        database,
        shutdown: shutdown.clone(),
    };
    let router = http::router(parts.into());
    let asked = shutdown.clone();
    let listener = listener.tap_io(|stream| {
        // Answers are small and wanted at once; without it each could wait for an acknowledgement.
        let _only_slower_without = stream.set_nodelay(true);
    });
    let serving = axum::serve(listener, router)
        .with_graceful_shutdown(async move { asked.requested().await })
        .into_future();
    ready.announce(addresses);
    let dead = async {
        tokio::select! {
            ended = background.failed(&shutdown) => ended,
            ended = &mut committing => TaskEnded { name: "committer", source: ended.err() },
            ended = &mut ringing => TaskEnded { name: "bell", source: ended.err() },
        }
    };
    finish(serving, dead, &shutdown).await?;
    // Everything that was taken in is written and rung for before the process ends.
    let _both = tokio::time::timeout(FAREWELL, async {
        let _ended = committing.await;
        let _ended = ringing.await;
    })
    .await;
    Ok(())
}

/// Runs a worker until shutdown. `ready` is called when it works.
///
/// # Errors
/// [`RunError`].
pub async fn run_worker(
    config: Arc<Config>,
    ready: Ready,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Metrics::start();
    metrics.declare(crate::metrics::WORKER);
    let store = open(&config).await?;
    let redis = Redis::connect(&config.redis_url(), *config.redis.timeout).await?;
    let admin = Admin::bind(config.worker.admin.listen.get(), "worker.admin.listen").await?;
    let payment = &config.worker.payment;
    let declined = payment.decline_tokens.iter().cloned();
    let provider = PaymentSimulator::new(store.sql().clone(), *payment.latency, declined);
    let health = Arc::new(Health::default());
    let addresses = Addresses { listen: None, admin: admin.address() };
    let checked = Arc::clone(&health);
    let readiness: Readiness = Arc::new(move || vec![checked.sql(), checked.redis()]);
    let mut background = Background::new();
    background.spawn("admin", serve_admin(admin, metrics, readiness, shutdown.clone()));
    let watching = health.watch(store.sql().clone(), Some(redis.clone()), shutdown.clone());
    background.spawn("health", watching);
    let worker = Worker {
        store,
        redis,
        provider: Arc::new(provider),
        clock,
        policy: Policy {
            hold: HoldPolicy { duration: *config.reservation.hold },
            patience: PATIENCE,
            attempts: ATTEMPTS,
            backoff: BACKOFF,
        },
        partitions: config.reservation.partitions.max(1),
        lease: config.worker.lease.get().max(Duration::from_millis(300)),
        batch: config.worker.batch.max(1),
    };
    ready.announce(addresses);
    let working = worker.run(shutdown.clone());
    tokio::select! {
        done = working => done,
        ended = background.failed(&shutdown) => Err(ended.into()),
    }
}

/// Serves to the end, or until a part without which that makes no sense is `dead`; once asked to stop, not longer
/// than [`FAREWELL`].
async fn finish(
    serving: impl Future<Output = std::io::Result<()>>,
    dead: impl Future<Output = TaskEnded>,
    shutdown: &Shutdown,
) -> Result<(), RunError> {
    tokio::pin!(serving);
    tokio::select! {
        result = &mut serving => return Ok(result?),
        ended = dead => return Err(ended.into()),
        () = shutdown.requested() => {}
    }
    Ok(tokio::time::timeout(FAREWELL, serving).await.unwrap_or(Ok(()))?)
}

async fn serve_admin(admin: Admin, metrics: Metrics, readiness: Readiness, shutdown: Shutdown) {
    if let Err(error) = admin.serve(metrics, readiness, shutdown).await {
        tracing::error!(%error, "the admin listener failed");
    }
}

fn issuer_keys(config: &Config, clock: &Arc<dyn Clock>) -> Result<Arc<IssuerKeys>, RunError> {
    let upstream = config.gateway.upstreams.iter().find(|upstream| upstream.name == "auth");
    let addresses = upstream.map(|upstream| config.upstream_addresses(upstream));
    let addresses = addresses.filter(|all| !all.is_empty()).ok_or(RunError::NoAuthserver)?;
    let at = |address: String| {
        let url = format!("http://{}/oauth2/jwks", reachable(&address));
        url.parse().map_err(|_| RunError::Address(address))
    };
    let urls = addresses.into_iter().map(at).collect::<Result<_, _>>()?;
    // The network between the services is trusted as every request on it is.
    let options = FetchOptions { plain_http: true, ..FetchOptions::default() };
    Ok(IssuerKeys::fetched(urls, options, Arc::clone(clock))?)
}

/// Scheme, host and port of an address.
fn origin_of(address: &str) -> String {
    url::Url::parse(address)
        .map_or_else(|_| "'self'".to_owned(), |url| url.origin().ascii_serialization())
}

/// Whoever listens on all addresses is reached on this machine's own.
fn reachable(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(socket) if socket.ip().is_unspecified() => format!("localhost:{}", socket.port()),
        _ => address.to_owned(),
    }
}

fn keys_check(keys: &IssuerKeys) -> Check {
    let state = if keys.ready() { Ok(()) } else { Err("not loaded yet".to_owned()) };
    Check { name: "issuer_keys", state }
}

async fn sweep(verifier: Arc<TokenVerifier>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(Duration::from_mins(1)) => verifier.0.sweep(),
        }
    }
}

/// Whether the parts that a role needs answer, asked once a second.
#[derive(Debug)]
struct Health {
    sql: DatabaseUp,
    redis: AtomicBool,
}

impl Default for Health {
    /// Both were there when the role connected to them.
    fn default() -> Self {
        Self { sql: DatabaseUp::default(), redis: true.into() }
    }
}

impl Health {
    /// Asks until shutdown.
    async fn watch(self: Arc<Self>, sql: Sql, redis: Option<Redis>, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            // Somebody who wants a connection waits for a free one. Here a connection that does not come
            // within a second counts as no answer.
            let ping = tokio::time::timeout(Duration::from_secs(1), sql.ping()).await;
            let up = ping.unwrap_or(false);
            Self::note("sql", self.sql.set(up), up);
            if let Some(redis) = &redis {
                let up = redis.takes_writes().await.is_ok();
                Self::note("redis", self.redis.swap(up, Ordering::Relaxed), up);
            }
            tokio::select! {
                () = shutdown.requested() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    fn note(name: &'static str, was_up: bool, up: bool) {
        if was_up != up {
            tracing::warn!(part = name, up, "a part that this role needs changed");
        }
        metrics::gauge!("haetae_reservation_part_up", "part" => name).set(if up {
            1.0
        } else {
            0.0
        });
    }

    fn sql(&self) -> Check {
        check("sql", self.sql.get())
    }

    fn redis(&self) -> Check {
        check("redis", self.redis.load(Ordering::Relaxed))
    }
}

fn check(name: &'static str, up: bool) -> Check {
    Check { name, state: if up { Ok(()) } else { Err("does not answer".to_owned()) } }
}
