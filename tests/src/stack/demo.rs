//! What `--demo` made, as `DIR/demo.json` says.

use serde::Deserialize;
use url::Url;

/// What `DIR/demo.json` says.
#[derive(Clone, Debug, Deserialize)]
pub struct Demo {
    /// The address for everyone.
    pub public_url: Url,
    /// The example users.
    pub users: Vec<DemoUser>,
    /// The example clients.
    pub clients: Vec<DemoClient>,
}

/// An example user.
#[derive(Clone, Debug, Deserialize)]
pub struct DemoUser {
    /// For the field `username`.
    pub username: String,
    /// For the field `password`.
    pub password: String,
    /// `admin` or nothing.
    pub roles: Vec<String>,
}

/// An example client.
#[derive(Clone, Debug, Deserialize)]
pub struct DemoClient {
    /// Its identifier.
    pub client_id: String,
    /// Its secret, when it is confidential.
    pub client_secret: Option<String>,
    /// Where it may be returned to.
    pub redirect_uris: Vec<String>,
    /// What it may ask the token endpoint for.
    pub grant_types: Vec<String>,
    /// What it may ask for.
    pub scopes: Vec<String>,
}

impl Demo {
    /// The user `name`.
    pub fn user(&self, name: &str) -> &DemoUser {
        self.users.iter().find(|user| user.username == name).expect(name)
    }

    /// The client `id`.
    pub fn client(&self, id: &str) -> &DemoClient {
        self.clients.iter().find(|client| client.client_id == id).expect(id)
    }
}
