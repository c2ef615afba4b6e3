//! An OpenID client: authorization code with PKCE through the real login pages, and the token endpoint.

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use crate::{
    agent::{Agent, Page, http},
    stack::{DemoClient, DemoUser, Stack},
    token,
    totp::Authenticator,
};

/// A client of one stack.
#[derive(Clone, Debug)]
pub struct Client {
    /// The issuer.
    pub issuer: Url,
    /// Its identifier.
    pub client_id: String,
    /// Its secret, when it is confidential.
    pub client_secret: Option<String>,
    /// Where the browser returns to. Nothing listens there: the address itself is the answer.
    pub redirect_uri: String,
    http: reqwest::Client,
}

/// One authorization request under way.
#[derive(Clone, Debug)]
pub struct Request {
    /// The address that the browser opens.
    pub url: Url,
    /// The PKCE verifier.
    pub verifier: String,
    /// The `state`.
    pub state: String,
    /// The `nonce`.
    pub nonce: String,
}

/// What the token endpoint gave.
#[derive(Clone, Debug, Deserialize)]
pub struct Tokens {
    /// The access token.
    pub access_token: String,
    /// The refresh token, when there is one.
    pub refresh_token: Option<String>,
    /// The ID token, when there is one.
    pub id_token: Option<String>,
    /// `Bearer`.
    pub token_type: String,
    /// Life of the access token in seconds.
    pub expires_in: u64,
    /// The granted scope.
    pub scope: Option<String>,
}

/// The scopes that a reservation client asks for.
pub const SCOPE: &str = "openid profile email offline_access reservations:read reservations:write";

impl Client {
    /// The client `client` of the demo, returning to a loopback port that is nobody's.
    pub fn new(stack: &Stack, client: &DemoClient) -> Self {
        Self {
            issuer: stack.public_url().clone(),
            client_id: client.client_id.clone(),
            client_secret: client.client_secret.clone(),
            redirect_uri: "http://127.0.0.1:49152/callback".to_owned(),
            http: http(),
        }
    }

    /// The native client of the demo.
    pub fn mobile(stack: &Stack) -> Self {
        Self::new(stack, stack.demo().client("demo-mobile"))
    }

    /// An authorization request for `scope`, with `more` parameters.
    pub fn request(&self, scope: &str, more: &[(&str, &str)]) -> Request {
        let (verifier, state, nonce) = (token::random(32), token::random(16), token::random(16));
        let mut url = self.endpoint("oauth2/authorize");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("scope", scope)
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &token::sha256_base64(&verifier))
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(more);
        Request { url, verifier, state, nonce }
    }

    /// An endpoint of the issuer.
    pub fn endpoint(&self, path: &str) -> Url {
        self.issuer.join(&format!("/{path}")).expect("an address")
    }

    /// Walks `request` through the pages as `user` would and returns the parameters that the redirect carried.
    pub async fn authorize(
        &self,
        agent: &Agent,
        request: &Request,
        user: &DemoUser,
        authenticator: Option<&Authenticator>,
    ) -> Vec<(String, String)> {
        let ours = |url: &Url| url.as_str().starts_with(&self.redirect_uri);
        let mut page = agent.get(&request.url).await;
        for _ in 0..8 {
            page = agent.follow(page, ours).await;
            if let Some(location) = page.location()
                && ours(&location)
            {
                return location
                    .query_pairs()
                    .map(|(name, value)| (name.into_owned(), value.into_owned()))
                    .collect();
            }
            assert_eq!(page.status, StatusCode::OK, "{}: {}", page.url, page.text());
            page = if let Some(form) = page.form_with("password") {
                let form = form.with("username", &user.username).with("password", &user.password);
                agent.submit(&page, &form).await
            } else if let Some(form) = page.form_with("code") {
                let authenticator = authenticator.expect("a code is asked for: an authenticator");
                agent.submit(&page, &form.with("code", &authenticator.code(0))).await
            } else if let Some(form) = page.form_to("consent") {
                agent.submit(&page, &form.pressing(&["allow", "accept", "approve", "yes"])).await
            } else {
                panic!("neither login, code nor consent: {} {}", page.url, page.text());
            };
        }
        panic!("the login does not end: {} {}", page.url, page.text());
    }

    /// Signs `user` in and fetches tokens: the whole code flow.
    pub async fn sign_in(&self, agent: &Agent, user: &DemoUser) -> Tokens {
        self.sign_in_with(agent, user, None, SCOPE).await
    }

    /// The whole code flow for `scope`, with a second factor when `authenticator` is given.
    pub async fn sign_in_with(
        &self,
        agent: &Agent,
        user: &DemoUser,
        authenticator: Option<&Authenticator>,
        scope: &str,
    ) -> Tokens {
        let request = self.request(scope, &[]);
        let answer = self.authorize(agent, &request, user, authenticator).await;
        let get = |name: &str| {
            answer.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(get("state"), Some(request.state.as_str()), "{answer:?}");
        // RFC 9207: the answer names its issuer.
        assert_eq!(get("iss"), Some(self.issuer.as_str().trim_end_matches('/')), "{answer:?}");
        let code = get("code").unwrap_or_else(|| panic!("no code: {answer:?}"));
        let tokens = tokens(&self.exchange(code, &request.verifier).await);
        if let Some(id_token) = &tokens.id_token {
            assert_eq!(token::Token::read(id_token).claims["nonce"], request.nonce.as_str());
        }
        tokens
    }

    /// Exchanges a code.
    pub async fn exchange(&self, code: &str, verifier: &str) -> Page {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", verifier),
        ])
        .await
    }

    /// Uses a refresh token.
    pub async fn refresh(&self, refresh_token: &str) -> Page {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    /// Fetches a token for the client itself.
    pub async fn client_credentials(&self, scope: &str) -> Tokens {
        tokens(&self.client_credentials_page(scope).await)
    }

    /// Asks for a token for the client itself.
    pub async fn client_credentials_page(&self, scope: &str) -> Page {
        self.token(&[("grant_type", "client_credentials"), ("scope", scope)]).await
    }

    /// Revokes a token and asserts that it was acknowledged.
    pub async fn revoke(&self, token: &str) {
        let page = self.post("oauth2/revoke", &[("token", token)]).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    }

    /// Asks the token endpoint.
    pub async fn token(&self, form: &[(&str, &str)]) -> Page {
        self.post("oauth2/token", form).await
    }

    /// Posts `form` to an endpoint, authenticated as this client.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Page {
        let mut form = form.to_vec();
        let mut request = self.http.post(self.endpoint(path));
        match &self.client_secret {
            Some(secret) => request = request.basic_auth(&self.client_id, Some(secret)),
            None => form.push(("client_id", &self.client_id)),
        }
        Page::read(request.form(&form).send().await.expect("an answer")).await
    }

    /// The claims of the userinfo endpoint.
    pub async fn userinfo(&self, access_token: &str) -> Page {
        let request = self.http.get(self.endpoint("oauth2/userinfo")).bearer_auth(access_token);
        Page::read(request.send().await.expect("an answer")).await
    }

    /// The published keys.
    pub async fn jwks(&self) -> Value {
        let response = self.http.get(self.endpoint("oauth2/jwks")).send().await;
        Page::read(response.expect("an answer")).await.json()
    }
}

/// The tokens of a good answer.
pub fn tokens(page: &Page) -> Tokens {
    assert_eq!(page.status, StatusCode::OK, "{}: {}", page.url, page.body);
    // RFC 6749 5.1
    assert_eq!(page.header("cache-control"), Some("no-store"), "{:?}", page.headers);
    serde_json::from_str(&page.body).expect("a token answer")
}

/// Asserts an OAuth error of this status and code (RFC 6749 5.2).
pub fn refused(page: &Page, status: u16, code: &str) {
    assert_eq!(page.status.as_u16(), status, "{}: {}", page.url, page.body);
    assert_eq!(page.json()["error"], code, "{}", page.body);
}
