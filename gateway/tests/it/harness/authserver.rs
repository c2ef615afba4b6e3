//! What the gateway needs of an authserver: keys, a token endpoint, revocation.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest;
use axum::{
    Form, Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use haetae_base::clock::{Clock, SystemClock};
use serde_json::json;
use tokio::net::TcpListener;

use super::Tokens;

/// A login that the person has finished.
#[derive(Clone, Debug)]
struct Grant {
    nonce: String,
    challenge: String,
    redirect_uri: String,
}

#[derive(Debug)]
struct Inner {
    tokens: Arc<Tokens>,
    codes: Mutex<HashMap<String, Grant>>,
    /// The refresh token that is good now.
    refresh_token: Mutex<String>,
    /// Seconds that access tokens live.
    lifetime: AtomicU64,
    refreshes: AtomicU64,
    revoked: Mutex<Vec<String>>,
    ended: Mutex<Vec<String>>,
    refuse_logout: AtomicBool,
    refuse_refresh: AtomicBool,
    broken: AtomicBool,
    hides_keys: AtomicBool,
    asked_for_keys: AtomicU64,
}

/// The authserver.
#[derive(Clone, Debug)]
pub(crate) struct Authserver {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

impl Authserver {
    pub(crate) async fn start(tokens: Arc<Tokens>) -> Self {
        let inner = Arc::new(Inner {
            tokens,
            codes: Mutex::default(),
            refresh_token: Mutex::new("refresh-0".to_owned()),
            lifetime: AtomicU64::new(300),
            refreshes: AtomicU64::new(0),
            revoked: Mutex::default(),
            ended: Mutex::default(),
            refuse_logout: AtomicBool::new(false),
            refuse_refresh: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            hides_keys: AtomicBool::new(false),
            asked_for_keys: AtomicU64::new(0),
        });
        let app = Router::new()
            .route("/healthz", get(async || "ok"))
            .route("/oauth2/jwks", get(jwks))
            .route("/oauth2/token", post(token))
            .route("/oauth2/revoke", post(revoke))
            .route("/oauth2/logout", post(logout))
            .with_state(Arc::clone(&inner));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, inner }
    }

    /// The person finished the login that `location` began; gives the code.
    pub(crate) fn finish(&self, location: &url::Url) -> String {
        let parameters: HashMap<_, _> = location.query_pairs().into_owned().collect();
        assert_eq!(parameters["response_type"], "code");
        assert_eq!(parameters["code_challenge_method"], "S256");
        let code = format!("code-{}", self.inner.codes.lock().expect("lock").len());
        let grant = Grant {
            nonce: parameters["nonce"].clone(),
            challenge: parameters["code_challenge"].clone(),
            redirect_uri: parameters["redirect_uri"].clone(),
        };
        self.inner.codes.lock().expect("lock").insert(code.clone(), grant);
        code
    }

    /// Changes the nonce of a code, as a mix-up would.
    pub(crate) fn spoil(&self, code: &str) {
        let mut codes = self.inner.codes.lock().expect("lock");
        "another".clone_into(&mut codes.get_mut(code).expect("known").nonce);
    }

    /// How long access tokens live from here on.
    pub(crate) fn set_lifetime(&self, seconds: u64) {
        self.inner.lifetime.store(seconds, Ordering::SeqCst);
    }

    /// How often a refresh token was used.
    pub(crate) fn refreshes(&self) -> u64 {
        self.inner.refreshes.load(Ordering::SeqCst)
    }

    /// Answers `invalid_grant` to every refresh from here on.
    pub(crate) fn refuse_refresh(&self) {
        self.inner.refuse_refresh.store(true, Ordering::SeqCst);
    }

    /// Answers 500 to everything at the token endpoint, or no more.
    pub(crate) fn set_broken(&self, broken: bool) {
        self.inner.broken.store(broken, Ordering::SeqCst);
    }

    /// Answers 503 to who asks for the keys, or no more.
    pub(crate) fn hide_keys(&self, hidden: bool) {
        self.inner.hides_keys.store(hidden, Ordering::SeqCst);
    }

    /// How often the keys were asked for.
    pub(crate) fn asked_for_keys(&self) -> u64 {
        self.inner.asked_for_keys.load(Ordering::SeqCst)
    }

    /// The ID tokens whose sessions were ended.
    pub(crate) fn ended(&self) -> Vec<String> {
        self.inner.ended.lock().expect("lock").clone()
    }

    /// From now on no session is ended.
    pub(crate) fn refuse_logout(&self) {
        self.inner.refuse_logout.store(true, Ordering::Relaxed);
    }

    /// The tokens that were revoked.
    pub(crate) fn revoked(&self) -> Vec<String> {
        self.inner.revoked.lock().expect("lock").clone()
    }
}

async fn jwks(State(inner): State<Arc<Inner>>) -> Response {
    inner.asked_for_keys.fetch_add(1, Ordering::SeqCst);
    if inner.hides_keys.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    Json(inner.tokens.signer.jwks()).into_response()
}

async fn token(
    State(inner): State<Arc<Inner>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if inner.broken.load(Ordering::SeqCst) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    if !authorization.is_some_and(|text| text.starts_with("Basic ")) {
        return error("invalid_client");
    }
    let nonce = match form["grant_type"].as_str() {
        "authorization_code" => {
            let Some(grant) = inner.codes.lock().expect("lock").remove(&form["code"]) else {
                return error("invalid_grant");
            };
            let challenge = digest::digest(&digest::SHA256, form["code_verifier"].as_bytes());
            let right = URL_SAFE_NO_PAD.encode(challenge) == grant.challenge
                && form["redirect_uri"] == grant.redirect_uri;
            if !right {
                return error("invalid_grant");
            }
            Some(grant.nonce)
        }
        "refresh_token" => {
            let count = inner.refreshes.fetch_add(1, Ordering::SeqCst);
            // Long enough for others to arrive meanwhile.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut current = inner.refresh_token.lock().expect("lock");
            if inner.refuse_refresh.load(Ordering::SeqCst) || *current != form["refresh_token"] {
                return error("invalid_grant");
            }
            *current = format!("refresh-{}", count + 1);
            None
        }
        other => panic!("grant_type {other}"),
    };
    let lifetime = inner.lifetime.load(Ordering::SeqCst);
    let access = inner.tokens.access_with(|claims| {
        "haetae-gateway".clone_into(&mut claims.client_id);
        claims.sid = Some("sid_browser".to_owned());
        claims.exp = SystemClock.now().plus(Duration::from_secs(lifetime));
    });
    Json(json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": lifetime,
        "refresh_token": *inner.refresh_token.lock().expect("lock"),
        "id_token": inner.tokens.id(nonce.as_deref(), "sid_browser"),
    }))
    .into_response()
}

async fn revoke(
    State(inner): State<Arc<Inner>>,
    Form(form): Form<HashMap<String, String>>,
) -> StatusCode {
    inner.revoked.lock().expect("lock").push(form["token"].clone());
    StatusCode::OK
}

async fn logout(
    State(inner): State<Arc<Inner>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if inner.refuse_logout.load(Ordering::Relaxed) {
        return error("invalid_request");
    }
    assert!(headers.contains_key("authorization"), "as a client");
    inner.ended.lock().expect("lock").push(form["id_token_hint"].clone());
    StatusCode::NO_CONTENT.into_response()
}

fn error(code: &str) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({"error": code}))).into_response()
}
