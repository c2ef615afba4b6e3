//! `/login`: username and password. Whatever is wrong with them, the answer and its time are the same.

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Deserialize;

use super::{
    hash_pool::Verdict,
    password,
    second_factor::{self, HalfDone},
    throttle::{Guess, Throttled},
    way::{Way, forms, ui_locales},
};
use crate::{
    audit::{Event, What},
    domain::account::{Account, PasswordHash, fold},
    interaction::{Authenticated, Need, Pending, complete_sign_in, resume_path, signed_in},
    locale::Argument,
    pages::{Field, Instead, Page, Posted, Typed, Visit, onward},
    state::AppState,
};

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    page: &'a Page,
    title: String,
    lead: String,
    problem: Option<String>,
    action: String,
    username: Field,
    password: Field,
    submit: String,
    register: Option<String>,
}

/// What the login form posts.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Login {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: Typed,
}

/// What the page says about the attempt before.
enum Problem {
    Wrong,
    Throttled(Throttled),
}

/// `GET /login`.
pub(super) async fn show(State(state): State<AppState>, mut visit: Visit) -> Response {
    match first_page(&state, &mut visit).await {
        Ok(response) => response,
        Err(instead) => instead.into_response(visit),
    }
}

async fn first_page(state: &AppState, visit: &mut Visit) -> Result<Response, Instead> {
    let way = Way::of(visit);
    let pending = way.pending(state, visit).await?;
    if let (Some(pending), Some(person)) = (&pending, signed_in(state, &visit.jar).await?)
        && pending.is_done_by(&person)
    {
        return Err(Instead::Redirect(resume_path(&pending.id)));
    }
    match pending.as_ref().map(|pending| &pending.need) {
        Some(Need::SecondFactor) => return Err(Instead::Redirect(way.to("/mfa"))),
        Some(Need::Consent { .. }) => return Err(Instead::Redirect(way.to("/consent"))),
        Some(Need::Login | Need::Create) => {}
        None if way.again => {}
        None => {
            // Signed in already, and nobody asks for more.
            if signed_in(state, &visit.jar).await?.is_some() {
                let home = way.return_to.unwrap_or_else(|| "/account".to_owned());
                return Err(Instead::Redirect(home));
            }
        }
    }
    login_page(state, visit, &way, pending.as_ref(), None, None).await
}

async fn login_page(
    state: &AppState,
    visit: &mut Visit,
    way: &Way,
    pending: Option<&Pending>,
    typed: Option<&str>,
    problem: Option<Problem>,
) -> Result<Response, Instead> {
    let current = signed_in(state, &visit.jar).await?.map(|signed_in| signed_in.account);
    let page = visit.page(ui_locales(pending), forms(pending));
    let language = page.language;
    let hint = pending.and_then(|pending| pending.login_hint.clone());
    let known = typed
        .map(str::to_owned)
        .or(hint)
        .or_else(|| current.as_ref().map(|account| account.username.to_string()))
        .unwrap_or_default();
    let (title, lead) = match (&current, pending) {
        (Some(account), _) => {
            let name = Argument::Text(&account.display_name);
            (page.t("login-again-title"), page.with("login-again-lead", &[("name", name)]))
        }
        (None, Some(pending)) => {
            let client = Argument::Text(pending.client.display_name());
            (page.t("login-title"), page.with("login-lead-client", &[("client", client)]))
        }
        (None, None) => (page.t("login-title"), page.t("login-lead")),
    };
    let username = Field::text("username", page.t("field-username"), "username").value(&known);
    let password = Field::password("password", page.t("field-password"), "current-password");
    let (username, password) =
        if known.is_empty() { (username.focus(), password) } else { (username, password.focus()) };
    let (status, retry_after) = match &problem {
        None => (StatusCode::OK, None),
        Some(Problem::Wrong) => (StatusCode::UNPROCESSABLE_ENTITY, None),
        Some(Problem::Throttled(wait)) => (StatusCode::TOO_MANY_REQUESTS, Some(wait.seconds())),
    };
    let problem = problem.map(|problem| match problem {
        Problem::Wrong => page.t("login-failed"),
        Problem::Throttled(wait) => {
            let wait = language.wait(wait.seconds());
            page.with("login-throttled", &[("wait", Argument::Text(&wait))])
        }
    });
    let open = state.config.auth.registration.enabled && current.is_none();
    let template = LoginPage {
        page: &page,
        title,
        lead,
        problem,
        action: way.to("/login"),
        username,
        password,
        submit: page.t(if current.is_some() { "login-confirm" } else { "login-submit" }),
        register: open.then(|| way.to("/register")),
    };
    let mut response = visit.respond(status, &page, &template);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(response)
}

/// `POST /login`.
pub(super) async fn submit(
    State(state): State<AppState>,
    Posted { mut visit, form }: Posted<Login>,
) -> Response {
    match sign_in(&state, &mut visit, form).await {
        Ok(response) => response,
        Err(instead) => instead.into_response(visit),
    }
}

async fn sign_in(state: &AppState, visit: &mut Visit, form: Login) -> Result<Response, Instead> {
    let way = Way::of(visit);
    let pending = way.pending(state, visit).await?;
    let refused = match check_password(state, visit, &form).await? {
        Checked::Right(account) => return go_on(state, visit, &way, *account).await,
        Checked::Wrong => Problem::Wrong,
        Checked::Throttled(wait) => Problem::Throttled(wait),
    };
    let typed = Some(form.username.as_str());
    login_page(state, visit, &way, pending.as_ref(), typed, Some(refused)).await
}

enum Checked {
    Right(Box<Account>),
    Wrong,
    Throttled(Throttled),
}

async fn check_password(state: &AppState, visit: &Visit, form: &Login) -> Result<Checked, Instead> {
    let name = fold(form.username.trim());
    let address = visit.context.address();
    state.sql_health.expect()?;
    let failed = |reason| Event::failure(What::SignIn, reason).from(&visit.context);
    let attempt = match state.sign_in.throttle.begin(Guess::Password, &name, address).await {
        Ok(attempt) => attempt,
        Err(throttled) => {
            state.audit.record(failed("throttled"));
            return Ok(Checked::Throttled(throttled));
        }
    };
    let account = state.accounts.find_by_username(&name).await?;
    // No such account, an account without a password and a text that cannot be a password cost what a
    // wrong password costs.
    let typed = password::normalise(&form.password.0);
    let stored = account
        .as_ref()
        .filter(|_| typed.is_some())
        .and_then(|account| account.password.as_ref())
        .map(|hash| hash.as_phc().to_owned());
    let typed = typed.unwrap_or_default();
    let verdict = state.sign_in.hashes.verify(typed.clone(), stored).await?;
    let (Some(account), Verdict::Right | Verdict::RightButOutdated) = (account.as_ref(), verdict)
    else {
        // The name is not recorded when nobody has it: people type passwords into the wrong field.
        let event = account
            .iter()
            .fold(failed("wrong_password"), |event, account| event.subject(account.id));
        state.audit.record(event);
        return Ok(Checked::Wrong);
    };
    if account.is_disabled() {
        state.audit.record(failed("account_disabled").subject(account.id));
        return Ok(Checked::Wrong);
    }
    state.sign_in.throttle.right(&attempt).await;
    if verdict == Verdict::RightButOutdated {
        rehash(state, account, typed).await;
    }
    Ok(Checked::Right(Box::new(account.clone())))
}

/// Hashes the password at today's cost. When that cannot be done now, the next sign-in does it.
async fn rehash(state: &AppState, account: &Account, password: haetae_base::secret::SecretString) {
    let Some(old) = &account.password else { return };
    let Ok(phc) = state.sign_in.hashes.hash(password).await else { return };
    let new = PasswordHash::from_phc(phc);
    let now = state.clock.now();
    if let Err(error) = state.accounts.rehash_password(account.id, old, &new, now).await {
        tracing::warn!(%error, account = %account.id, "a password could not be hashed again");
    }
}

/// The password was right: on to the second factor, or to where the person wants to go.
async fn go_on(
    state: &AppState,
    visit: &mut Visit,
    way: &Way,
    account: Account,
) -> Result<Response, Instead> {
    let factor = state.factors.find_totp(account.id).await?;
    if factor.is_none_or(|factor| !factor.is_confirmed()) {
        return finish(state, visit, way, &account, Authenticated::password(&account)).await;
    }
    let half = HalfDone::new(&account, way);
    second_factor::keep(state, visit, &half).await?;
    Ok(visit.redirect(&way.to("/mfa")))
}

/// Everything that was asked for is proved: begins or raises the SSO session and goes on.
///
/// # Errors
/// [`Instead`] an error page.
pub(crate) async fn finish(
    state: &AppState,
    visit: &mut Visit,
    way: &Way,
    account: &Account,
    authenticated: Authenticated,
) -> Result<Response, Instead> {
    let completed = complete_sign_in(
        state,
        &visit.context,
        visit.jar.clone(),
        way.request.as_deref(),
        way.return_to.as_deref(),
        authenticated,
    )
    .await?;
    let pending = way.pending(state, visit).await?;
    visit.jar = completed.jar;
    let (id, name) = (account.id.to_string(), account.username.folded());
    state.sign_in.throttle.remember([&id, &name], visit.context.address()).await;
    let client = pending.as_ref().map(|pending| &*pending.client);
    Ok(onward(state, visit, &completed.location, client, ui_locales(pending.as_ref())))
}
