//! `/account/two-step`: turning the one-time code on and off.

use std::time::Duration;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use haetae_base::secret::ExposeSecret;
use serde::Deserialize;

use super::{back, recently, recovery_codes};
use crate::{
    audit::{Event, What},
    domain::{account::Account, factor::TotpFactor},
    interaction::{Authenticated, Pending, Refusal, complete_sign_in, refuse},
    locale::Argument,
    pages::{Confirm, Fault, Field, FormAction, Instead, Page, Posted, Typed, Visit},
    sign_in::{
        Way,
        second_factor::{check_code, open},
        throttle::Guess,
        totp,
    },
    state::AppState,
    store::StoreError,
};

/// How long the key on the page stays the same, so that reading the page again, or in another language,
/// does not make the app's key wrong.
const KEEP_KEY: Duration = Duration::from_mins(30);

#[derive(Template)]
#[template(path = "account/two_step.html")]
struct TwoStepPage<'a> {
    page: &'a Page,
    lead: String,
    action: String,
    qr: String,
    /// What the picture holds, for an app on the very device that shows this page.
    uri: String,
    secret: String,
    code: Field,
    /// How to go back without it to the application that asks for it.
    refusable: Option<String>,
}

/// What the forms post.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Form {
    #[serde(default)]
    code: Typed,
    /// `refuse`: back to the application that asks, without.
    #[serde(default)]
    decision: String,
}

/// `GET /account/two-step`.
pub(super) async fn show(State(state): State<AppState>, mut visit: Visit) -> Response {
    let result = begin(&state, &mut visit).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn begin(state: &AppState, visit: &mut Visit) -> Result<Response, Instead> {
    let person = recently(state, visit).await?;
    let way = Way::of(visit);
    let pending = of_person(way.pending(state, visit).await?, &person.account)?;
    let factor = enrolment(state, &person.account).await?;
    enrolment_page(state, visit, &way, pending.as_ref(), &person.account, &factor, false)
}

/// The request, if it waits for this person.
fn of_person(pending: Option<Pending>, account: &Account) -> Result<Option<Pending>, Instead> {
    match pending {
        Some(pending) if pending.subject != Some(account.id) => Err(Fault::Expired.into()),
        pending => Ok(pending),
    }
}

/// The enrolment that waits for its first code; a new one when there is none.
async fn enrolment(state: &AppState, account: &Account) -> Result<TotpFactor, Instead> {
    let now = state.now();
    match state.factors.find_totp(account.id).await? {
        Some(factor) if factor.is_confirmed() => {
            return Err(Instead::Redirect("/account".to_owned()));
        }
        Some(factor) if now.since(factor.created_at) < KEEP_KEY => return Ok(factor),
        _ => {}
    }
    let id = account.id.to_string();
    let sealed = state.sign_in.totp_key.seal(&totp::generate_secret(), id.as_bytes());
    state.factors.begin_totp(account.id, sealed, now).await?;
    state.factors.find_totp(account.id).await?.ok_or_else(|| Fault::Internal.into())
}

fn enrolment_page(
    state: &AppState,
    visit: &mut Visit,
    way: &Way,
    pending: Option<&Pending>,
    account: &Account,
    factor: &TotpFactor,
    failed: bool,
) -> Result<Response, Instead> {
    let authenticator = open(state, factor, account)?;
    let ui_locales = pending.map_or(&[][..], |pending| &pending.ui_locales);
    let forms =
        pending.map_or_else(FormAction::own, |pending| FormAction::answering(&pending.client));
    let page = visit.page(ui_locales, forms);
    let lead = pending.map_or_else(
        || page.t("totp-lead"),
        |pending| {
            let client = Argument::Text(pending.client.display_name());
            page.with("totp-required-lead", &[("client", client)]) + " " + &page.t("totp-lead")
        },
    );
    let error = failed.then(|| page.t("error-code-wrong"));
    let code = Field::one_time_code(page.language).label(page.t("totp-step-code")).error(error);
    let template = TwoStepPage {
        lead,
        action: way.to("/account/two-step"),
        qr: authenticator.qr_svg().map_err(|error| Instead::internal(&error))?,
        uri: authenticator.uri().map_err(|error| Instead::internal(&error))?,
        secret: authenticator.secret_text(),
        code: if failed { code.focus() } else { code },
        refusable: pending.map(|pending| {
            let client = Argument::Text(pending.client.display_name());
            page.with("totp-refuse", &[("client", client)])
        }),
        page: &page,
    };
    let status = if failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(visit.respond(status, &page, &template))
}

/// `POST /account/two-step`.
pub(super) async fn submit(
    State(state): State<AppState>,
    Posted { mut visit, form }: Posted<Form>,
) -> Response {
    let result = confirm(&state, &mut visit, form).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn confirm(state: &AppState, visit: &mut Visit, form: Form) -> Result<Response, Instead> {
    let person = recently(state, visit).await?;
    let account = &person.account;
    let way = Way::of(visit);
    let pending = of_person(way.pending(state, visit).await?, account)?;
    if let Some(pending) = pending.as_ref().filter(|_| form.decision == "refuse") {
        let why = Refusal::UnmetAuthentication;
        return Ok(refuse(state, &visit.context, &visit.jar, &pending.id, why).await?);
    }
    let factor = enrolment(state, account).await?;
    let id = account.id.to_string();
    let address = visit.context.address();
    let attempt = state.sign_in.throttle.begin(Guess::OneTimeCode, &id, address).await?;
    let now = state.now();
    let typed = form.code.0.expose_secret();
    let Some(step) = open(state, &factor, account)?.check(typed, now, None) else {
        return enrolment_page(state, visit, &way, pending.as_ref(), account, &factor, true);
    };
    state.sign_in.throttle.right(&attempt).await;
    let (codes, hashes) = recovery_codes::generate(account);
    match state.factors.confirm_totp(&factor, step, &hashes, now).await {
        Ok(()) => {}
        // Another tab was faster; its codes are the ones.
        Err(StoreError::Stale) => return Err(Instead::Redirect("/account".to_owned())),
        Err(error) => return Err(error.into()),
    }
    let event = Event::success(What::TotpEnrolled).subject(account.id).sid(person.session.sid);
    state.audit.record(event.from(&visit.context));
    // The code that was just right counts for this session, and for the application that asked.
    let completed = complete_sign_in(
        state,
        &visit.context,
        visit.jar.clone(),
        way.request.as_deref(),
        way.return_to.as_deref(),
        Authenticated::upgrade(account),
    )
    .await?;
    visit.jar = completed.jar;
    Ok(recovery_codes::show_once(visit, &codes, &completed.location, Some("notice-totp-enabled")))
}

/// `GET /account/two-step/off`.
pub(super) async fn show_off(State(state): State<AppState>, mut visit: Visit) -> Response {
    let result = async {
        let person = recently(&state, &visit).await?;
        enabled(&state, &person.account).await?;
        Ok(off_page(&mut visit, false))
    }
    .await;
    result.unwrap_or_else(|instead: Instead| instead.into_response(visit))
}

async fn enabled(state: &AppState, account: &Account) -> Result<TotpFactor, Instead> {
    state
        .factors
        .find_totp(account.id)
        .await?
        .filter(TotpFactor::is_confirmed)
        .ok_or_else(|| Instead::Redirect("/account".to_owned()))
}

fn off_page(visit: &mut Visit, failed: bool) -> Response {
    let page = visit.page(&[], FormAction::own());
    let error = failed.then(|| page.t("mfa-failed"));
    let code =
        Field::one_time_code(page.language).hint(page.t("totp-off-code-hint")).error(error).focus();
    let template = Confirm {
        title: page.t("totp-off-title"),
        lead: page.t("totp-off-lead"),
        action: "/account/two-step/off".to_owned(),
        hidden: Vec::new(),
        fields: vec![code],
        submit: page.t("totp-off-submit"),
        danger: true,
        back: (page.t("cancel"), "/account".to_owned()),
        page: &page,
    };
    let status = if failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    visit.respond(status, &page, &template)
}

/// `POST /account/two-step/off`.
pub(super) async fn submit_off(
    State(state): State<AppState>,
    Posted { mut visit, form }: Posted<Form>,
) -> Response {
    let result = turn_off(&state, &mut visit, form).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn turn_off(state: &AppState, visit: &mut Visit, form: Form) -> Result<Response, Instead> {
    let person = recently(state, visit).await?;
    let account = &person.account;
    let factor = enabled(state, account).await?;
    if !check_code(state, &visit.context, account, &factor, &form.code.0).await? {
        return Ok(off_page(visit, true));
    }
    if state.factors.remove_totp(account.id).await? {
        let event = Event::success(What::TotpRemoved).subject(account.id).sid(person.session.sid);
        state.audit.record(event.from(&visit.context));
    }
    back(state, visit, "notice-totp-disabled").await
}
