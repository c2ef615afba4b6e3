//! The gateway's own client: registered at start from the configuration, so that an installation has one
//! place for its secret and its address.

use std::collections::BTreeSet;

use haetae_base::secret::SecretHash;
use secrecy::ExposeSecret;

use crate::{
    changes::{self, Change},
    domain::{
        client::{Client, ClientMetadata, GrantType},
        redirect_uri::RedirectUri,
        scopes,
    },
    state::AppState,
    store::{StoreError, clients::Clients},
};

/// Writes the gateway's client as the configuration says, when it is not written so already.
pub(crate) async fn register(state: &AppState) -> Result<(), StoreError> {
    let config = &state.config;
    let secret = match config.gateway_client_secret() {
        Ok(secret) => SecretHash::of(secret.expose_secret()),
        Err(error) => {
            // An authserver alone may have no gateway.
            tracing::warn!(%error, "the gateway's client is not registered");
            return Ok(());
        }
    };
    let Some(metadata) = metadata(state) else {
        tracing::warn!(
            "public_url cannot be a redirect URI: the gateway's client is not registered"
        );
        return Ok(());
    };
    let clients = Clients::new(state.sql.clone(), &state.master);
    let client_id = &config.gateway.browser.client_id;
    // Several authservers may start at once: whoever comes second finds it done.
    for _ in 0..3 {
        let now = state.now();
        let known = match clients.find(client_id).await {
            Ok(known) => known,
            // Sealed under another master key: this configuration decides.
            Err(StoreError::Inconsistent { .. }) => {
                clients.remove(client_id).await?;
                None
            }
            Err(error) => return Err(error),
        };
        let written = match known {
            Some(known)
                if known.metadata == metadata
                    && known.secret == Some(secret)
                    && known.first_party
                    && known.disabled_at.is_none() =>
            {
                return Ok(());
            }
            Some(known) => {
                let wanted = Client {
                    metadata: metadata.clone(),
                    secret: Some(secret),
                    first_party: true,
                    disabled_at: None,
                    ..known
                };
                clients.update(&wanted, now).await
            }
            None => {
                let client = Client {
                    client_id: client_id.clone(),
                    metadata: metadata.clone(),
                    secret: Some(secret),
                    first_party: true,
                    disabled_at: None,
                    created_at: now,
                    updated_at: now,
                    version: 1,
                };
                clients.insert(&client).await
            }
        };
        match written {
            Ok(()) => {
                if let Err(error) = changes::announce(&state.redis, Change::Client).await {
                    tracing::warn!(%error, "the change of the gateway's client is not announced");
                }
                return Ok(());
            }
            Err(StoreError::Exists(_) | StoreError::Stale) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::Stale)
}

fn metadata(state: &AppState) -> Option<ClientMetadata> {
    let origin = state.config.public_origin();
    let uri = |path: &str| format!("{origin}{path}").parse::<RedirectUri>().ok();
    Some(ClientMetadata {
        client_name: Some("Haetae".to_owned()),
        redirect_uris: vec![uri("/session/callback")?],
        post_logout_redirect_uris: vec![uri("/")?],
        grant_types: BTreeSet::from([GrantType::AuthorizationCode, GrantType::RefreshToken]),
        scope: scopes::ALL.join(" ").parse().ok()?,
        id_token_signed_response_alg: Some(state.default_algorithm()),
        ..ClientMetadata::default()
    })
}
