//! `POST /reservations`: the form of an item. It leads to the page of the reservation, which shows what
//! becomes of it.

use axum::{
    Form,
    extract::{State, rejection::FormRejection},
    response::Response,
};
use http::StatusCode;
use serde::Deserialize;

use super::{
    instead::Instead,
    item::{self, Filled},
    locale::Argument,
    visit::Visit,
};
use crate::{
    domain::{
        basket::{Basket, Line},
        inventory::ItemId,
        quantity::Quantity,
        reservation::ReservationId,
    },
    http::{ApiError, ApiState, Caller, MAX_NOTE, MAX_TOKEN, fingerprint, id_or_not_found},
    item_input::Errors,
    store::accept::{AcceptRefusal, AcceptRequest, Acceptance, NewReservation},
};

#[derive(Debug, Deserialize)]
pub(super) struct ReserveForm {
    item: String,
    #[serde(default)]
    quantity: String,
    /// A simulated card; empty: not paid now.
    #[serde(default)]
    pay: String,
    #[serde(default)]
    note: String,
    key: String,
}

pub(super) async fn reserve(
    State(state): State<ApiState>,
    visit: Visit,
    form: Result<Form<ReserveForm>, FormRejection>,
) -> Response {
    let done = async {
        let caller = visit.writer()?;
        let Form(form) = form.map_err(|_| Instead::BadRequest)?;
        let item = id_or_not_found(&form.item)?;
        match send(&state, caller, item, &form).await? {
            Ok(id) => Ok(visit.redirect(&format!("/reservations/{id}"))),
            Err(Refused { key, counts }) => {
                let text = match counts {
                    Some(most) => {
                        visit.language().text_with(key, &[("count", Argument::Number(most))])
                    }
                    None => visit.language().text(key),
                };
                let wrong = match key {
                    "problem-quantity" => "quantity",
                    "problem-note" => "note",
                    _ => "",
                };
                let (quantity, pay, note) = (form.quantity, form.pay, form.note);
                let filled = Filled { quantity, pay, note, wrong };
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                item::respond(&state, &visit, item, filled, Some(text), status).await
            }
        }
    };
    done.await.unwrap_or_else(|instead: Instead| instead.respond(&visit))
}

/// A field that the person has to mend: the key of the text, and the number in it.
struct Refused {
    key: &'static str,
    counts: Option<u32>,
}

async fn send(
    state: &ApiState,
    caller: &Caller,
    item: ItemId,
    form: &ReserveForm,
) -> Result<Result<ReservationId, Refused>, Instead> {
    let quantity = form.quantity.trim().parse().ok().and_then(|units| Quantity::new(units).ok());
    let Some(quantity) = quantity else {
        return Ok(Err(Refused { key: "problem-quantity", counts: Some(Quantity::MAX) }));
    };
    let mut errors = Errors::default();
    let note = errors.long_text("/note", form.note.clone(), MAX_NOTE);
    if !errors.0.is_empty() {
        let most = u32::try_from(MAX_NOTE).ok();
        return Ok(Err(Refused { key: "problem-note", counts: most }));
    }
    let pay = form.pay.trim();
    let graphic = pay.bytes().all(|byte| byte.is_ascii_graphic());
    let usable_key = (8..=255).contains(&form.key.len())
        && form.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if pay.len() > MAX_TOKEN || !graphic || !usable_key {
        return Err(Instead::BadRequest);
    }
    let token = (!pay.is_empty()).then(|| pay.to_owned());
    let basket = Basket::new([Line { item, quantity }]).map_err(|_| Instead::BadRequest)?;
    let key = fingerprint(form.key.clone(), &basket, token.as_deref(), note.as_deref())?;
    let new = NewReservation {
        id: ReservationId::new(state.clock.now()),
        subject: caller.subject().to_owned(),
        client_id: caller.client_id().to_owned(),
        partition: basket.partition(state.partitions),
        basket,
        payment_token: token,
        note,
        key,
    };
    let fingerprint = new.key.fingerprint.clone();
    let request = AcceptRequest { new, answer: None };
    let accepted = state.committer.accept(request).await.map_err(ApiError::from)?;
    match accepted.0 {
        Acceptance::Accepted(accepted) => Ok(Ok(accepted.request.id)),
        // The same form, sent again as it was.
        Acceptance::KnownKey(used) if used.fingerprint == fingerprint => Ok(Ok(used.reservation)),
        // The same form, filled differently: back in the browser and once more.
        Acceptance::KnownKey(_) => Ok(Err(Refused { key: "problem-sent", counts: None })),
        Acceptance::Refused(AcceptRefusal::TooManyOpen { most, .. }) => {
            Ok(Err(Refused { key: "problem-open", counts: Some(most.get()) }))
        }
        Acceptance::Refused(AcceptRefusal::UnknownItems(_) | AcceptRefusal::Price(_)) => {
            Err(Instead::NotFound)
        }
    }
}
