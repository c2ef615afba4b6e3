//! Running the authserver: what it opens, in which order, what goes on in the background, and how it ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use haetae_base::{
    admin::{self, Admin, Check, Readiness},
    background::{Background, TaskEnded},
    clock::{Clock, SystemClock},
    redis::Redis,
    shutdown::{Addresses, Ready, Shutdown},
    sql::Sql,
    telemetry::metrics::Metrics,
};
use haetae_config::{Config, SecretUnavailable};
use haetae_keys::{
    ring::{KeyRing, Policy, RingError},
    seal::{MasterKey, MasterKeyError},
    verify::Verifier,
};
use haetae_session::{
    denylist::{DenylistReplica, DenylistWriter},
    family::{FamilyPolicy, FamilyStore},
    health::RedisHealth,
    sso::{SsoLifetimes, SsoStore},
};

use crate::{
    account,
    audit::{Audit, Writer},
    changes::{self, Change, News},
    client_registry::ClientRegistry,
    cookies::Cookies,
    gateway_client,
    http_stack::{self, Stack},
    oidc, pages, register, shut_clients,
    sign_in::{self, SignIn, hash_pool::HashError},
    sql_health::SqlHealth,
    state::{AppState, Parts, expectation, longest_token},
    store::{
        StoreError, accounts::Accounts, audit::AuditTrail, clients::Clients, consents::Consents,
        factors::Factors, keys::SigningKeys, migrations, revocations::Revocations,
    },
    transient::{Transient, code::Codes},
};

/// How often the ring of signing keys is looked after, at least.
const RING_TICK: Duration = Duration::from_secs(30);
/// How often what is too old in the audit trail is forgotten.
const AUDIT_TICK: Duration = Duration::from_hours(1);
/// How many access tokens that came back are remembered as verified.
const REMEMBERED_TOKENS: usize = 10_000;
/// How long what runs in the background may take to end.
const LAST_WORDS: Duration = Duration::from_secs(8);

/// Why the authserver does not run: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The master key is not there.
    #[error(transparent)]
    Secret(#[from] SecretUnavailable),
    /// The master key is not one.
    #[error("keys.master_key: {0}")]
    MasterKey(#[from] MasterKeyError),
    /// The database cannot be opened.
    #[error(transparent)]
    Sql(#[from] haetae_base::sql::ConnectError),
    /// The migrations failed.
    #[error("the authserver's database cannot be migrated: {0}")]
    Migrate(#[source] sea_orm::DbErr),
    /// The migrations are not applied, and `database.migrate` is off.
    #[error("the authserver's database is not up to date; run `haetae migrate`")]
    NotMigrated,
    /// Redis cannot be reached.
    #[error(transparent)]
    Redis(#[from] haetae_base::redis::ConnectError),
    /// Redis answers, but not as it should.
    #[error(transparent)]
    Session(#[from] haetae_session::StoreError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// Passwords cannot be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] admin::BindError),
    /// A part of it died: it ends as a whole, to be started again.
    #[error(transparent)]
    Part(#[from] TaskEnded),
    /// A listener failed.
    #[error("the authserver stopped serving: {0}")]
    Serve(#[source] std::io::Error),
}

/// Runs the authserver until `shutdown`.
///
/// # Errors
/// [`RunError`] when it cannot start, or a listener fails.
pub async fn run(config: Arc<Config>, ready: Ready, shutdown: Shutdown) -> Result<(), RunError> {
    let metrics = Metrics::start();
    for declared in [
        crate::metrics::METRICS,
        haetae_keys::metrics::RING,
        haetae_keys::metrics::VERIFIER,
        haetae_session::metrics::SIGN_INS,
        haetae_session::metrics::REDIS,
        haetae_session::metrics::REPLICA,
        haetae_session::metrics::WRITER,
    ] {
        metrics.declare(declared);
    }
    // The addresses first: a port in use is told at once.
    let listen = config.auth.listen.get();
    let listener = admin::bind(listen, "auth.listen").await?;
    let admin = Admin::bind(config.auth.admin.listen.get(), "auth.admin.listen").await?;
    let addresses =
        Addresses { listen: Some(listener.local_addr().unwrap_or(listen)), admin: admin.address() };

    let redis = Redis::connect(&config.redis_url(), *config.redis.timeout).await?;
    let sql = open_sql(&config).await?;
    let master = MasterKey::from_secret(&config.master_key()?)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (state, writer) = assemble(config, sql, redis, master, clock).await?;
    gateway_client::register(&state).await?;

    let mut background = Background::new();
    let readiness = readiness(&state).await;
    background.spawn("health", {
        let (state, shutdown) = (state.clone(), shutdown.clone());
        async move { state.sql_health.watch(&state.sql, &shutdown).await }
    });
    background.spawn("denylist", Arc::clone(&state.denylist).run(shutdown.clone()));
    background.spawn("look_after", look_after(state.clone(), shutdown.clone()));
    background.spawn("admin", admin_task(admin, metrics, readiness, shutdown.clone()));

    let app = app(&state).into_make_service_with_connect_info::<SocketAddr>();
    // The writer of the audit trail ends after the last request, not with the first sign of the end.
    let served = Shutdown::new();
    background.spawn("audit", writer.run(served.clone()));
    ready.announce(addresses);
    tracing::info!(issuer = state.issuer, listen = ?addresses.listen, "the authserver serves");
    let stop = shutdown.clone();
    let serving = axum::serve(listener, app)
        .with_graceful_shutdown(async move { stop.requested().await })
        .into_future();
    tokio::pin!(serving);
    let outcome = tokio::select! {
        outcome = &mut serving => outcome.map_err(RunError::Serve),
        ended = background.failed(&shutdown) => {
            // Requests under way are answered before the rest follows.
            shutdown.request();
            let _answered = tokio::time::timeout(LAST_WORDS, serving).await;
            Err(ended.into())
        }
    };
    shutdown.request();
    served.request();
    if tokio::time::timeout(LAST_WORDS, background.ended()).await.is_err() {
        tracing::warn!("a background task did not end in time");
    }
    outcome
}

/// Applies the authserver's migrations.
///
/// # Errors
/// [`RunError`] when the database cannot be opened or a migration fails.
pub async fn migrate(config: &Config) -> Result<(), RunError> {
    let sql = connect_sql(config).await?;
    migrations::migrate(&sql).await.map_err(RunError::Migrate)
}

/// The database, up to date.
pub(crate) async fn open_sql(config: &Config) -> Result<Sql, RunError> {
    let sql = connect_sql(config).await?;
    if config.database.migrate {
        migrations::migrate(&sql).await.map_err(RunError::Migrate)?;
    } else if !migrations::is_current(&sql).await.map_err(RunError::Migrate)? {
        return Err(RunError::NotMigrated);
    }
    Ok(sql)
}

async fn connect_sql(config: &Config) -> Result<Sql, RunError> {
    let (url, most) = (config.auth_database_url(), config.database.max_connections);
    Ok(Sql::connect(&url, "database.auth_url", most).await?)
}

/// The policy of the ring of signing keys.
pub(crate) fn ring_policy(config: &Config) -> Policy {
    let algorithms = config.keys.algorithms.iter().filter_map(|name| name.as_str().parse().ok());
    Policy::new(
        algorithms.collect(),
        *config.keys.rotate_every,
        *config.keys.overlap,
        longest_token(config),
    )
}

/// How long refresh families live.
pub(crate) fn family_policy(config: &Config) -> FamilyPolicy {
    let tokens = &config.auth.tokens;
    FamilyPolicy {
        idle: *tokens.refresh_idle,
        absolute: *tokens.refresh_absolute,
        grace: *tokens.refresh_grace,
        session_idle: Some(*config.auth.session.idle),
        per_client: tokens.refresh_per_client,
    }
}

/// How long SSO sessions live.
pub(crate) fn sso_lifetimes(config: &Config) -> SsoLifetimes {
    let session = &config.auth.session;
    SsoLifetimes {
        idle: *session.idle,
        absolute: *session.absolute,
        per_account: session.per_account,
    }
}

/// Puts the parts together, and the writer that has to run for the audit trail.
pub(crate) async fn assemble(
    config: Arc<Config>,
    sql: Sql,
    redis: Redis,
    master: MasterKey,
    clock: Arc<dyn Clock>,
) -> Result<(AppState, Writer), RunError> {
    let store = Arc::new(SigningKeys::new(sql.clone()));
    let keys = KeyRing::open(store, &master, ring_policy(&config), Arc::clone(&clock)).await?;
    let log = Arc::new(Revocations::new(sql.clone()));
    let longest = longest_token(&config);
    let (audit, writer) = Audit::new(AuditTrail::new(sql.clone()), Arc::clone(&clock));
    let clients = Clients::new(sql.clone(), &master);
    let state = AppState::new(Parts {
        issuer: config.issuer(),
        audience: config.api_audience(),
        cookies: Cookies::new(config.issuer().starts_with("https:")),
        accounts: Accounts::new(sql.clone()),
        factors: Factors::new(sql.clone()),
        consents: Consents::new(sql.clone()),
        clients: ClientRegistry::new(clients, Arc::clone(&clock)),
        audit,
        sso: SsoStore::connect(redis.clone(), sso_lifetimes(&config)).await?,
        families: FamilyStore::connect(redis.clone(), family_policy(&config), &master).await?,
        denylist: DenylistWriter::connect(redis.clone(), log, longest, Arc::clone(&clock)).await?,
        replica: DenylistReplica::start(
            redis.clone(),
            Arc::clone(&clock),
            *config.denylist.max_staleness,
        ),
        transient: Transient::new(redis.clone()),
        codes: Codes::new(redis.clone(), *config.auth.tokens.code),
        verifier: Verifier::new(
            expectation(&config),
            keys.issuer_keys(),
            REMEMBERED_TOKENS,
            Arc::clone(&clock),
        ),
        sign_in: SignIn::start(&config, &master, Arc::clone(&clock), redis.clone())?,
        keys,
        master,
        redis,
        sql,
        sql_health: SqlHealth::default(),
        clock,
        config,
    });
    Ok((state, writer))
}

/// All routes under all layers.
pub(crate) fn app(state: &AppState) -> Router {
    let router = Router::new()
        .merge(oidc::router(state))
        .merge(sign_in::router())
        .merge(register::router())
        .merge(account::router())
        .merge(pages::router())
        .route("/healthz", axum::routing::get(async || "ok\n"))
        .fallback(http_stack::not_found)
        .with_state(state.clone());
    let stack = Stack {
        clock: Arc::clone(&state.clock),
        trusted_proxies: state.config.auth.trusted_proxies.clone().into(),
        https: state.issuer.starts_with("https:"),
    };
    stack.around(router)
}

/// What goes on beside the requests: the ring of keys, the changes of others, what is to be forgotten.
async fn look_after(state: AppState, shutdown: Shutdown) {
    let ring_changed = Arc::new(tokio::sync::Notify::new());
    let client_changed = Arc::new(tokio::sync::Notify::new());
    let hear = {
        let (state, ring_changed) = (state.clone(), Arc::clone(&ring_changed));
        let client_changed = Arc::clone(&client_changed);
        move |news: News| {
            state.clients.set_hearing(news != News::Silence);
            if matches!(news, News::Missed | News::Changed(Change::Client)) {
                state.clients.forget();
                client_changed.notify_one();
            }
            if matches!(news, News::Missed | News::Changed(Change::Keys)) {
                ring_changed.notify_one();
            }
        }
    };
    let follow = changes::follow(state.redis.clone(), hear, shutdown.clone());
    let tend = async {
        loop {
            // Not a tick late for a key whose time has come: `haetae keys list` says when it signs.
            let pause = state.keys.due_in().map_or(RING_TICK, |due| due.min(RING_TICK));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ring_changed.notified() => {}
                () = shutdown.requested() => return,
            }
            if let Err(error) = state.keys.maintain().await {
                tracing::warn!(%error, "the ring of signing keys cannot be looked after");
            }
            state.verifier.sweep();
        }
    };
    let shut = shut_clients::follow(&state, &client_changed, &shutdown);
    tokio::join!(follow, tend, shut, forget(&state, &shutdown));
}

/// Forgets what is too old in the audit trail.
async fn forget(state: &AppState, shutdown: &Shutdown) {
    let trail = AuditTrail::new(state.sql.clone());
    loop {
        let before = state.now().minus(*state.config.auth.audit.retention);
        loop {
            match trail.forget(before).await {
                Ok(true) if !shutdown.is_requested() => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(%error, "old audit events cannot be forgotten now");
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(AUDIT_TICK) => {}
            () = shutdown.requested() => return,
        }
    }
}

async fn admin_task(admin: Admin, metrics: Metrics, readiness: Readiness, shutdown: Shutdown) {
    if let Err(error) = admin.serve(metrics, readiness, shutdown).await {
        tracing::error!(%error, "the admin listener failed");
    }
}

async fn readiness(state: &AppState) -> Readiness {
    let redis = RedisHealth::start(state.redis.clone()).await;
    let state = state.clone();
    Arc::new(move || {
        let sql =
            if state.sql_health.answers() { Ok(()) } else { Err("does not answer".to_owned()) };
        vec![
            redis.check(),
            Check { name: "sql", state: sql },
            state.denylist.check(),
            Check { name: "denylist_copy", ..state.replica.check() },
        ]
    })
}
