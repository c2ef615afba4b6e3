//! `/reservations/{id}`: one reservation, live. The script listens to the events and fetches this same
//! page again when something happened; without a script there is a link that does so.

use askama::Template;
use axum::{
    Form,
    extract::{Path, State, rejection::FormRejection},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    instead::Instead,
    item,
    locale::Argument,
    visit::{Page, Visit},
};
use crate::{
    domain::reservation::{Refusal, Status},
    http::{
        ApiState, MAX_REASON, MAX_TOKEN, decide_cancel, decide_confirm, find_own, id_or_not_found,
        scope, stream_of,
    },
    item_input::Errors,
    store::reservations::Record,
};

#[derive(Template)]
#[template(path = "reservation.html")]
struct ReservationPage {
    page: Page,
    record: Record,
    /// Why it did not come about, in the page's language.
    refusal: Option<String>,
    can_confirm: bool,
    can_cancel: bool,
    /// Whether something is still happening by itself.
    moving: bool,
    cards: Vec<(&'static str, String)>,
    problem: Option<String>,
}

pub(super) async fn show(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Response {
    let shown = respond(&state, &visit, &id, None, StatusCode::OK).await;
    shown.unwrap_or_else(|instead| instead.respond(&visit))
}

async fn respond(
    state: &ApiState,
    visit: &Visit,
    id: &str,
    problem: Option<&str>,
    status: StatusCode,
) -> Result<Response, Instead> {
    let caller = visit.reader()?;
    let record = find_own(state, caller, id_or_not_found(id)?).await?;
    let page = visit.page();
    let held = record.status == Status::Held && !record.confirming;
    let template = ReservationPage {
        refusal: record.refusal.as_ref().map(|refusal| explain(visit, refusal)),
        can_confirm: held,
        can_cancel: matches!(record.status, Status::Pending | Status::Held | Status::Confirmed),
        moving: !(record.status.is_final() || record.status == Status::Confirmed || held),
        cards: item::cards(&page),
        problem: problem.map(|key| page.t(key)),
        record,
        page,
    };
    Ok(visit.respond(status, &template))
}

fn explain(visit: &Visit, refusal: &Refusal) -> String {
    match refusal {
        Refusal::NotEnoughStock { wanted, available, .. } => visit.language().text_with(
            "refusal-stock",
            &[("wanted", Argument::Number(*wanted)), ("available", Argument::Number(*available))],
        ),
        Refusal::PaymentRefused { reason } => {
            let reason = visit.language().refusal(reason);
            visit.language().text_with("refusal-payment", &[("reason", Argument::Text(&reason))])
        }
    }
}

/// The events of the reservation, for the script: on this path, because an `EventSource` cannot send the
/// header that `/api` wants of a browser.
pub(super) async fn events(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    visit: Visit,
) -> Response {
    let Some(caller) = visit.caller.as_ref() else {
        // Not a redirect: nobody reads a login page in a stream.
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let streamed = async {
        caller.needs(scope::READ)?;
        stream_of(state, caller, id_or_not_found(&id)?, &visit.headers).await
    };
    streamed.await.unwrap_or_else(IntoResponse::into_response)
}

#[derive(Debug, Deserialize)]
pub(super) struct ConfirmForm {
    /// A simulated card; empty: nothing is paid.
    #[serde(default)]
    pay: String,
}

pub(super) async fn confirm(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    visit: Visit,
    form: Result<Form<ConfirmForm>, FormRejection>,
) -> Response {
    let done = async {
        let caller = visit.writer()?;
        let Form(form) = form.map_err(|_| Instead::BadRequest)?;
        let token = form.pay.trim();
        if token.len() > MAX_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Instead::BadRequest);
        }
        let token = Some(token).filter(|token| !token.is_empty());
        let decided = decide_confirm(&state, caller, id_or_not_found(&id)?, token).await;
        after(&state, &visit, &id, decided.map_err(|error| (error, "problem-confirm"))).await
    };
    done.await.unwrap_or_else(|instead| instead.respond(&visit))
}

#[derive(Debug, Deserialize)]
pub(super) struct CancelForm {
    #[serde(default)]
    reason: String,
}

pub(super) async fn cancel(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    visit: Visit,
    form: Result<Form<CancelForm>, FormRejection>,
) -> Response {
    let done = async {
        let caller = visit.writer()?;
        let Form(form) = form.map_err(|_| Instead::BadRequest)?;
        let mut errors = Errors::default();
        let reason = errors.long_text("/reason", form.reason, MAX_REASON);
        if !errors.0.is_empty() {
            return Err(Instead::BadRequest);
        }
        let decided = decide_cancel(&state, caller, id_or_not_found(&id)?, reason).await;
        after(&state, &visit, &id, decided.map_err(|error| (error, "problem-cancel"))).await
    };
    done.await.unwrap_or_else(|instead| instead.respond(&visit))
}

/// The page of the reservation: by a redirect when it was decided, with the reason when it was not.
async fn after(
    state: &ApiState,
    visit: &Visit,
    id: &str,
    decided: Result<(), (crate::http::ApiError, &'static str)>,
) -> Result<Response, Instead> {
    match decided {
        Ok(()) => Ok(visit.redirect(&format!("/reservations/{id}"))),
        Err((error, key)) if error.status() == StatusCode::CONFLICT => {
            respond(state, visit, id, Some(key), StatusCode::CONFLICT).await
        }
        Err((error, _)) => Err(error.into()),
    }
}
