//! A person who is signed in in this browser, and how one comes to be.

use axum_extra::extract::CookieJar;
use haetae_keys::claims::Acr;
use haetae_session::{
    SessionId,
    sso::{Created, Factors, SsoSession, Start},
};
use secrecy::SecretString;

use super::{InteractionError, SignOutReason, end_session, pending, resume_path};
use crate::{
    audit::{Event, What},
    context::RequestContext,
    cookies::Name,
    domain::account::{Account, AccountId},
    fault::Fault,
    pages::local_path,
    state::AppState,
};

/// A person who is signed in in this browser.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    /// The session.
    pub(crate) session: SsoSession,
    /// The account, which is open.
    pub(crate) account: Account,
}

/// Who is signed in in this browser. `None` when nobody is, the account is shut or gone, or something
/// happened to it that ends what was signed in before ([`Account::epoch`]).
pub(crate) async fn signed_in(
    state: &AppState,
    jar: &CookieJar,
) -> Result<Option<SignedIn>, Fault> {
    let Some(cookie) = state.cookies.read(jar, Name::Sso) else {
        return Ok(None);
    };
    let now = state.now();
    let Some(session) = state.sso.find(cookie, now).await? else {
        return Ok(None);
    };
    let Ok(id) = session.sub.parse() else {
        return Ok(None);
    };
    state.sql_health.expect()?;
    let found = state.accounts.find(id).await?;
    let Some(account) =
        found.filter(|account| !account.is_disabled() && account.epoch == session.epoch)
    else {
        return Ok(None);
    };
    state.sso.touch(&session, now).await?;
    Ok(Some(SignedIn { session, account }))
}

/// The session of this browser whose end was begun and not finished: whoever asks for it again finishes it.
pub(crate) async fn half_ended(
    state: &AppState,
    jar: &CookieJar,
) -> Result<Option<SessionId>, Fault> {
    let Some(cookie) = state.cookies.read(jar, Name::Sso) else {
        return Ok(None);
    };
    let found = state.sso.find_to_end(cookie, state.now()).await?;
    Ok(found.filter(|session| session.closing).map(|session| session.sid))
}

/// What a person has just proved, completely: whoever makes one of these has checked it.
#[derive(Clone, Debug)]
pub(crate) struct Authenticated {
    account: AccountId,
    acr: Acr,
    amr: &'static [&'static str],
    /// The account as it was when the password was checked: what changed since makes this worthless.
    epoch: i64,
    upgrade: bool,
}

impl Authenticated {
    /// The password, of an account without a second factor.
    pub(crate) const fn password(account: &Account) -> Self {
        Self::of(account, Acr::OneFactor, &["pwd"], false)
    }

    /// The password and a one-time code, or a recovery code in its place.
    pub(crate) const fn password_and_otp(account: &Account) -> Self {
        Self::of(account, Acr::TwoFactor, &["pwd", "otp", "mfa"], false)
    }

    /// A one-time code, or a recovery code in its place, for the session that is there.
    pub(crate) const fn upgrade(account: &Account) -> Self {
        Self::of(account, Acr::TwoFactor, &["otp", "mfa"], true)
    }

    const fn of(account: &Account, acr: Acr, amr: &'static [&'static str], upgrade: bool) -> Self {
        Self { account: account.id, acr, amr, epoch: account.epoch, upgrade }
    }
}

/// A sign-in that is done.
#[derive(Debug)]
pub(crate) struct Completed {
    /// To be returned with the response: it sets the new cookie.
    pub(crate) jar: CookieJar,
    /// Where to redirect to, with 303.
    pub(crate) location: String,
}

/// Signs a person in. `request` is the pending request that the page was shown for; without one the
/// person goes to `return_to`, if that is a path of ours.
pub(crate) async fn complete_sign_in(
    state: &AppState,
    context: &RequestContext,
    jar: CookieJar,
    request: Option<&str>,
    return_to: Option<&str>,
    authenticated: Authenticated,
) -> Result<Completed, InteractionError> {
    let waiting = match request {
        Some(id) => Some(pending(state, &jar, id).await?),
        None => None,
    };
    let current = signed_in(state, &jar).await?;
    let same = current.filter(|person| person.account.id == authenticated.account);
    let (session, cookie, displaced) = match same {
        Some(person) => {
            let raised = raise(state, &jar, &person.session, &authenticated).await?;
            (raised.0, raised.1, Vec::new())
        }
        // A second factor alone signs nobody in.
        None if authenticated.upgrade => return Err(InteractionError::Expired),
        None => {
            end_what_was_there(state, context, &jar).await?;
            let created = create(state, context, &authenticated).await?;
            (created.session, created.cookie, created.ended)
        }
    };
    let mut event = Event::success(What::SignIn)
        .subject(authenticated.account)
        .sid(session.sid)
        .from(context)
        .with("acr", session.acr.as_str())
        .with("amr", session.amr.clone());
    if let Some(waiting) = &waiting {
        event = event.client(&waiting.client.client_id);
    }
    if !displaced.is_empty() {
        let displaced: Vec<_> = displaced.iter().map(ToString::to_string).collect();
        event = event.with("displaced_sessions", displaced);
    }
    state.audit.record(event);
    metrics::counter!("haetae_auth_sign_ins_total", "acr" => session.acr.as_str()).increment(1);
    let location = match waiting {
        Some(waiting) => resume_path(&waiting.id),
        None => return_to.and_then(local_path).unwrap_or_else(|| "/account".to_owned()),
    };
    Ok(Completed { jar: state.cookies.write(jar, Name::Sso, &cookie), location })
}

async fn create(
    state: &AppState,
    context: &RequestContext,
    authenticated: &Authenticated,
) -> Result<Created, InteractionError> {
    let now = state.now();
    let start = Start {
        sub: authenticated.account.to_string(),
        factors: Factors {
            auth_time: now,
            acr: authenticated.acr,
            amr: authenticated.amr.iter().map(|&method| method.to_owned()).collect(),
            epoch: authenticated.epoch,
        },
        user_agent: context.user_agent().map(str::to_owned),
        address: context.address().map(|address| address.to_string()),
    };
    Ok(state.sso.create(start, now).await?)
}

/// The same person again: the session stays, its cookie does not.
async fn raise(
    state: &AppState,
    jar: &CookieJar,
    session: &SsoSession,
    authenticated: &Authenticated,
) -> Result<(SsoSession, SecretString), InteractionError> {
    let now = state.now();
    let cookie = state.cookies.read(jar, Name::Sso).unwrap_or_default();
    let mut amr: Vec<String> = Vec::new();
    if authenticated.upgrade {
        amr.extend(session.amr.iter().cloned());
    }
    for method in authenticated.amr {
        if !amr.iter().any(|known| known == method) {
            amr.push((*method).to_owned());
        }
    }
    let factors = Factors {
        // A code given later does not make the password newer.
        auth_time: if authenticated.upgrade { session.auth_time } else { now },
        acr: if authenticated.upgrade {
            session.acr.max(authenticated.acr)
        } else {
            authenticated.acr
        },
        amr,
        // Nor does it make up for a password that was changed since.
        epoch: if authenticated.upgrade { session.epoch } else { authenticated.epoch },
    };
    state.sso.upgrade(cookie, factors, now).await?.ok_or(InteractionError::Expired)
}

/// Whoever was signed in in this browser before is signed out: their applications must not go on under
/// the hands of somebody else.
async fn end_what_was_there(
    state: &AppState,
    context: &RequestContext,
    jar: &CookieJar,
) -> Result<(), InteractionError> {
    let Some(cookie) = state.cookies.read(jar, Name::Sso) else {
        return Ok(());
    };
    if let Some(before) = state.sso.find_to_end(cookie, state.now()).await? {
        end_session(state, context, before.sid, SignOutReason::AnotherPerson).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::account::PasswordHash, testing::House};

    #[tokio::test]
    async fn a_password_that_is_changed_meanwhile_signs_nobody_in() {
        let house = House::open().await;
        let state = &house.state;
        let account = house.person("minjun").await;
        let context = RequestContext::new("req".to_owned(), None, None);
        let sign_in = async |jar| {
            let proved = Authenticated::password(&account);
            let done = complete_sign_in(state, &context, jar, None, None, proved).await;
            done.expect("a session").jar
        };
        let before = sign_in(CookieJar::new()).await;
        assert!(signed_in(state, &before).await.expect("asked").is_some());
        // A new hash of the same password is no new password.
        let (old, hash) = (account.password.clone().expect("one"), PasswordHash::from_phc("$new"));
        let accounts = &state.accounts;
        let now = state.now();
        assert!(accounts.rehash_password(account.id, &old, &hash, now).await.expect("sql"));
        assert!(signed_in(state, &before).await.expect("asked").is_some());

        // Between the check of the password and the session, its owner gets a new one.
        accounts.set_password(account.id, &hash, now).await.expect("sql");
        let after = sign_in(CookieJar::new()).await;
        assert!(signed_in(state, &after).await.expect("asked").is_none());
        assert!(signed_in(state, &before).await.expect("asked").is_none());
        // Nor does the session of before come to life by it.
        let raised = sign_in(before).await;
        assert!(signed_in(state, &raised).await.expect("asked").is_none());
        // The same holds for an account that was shut and opened again, and for other roles.
        for change in [0, 1] {
            let account = accounts.find(account.id).await.expect("sql").expect("there");
            let proved = Authenticated::password(&account);
            if change == 0 {
                accounts.set_disabled(account.id, Some(now), now).await.expect("sql");
                accounts.set_disabled(account.id, None, now).await.expect("sql");
            } else {
                let none = std::collections::BTreeSet::new();
                accounts.set_roles(account.id, &none, now).await.expect("sql");
            }
            let jar = CookieJar::new();
            let late = complete_sign_in(state, &context, jar, None, None, proved).await;
            let late = late.expect("a session").jar;
            assert!(signed_in(state, &late).await.expect("asked").is_none());
        }
    }
}
