//! The clients of the demo: an app on a phone, a partner's web site, a service.

use serde_json::{Value, json};

use super::with;

/// A client of the demo.
pub(super) struct DemoClient {
    pub(super) id: &'static str,
    name: &'static str,
    pub(super) confidential: bool,
    first_party: bool,
    application_type: &'static str,
    pub(super) redirect_uris: &'static [&'static str],
    post_logout_redirect_uris: &'static [&'static str],
    pub(super) grant_types: &'static [&'static str],
    pub(super) scopes: &'static [&'static str],
}

const PERSONAL: &[&str] =
    &["openid", "profile", "email", "offline_access", "reservations:read", "reservations:write"];

/// All of them.
pub(super) const ALL: [DemoClient; 3] = [
    DemoClient {
        id: "demo-mobile",
        name: "Haetae Mobile",
        confidential: false,
        first_party: true,
        application_type: "native",
        // Any port of the loopback address is good (RFC 8252 7.3).
        redirect_uris: &["http://127.0.0.1/callback", "dev.haetae.demo:/callback"],
        post_logout_redirect_uris: &["http://127.0.0.1/signed-out"],
        grant_types: &["authorization_code", "refresh_token"],
        scopes: PERSONAL,
    },
    DemoClient {
        id: "demo-partner",
        name: "Partner Travel",
        confidential: true,
        first_party: false,
        application_type: "web",
        redirect_uris: &["http://127.0.0.1/callback", "http://localhost:8090/callback"],
        post_logout_redirect_uris: &["http://127.0.0.1/signed-out"],
        grant_types: &["authorization_code", "refresh_token"],
        scopes: PERSONAL,
    },
    DemoClient {
        id: "demo-service",
        name: "Inventory Service",
        confidential: true,
        first_party: true,
        application_type: "web",
        redirect_uris: &[],
        post_logout_redirect_uris: &[],
        grant_types: &["client_credentials"],
        scopes: &["inventory:write", "reservations:read", "reservations:write"],
    },
];

impl DemoClient {
    /// The metadata (RFC 7591 2), with the id and the secret.
    pub(super) fn metadata(&self, secret: Option<&str>) -> Value {
        let method = if self.confidential { "client_secret_basic" } else { "none" };
        let metadata = json!({
            "client_id": self.id,
            "client_name": self.name,
            "first_party": self.first_party,
            "application_type": self.application_type,
            "token_endpoint_auth_method": method,
            "redirect_uris": self.redirect_uris,
            "post_logout_redirect_uris": self.post_logout_redirect_uris,
            "grant_types": self.grant_types,
            "scope": self.scopes.join(" "),
        });
        with(metadata, "client_secret", secret.map(Value::from))
    }
}
