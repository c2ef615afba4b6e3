//! Confirming and cancelling: what a person decides about a reservation.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use haetae_base::clock::Timestamp;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    ApiError, ApiState, Caller,
    authenticate::scope,
    decider_of,
    error::refusal_problem,
    extract::{IdPath, OptionalJsonBody},
    prefer::Preference,
    reserve::{PaymentInput, token},
    shapes::ReservationShape,
    wait::{standing_of, wait_until},
};
use crate::{
    domain::reservation::{ReservationId, Status},
    item_input::Errors,
    object,
    queue::changes::Waiter,
    store::{intent::Decision, reservations::Standing},
};

/// The longest reason, in characters.
pub(crate) const MAX_REASON: usize = 500;

/// How to confirm.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmInput {
    /// Pays; without it nothing is to be paid.
    #[serde(default, deserialize_with = "object::maybe")]
    payment: Option<PaymentInput>,
}

/// How to cancel.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelInput {
    /// Why.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Confirm a reservation that is held.
#[utoipa::path(
    post, path = "/api/v1/reservations/{id}/confirm", tag = "reservations",
    request_body = ConfirmInput,
    params(
        ("id" = String, Path, description = "`rsv_…`",
            pattern = "^rsv_[0-7][0-9A-HJKMNP-TV-Z]{25}$"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 30"),
    ),
    security(("bearer" = ["reservations:write"])),
    responses(
        (status = 200, description = "It is confirmed", body = ReservationShape),
        (status = 202, description = "It is being confirmed", body = ReservationShape),
        (status = 409, description = "Its state does not allow it, or the payment was refused"),
    )
)]
pub(super) async fn confirm(
    State(state): State<ApiState>,
    caller: Caller,
    IdPath(id): IdPath<ReservationId>,
    headers: HeaderMap,
    OptionalJsonBody(input): OptionalJsonBody<ConfirmInput>,
) -> Result<Response, ApiError> {
    caller.needs(scope::WRITE)?;
    let mut errors = Errors::default();
    let token = token(input.payment, &mut errors);
    if !errors.0.is_empty() {
        return Err(ApiError::fields(&errors.0));
    }
    let waiter = state.waiters.wait_for(id);
    decide_confirm(&state, &caller, id, token.as_deref()).await?;
    settled(&state, &caller, id, &headers, waiter, CONFIRMING).await
}

/// Cancel a reservation: the stock goes back, and the money.
#[utoipa::path(
    post, path = "/api/v1/reservations/{id}/cancel", tag = "reservations",
    request_body = CancelInput,
    params(
        ("id" = String, Path, description = "`rsv_…`",
            pattern = "^rsv_[0-7][0-9A-HJKMNP-TV-Z]{25}$"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 30"),
    ),
    security(("bearer" = ["reservations:write"])),
    responses(
        (status = 200, description = "It is cancelled", body = ReservationShape),
        (status = 202, description = "It is being cancelled", body = ReservationShape),
        (status = 409, description = "Its state does not allow it"),
    )
)]
pub(super) async fn cancel(
    State(state): State<ApiState>,
    caller: Caller,
    IdPath(id): IdPath<ReservationId>,
    headers: HeaderMap,
    OptionalJsonBody(input): OptionalJsonBody<CancelInput>,
) -> Result<Response, ApiError> {
    caller.needs(scope::WRITE)?;
    let mut errors = Errors::default();
    let reason = input.reason.and_then(|reason| errors.long_text("/reason", reason, MAX_REASON));
    if !errors.0.is_empty() {
        return Err(ApiError::fields(&errors.0));
    }
    let waiter = state.waiters.wait_for(id);
    decide_cancel(&state, &caller, id, reason).await?;
    settled(&state, &caller, id, &headers, waiter, CANCELLING).await
}

pub(crate) async fn decide_confirm(
    state: &ApiState,
    caller: &Caller,
    id: ReservationId,
    token: Option<&str>,
) -> Result<(), ApiError> {
    let now: Timestamp = state.clock.now();
    let decider = decider_of(caller);
    let decision = state.store.decide_confirm(id, decider, token, state.hold, now).await?;
    decided(state, id, decision, "confirmed")
}

pub(crate) async fn decide_cancel(
    state: &ApiState,
    caller: &Caller,
    id: ReservationId,
    reason: Option<String>,
) -> Result<(), ApiError> {
    let now = state.clock.now();
    let decision = state.store.decide_cancel(id, decider_of(caller), reason, now).await?;
    decided(state, id, decision, "cancelled")
}

fn decided(
    state: &ApiState,
    id: ReservationId,
    decision: Decision,
    wanted: &str,
) -> Result<(), ApiError> {
    match decision {
        Decision::Written(partition) => {
            state.bell.ring(vec![(partition, id)], vec![id]);
            Ok(())
        }
        Decision::Already => Ok(()),
        Decision::NotFound => Err(ApiError::not_found()),
        Decision::HoldOver => Err(ApiError::state(Status::Held, "The hold has run out.")),
        Decision::Illegal(status) => Err(ApiError::state(
            status,
            format!("A reservation that is {} cannot be {wanted}.", status.as_str()),
        )),
    }
}

/// What was decided, on its way.
#[derive(Clone, Copy)]
struct UnderWay {
    /// Where it leads.
    to: Status,
    /// Whether it is still going there. A step that an administrator has tried again is, until it succeeds.
    still: fn(&Standing) -> bool,
}

const CONFIRMING: UnderWay = UnderWay {
    to: Status::Confirmed,
    still: |standing| matches!(standing.status, Status::Held | Status::Attention),
};
const CANCELLING: UnderWay = UnderWay {
    to: Status::Cancelled,
    still: |standing| matches!(standing.status, Status::Cancelling | Status::Attention),
};

/// The answer to a decision: 202, or what came of it if the client waits.
async fn settled(
    state: &ApiState,
    caller: &Caller,
    id: ReservationId,
    headers: &HeaderMap,
    waiter: Waiter,
    way: UnderWay,
) -> Result<Response, ApiError> {
    let preference = Preference::of(headers);
    if let Some(wait) = preference.wait() {
        wait_until(state, id, waiter, wait, |standing| !(way.still)(standing)).await?;
    }
    let record = state.store.find_reservation(id).await?.ok_or_else(ApiError::not_found)?;
    let (status, still) = (record.status, (way.still)(&standing_of(&record)));
    if record.subject != caller.subject() && !caller.has(scope::INVENTORY) {
        return Err(ApiError::not_found());
    }
    let mut response = if let (Status::Failed, Some(refusal)) = (status, &record.refusal) {
        ApiError::from(refusal_problem(refusal).with("id", id.to_string())).into_response()
    } else if status != way.to && !still {
        // Somebody else was faster with another decision.
        let detail = format!("The reservation is {} meanwhile.", status.as_str());
        ApiError::state(status, detail).into_response()
    } else {
        let status = if still { StatusCode::ACCEPTED } else { StatusCode::OK };
        let mut response = (status, Json(ReservationShape::from(record))).into_response();
        if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/reservations/{id}")) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    };
    if let Some((name, value)) = preference.applied() {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}
