//! `/api/v1/reservations`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use haetae_base::{clock::Timestamp, problem::Problem};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    ApiError, ApiState, Caller, Cursor,
    authenticate::scope,
    decider_of,
    error::refusal_problem,
    etag,
    extract::{IdPath, JsonBody, OptionalJsonBody, QueryString},
    idempotency_key,
    inventory::limit,
    prefer::Preference,
    request_id,
    shapes::{ReservationPage, ReservationShape},
};
use crate::{
    domain::{
        basket::{Basket, Line},
        inventory::ItemId,
        quantity::Quantity,
        reservation::{ReservationId, Status},
    },
    item_input::Errors,
    queue::changes::Waiter,
    store::{
        accept::{AcceptRequest, Acceptance, Accepted, NewReservation},
        idempotency::{Answer, KeptAnswer, UsedKey},
        intent::Decision,
        reservations::{Record, Scope, Standing},
    },
};

/// The longest note and reason, in characters.
pub(crate) const MAX_NOTE: usize = 500;
pub(crate) const MAX_REASON: usize = 500;
/// The longest payment token.
pub(crate) const MAX_TOKEN: usize = 200;

/// How long a waiting request relies on being told before it looks by itself.
const LOOK: Duration = Duration::from_secs(1);

/// A request for a reservation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReserveInput {
    /// What is wanted: all of it, or nothing. Lines of the same item are added up.
    #[schema(min_items = 1, max_items = 20)]
    items: Vec<LineInput>,
    /// Pays at once; without it the reservation stops at `held` and waits for `confirm`.
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
    #[schema(value_type = String)]
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
    #[schema(max_length = 200)]
    token: String,
}

/// How to confirm.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfirmInput {
    /// Pays; without it nothing is to be paid.
    #[serde(default)]
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

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only those in this state. With the scope `inventory:write`, `attention` lists everybody's.
    status: Option<String>,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many, from 1 to 100; 20 when left out.
    limit: Option<u32>,
}

fn token(input: Option<PaymentInput>, errors: &mut Errors) -> Option<String> {
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
        (status = 400, description = "`Idempotency-Key` is missing", content_type = "application/problem+json"),
        (status = 409, description = "Not enough stock, the payment was refused, or a request with this key is still running",
            content_type = "application/problem+json"),
        (status = 422, description = "A field is not valid, or the key was used for another request",
            content_type = "application/problem+json"),
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
        (Acceptance::KnownKey(used), _) => {
            if used.fingerprint != key.fingerprint {
                return Err(idempotency_key::reused());
            }
            replay(&state, &caller, &key.key, used).await?
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

/// What the first request with this key was answered. If its process died before it could answer, the
/// answer is made of what is there now.
async fn replay(
    state: &ApiState,
    caller: &Caller,
    key: &str,
    used: UsedKey,
) -> Result<(ReservationId, Answer), ApiError> {
    let id = used.reservation;
    match used.answer {
        Some(answer) => Ok((id, answer)),
        None => Ok((id, answer_and_keep(state, caller, key, id).await?)),
    }
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

fn standing_of(record: &Record) -> Standing {
    Standing {
        subject: record.subject.clone(),
        status: record.status,
        confirming: record.confirming,
    }
}

/// Whether the request for a reservation has its outcome: held and nothing more is wanted, or further.
fn is_decided(standing: &Standing) -> bool {
    match standing.status {
        Status::Pending => false,
        Status::Held => !standing.confirming,
        _ => true,
    }
}

/// Waits until `done` says so, or the time is over. SQL is asked when something changed, and once a second
/// in case nobody said so.
async fn wait_until(
    state: &ApiState,
    id: ReservationId,
    mut waiter: Waiter,
    wait: Duration,
    done: fn(&Standing) -> bool,
) -> Result<(), ApiError> {
    let looking = async {
        loop {
            match state.store.standing(id).await? {
                Some(standing) if done(&standing) => return Ok(()),
                None => return Ok(()),
                Some(_) => waiter.changed(LOOK).await,
            }
        }
    };
    tokio::select! {
        result = tokio::time::timeout(wait, looking) => result.unwrap_or(Ok(())),
        () = state.shutdown.requested() => Ok(()),
    }
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

/// Read a reservation.
#[utoipa::path(
    get, path = "/api/v1/reservations/{id}", tag = "reservations",
    params(("id" = String, Path, description = "`rsv_…`")),
    security(("bearer" = ["reservations:read"])),
    responses(
        (status = 200, description = "The reservation", body = ReservationShape),
        (status = 404, description = "The caller has no such reservation", content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    IdPath(id): IdPath<ReservationId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    caller.needs(scope::READ)?;
    let record = find_own(&state, &caller, id).await?;
    let tag = etag::etag(record.version);
    if etag::not_modified(&headers, record.version) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let fields = [
        (header::ETAG, tag),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
    ];
    Ok((fields, Json(ReservationShape::from(record))).into_response())
}

/// The caller's reservation, or one that an administrator has to decide about. Another's is not there.
pub(crate) async fn find_own(
    state: &ApiState,
    caller: &Caller,
    id: ReservationId,
) -> Result<Record, ApiError> {
    let record = state.store.find_reservation(id).await?.ok_or_else(ApiError::not_found)?;
    let administrator = caller.has(scope::INVENTORY) && record.status == Status::Attention;
    if record.subject == caller.subject() || administrator {
        Ok(record)
    } else {
        Err(ApiError::not_found())
    }
}

/// List one's reservations, the newest first.
#[utoipa::path(
    get, path = "/api/v1/reservations", tag = "reservations", params(ListQuery),
    security(("bearer" = ["reservations:read"])),
    responses((status = 200, description = "A page of reservations", body = ReservationPage))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    caller: Caller,
    QueryString(query): QueryString<ListQuery>,
) -> Result<Json<ReservationPage>, ApiError> {
    caller.needs(scope::READ)?;
    let limit = limit(query.limit)?;
    let status = match query.status.as_deref().filter(|status| !status.is_empty()) {
        Some(name) => Some(
            Status::parse(name)
                .ok_or_else(|| ApiError::parameter("status", "no state of a reservation"))?,
        ),
        None => None,
    };
    let everybody = status == Some(Status::Attention) && caller.has(scope::INVENTORY);
    let whose = if everybody { Scope::Attention } else { Scope::Of(caller.subject()) };
    let list = format!("reservations {whose:?} {status:?}");
    let before = match Cursor::read(query.cursor.as_deref(), &list)? {
        Some(cursor) => Some(cursor.place()?),
        None => None,
    };
    let mut found = state.store.list_reservations(whose, status, before, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|last| Cursor::new(&last.id).write(&list));
    Ok(Json(ReservationPage { items: found.into_iter().map(Into::into).collect(), next_cursor }))
}

/// Confirm a reservation that is held.
#[utoipa::path(
    post, path = "/api/v1/reservations/{id}/confirm", tag = "reservations",
    request_body = Option<ConfirmInput>,
    params(
        ("id" = String, Path, description = "`rsv_…`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 30"),
    ),
    security(("bearer" = ["reservations:write"])),
    responses(
        (status = 200, description = "It is confirmed", body = ReservationShape),
        (status = 202, description = "It is being confirmed", body = ReservationShape),
        (status = 409, description = "Its state does not allow it, or the payment was refused",
            content_type = "application/problem+json"),
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
    let done = |standing: &Standing| standing.status != Status::Held;
    settled(&state, &caller, id, &headers, waiter, done).await
}

/// Cancel a reservation: the stock goes back, and the money.
#[utoipa::path(
    post, path = "/api/v1/reservations/{id}/cancel", tag = "reservations",
    request_body = Option<CancelInput>,
    params(
        ("id" = String, Path, description = "`rsv_…`"),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: wait up to N seconds, at most 30"),
    ),
    security(("bearer" = ["reservations:write"])),
    responses(
        (status = 200, description = "It is cancelled", body = ReservationShape),
        (status = 202, description = "It is being cancelled", body = ReservationShape),
        (status = 409, description = "Its state does not allow it", content_type = "application/problem+json"),
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
    let done = |standing: &Standing| standing.status != Status::Cancelling;
    settled(&state, &caller, id, &headers, waiter, done).await
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

/// The answer to a decision: 202, or what came of it if the client waits.
async fn settled(
    state: &ApiState,
    caller: &Caller,
    id: ReservationId,
    headers: &HeaderMap,
    waiter: Waiter,
    done: fn(&Standing) -> bool,
) -> Result<Response, ApiError> {
    let preference = Preference::of(headers);
    if let Some(wait) = preference.wait() {
        wait_until(state, id, waiter, wait, done).await?;
    }
    let record = state.store.find_reservation(id).await?.ok_or_else(ApiError::not_found)?;
    let settled = done(&standing_of(&record));
    if record.subject != caller.subject() && !caller.has(scope::INVENTORY) {
        return Err(ApiError::not_found());
    }
    let mut response = if let (Status::Failed, Some(refusal)) = (record.status, &record.refusal) {
        ApiError::from(refusal_problem(refusal).with("id", id.to_string())).into_response()
    } else {
        let status = if settled { StatusCode::OK } else { StatusCode::ACCEPTED };
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
