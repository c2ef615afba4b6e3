//! Making tokens: access tokens (RFC 9068) and ID tokens (OpenID Connect Core 2).

use std::time::Duration;

use haetae_base::{
    clock::Timestamp,
    id::{Id, Kind},
};
use haetae_keys::{
    Algorithm,
    claims::{AccessClaims, Acr, Audience, IdClaims, Scope, half_hash},
    sign::SignError,
};
use haetae_session::{SessionId, family::AccessRef};
use serde_json::{Map, Value};

use crate::{domain::client::Client, state::AppState};

/// Marks the id of a token.
#[derive(Debug)]
enum Token {}

impl Kind for Token {
    const PREFIX: &'static str = "tok";
}

/// Names an access token before it is made: a code or a refresh family remembers it by this.
pub(super) fn name_token(now: Timestamp, lifetime: Duration) -> AccessRef {
    AccessRef { jti: Id::<Token>::new(now).to_string(), until: now.plus(lifetime) }
}

/// For whom a token is made, and how sure their sign-in was.
pub(super) struct Subject<'a> {
    pub(super) sub: &'a str,
    /// None for a client that acts for itself.
    pub(super) sign_in: Option<SignIn<'a>>,
    pub(super) roles: &'a [String],
}

/// A sign-in that tokens are made in.
pub(super) struct SignIn<'a> {
    pub(super) sid: Option<SessionId>,
    pub(super) auth_time: Timestamp,
    pub(super) acr: Acr,
    pub(super) amr: &'a [String],
}

/// An access token, signed.
pub(super) fn access_token(
    state: &AppState,
    client: &Client,
    subject: &Subject<'_>,
    scope: &Scope,
    name: &AccessRef,
    now: Timestamp,
) -> Result<String, SignError> {
    let sign_in = subject.sign_in.as_ref();
    let claims = AccessClaims {
        iss: state.issuer.clone(),
        aud: Audience::one(state.audience.clone()),
        sub: subject.sub.to_owned(),
        client_id: client.client_id.clone(),
        scope: scope.clone(),
        exp: name.until,
        iat: now,
        nbf: None,
        jti: name.jti.clone(),
        sid: sign_in.and_then(|sign_in| sign_in.sid).map(|sid| sid.to_string()),
        acr: sign_in.map(|sign_in| sign_in.acr),
        amr: sign_in.map(|sign_in| sign_in.amr.to_vec()).unwrap_or_default(),
        auth_time: sign_in.map(|sign_in| sign_in.auth_time),
        cnf: None,
        roles: subject.roles.to_vec(),
    };
    let algorithm = client
        .metadata
        .access_token_signed_response_alg
        .unwrap_or_else(|| state.default_algorithm());
    state.keys.signer().sign(algorithm, "at+jwt", &claims)
}

/// An ID token, signed, tied to the access token that goes with it.
pub(super) fn id_token(
    state: &AppState,
    client: &Client,
    subject: &Subject<'_>,
    nonce: Option<String>,
    profile: Map<String, Value>,
    access_token: &str,
    now: Timestamp,
) -> Result<String, SignError> {
    let signer = state.keys.signer();
    let algorithm = client.metadata.id_token_signed_response_alg.unwrap_or_else(|| {
        let rs256 = signer.kid(Algorithm::Rs256).is_some();
        if rs256 { Algorithm::Rs256 } else { state.default_algorithm() }
    });
    let sign_in = subject.sign_in.as_ref();
    let claims = IdClaims {
        iss: state.issuer.clone(),
        sub: subject.sub.to_owned(),
        aud: Audience::one(client.client_id.clone()),
        exp: now.plus(*state.config.auth.tokens.id),
        iat: now,
        auth_time: sign_in.map(|sign_in| sign_in.auth_time),
        nonce,
        acr: sign_in.map(|sign_in| sign_in.acr),
        amr: sign_in.map(|sign_in| sign_in.amr.to_vec()).unwrap_or_default(),
        azp: Some(client.client_id.clone()),
        at_hash: Some(half_hash(algorithm, access_token)),
        c_hash: None,
        sid: sign_in.and_then(|sign_in| sign_in.sid).map(|sid| sid.to_string()),
        profile,
    };
    signer.sign(algorithm, "JWT", &claims)
}

/// A lifetime as `expires_in` says it.
pub(super) fn seconds(lifetime: Duration) -> u64 {
    lifetime.as_secs()
}
