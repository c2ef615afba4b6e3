//! Sign-ins: seen and ended.

use haetae_session::{
    SessionId,
    denylist::Kind,
    family::{FamilyStore, Offline},
    sso::{SsoSession, SsoStore},
};

use super::{Manage, ManageError};
use crate::{
    audit::{Event, What},
    domain::account::Account,
    run::{family_policy, sso_lifetimes},
};

impl Manage {
    /// The living sign-ins of one account, or of all.
    pub async fn sessions(
        &self,
        username: Option<&str>,
    ) -> Result<Vec<(Account, SsoSession)>, ManageError> {
        let accounts = match username {
            Some(username) => vec![self.account(username).await?],
            None => self.accounts().await?,
        };
        let sso = self.sso().await?;
        let mut sessions = Vec::new();
        for account in accounts {
            let living = sso.list(&account.id.to_string(), self.now()).await?;
            sessions.extend(living.into_iter().map(|session| (account.clone(), session)));
        }
        Ok(sessions)
    }

    /// Ends one sign-in: its access tokens are refused, its refresh tokens are dead, its cookie is
    /// worthless.
    ///
    /// # Errors
    /// [`ManageError::NoSuchSession`] when `sid` is no session's id.
    pub async fn end_session(&self, sid: &str) -> Result<(), ManageError> {
        let unknown = || ManageError::NoSuchSession(sid.to_owned());
        let id: SessionId = sid.parse().map_err(|_| unknown())?;
        // In the order of `interaction::end_session`: nothing stays alive that was said to be over, and
        // nothing new is given out meanwhile.
        let sso = self.sso().await?;
        sso.close(id).await?;
        let families = self.families().await?.revoke_sid(id, Offline::Revoke, self.now()).await?;
        self.denylist().await?.revoke_everything(Kind::Sid, sid).await?;
        let session = sso.end(id).await?;
        if session.is_none() && families.is_empty() {
            return Err(unknown());
        }
        let subject = session.map(|session| session.sub);
        let mut event = Event::success(What::SessionEnded)
            .sid(sid)
            .with("reason", "revoked")
            .with("refresh_families", families.len());
        if let Some(subject) = subject {
            event = event.subject(subject);
        }
        self.record(event).await
    }

    /// Ends all sign-ins of an account; returns how many there were.
    pub async fn end_sessions(&self, username: &str) -> Result<usize, ManageError> {
        let account = self.account(username).await?;
        // As `interaction::end_all_sessions` does.
        self.redis().await?;
        self.accounts.raise_epoch(account.id, self.now()).await?;
        self.end_all(account.id).await
    }

    /// The caller has raised the account's epoch.
    pub(super) async fn end_sessions_of(&self, sub: &str) -> Result<usize, ManageError> {
        let now = self.now();
        let sso = self.sso().await?;
        sso.close_all(sub, now).await?;
        let families = self.families().await?.revoke_sub(sub, now).await?;
        self.denylist().await?.revoke_everything(Kind::Sub, sub).await?;
        let sessions = sso.end_all(sub, now).await?;
        let event = Event::success(What::SessionEnded)
            .subject(sub)
            .with("reason", "signed_out_everywhere")
            .with("sessions", sessions.len())
            .with("refresh_families", families.len());
        self.record(event).await?;
        Ok(sessions.len())
    }

    async fn sso(&self) -> Result<SsoStore, ManageError> {
        let redis = self.redis().await?.clone();
        Ok(SsoStore::connect(redis, sso_lifetimes(&self.config)).await?)
    }

    async fn families(&self) -> Result<FamilyStore, ManageError> {
        let redis = self.redis().await?.clone();
        Ok(FamilyStore::connect(redis, family_policy(&self.config), &self.master).await?)
    }
}
