//! The protocol, as clients and browsers see it: a whole authserver with real Redis and SQL.

mod authorize;
mod ends;
mod logout;
mod outage;
mod pkce;
mod token;
mod tokens_back;

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use haetae_base::{clock::Clock, secret::SecretHash};
use haetae_config::Config;
use haetae_session::denylist::DenylistReplica;
use serde_json::{Value, json};

use crate::{
    domain::client::Client,
    store::clients::Clients,
    testing::{Browser, Got, House},
};

/// RFC 7636 appendix B.
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
pub(super) const CALLBACK: &str = "http://127.0.0.1:4711/callback";
pub(super) const SECRET: &str = "partner's secret";

/// A house with a person, three clients, and a denylist that is looked after.
pub(super) struct World {
    pub(super) house: House,
    pub(super) browser: Browser,
}

impl World {
    pub(super) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(super) async fn open_with(change: impl FnOnce(&mut Config)) -> Self {
        let house = House::open_with(change).await;
        house.person("minjun").await;
        let refreshing = json!(["authorization_code", "refresh_token"]);
        let scope = "openid profile email offline_access reservations:read inventory:write";
        register(
            &house,
            "mobile",
            true,
            &json!({
                "application_type": "native", "grant_types": refreshing, "scope": scope,
                "redirect_uris": ["http://127.0.0.1/callback", "dev.haetae.demo:/callback"],
                "post_logout_redirect_uris": ["http://127.0.0.1/signed-out"],
                "token_endpoint_auth_method": "none",
            }),
        )
        .await;
        register(
            &house,
            "partner",
            false,
            &json!({
                "grant_types": refreshing, "scope": scope,
                "redirect_uris": ["https://partner.example/callback?tenant=1"],
                "id_token_signed_response_alg": "ES256",
            }),
        )
        .await;
        register(
            &house,
            "service",
            false,
            &json!({
                "grant_types": ["client_credentials"], "scope": "inventory:write reservations:read",
            }),
        )
        .await;
        let browser = house.browser();
        let world = Self { house, browser };
        world.settle().await;
        world
    }

    /// Signs a person in.
    pub(super) async fn sign_in(&mut self) {
        let answer = self.browser.sign_in("minjun").await;
        assert_eq!(answer.location(), "/account");
    }

    /// Lets the denylist catch up: what its background tasks do in a running authserver.
    pub(super) async fn settle(&self) {
        self.house.state.denylist.maintain().await.expect("the denylist");
        let replica: &DenylistReplica = &self.house.state.replica;
        replica.wait_loaded().await;
        // After the clock was moved it has to hear from Redis again.
        while !replica.is_fresh() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// An authorization request of the mobile client, changed by `changes`; an empty value leaves the
    /// parameter out.
    pub(super) fn request(changes: &[(&str, &str)]) -> String {
        let mut params = BTreeMap::from([
            ("client_id", "mobile"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile offline_access reservations:read"),
            ("state", "xyz"),
            ("nonce", "n-1"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        params.extend(changes.iter().copied());
        params.retain(|_, value| !value.is_empty());
        format!("/oauth2/authorize?{}", form(&params.into_iter().collect::<Vec<_>>()))
    }

    /// The answer to an authorization request of somebody who is signed in.
    pub(super) async fn authorize(&mut self, changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let got = self.browser.get(&Self::request(changes)).await;
        answer_of(&got)
    }

    /// A fresh code of the mobile client.
    pub(super) async fn code(&mut self, changes: &[(&str, &str)]) -> String {
        let answer = self.authorize(changes).await;
        answer.get("code").unwrap_or_else(|| panic!("{answer:?}")).clone()
    }

    /// The whole flow of the mobile client.
    pub(super) async fn tokens(&mut self) -> Value {
        let code = self.code(&[]).await;
        let got = self.redeem(&code, &[]).await;
        got.tokens()
    }

    /// Redeems a code for the mobile client.
    pub(super) async fn redeem(&mut self, code: &str, changes: &[(&str, &str)]) -> Got {
        let mut fields = BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("client_id", "mobile"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ]);
        fields.extend(changes.iter().copied());
        fields.retain(|_, value| !value.is_empty());
        self.call("/oauth2/token", &fields.into_iter().collect::<Vec<_>>(), None).await
    }

    pub(super) async fn refresh(&mut self, token: &str) -> Got {
        let fields =
            [("grant_type", "refresh_token"), ("client_id", "mobile"), ("refresh_token", token)];
        self.call("/oauth2/token", &fields, None).await
    }

    /// A form of a client, perhaps with Basic credentials.
    pub(super) async fn call(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        basic: Option<(&str, &str)>,
    ) -> Got {
        call(&self.house, path, fields, basic).await
    }
    pub(super) async fn with_bearer(&mut self, path: &str, token: &str) -> Got {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty())
            .expect("a request");
        self.house.browser().send(request).await
    }
}

/// A form of a client, perhaps with Basic credentials.
pub(super) async fn call(
    house: &House,
    path: &str,
    fields: &[(&str, &str)],
    basic: Option<(&str, &str)>,
) -> Got {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some((id, secret)) = basic {
        let credentials = STANDARD.encode(format!("{id}:{secret}"));
        request = request.header(header::AUTHORIZATION, format!("Basic {credentials}"));
    }
    let request = request.body(Body::from(form(fields))).expect("a request");
    house.browser().send(request).await
}

pub(super) async fn register(house: &House, client_id: &str, first_party: bool, json: &Value) {
    let metadata: crate::domain::client::ClientMetadata =
        serde_json::from_value(json.clone()).expect("metadata");
    metadata.check().expect("metadata that fits together");
    let now = house.clock.now();
    let mut client = Client {
        client_id: client_id.to_owned(),
        metadata,
        secret: None,
        first_party,
        disabled_at: None,
        created_at: now,
        updated_at: now,
        version: 1,
    };
    if client.is_confidential() {
        client.secret = Some(SecretHash::of(SECRET));
    }
    let clients = Clients::new(house.state.sql.clone(), &house.state.master);
    clients.insert(&client).await.expect("registered");
}

pub(super) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// The parameters of a redirect to a client.
pub(super) fn answer_of(got: &Got) -> BTreeMap<String, String> {
    let (_, query) = got.location().split_once('?').expect("a query");
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, self.body))
    }

    /// A token response.
    pub(super) fn tokens(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        assert_eq!(self.fields[header::CACHE_CONTROL], "no-store");
        self.json()
    }

    /// Asserts an error of RFC 6749 5.2.
    pub(super) fn refused(&self, status: u16, error: &str) {
        assert_eq!(
            (self.status.as_u16(), &self.json()["error"]),
            (status, &json!(error)),
            "{}",
            self.body
        );
        assert_eq!(self.fields[header::CACHE_CONTROL], "no-store");
    }
}

/// The claims of a JWT, without a check.
pub(super) fn claims(token: &Value) -> Value {
    let payload = token.as_str().expect("a token").split('.').nth(1).expect("a payload");
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&json).expect("json")
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
