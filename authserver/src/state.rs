//! What every handler reaches: the parts of the running authserver, put together once by [`crate::run`].
//!
//! The router is `oidc::router()`, `sign_in::router()`, `register::router()`, `account::router()`,
//! `pages::router()` (static files), each a `Router<AppState>`, merged in `run.rs` under the layers of
//! `http_stack.rs`. Handlers take `State<AppState>`, `RequestContext` (address, user agent, request id:
//! [`crate::context`]) and axum-extra's `CookieJar`.
//!
//! Fields (being written): config: Arc<Config>, issuer: String, clock: Arc<dyn Clock>, sql: Sql,
//! redis: Redis, accounts: Accounts, factors: Factors, clients: Clients (cached), consents: Consents,
//! audit: Audit (`audit.record(Event)`; see `audit.rs`), master: MasterKey, keys: Arc<KeyRing>,
//! sso: SsoStore, families: FamilyStore, denylist: Arc<DenylistWriter>, replica: Arc<DenylistReplica>,
//! transient: Transient. The sign-in pages add one field of their own, `sign_in: crate::sign_in::SignIn`,
//! made in `AppState::open` from the config, clock and redis.
