//! An authorization request that waits for a person.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use axum_extra::extract::CookieJar;
use haetae_base::{clock::Timestamp, entropy, secret::constant_time_eq};
use haetae_keys::claims::Scope;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{sign_in::SignedIn, sign_in::signed_in};
use crate::{
    audit::{Event, What},
    context::RequestContext,
    domain::{account::AccountId, client::Client, consent::Consent},
    fault::Fault,
    oidc::{authorize, params::Params},
    pages::Visit,
    sign_in::throttle::network,
    state::AppState,
    transient::TransientError,
};

/// How long a person may take.
const LIFETIME: Duration = Duration::from_mins(15);
const KIND: &str = "request";
/// How many requests of one network wait at most: anybody can begin one. A company behind one address is well
/// below; what is above loses its oldest.
const MOST: usize = 1000;

/// What is missing before the client can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Need {
    /// Somebody has to sign in, from the start; a session that is there is not enough.
    Login,
    /// Somebody wants to open an account (`prompt=create`).
    Create,
    /// The person who is signed in has to give a second factor, or enrol one.
    SecondFactor,
    /// The person who is signed in has to allow this to the client.
    Consent {
        /// All that the client would get: what was allowed before is in it, too.
        scope: Scope,
    },
}

impl Need {
    fn page(&self) -> &'static str {
        match self {
            Self::Login => "/login",
            Self::Create => "/register",
            Self::SecondFactor => "/mfa",
            Self::Consent { .. } => "/consent",
        }
    }
}

/// A request that waits, as the pages see it.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Its id: the value of `request` in the address of the page.
    pub(crate) id: String,
    /// Which client asks.
    pub(crate) client: Arc<Client>,
    /// What is missing.
    pub(crate) need: Need,
    /// Who is signed in in this browser, when somebody is.
    pub(crate) subject: Option<AccountId>,
    /// Whom the client expects: to fill in the field `username` with.
    pub(crate) login_hint: Option<String>,
    /// The languages that the client asks for, the best first (`ui_locales`).
    pub(crate) ui_locales: Vec<String>,
    /// When the request came.
    begun_at: Timestamp,
    /// Whether it is all the same to the client who signs in, and where.
    anybody: bool,
}

impl Pending {
    /// Whether this sign-in, in another window since the request came, is all that it waits for.
    pub(crate) fn is_done_by(&self, person: &SignedIn) -> bool {
        self.need == Need::Login && self.anybody && person.session.auth_time >= self.begun_at
    }
}

/// Why a page cannot go on with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InteractionError {
    /// Unknown, too old, used up, or begun in another browser: an error page of status 400.
    Expired,
    /// A failure of ours: 503 or 500.
    Fault(Fault),
}

impl<T: Into<Fault>> From<T> for InteractionError {
    fn from(fault: T) -> Self {
        Self::Fault(fault.into())
    }
}

/// A request as stored: its parameters, and what happened since it came.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Suspended {
    /// The parameters as the client sent them, those that mean something here. They are checked again at the
    /// end.
    pub(crate) params: Vec<(String, String)>,
    /// When the request came. A sign-in after that is one that the request asked for.
    pub(crate) begun_at: Timestamp,
    /// What the person allowed since.
    pub(crate) consented: Option<(AccountId, Scope)>,
    client_id: String,
    need: Need,
    subject: Option<AccountId>,
    browser: String,
}

/// A suspended request and the cookies that go with it.
#[derive(Debug)]
pub(crate) struct Begun {
    /// To be returned with the response.
    pub(crate) jar: CookieJar,
    /// The page to redirect to.
    pub(crate) location: String,
}

/// Suspends a request until the person has done what is needed. `earlier` is the request itself, when it
/// was suspended before.
pub(crate) async fn begin(
    state: &AppState,
    visit: &Visit,
    params: &Params,
    client: &Client,
    subject: Option<AccountId>,
    need: Need,
    earlier: Option<&Suspended>,
) -> Result<Begun, Fault> {
    let (jar, browser) = state.cookies.ensure_browser(visit.jar.clone());
    let page = need.page();
    let suspended = Suspended {
        params: params
            .iter()
            .filter(|(name, _)| authorize::PARAMETERS.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        begun_at: earlier.map_or_else(|| state.now(), |earlier| earlier.begun_at),
        consented: earlier.and_then(|earlier| earlier.consented.clone()),
        client_id: client.client_id.clone(),
        need,
        subject,
        browser: browser.to_base64url(),
    };
    let id = entropy::token();
    let crowd = visit.context.address().map_or_else(String::new, network);
    let (key, crowd) = (id.expose_secret(), (crowd.as_str(), MOST));
    state.transient.put_in_crowd(KIND, key, &suspended, LIFETIME, crowd).await?;
    let location = format!("{page}?request={}", id.expose_secret());
    Ok(Begun { jar, location })
}

/// Where a page redirects to when the person has done their part.
pub(crate) fn resume_path(id: &str) -> String {
    let id: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    format!("/oauth2/authorize/resume?request={id}")
}

/// The request `id`, when it was begun in this browser.
pub(crate) async fn pending(
    state: &AppState,
    jar: &CookieJar,
    id: &str,
) -> Result<Pending, InteractionError> {
    let suspended = find(state, jar, id).await?;
    let client = client_of(state, &suspended).await?;
    let params = Params::of(&suspended.params);
    Ok(Pending {
        id: id.to_owned(),
        client,
        login_hint: params.get("login_hint").map(str::to_owned),
        ui_locales: params
            .get("ui_locales")
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
        begun_at: suspended.begun_at,
        anybody: params.get("prompt").is_none() && params.get("id_token_hint").is_none(),
        need: suspended.need,
        subject: suspended.subject,
    })
}

/// Takes the request `id` out, once, when it was begun in this browser.
pub(crate) async fn take(
    state: &AppState,
    jar: &CookieJar,
    id: &str,
) -> Result<Suspended, InteractionError> {
    // Looked at first, so that another browser which somehow got the id cannot use it up.
    find(state, jar, id).await?;
    state.transient.take(KIND, id).await?.ok_or(InteractionError::Expired)
}

/// Records that the person who is signed in allows the client what it asks for.
pub(crate) async fn grant_consent(
    state: &AppState,
    context: &RequestContext,
    jar: &CookieJar,
    id: &str,
) -> Result<(), InteractionError> {
    let mut suspended = find(state, jar, id).await?;
    let Need::Consent { scope } = suspended.need.clone() else {
        return Err(InteractionError::Expired);
    };
    let person = same_person(state, jar, &suspended).await?;
    let client = client_of(state, &suspended).await?;
    let now = state.now();
    // What was allowed before stays allowed: asking for less now takes nothing back.
    let mut all = scope.clone();
    if let Some(before) = state.consents.find(person.account.id, &client.client_id).await? {
        for name in before.scope.iter() {
            // Every name of a scope is one name.
            let _inserted = all.insert(name);
        }
    }
    let consent = Consent {
        account: person.account.id,
        client_id: client.client_id.clone(),
        scope: all,
        granted_at: now,
    };
    state.consents.put(&consent).await?;
    suspended.consented = Some((person.account.id, scope.clone()));
    state.transient.put(KIND, id, &suspended, LIFETIME).await?;
    state.audit.record(
        Event::success(What::Consent)
            .subject(person.account.id)
            .client(&client.client_id)
            .sid(person.session.sid)
            .from(context)
            .with("scope", scope.to_string()),
    );
    Ok(())
}

/// Why a person does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They said no, or went back (RFC 6749 4.1.2.1).
    AccessDenied,
    /// They have no second factor and will not enrol one (OpenID Connect Core Unmet Authentication
    /// Requirements 1.0).
    UnmetAuthentication,
}

/// Ends the request and tells its client so.
pub(crate) async fn refuse(
    state: &AppState,
    context: &RequestContext,
    jar: &CookieJar,
    id: &str,
    why: Refusal,
) -> Result<Response, InteractionError> {
    let suspended = take(state, jar, id).await?;
    let params = Params::of(&suspended.params);
    let consent = matches!(suspended.need, Need::Consent { .. });
    let mut event = Event::failure(
        if consent { What::Consent } else { What::Authorization },
        match why {
            Refusal::AccessDenied => "access_denied",
            Refusal::UnmetAuthentication => "unmet_authentication_requirements",
        },
    )
    .client(&suspended.client_id)
    .from(context);
    if let Some(subject) = suspended.subject {
        event = event.subject(subject);
    }
    state.audit.record(event);
    Ok(authorize::refused_by_person(state, &params, why).await)
}

async fn find(state: &AppState, jar: &CookieJar, id: &str) -> Result<Suspended, InteractionError> {
    let Some(browser) = state.cookies.browser(jar) else {
        return Err(InteractionError::Expired);
    };
    let found: Result<Option<Suspended>, TransientError> = state.transient.get(KIND, id).await;
    let suspended = found?.ok_or(InteractionError::Expired)?;
    if constant_time_eq(suspended.browser.as_bytes(), browser.to_base64url().as_bytes()) {
        Ok(suspended)
    } else {
        Err(InteractionError::Expired)
    }
}

/// The client may have been shut since the request came.
async fn client_of(
    state: &AppState,
    suspended: &Suspended,
) -> Result<Arc<Client>, InteractionError> {
    state.clients.find(&suspended.client_id).await?.ok_or(InteractionError::Expired)
}

/// The person who is signed in, when it is still the one whom the page was shown to.
async fn same_person(
    state: &AppState,
    jar: &CookieJar,
    suspended: &Suspended,
) -> Result<SignedIn, InteractionError> {
    signed_in(state, jar)
        .await?
        .filter(|person| suspended.subject == Some(person.account.id))
        .ok_or(InteractionError::Expired)
}
