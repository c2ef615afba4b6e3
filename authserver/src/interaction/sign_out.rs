//! The end of an SSO session and of everything that hangs on it.

use haetae_session::{
    SessionId,
    denylist::{Entry, Kind},
    family::{FamilyGrant, Offline},
};

use crate::{
    audit::{Event, What},
    context::RequestContext,
    domain::account::AccountId,
    fault::Fault,
    state::{AppState, longest_token},
};

/// Why a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignOutReason {
    /// The person signed out, here or at an application.
    Requested,
    /// Somebody else signed in in the same browser.
    AnotherPerson,
    /// The person or an administrator ended it from elsewhere.
    Revoked,
}

impl SignOutReason {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Requested, Self::AnotherPerson, Self::Revoked];

    /// Its name in the audit trail and in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "signed_out",
            Self::AnotherPerson => "another_person",
            Self::Revoked => "revoked",
        }
    }
}

/// Ends a session: its cookie is worthless, its refresh tokens are dead, its access tokens are refused
/// everywhere. In this order: whoever holds the cookie or a code gets nothing new while the rest is done, and
/// who redeemed a code just before looks at the session once more afterwards. The record stays to the end, so
/// that a failure on the way leaves nothing alive that was said to be over; calling again finishes it.
///
/// # Errors
/// [`Fault`] when a part could not be ended; the session is then not acknowledged as over.
pub(crate) async fn end_session(
    state: &AppState,
    context: &RequestContext,
    sid: SessionId,
    reason: SignOutReason,
) -> Result<(), Fault> {
    state.sso.close(sid).await?;
    let families = state.families.revoke_sid(sid, Offline::Revoke, state.now()).await?;
    state.denylist.revoke_everything(Kind::Sid, &sid.to_string()).await?;
    let Some(session) = state.sso.end(sid).await? else {
        return Ok(());
    };
    metrics::counter!("haetae_auth_sessions_ended_total", "reason" => reason.as_str()).increment(1);
    state.audit.record(
        Event::success(What::SessionEnded)
            .subject(&session.sub)
            .sid(sid)
            .from(context)
            .with("reason", reason.as_str())
            .with("refresh_families", families.len()),
    );
    Ok(())
}

/// What the denylist has to know when a refresh family has ended: its access tokens by name; or all of
/// the session's, of the account's when there is no session, when they were too many to name.
pub(crate) fn tokens_of(state: &AppState, grant: &FamilyGrant) -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        grant.issued.iter().map(|token| Entry::token(&token.jti, token.until)).collect();
    if grant.issued_more {
        let (kind, value) = match grant.sid {
            Some(sid) => (Kind::Sid, sid.to_string()),
            None => (Kind::Sub, grant.sub.clone()),
        };
        let longest = longest_token(&state.config);
        entries.push(Entry::everything(kind, value, state.now(), longest));
    }
    entries
}

/// Of these, those that are not refused already: whoever replays something spent again and again must not fill
/// the log of revocations.
pub(crate) fn not_yet_refused(state: &AppState, entries: Vec<Entry>) -> Vec<Entry> {
    let now = state.now();
    let mut entries = entries;
    entries.retain(|entry| {
        let still = Entry { until: entry.until.min(now), ..entry.clone() };
        !entry.is_over(now) && !state.replica.holds(&still)
    });
    entries
}

/// Signs a person out everywhere, now: all sessions, refresh tokens and access tokens of the account. A
/// sign-in a moment later works.
///
/// # Errors
/// [`Fault`]; calling again finishes what is left.
pub(crate) async fn end_all_sessions(
    state: &AppState,
    context: &RequestContext,
    account: AccountId,
) -> Result<(), Fault> {
    let (now, sub) = (state.now(), account.to_string());
    // Codes that are on their way and sign-ins that are half done are over with the epoch; the sessions are
    // closed too, since the record of one is what a second try finds.
    state.accounts.raise_epoch(account, now).await?;
    state.sso.close_all(&sub, now).await?;
    let families = state.families.revoke_sub(&sub, now).await?;
    state.denylist.revoke_everything(Kind::Sub, &sub).await?;
    let sessions = state.sso.end_all(&sub, now).await?;
    state.audit.record(
        Event::success(What::SessionEnded)
            .subject(sub)
            .from(context)
            .with("reason", "signed_out_everywhere")
            .with("sessions", sessions.len())
            .with("refresh_families", families.len()),
    );
    Ok(())
}
