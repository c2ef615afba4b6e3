//! Tokens signed by the real code with keys of this test.

use std::time::Duration;

use haetae_base::clock::{Clock, SystemClock, Timestamp};
use haetae_keys::{
    Algorithm,
    claims::{AccessClaims, Acr, Audience, IdClaims},
    sign::{ACCESS_TOKEN, ID_TOKEN, Signer},
};

use super::{AUDIENCE, PUBLIC};

/// The keys.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) signer: Signer,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self { signer: Signer::generate(&[Algorithm::Es256]).expect("keys") }
    }

    /// The claims of a token that is good for every route of the tests.
    pub(crate) fn claims() -> AccessClaims {
        let now = SystemClock.now();
        AccessClaims {
            iss: PUBLIC.to_owned(),
            aud: Audience::one(AUDIENCE),
            sub: "usr_1".to_owned(),
            client_id: "client-1".to_owned(),
            scope: "things:read".parse().expect("scope"),
            exp: now.plus(Duration::from_mins(5)),
            iat: Timestamp::from_seconds(now.as_seconds()),
            nbf: None,
            jti: jti(now),
            sid: Some("sid_1".to_owned()),
            acr: Some(Acr::TwoFactor),
            amr: vec!["pwd".to_owned(), "otp".to_owned()],
            auth_time: Some(Timestamp::from_seconds(now.as_seconds())),
            cnf: None,
            roles: Vec::new(),
        }
    }

    pub(crate) fn sign(&self, claims: &AccessClaims) -> String {
        self.signer.sign(Algorithm::Es256, ACCESS_TOKEN, claims).expect("signed")
    }

    /// A good token.
    pub(crate) fn access(&self) -> String {
        self.sign(&Self::claims())
    }

    /// A token changed by `change`.
    pub(crate) fn access_with(&self, change: impl FnOnce(&mut AccessClaims)) -> String {
        let mut claims = Self::claims();
        change(&mut claims);
        self.sign(&claims)
    }

    /// An ID token for the gateway's client.
    pub(crate) fn id(&self, nonce: Option<&str>, sid: &str) -> String {
        let now = SystemClock.now();
        let profile = serde_json::json!({"preferred_username": "demo", "name": "Demo Person"});
        let claims = IdClaims {
            iss: PUBLIC.to_owned(),
            sub: "usr_1".to_owned(),
            aud: Audience::one("haetae-gateway"),
            exp: now.plus(Duration::from_mins(5)),
            iat: now,
            auth_time: Some(now),
            nonce: nonce.map(str::to_owned),
            acr: Some(Acr::TwoFactor),
            amr: Vec::new(),
            azp: None,
            at_hash: None,
            c_hash: None,
            sid: Some(sid.to_owned()),
            profile: profile.as_object().expect("an object").clone(),
        };
        self.signer.sign(Algorithm::Es256, ID_TOKEN, &claims).expect("signed")
    }
}

struct Token;

impl haetae_base::id::Kind for Token {
    const PREFIX: &'static str = "tok";
}

fn jti(now: Timestamp) -> String {
    haetae_base::id::Id::<Token>::new(now).to_string()
}
