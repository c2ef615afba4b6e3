//! The gateway as a confidential client of the authserver (`client_secret_basic`), which it calls at its
//! upstream address and not through itself.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use haetae_base::clock::Clock;
use haetae_session::browser::Tokens;
use reqwest::{StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::form_urlencoded;

use crate::upstream::Pool;

/// How long the authserver may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client. Clones share its connections.
#[derive(Clone)]
pub(crate) struct TokenClient(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    authserver: Arc<Pool>,
    clock: Arc<dyn Clock>,
    client_id: String,
    authorization: SecretString,
    issuer_host: String,
    issuer_scheme: String,
    redirect_uri: String,
}

/// Why the authserver gave no tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenClientError {
    /// The code or the refresh token is known to be dead (RFC 6749 5.2): nothing will make it good again.
    #[error("the grant is not valid any more")]
    InvalidGrant,
    /// It refuses, for a reason that is not the grant's.
    #[error("the authserver answers {status}: {error}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The error code.
        error: String,
    },
    /// No instance of it lives.
    #[error("no authserver answers")]
    NoneLives,
    /// It does not answer, or not in time.
    #[error("the authserver does not answer: {0}")]
    Request(#[from] reqwest::Error),
    /// It answers something else than RFC 6749 5.1 says.
    #[error("the authserver's answer is not a token response")]
    Malformed,
}

/// What the client needs to know.
pub(crate) struct TokenClientSettings {
    /// The instances of the authserver.
    pub(crate) authserver: Arc<Pool>,
    /// The client's id.
    pub(crate) client_id: String,
    /// Its secret.
    pub(crate) client_secret: SecretString,
    /// The issuer, whose host the authserver expects to be called by.
    pub(crate) issuer: url::Url,
    /// The redirect URI.
    pub(crate) redirect_uri: String,
}

/// RFC 6749 5.1.
#[derive(Deserialize)]
struct TokenResponse {
    access_token: String,
    expires_in: u64,
    refresh_token: Option<String>,
    id_token: Option<String>,
}

/// RFC 6749 5.2.
#[derive(Deserialize)]
struct ErrorResponse {
    error: String,
}

impl TokenClient {
    /// The client.
    pub(crate) fn new(
        http: reqwest::Client,
        settings: TokenClientSettings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let TokenClientSettings { authserver, client_id, client_secret, issuer, redirect_uri } =
            settings;
        // Both parts are form-encoded first (RFC 6749 2.3.1).
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encode(&client_id), encode(client_secret.expose_secret()));
        let authorization = format!("Basic {}", STANDARD.encode(pair)).into();
        let host = issuer.host_str().unwrap_or_default();
        let issuer_host =
            issuer.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Self(Arc::new(Inner {
            http,
            authserver,
            clock,
            client_id,
            authorization,
            issuer_host,
            issuer_scheme: issuer.scheme().to_owned(),
            redirect_uri,
        }))
    }

    /// The redirect URI.
    pub(crate) fn redirect_uri(&self) -> &str {
        &self.0.redirect_uri
    }

    /// Exchanges a code (RFC 6749 4.1.3, RFC 7636 4.5).
    pub(crate) async fn exchange(
        &self,
        code: &str,
        verifier: &SecretString,
    ) -> Result<Tokens, TokenClientError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.0.redirect_uri),
            ("code_verifier", verifier.expose_secret()),
        ];
        self.tokens(&form, None).await
    }

    /// Refreshes (RFC 6749 6). What the answer leaves out stays as it was.
    pub(crate) async fn refresh(&self, tokens: &Tokens) -> Result<Tokens, TokenClientError> {
        let Some(refresh_token) = &tokens.refresh_token else {
            return Err(TokenClientError::InvalidGrant);
        };
        let form =
            [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
        self.tokens(&form, Some(tokens)).await
    }

    /// Ends the single sign-on session of an ID token, with all that was given out in it to any client.
    pub(crate) async fn end_session(
        &self,
        id_token: &SecretString,
    ) -> Result<(), TokenClientError> {
        let form = [("id_token_hint", id_token.expose_secret())];
        let response = self.post("/oauth2/logout", &form).await?;
        if response.status().is_success() { Ok(()) } else { Err(refused(response).await) }
    }

    /// Revokes a refresh token (RFC 7009).
    pub(crate) async fn revoke(
        &self,
        refresh_token: &SecretString,
    ) -> Result<(), TokenClientError> {
        let form = [("token", refresh_token.expose_secret()), ("token_type_hint", "refresh_token")];
        let response = self.post("/oauth2/revoke", &form).await?;
        if response.status().is_success() { Ok(()) } else { Err(refused(response).await) }
    }

    async fn tokens(
        &self,
        form: &[(&str, &str)],
        before: Option<&Tokens>,
    ) -> Result<Tokens, TokenClientError> {
        let sent = self.0.clock.now();
        let response = self.post("/oauth2/token", form).await?;
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        let answer: TokenResponse =
            response.json().await.map_err(|_| TokenClientError::Malformed)?;
        let id_token = match (answer.id_token, before) {
            (Some(id_token), _) => id_token.into(),
            (None, Some(before)) => before.id_token.clone(),
            (None, None) => return Err(TokenClientError::Malformed),
        };
        Ok(Tokens {
            access_token: answer.access_token.into(),
            access_expires_at: sent.plus(Duration::from_secs(answer.expires_in)),
            refresh_token: answer
                .refresh_token
                .map(SecretString::from)
                .or_else(|| before.and_then(|before| before.refresh_token.clone())),
            id_token,
        })
    }

    async fn post(
        &self,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<reqwest::Response, TokenClientError> {
        let inner = &*self.0;
        let mut tried = Vec::new();
        loop {
            let now = inner.clock.now();
            let endpoint = inner.authserver.pick(now, &tried).ok_or(TokenClientError::NoneLives)?;
            let sent = inner
                .http
                .post(format!("http://{}{path}", endpoint.address()))
                .header(header::HOST, &inner.issuer_host)
                .header("x-forwarded-proto", &inner.issuer_scheme)
                .header("x-forwarded-host", &inner.issuer_host)
                .header(header::AUTHORIZATION, inner.authorization.expose_secret())
                .header(header::ACCEPT, "application/json")
                .timeout(PATIENCE)
                .form(form)
                .send()
                .await;
            match sent {
                Ok(response) => {
                    endpoint.succeeded(&inner.authserver);
                    return Ok(response);
                }
                // Nothing was sent: another instance may be asked.
                Err(error) if error.is_connect() => {
                    endpoint.failed(&inner.authserver, inner.clock.now());
                    tried.push(endpoint.address());
                    if !inner.authserver.has_another(&tried) {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

async fn refused(response: reqwest::Response) -> TokenClientError {
    let status = response.status();
    let error = match response.json::<ErrorResponse>().await {
        Ok(answer) => answer.error,
        Err(_) => String::new(),
    };
    // `invalid_client` and the like are the operator's fault, not the end of a session.
    if status.is_client_error() && error == "invalid_grant" {
        TokenClientError::InvalidGrant
    } else {
        TokenClientError::Refused { status, error }
    }
}

impl std::fmt::Debug for TokenClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "TokenClient({})", self.0.client_id)
    }
}
