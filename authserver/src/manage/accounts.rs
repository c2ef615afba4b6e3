//! Accounts: opened, shut, given a new password.

use std::collections::BTreeSet;

use haetae_base::id::Id;
use secrecy::SecretString;

use super::{Manage, ManageError};
use crate::{
    audit::{Event, What},
    domain::account::{Account, AccountId, PasswordHash, Role, Username},
    sign_in::{hash_cost, hash_pool, password},
    store::StoreError,
};

/// How many accounts are read at once.
const PAGE: u64 = 500;

/// An account to open.
#[derive(Debug)]
pub struct NewAccount {
    /// What the person types to sign in.
    pub username: String,
    /// Its first password.
    pub password: SecretString,
    /// What pages show; the username when there is none.
    pub display_name: Option<String>,
    /// An address.
    pub email: Option<String>,
    /// The names of its roles.
    pub roles: Vec<String>,
}

impl Manage {
    /// Opens an account.
    ///
    /// # Errors
    /// [`ManageError`] when the username is taken, or username, role or password cannot be.
    pub async fn create_account(&self, new: NewAccount) -> Result<Account, ManageError> {
        let username: Username = new
            .username
            .parse()
            .map_err(|error| ManageError::Username(new.username.clone(), error))?;
        let roles = new
            .roles
            .iter()
            .map(|name| name.parse().map_err(|error| ManageError::Role(name.clone(), error)))
            .collect::<Result<BTreeSet<Role>, _>>()?;
        let password = self.hash(&new.password, username.as_str()).await?;
        let now = self.now();
        let account = Account {
            id: Id::new(now),
            display_name: new.display_name.unwrap_or_else(|| username.as_str().to_owned()),
            username,
            email: new.email,
            email_verified: false,
            locale: None,
            roles,
            password: Some(password),
            disabled_at: None,
            created_at: now,
            updated_at: now,
            epoch: 0,
            version: 1,
        };
        self.accounts.insert(&account).await.map_err(|error| match error {
            StoreError::Exists(_) => ManageError::UsernameTaken(account.username.to_string()),
            error => error.into(),
        })?;
        let roles: Vec<&str> = account.roles.iter().map(|role| role.as_str()).collect();
        let event = Event::success(What::AccountCreated).subject(account.id).with("roles", roles);
        self.record(event).await?;
        Ok(account)
    }

    /// All accounts, in the order in which they were opened.
    pub async fn accounts(&self) -> Result<Vec<Account>, ManageError> {
        let mut accounts: Vec<Account> = Vec::new();
        loop {
            let page = self.accounts.list(accounts.last().map(|last| last.id), PAGE).await?;
            if page.is_empty() {
                return Ok(accounts);
            }
            accounts.extend(page);
        }
    }

    /// The account of this username.
    ///
    /// # Errors
    /// [`ManageError::NoSuchAccount`].
    pub async fn account(&self, username: &str) -> Result<Account, ManageError> {
        let account = self.accounts.find_by_username(username).await?;
        account.ok_or_else(|| ManageError::NoSuchAccount(username.to_owned()))
    }

    /// Shuts an account: nobody signs in to it, its sessions end, its tokens are refused.
    pub async fn disable_account(&self, username: &str) -> Result<(), ManageError> {
        let account = self.account(username).await?;
        // Before anything is changed: a Redis that is away is told now, and not half way.
        self.redis().await?;
        let now = self.now();
        if !account.is_disabled() {
            self.accounts.set_disabled(account.id, Some(now), now).await?;
            self.record(Event::success(What::AccountDisabled).subject(account.id)).await?;
        }
        // Again for one that is shut already: the last time may have failed here.
        self.end_all(account.id).await?;
        Ok(())
    }

    /// Opens a shut account again. What was signed in before stays over.
    pub async fn enable_account(&self, username: &str) -> Result<(), ManageError> {
        let account = self.account(username).await?;
        if account.is_disabled() {
            self.accounts.set_disabled(account.id, None, self.now()).await?;
            self.record(Event::success(What::AccountEnabled).subject(account.id)).await?;
        }
        Ok(())
    }

    /// Gives an account a new password. Its sessions end and its tokens are refused.
    pub async fn set_password(
        &self,
        username: &str,
        password: &SecretString,
    ) -> Result<Account, ManageError> {
        let account = self.account(username).await?;
        let hash = self.hash(password, account.username.as_str()).await?;
        self.redis().await?;
        self.accounts.set_password(account.id, &hash, self.now()).await?;
        self.record(Event::success(What::PasswordReset).subject(account.id)).await?;
        self.end_all(account.id).await?;
        Ok(account)
    }

    /// Gives an account these roles and no others. Its sessions end: their tokens name the old ones.
    ///
    /// # Errors
    /// [`ManageError`]; doing it again finishes what is left.
    pub async fn set_roles(&self, username: &str, roles: &[Role]) -> Result<(), ManageError> {
        let account = self.account(username).await?;
        let wanted: BTreeSet<Role> = roles.iter().copied().collect();
        // Before anything changes: what cannot be ended must not be begun.
        self.redis().await?;
        self.accounts.set_roles(account.id, &wanted, self.now()).await?;
        let names: Vec<&str> = wanted.iter().map(|role| role.as_str()).collect();
        let event = Event::success(What::AccountRolesChanged).subject(account.id);
        self.record(event.with("roles", names)).await?;
        self.end_all(account.id).await?;
        Ok(())
    }

    /// Takes away the second factor of an account and its recovery codes. Whether there was one.
    pub async fn remove_second_factor(&self, username: &str) -> Result<bool, ManageError> {
        let account = self.account(username).await?;
        let removed = self.factors.remove_totp(account.id).await?;
        if removed {
            self.record(Event::success(What::TotpRemoved).subject(account.id)).await?;
        }
        Ok(removed)
    }

    /// Signs the account out everywhere. The caller has raised its epoch, so nothing begins meanwhile.
    pub(super) async fn end_all(&self, account: AccountId) -> Result<usize, ManageError> {
        self.end_sessions_of(&account.to_string()).await
    }

    async fn hash(
        &self,
        password: &SecretString,
        username: &str,
    ) -> Result<PasswordHash, ManageError> {
        let normal = password::normalise(password)
            .ok_or_else(|| ManageError::Password(password::Unfit::TooLong.to_string()))?;
        let shortest = self.config.auth.password.min_length;
        password::check(&normal, username, shortest).map_err(|unfit| {
            let hint = match unfit {
                password::Unfit::TooShort => format!(" (at least {shortest} characters)"),
                _ => String::new(),
            };
            ManageError::Password(format!("{unfit}{hint}"))
        })?;
        let cost = hash_cost(&self.config);
        // It takes a moment and much memory; others of this program go on meanwhile.
        let hashed = tokio::task::spawn_blocking(move || hash_pool::hash_now(cost, &normal)).await;
        let phc = hashed.map_err(|_| hash_pool::HashError::Stopped)??;
        Ok(PasswordHash::from_phc(phc))
    }
}
