//! `/mfa`: the one-time code, or a recovery code in its place. For a sign-in whose password was right a
//! moment ago, and for somebody who is signed in and has to prove more.

use std::time::Duration;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use haetae_base::secret::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    login::finish,
    recovery_code,
    throttle::Guess,
    totp::{Authenticator, InvalidSecret},
    way::{Way, forms, ui_locales},
};
use crate::{
    audit::{Event, What},
    context::RequestContext,
    domain::{
        account::{Account, AccountId},
        factor::TotpFactor,
    },
    interaction::{Authenticated, signed_in},
    pages::{Fault, Field, Instead, Page, Posted, Typed, Visit},
    state::AppState,
};

/// How long the code may take after the password.
const PATIENCE: Duration = Duration::from_mins(10);
/// Under which kind a half-done sign-in is kept.
const KIND: &str = "second-factor";
/// What an authenticator app shows above the code.
const ISSUER: &str = "Haetae";

/// A sign-in whose password was right. Kept on the server's side, found by this browser's flow cookie.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HalfDone {
    account: AccountId,
    /// The account's epoch when the password was right: after a new password this is worth nothing.
    epoch: i64,
    request: Option<String>,
    return_to: Option<String>,
}

impl HalfDone {
    pub(super) fn new(account: &Account, way: &Way) -> Self {
        Self {
            account: account.id,
            epoch: account.epoch,
            request: way.request.clone(),
            return_to: way.return_to.clone(),
        }
    }
}

/// Keeps a half-done sign-in for this browser.
pub(super) async fn keep(
    state: &AppState,
    visit: &mut Visit,
    half: &HalfDone,
) -> Result<(), Instead> {
    let (jar, browser) = state.cookies.ensure_browser(visit.jar.clone());
    visit.jar = jar;
    Ok(state.transient.put(KIND, &browser.to_base64url(), half, PATIENCE).await?)
}

/// Whose code is asked for.
struct Who {
    account: Account,
    factor: TotpFactor,
    /// What the person has proved when the code is right.
    then: Authenticated,
}

/// Finds whose code this page is about.
async fn who(state: &AppState, visit: &Visit, way: &Way) -> Result<Who, Instead> {
    let start_over = || Instead::Redirect(way.to("/login"));
    if let Some(account) = half_done(state, visit, way).await? {
        let factor = confirmed(state, account.id).await?.ok_or_else(start_over)?;
        let then = Authenticated::password_and_otp(&account);
        return Ok(Who { account, factor, then });
    }
    let signed_in = signed_in(state, &visit.jar).await?.ok_or_else(start_over)?;
    let account = signed_in.account;
    // Who has no authenticator yet is asked to set one up.
    let factor = confirmed(state, account.id)
        .await?
        .ok_or_else(|| Instead::Redirect(way.to("/account/two-step")))?;
    let then = Authenticated::upgrade(&account);
    Ok(Who { account, factor, then })
}

async fn half_done(state: &AppState, visit: &Visit, way: &Way) -> Result<Option<Account>, Instead> {
    let Some(browser) = state.cookies.browser(&visit.jar) else { return Ok(None) };
    let kept: Option<HalfDone> = state.transient.get(KIND, &browser.to_base64url()).await?;
    let Some(half) =
        kept.filter(|half| half.request == way.request && half.return_to == way.return_to)
    else {
        return Ok(None);
    };
    state.sql_health.expect()?;
    let account = state.accounts.find(half.account).await?;
    Ok(account.filter(|account| !account.is_disabled() && account.epoch == half.epoch))
}

async fn confirmed(state: &AppState, account: AccountId) -> Result<Option<TotpFactor>, Instead> {
    Ok(state.factors.find_totp(account).await?.filter(TotpFactor::is_confirmed))
}

/// The authenticator of an account, out of its sealed secret.
pub(crate) fn open(
    state: &AppState,
    factor: &TotpFactor,
    account: &Account,
) -> Result<Authenticator, Instead> {
    let id = factor.account.to_string();
    let secret = state
        .sign_in
        .totp_key
        .open(&factor.sealed_secret, id.as_bytes())
        .map_err(|error| Instead::internal(&error))?;
    Authenticator::new(&secret, ISSUER, account.username.as_str())
        .map_err(|error: InvalidSecret| Instead::internal(&error))
}

/// Whether `typed` is the account's code now. Counts the guess, and uses the code up.
///
/// # Errors
/// [`Instead`] an error page of status 429 after too many guesses.
pub(crate) async fn check_code(
    state: &AppState,
    context: &RequestContext,
    account: &Account,
    factor: &TotpFactor,
    typed: &SecretString,
) -> Result<bool, Instead> {
    let guess = Guess::OneTimeCode;
    let id = account.id.to_string();
    let attempt = state.sign_in.throttle.begin(guess, &id, context.address()).await?;
    let step = open(state, factor, account)?.check(
        typed.expose_secret(),
        state.clock.now(),
        factor.last_used_step,
    );
    let right = match step {
        Some(step) => state.factors.use_totp_step(account.id, step).await?,
        None => false,
    };
    if right {
        state.sign_in.throttle.right(&attempt).await;
        state.audit.record(Event::success(What::SecondFactor).subject(account.id).from(context));
    } else {
        let event = Event::failure(What::SecondFactor, "wrong_code");
        state.audit.record(event.subject(account.id).from(context));
    }
    Ok(right)
}

async fn check_recovery(
    state: &AppState,
    context: &RequestContext,
    account: &Account,
    typed: &SecretString,
) -> Result<bool, Instead> {
    let id = account.id.to_string();
    let guess = Guess::RecoveryCode;
    let attempt = state.sign_in.throttle.begin(guess, &id, context.address()).await?;
    let right = match recovery_code::hash(&id, typed) {
        Some(hash) => {
            let now = state.clock.now();
            state.factors.use_recovery_code(account.id, hash.as_bytes(), now).await?
        }
        None => false,
    };
    let event = if right {
        state.sign_in.throttle.right(&attempt).await;
        Event::success(What::RecoveryCodeUsed)
    } else {
        Event::failure(What::RecoveryCodeUsed, "wrong_code")
    };
    state.audit.record(event.subject(account.id).from(context));
    Ok(right)
}

#[derive(Template)]
#[template(path = "mfa.html")]
struct SecondFactorPage<'a> {
    page: &'a Page,
    title: String,
    lead: String,
    action: String,
    code: Field,
    other: (String, String),
    again: String,
}

/// What the form posts.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Code {
    #[serde(default)]
    code: Typed,
}

/// Which kind of code the page asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OneTime,
    Recovery,
}

impl Kind {
    const fn path(self) -> &'static str {
        match self {
            Self::OneTime => "/mfa",
            Self::Recovery => "/mfa/recovery",
        }
    }
}

/// `GET /mfa`.
pub(super) async fn show_code(state: State<AppState>, visit: Visit) -> Response {
    show(state, visit, Kind::OneTime).await
}

/// `GET /mfa/recovery`.
pub(super) async fn show_recovery(state: State<AppState>, visit: Visit) -> Response {
    show(state, visit, Kind::Recovery).await
}

async fn show(State(state): State<AppState>, mut visit: Visit, kind: Kind) -> Response {
    let way = Way::of(&visit);
    let result = async {
        who(&state, &visit, &way).await?;
        code_page(&state, &mut visit, &way, kind, false).await
    }
    .await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn code_page(
    state: &AppState,
    visit: &mut Visit,
    way: &Way,
    kind: Kind,
    failed: bool,
) -> Result<Response, Instead> {
    let pending = way.pending(state, visit).await?;
    let page = visit.page(ui_locales(pending.as_ref()), forms(pending.as_ref()));
    let (name, field, other) = match kind {
        Kind::OneTime => {
            ("mfa", Field::any_code(page.language).sends(), ("mfa-use-recovery", Kind::Recovery))
        }
        Kind::Recovery => {
            ("recovery", Field::recovery_code(page.language), ("mfa-use-code", Kind::OneTime))
        }
    };
    let error = failed.then(|| page.t(&format!("{name}-failed")));
    let template = SecondFactorPage {
        title: page.t(&format!("{name}-title")),
        lead: page.t(&format!("{name}-lead")),
        action: way.to(kind.path()),
        code: field.hint(page.t(&format!("{name}-hint"))).error(error).focus(),
        other: (page.t(other.0), way.to(other.1.path())),
        again: way.to("/login"),
        page: &page,
    };
    let status = if failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(visit.respond(status, &page, &template))
}

/// `POST /mfa`.
pub(super) async fn submit_code(state: State<AppState>, posted: Posted<Code>) -> Response {
    submit(state, posted, Kind::OneTime).await
}

/// `POST /mfa/recovery`.
pub(super) async fn submit_recovery(state: State<AppState>, posted: Posted<Code>) -> Response {
    submit(state, posted, Kind::Recovery).await
}

async fn submit(
    State(state): State<AppState>,
    Posted { mut visit, form }: Posted<Code>,
    kind: Kind,
) -> Response {
    let result = prove(&state, &mut visit, form, kind).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn prove(
    state: &AppState,
    visit: &mut Visit,
    form: Code,
    kind: Kind,
) -> Result<Response, Instead> {
    let way = Way::of(visit);
    let Who { account, factor, then } = who(state, visit, &way).await?;
    if account.is_disabled() {
        return Err(Fault::Expired.into());
    }
    // Nobody has to find the other page: a recovery code cannot be mistaken for one of six digits.
    let kind = if recovery_code::looks_like_one(&form.code.0) { Kind::Recovery } else { kind };
    let right = match kind {
        Kind::OneTime => check_code(state, &visit.context, &account, &factor, &form.code.0).await?,
        Kind::Recovery => check_recovery(state, &visit.context, &account, &form.code.0).await?,
    };
    if !right {
        return code_page(state, visit, &way, kind, true).await;
    }
    if let Some(browser) = state.cookies.browser(&visit.jar) {
        state.transient.remove(KIND, &browser.to_base64url()).await?;
    }
    finish(state, visit, &way, &account, then).await
}
