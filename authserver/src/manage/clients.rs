//! Clients: registered, seen, shut.

use haetae_base::{
    entropy,
    secret::{ExposeSecret, SecretHash},
};
use haetae_session::denylist::Kind;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::{Manage, ManageError};
use crate::{
    audit::{Event, What},
    changes::{self, Change},
    client_registry::FRESH,
    domain::client::{Client, ClientMetadata, check_client_id},
    state::longest_token,
};

/// Fewer characters than this in a secret that somebody brings along are worth a warning.
const SHORT_SECRET: usize = 16;

/// A client that was registered.
#[derive(Debug)]
pub struct RegisteredClient {
    /// The client.
    pub client: Client,
    /// Its secret, when it was made here: the only time that it is shown.
    pub made_secret: Option<SecretString>,
    /// Whether the secret that it brought along is so short that somebody may guess it.
    pub short_secret: bool,
}

/// What stands beside the metadata of RFC 7591 in an import.
#[derive(Deserialize)]
struct Beside {
    client_id: String,
    client_secret: Option<String>,
    #[serde(default)]
    first_party: bool,
}

impl Manage {
    /// Registers clients from their metadata (RFC 7591 2), each with a `client_id` and, if there is one
    /// already, a `client_secret`; the member `first_party` spares people the question for consent. All
    /// are checked before the first is written.
    ///
    /// # Errors
    /// [`ManageError`] when one of them cannot be; then none was registered.
    pub async fn import_clients(
        &self,
        clients: Vec<Value>,
    ) -> Result<Vec<RegisteredClient>, ManageError> {
        let mut registered: Vec<RegisteredClient> = Vec::with_capacity(clients.len());
        for (index, metadata) in clients.into_iter().enumerate() {
            let one = self.read(index + 1, metadata)?;
            let id = &one.client.client_id;
            let twice = registered.iter().any(|other| other.client.client_id == *id);
            let own = *id == self.config.gateway.browser.client_id;
            if twice || own || self.clients.find(id).await?.is_some() {
                return Err(ManageError::ClientExists(id.clone()));
            }
            registered.push(one);
        }
        let clients: Vec<Client> = registered.iter().map(|one| one.client.clone()).collect();
        self.clients.insert_all(&clients).await?;
        for client in &clients {
            self.record(Event::success(What::ClientCreated).client(&client.client_id)).await?;
        }
        self.announce().await;
        Ok(registered)
    }

    /// All clients, in the order of their ids.
    pub async fn clients(&self) -> Result<Vec<Client>, ManageError> {
        Ok(self.clients.list().await?)
    }

    /// Shuts a client: it gets no tokens any more, and those that it has are refused; those that it got from an
    /// authserver that had not heard of it yet are refused as soon as that one does (`shut_clients`).
    /// Its refresh tokens rest.
    pub async fn disable_client(&self, client_id: &str) -> Result<(), ManageError> {
        let mut client = self.client(client_id).await?;
        let denylist = self.denylist().await?;
        let (first, now) = (client.disabled_at.is_none(), self.now());
        // Also of one that is shut: its tokens are refused from now on for as long again.
        client.disabled_at = Some(now);
        self.clients.update(&client, now).await?;
        if first {
            self.record(Event::success(What::ClientDisabled).client(client_id)).await?;
        }
        changes::announce(self.redis().await?, Change::Client).await?;
        // After the others were told, so that it reaches as far as it can.
        Ok(denylist.revoke_everything(Kind::ClientId, client_id).await?)
    }

    /// Opens a shut client again, at once. What it got before stays refused, also from an authserver that has
    /// heard neither of the one nor of the other.
    pub async fn enable_client(&self, client_id: &str) -> Result<(), ManageError> {
        let mut client = self.client(client_id).await?;
        if let Some(since) = client.disabled_at.take() {
            let alive = longest_token(&self.config).saturating_add(FRESH);
            if since.plus(alive) > self.now() {
                self.denylist().await?.revoke_everything(Kind::ClientId, client_id).await?;
            }
            self.clients.update(&client, self.now()).await?;
            let event = Event::success(What::ClientUpdated).client(client_id);
            self.record(event.with("reason", "enabled")).await?;
        }
        self.announce().await;
        Ok(())
    }

    /// Gives a client a new secret, which is shown this once. The old one is refused as soon as the authservers hear
    /// of it, and every token that the client has is refused. Its refresh tokens rest: they are of no use without
    /// the new secret.
    ///
    /// # Errors
    /// [`ManageError::NoSecret`] of a public client, [`ManageError::GatewayClient`] of the gateway's.
    pub async fn reset_client(&self, client_id: &str) -> Result<SecretString, ManageError> {
        if client_id == self.config.gateway.browser.client_id {
            return Err(ManageError::GatewayClient(client_id.to_owned()));
        }
        let mut client = self.client(client_id).await?;
        if !client.is_confidential() {
            return Err(ManageError::NoSecret(client_id.to_owned()));
        }
        // Before anything is changed: a Redis that is away is told now, and not after the old secret is gone.
        let (denylist, redis) = (self.denylist().await?, self.redis().await?);
        let secret = entropy::token();
        client.secret = Some(SecretHash::of(secret.expose_secret()));
        self.clients.update(&client, self.now()).await?;
        let event = Event::success(What::ClientUpdated).client(client_id);
        self.record(event.with("reason", "secret")).await?;
        changes::announce(redis, Change::Client).await?;
        // After the others were told, so that it reaches as far as it can.
        denylist.revoke_everything(Kind::ClientId, client_id).await?;
        Ok(secret)
    }

    async fn client(&self, client_id: &str) -> Result<Client, ManageError> {
        let client = self.clients.find(client_id).await?;
        client.ok_or_else(|| ManageError::NoSuchClient(client_id.to_owned()))
    }

    fn read(&self, number: usize, value: Value) -> Result<RegisteredClient, ManageError> {
        let malformed = |reason: String| ManageError::ClientMalformed { number, reason };
        let beside = Beside::deserialize(&value).map_err(|error| malformed(error.to_string()))?;
        let Beside { client_id, client_secret, first_party } = beside;
        let client_secret = client_secret.map(SecretString::from);
        check_client_id(&client_id).map_err(|error| malformed(error.to_string()))?;
        let metadata = ClientMetadata::deserialize(value)
            .map_err(|error| malformed(format!("{client_id}: {error}")))?;
        metadata.check().map_err(|error| ManageError::Client(client_id.clone(), error))?;
        let now = self.now();
        let mut client = Client {
            client_id,
            metadata,
            secret: None,
            first_party,
            disabled_at: None,
            created_at: now,
            updated_at: now,
            version: 1,
        };
        let made_secret = match (client.is_confidential(), &client_secret) {
            (true, None) => Some(entropy::token()),
            (false, Some(_)) => {
                let reason = "has a client_secret and token_endpoint_auth_method \"none\"";
                return Err(malformed(format!("{} {reason}", client.client_id)));
            }
            _ => None,
        };
        let secret =
            made_secret.as_ref().or(client_secret.as_ref()).map(ExposeSecret::expose_secret);
        if secret.is_some_and(str::is_empty) {
            return Err(malformed(format!("{}: its client_secret is empty", client.client_id)));
        }
        // It may be one that a system has which cannot be changed today: told, and taken.
        let short_secret = secret.is_some_and(|secret| secret.chars().count() < SHORT_SECRET);
        client.secret = secret.map(SecretHash::of);
        Ok(RegisteredClient { client, made_secret, short_secret })
    }

    /// Tells running authservers. One that does not hear it looks again within a minute, so this is not
    /// worth failing for.
    async fn announce(&self) {
        let announced = match self.redis().await {
            Ok(redis) => changes::announce(redis, Change::Client).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        if let Err(error) = announced {
            tracing::debug!(%error, "nobody was told of the change");
        }
    }
}
