//! `/account/password`: a new password. It ends the person's other sessions.

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use haetae_base::secret::SecretString;
use haetae_session::sso::Factors;
use serde::Deserialize;

use super::{back, recently, sessions::end_others};
use crate::{
    audit::{Event, What},
    cookies::Name,
    domain::account::{Account, PasswordHash, fold},
    interaction::SignedIn,
    locale::Argument,
    pages::{Field, FormAction, Instead, Page, Posted, Typed, Visit},
    register::{NewPassword, new_password},
    sign_in::{hash_pool::Verdict, password::normalise, throttle::Guess},
    state::AppState,
};

#[derive(Template)]
#[template(path = "account/form.html")]
struct PasswordPage<'a> {
    page: &'a Page,
    title: String,
    lead: String,
    invalid: bool,
    action: String,
    username: String,
    fields: Vec<Field>,
    submit: String,
}

/// What the form posts.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Form {
    /// The current one.
    #[serde(default)]
    password: Typed,
    #[serde(default)]
    new_password: Typed,
    #[serde(default)]
    new_password_again: Typed,
}

/// What is wrong, by field: the key of the text.
#[derive(Clone, Copy, Debug, Default)]
struct Mistakes {
    current: Option<&'static str>,
    password: Option<&'static str>,
    again: Option<&'static str>,
}

/// `GET /account/password`.
pub(super) async fn show(State(state): State<AppState>, mut visit: Visit) -> Response {
    let result = async {
        let person = recently(&state, &visit).await?;
        Ok(password_page(&state, &mut visit, &person.account, Mistakes::default()))
    }
    .await;
    result.unwrap_or_else(|instead: Instead| instead.into_response(visit))
}

fn password_page(
    state: &AppState,
    visit: &mut Visit,
    account: &Account,
    mistakes: Mistakes,
) -> Response {
    let page = visit.page(&[], FormAction::own());
    let length = u64::try_from(state.config.auth.password.min_length).unwrap_or(u64::MAX);
    let characters = [("length", Argument::Number(length))];
    let error = |key: Option<&'static str>| key.map(|key| page.with(key, &characters));
    let field = |name, label, autocomplete| Field::password(name, page.t(label), autocomplete);
    let fields = Field::focus_first(vec![
        field("password", "field-password-current", "current-password")
            .error(error(mistakes.current)),
        field("new_password", "field-password-new", "new-password")
            .hint(page.with("register-password-hint", &characters))
            .error(error(mistakes.password)),
        field("new_password_again", "field-password-again", "new-password")
            .error(error(mistakes.again)),
    ]);
    let invalid =
        mistakes.current.is_some() || mistakes.password.is_some() || mistakes.again.is_some();
    let template = PasswordPage {
        title: page.t("password-title"),
        lead: page.t("password-lead"),
        invalid,
        action: "/account/password".to_owned(),
        username: account.username.to_string(),
        fields,
        submit: page.t("password-submit"),
        page: &page,
    };
    let status = if invalid { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    visit.respond(status, &page, &template)
}

/// `POST /account/password`.
pub(super) async fn submit(
    State(state): State<AppState>,
    Posted { mut visit, form }: Posted<Form>,
) -> Response {
    let result = change(&state, &mut visit, form).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn change(state: &AppState, visit: &mut Visit, form: Form) -> Result<Response, Instead> {
    let person = recently(state, visit).await?;
    let account = &person.account;
    if !is_current(state, visit, account, &form.password).await? {
        let mistakes = Mistakes { current: Some("error-password-wrong"), ..Mistakes::default() };
        return Ok(password_page(state, visit, account, mistakes));
    }
    let password = match check(state, account, &form).await? {
        Ok(password) => password,
        Err(mistakes) => return Ok(password_page(state, visit, account, mistakes)),
    };
    let phc = state.sign_in.hashes.hash(password).await?;
    let now = state.now();
    let hash = PasswordHash::from_phc(phc);
    // Changed under the person's hands, by somebody who wants them out: their password counts no more.
    let Some(epoch) = state.accounts.change_password(account, &hash, now).await? else {
        return Err(Instead::Redirect("/login?return_to=%2Faccount%2Fpassword".to_owned()));
    };
    let event = Event::success(What::PasswordChanged).subject(account.id).sid(person.session.sid);
    state.audit.record(event.from(&visit.context));
    finish(state, visit, &person, epoch).await
}

/// The other sessions end, and this one goes on under a new cookie.
async fn finish(
    state: &AppState,
    visit: &mut Visit,
    person: &SignedIn,
    epoch: i64,
) -> Result<Response, Instead> {
    end_others(state, visit, person).await?;
    renew(state, visit, person, epoch).await?;
    back(state, visit, "notice-password-changed").await
}

/// Gives this browser's session a new cookie and takes it along into the account's new epoch; what the
/// person proved stays as it was.
async fn renew(
    state: &AppState,
    visit: &mut Visit,
    person: &SignedIn,
    epoch: i64,
) -> Result<(), Instead> {
    let session = &person.session;
    let factors =
        Factors { auth_time: session.auth_time, acr: session.acr, amr: session.amr.clone(), epoch };
    let cookie = state.cookies.read(&visit.jar, Name::Sso).unwrap_or_default().to_owned();
    if let Some((_, renewed)) = state.sso.upgrade(&cookie, factors, state.now()).await? {
        visit.jar = state.cookies.write(visit.jar.clone(), Name::Sso, &renewed);
    }
    Ok(())
}

async fn is_current(
    state: &AppState,
    visit: &Visit,
    account: &Account,
    typed: &Typed,
) -> Result<bool, Instead> {
    let name = fold(account.username.as_str());
    let guess = Guess::Password;
    let attempt = state.sign_in.throttle.begin(guess, &name, visit.context.address()).await?;
    let stored = account.password.as_ref().map(|hash| hash.as_phc().to_owned());
    let typed = normalise(&typed.0).unwrap_or_default();
    let right = state.sign_in.hashes.verify(typed, stored).await? != Verdict::Wrong;
    if right {
        state.sign_in.throttle.right(&attempt).await;
    } else {
        let event = Event::failure(What::PasswordChanged, "wrong_password").subject(account.id);
        state.audit.record(event.from(&visit.context));
    }
    Ok(right)
}

async fn check(
    state: &AppState,
    account: &Account,
    form: &Form,
) -> Result<Result<SecretString, Mistakes>, Instead> {
    let min_length = state.config.auth.password.min_length;
    let username = account.username.as_str();
    let password =
        match new_password(&form.new_password, &form.new_password_again, username, min_length) {
            Ok(password) => password,
            Err(NewPassword::Unfit(key)) => {
                return Ok(Err(Mistakes { password: Some(key), ..Mistakes::default() }));
            }
            Err(NewPassword::Mismatch) => {
                let again = Some("error-password-mismatch");
                return Ok(Err(Mistakes { again, ..Mistakes::default() }));
            }
        };
    let stored = account.password.as_ref().map(|hash| hash.as_phc().to_owned());
    if state.sign_in.hashes.verify(password.clone(), stored).await? != Verdict::Wrong {
        return Ok(Err(Mistakes { password: Some("error-password-same"), ..Mistakes::default() }));
    }
    Ok(Ok(password))
}
