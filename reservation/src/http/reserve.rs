//! `POST /api/v1/reservations`: a request is written down, answered, and answered the same when it is
//! repeated.

use std::time::Duration;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use haetae_base::problem::Problem;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    ApiError, ApiState, Caller,
    authenticate::scope,
    error::refusal_problem,
    extract::JsonBody,
    idempotency_key,
    prefer::Preference,
    request_id,
    shapes::ReservationShape,
    wait::{is_decided, standing_of, wait_until},
};
use crate::{
    domain::{
        basket::{Basket, Line},
        inventory::ItemId,
        quantity::Quantity,
        reservation::{ReservationId, Status},
    },
    item_input::Errors,
    object,
    store::{
        accept::{AcceptRequest, Acceptance, Accepted, NewReservation},
        idempotency::{Answer, KeptAnswer, UsedKey},
    },
};

/// The longest note, in characters.
pub(crate) const MAX_NOTE: usize = 500;
/// The longest payment token.
pub(crate) const MAX_TOKEN: usize = 200;

/// A request for a reservation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReserveInput {
    /// What is wanted: all of it, or nothing. Lines of the same item are added up.
    #[serde(deserialize_with = "object::each")]
    #[schema(min_items = 1, max_items = 20)]
    items: Vec<LineInput>,
    /// Pays at once; without it the reservation stops at `held` and waits for `confirm`.
    #[serde(default, deserialize_with = "object::maybe")]
    payment: Option<PaymentInput>,
    /// Anything to be added.
    #[schema(max_length = 500)]
    note: Option<String>,
}

/// A line of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LineInput {
    /// `inv_…`
    #[schema(value_type = String, pattern = "^inv_[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
    inventory_id: ItemId,
    /// How many.
    #[schema(value_type = u32, minimum = 1, maximum = 10_000)]
    quantity: Quantity,
}

/// A payment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PaymentInput {
    /// What stands for the card at the payment provider.
    #[schema(min_length = 1, max_length = 200, pattern = "^[!-~]+$")]
    token: String,
}

/// The token of a payment.
pub(super) fn token(input: Option<PaymentInput>, errors: &mut Errors) -> Option<String> {
    let token = errors.text("/payment/token", input?.token, MAX_TOKEN)?;
    if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(token);
    }
    errors.add("/payment/token", "must have visible ASCII characters only");
    None
}

/// Ask for a reservation.
#[utoipa::path(
    post, path = "/api/v1/reservations", tag = "reservations", request_body = ReserveInput,
    params(
        ("Idempotency-Key" = String, Header, description = "A new random value with each new request"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 30"),
    ),
    security(("bearer" = ["reservations:write"])),
    responses(
        (status = 201, description = "It is held, or confirmed", body = ReservationShape),
        (status = 202, description = "It is accepted and will be decided", body = ReservationShape),
        (status = 400, description = "`Idempotency-Key` is missing"),
        (status = 409, description = "Not enough stock, the payment was refused, too much is open already, or a request with this key is still running"),
        (status = 422, description = "A field is not valid, or the key was used for another request"),
    )
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(input): JsonBody<ReserveInput>,
) -> Result<Response, ApiError> {
    caller.needs(scope::WRITE)?;
    let key = idempotency_key::key(&headers)?;
    let mut errors = Errors::default();
    let note = input.note.and_then(|note| errors.long_text("/note", note, MAX_NOTE));
    let token = token(input.payment, &mut errors);
    let lines =
        input.items.iter().map(|line| Line { item: line.inventory_id, quantity: line.quantity });
    let basket = Basket::new(lines).map_err(|error| errors.add("/items", error.to_string()));
    let (Ok(basket), true) = (basket, errors.0.is_empty()) else {
        return Err(ApiError::fields(&errors.0));
    };
    let preference = Preference::of(&headers);
    let key = idempotency_key::fingerprint(key, &basket, token.as_deref(), note.as_deref())?;
    let new = NewReservation {
        id: ReservationId::new(state.clock.now()),
        subject: caller.subject().to_owned(),
        client_id: caller.client_id().to_owned(),
        partition: basket.partition(state.partitions),
        basket,
        payment_token: token,
        note,
        key: key.clone(),
    };
    let id = new.id;
    // Before it is written, so that no change of it is missed.
    let waiter = preference.wait().map(|wait| (state.waiters.wait_for(id), wait));
    let answer = waiter.is_none().then_some(answer_now as _);
    let request = AcceptRequest { new, answer };
    let (acceptance, in_use) = state.committer.accept(request).await?;
    let outcome = match (acceptance, waiter) {
        (Acceptance::Refused(refusal), _) => return Err(refusal.into()),
        (Acceptance::KnownKey(used), waiter) => {
            if used.fingerprint != key.fingerprint {
                return Err(idempotency_key::reused());
            }
            let wait = waiter.map(|(_, wait)| wait);
            replay(&state, &caller, &key.key, used, wait).await?
        }
        (Acceptance::Accepted(accepted), None) => {
            (id, answer_now(&accepted).map_err(|_| Problem::internal())?)
        }
        (Acceptance::Accepted(_), Some((waiter, wait))) => {
            wait_until(&state, id, waiter, wait, is_decided).await?;
            (id, answer_and_keep(&state, &caller, &key.key, id).await?)
        }
    };
    drop(in_use);
    let (id, answer) = outcome;
    let mut response = respond(id, answer);
    if let Some((name, value)) = preference.applied() {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// 202 with what was just written down.
fn answer_now(accepted: &Accepted) -> Result<Answer, serde_json::Error> {
    let shape = ReservationShape::from(accepted);
    Ok(Answer { status: 202, body: serde_json::to_string(&shape)? })
}

/// What the first request with this key was answered. If its process died before it could answer, or the
/// answer was only that it will be decided and this request waits for that, it is made of what is there now.
async fn replay(
    state: &ApiState,
    caller: &Caller,
    key: &str,
    used: UsedKey,
    wait: Option<Duration>,
) -> Result<(ReservationId, Answer), ApiError> {
    let id = used.reservation;
    let is_final = |answer: &Answer| answer.status != StatusCode::ACCEPTED.as_u16();
    match (used.answer, wait) {
        (Some(answer), None) => return Ok((id, answer)),
        (Some(answer), Some(_)) if is_final(&answer) => return Ok((id, answer)),
        (_, Some(wait)) => {
            let waiter = state.waiters.wait_for(id);
            wait_until(state, id, waiter, wait, is_decided).await?;
        }
        (None, None) => {}
    }
    Ok((id, answer_and_keep(state, caller, key, id).await?))
}

async fn answer_and_keep(
    state: &ApiState,
    caller: &Caller,
    key: &str,
    id: ReservationId,
) -> Result<Answer, ApiError> {
    let record = state.store.find_reservation(id).await?.ok_or_else(ApiError::not_found)?;
    let refused = matches!(record.status, Status::Rejected | Status::Failed);
    let answer = if let (true, Some(refusal)) = (refused, &record.refusal) {
        let problem = refusal_problem(refusal)
            .with("id", id.to_string())
            .with("reservation_status", record.status.as_str());
        let problem = match request_id::current() {
            Some(request) => problem.request_id(request),
            None => problem,
        };
        Answer { status: 409, body: problem.to_json() }
    } else {
        let status = if is_decided(&standing_of(&record)) { 201 } else { 202 };
        let body = serde_json::to_string(&ReservationShape::from(record));
        Answer { status, body: body.map_err(|_| Problem::internal())? }
    };
    let kept = KeptAnswer {
        subject: caller.subject().to_owned(),
        idempotency_key: key.to_owned(),
        status: answer.status,
        body: answer.body.clone(),
    };
    state.committer.keep(kept).await?;
    Ok(answer)
}

fn respond(id: ReservationId, answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::ACCEPTED);
    let media =
        if status.is_success() { "application/json" } else { haetae_base::problem::MEDIA_TYPE };
    let mut response = (status, answer.body).into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/reservations/{id}")) {
        fields.insert(header::LOCATION, location);
    }
    response
}
