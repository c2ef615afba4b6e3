//! Reading `/api/v1/reservations`: one's own, one by one and page by page.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{
    ApiError, ApiState, Caller, Cursor,
    authenticate::scope,
    etag,
    extract::{IdPath, QueryString},
    inventory::limit,
    shapes::{ReservationPage, ReservationShape},
};
use crate::{
    domain::reservation::{ReservationId, Status},
    store::reservations::{Record, Scope},
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Only those in this state. With the scope `inventory:write`, `attention` lists everybody's.
    #[param(value_type = Option<Status>)]
    status: Option<String>,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many, from 1 to 100; 20 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Read a reservation.
#[utoipa::path(
    get, path = "/api/v1/reservations/{id}", tag = "reservations",
    params(("id" = String, Path, description = "`rsv_…`",
            pattern = "^rsv_[0-7][0-9A-HJKMNP-TV-Z]{25}$")),
    security(("bearer" = ["reservations:read"])),
    responses(
        (status = 200, description = "The reservation, with a strong `ETag`", body = ReservationShape),
        (status = 304, description = "It is what `If-None-Match` names"),
        (status = 404, description = "The caller has no such reservation"),
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

/// The caller's reservation, or one that an administrator has to decide about, or had to: whoever decided
/// sees what becomes of it. Another's is not there.
pub(crate) async fn find_own(
    state: &ApiState,
    caller: &Caller,
    id: ReservationId,
) -> Result<Record, ApiError> {
    let record = state.store.find_reservation(id).await?.ok_or_else(ApiError::not_found)?;
    let stuck = || record.history.iter().any(|entry| entry.status == Status::Attention);
    if record.subject == caller.subject() || caller.has(scope::INVENTORY) && stuck() {
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
