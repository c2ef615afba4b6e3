//! `/api/v1/inventory`.

use std::io::{self, ErrorKind};

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use futures::TryStreamExt;
use haetae_base::problem::Problem;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio_util::io::StreamReader;
use utoipa::ToSchema;

use super::{
    ApiError, ApiState, Caller, Cursor,
    authenticate::scope,
    etag::{self, IfMatch},
    extract::{IdPath, JsonBody, PatchBody, QueryString, needs_type},
    shapes::{ItemPage, ItemShape},
};
use crate::{
    domain::inventory::ItemId,
    import::{self, BadLines, Format, ImportError, Options},
    item_input::{ItemInput, ItemPatchInput},
    store::inventory::WriteItemError,
};

/// The most items of a page, and how many there are when nobody says.
pub(super) const MAX_LIMIT: u32 = 100;
pub(super) const USUAL_LIMIT: u32 = 20;

/// The longest search, in characters.
pub(super) const MAX_SEARCH: usize = 200;

/// The longest import over HTTP, in bytes. The command line has no such bound.
const MAX_IMPORT: usize = 64 * 1024 * 1024;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Words to search for, each as the beginning of a word.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: Option<String>,
    /// How many items, from 1 to 100; 20 when left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

pub(super) fn limit(limit: Option<u32>) -> Result<u32, ApiError> {
    let limit = limit.unwrap_or(USUAL_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        Ok(limit)
    } else {
        Err(ApiError::parameter("limit", format!("must be from 1 to {MAX_LIMIT}")))
    }
}

/// List the inventory, or search in it.
#[utoipa::path(
    get, path = "/api/v1/inventory", tag = "inventory", params(ListQuery),
    responses((status = 200, description = "A page of items", body = ItemPage))
)]
pub(super) async fn list(
    State(state): State<ApiState>,
    QueryString(query): QueryString<ListQuery>,
) -> Result<Response, ApiError> {
    let limit = limit(query.limit)?;
    let search = query.q.as_deref().map(str::trim).filter(|search| !search.is_empty());
    if search.is_some_and(|search| search.chars().count() > MAX_SEARCH) {
        return Err(ApiError::parameter("q", format!("must have at most {MAX_SEARCH} characters")));
    }
    let list = format!("inventory {}", search.unwrap_or_default());
    let after = match Cursor::read(query.cursor.as_deref(), &list)? {
        Some(cursor) => cursor.place()?,
        None => 0,
    };
    let browsed = state.browse(search, after, limit + 1).await?;
    let mut items: Vec<_> = browsed.found.iter().cloned().collect();
    let more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| more).map(|last| Cursor::new(&last.num).write(&list));
    let page = ItemPage { items: items.into_iter().map(Into::into).collect(), next_cursor };
    Ok(mark(Json(page).into_response(), browsed.stale))
}

/// Read an item.
#[utoipa::path(
    get, path = "/api/v1/inventory/{id}", tag = "inventory",
    params(("id" = String, Path, description = "`inv_…`",
            pattern = "^inv_[0-7][0-9A-HJKMNP-TV-Z]{25}$")),
    responses(
        (status = 200, description = "The item, with a strong `ETag`", body = ItemShape),
        (status = 304, description = "It is what `If-None-Match` names"),
        (status = 404, description = "There is no such item"),
    )
)]
pub(super) async fn get(
    State(state): State<ApiState>,
    IdPath(id): IdPath<ItemId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let browsed = state.look_at(id).await?;
    let item = browsed.found.ok_or_else(ApiError::not_found)?;
    let version = item.version.get();
    if !browsed.stale && etag::not_modified(&headers, version) {
        let tag = [(header::ETAG, etag::etag(version))];
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    let shape = ItemShape::from(item.as_ref().clone());
    Ok(mark(with_etag(shape), browsed.stale))
}

/// Create an item.
#[utoipa::path(
    post, path = "/api/v1/inventory", tag = "inventory", request_body = ItemInput,
    security(("bearer" = ["inventory:write"])),
    responses(
        (status = 201, description = "It was created", body = ItemShape),
        (status = 409, description = "Another item has this sku"),
        (status = 422, description = "A field is not valid"),
    )
)]
pub(super) async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    JsonBody(input): JsonBody<ItemInput>,
) -> Result<Response, ApiError> {
    caller.needs(scope::INVENTORY)?;
    let (about, stock) = input.check().map_err(|errors| ApiError::fields(&errors))?;
    let item = state.store.create_item(about, stock, state.clock.now()).await?;
    let location = format!("/api/v1/inventory/{}", item.id);
    let mut response = with_etag(item.into());
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Change an item.
#[utoipa::path(
    patch, path = "/api/v1/inventory/{id}", tag = "inventory",
    request_body(content(
        (ItemPatchInput = "application/merge-patch+json"), (ItemPatchInput = "application/json")
    )),
    params(
        ("id" = String, Path, description = "`inv_…`",
            pattern = "^inv_[0-7][0-9A-HJKMNP-TV-Z]{25}$"),
        ("If-Match" = String, Header, description = "The `ETag` of the item that is changed"),
    ),
    security(("bearer" = ["inventory:write"])),
    responses(
        (status = 200, description = "It was changed", body = ItemShape),
        (status = 409, description = "The quantity is below what is held and sold, or the sku is taken"),
        (status = 412, description = "It was changed meanwhile"),
        (status = 428, description = "`If-Match` is missing"),
    )
)]
pub(super) async fn patch(
    State(state): State<ApiState>,
    caller: Caller,
    IdPath(id): IdPath<ItemId>,
    headers: HeaderMap,
    PatchBody(input): PatchBody<ItemPatchInput>,
) -> Result<Response, ApiError> {
    caller.needs(scope::INVENTORY)?;
    let condition = etag::if_match(&headers)?;
    let patch = input.check().map_err(|errors| ApiError::fields(&errors))?;
    // With `*` the change is made to whatever is there: tried again while others are faster.
    for _ in 0..10 {
        let current = state.store.find_item(id).await?.ok_or_else(ApiError::not_found)?.version;
        let expected = match &condition {
            IfMatch::Any => current,
            IfMatch::OneOf(versions) => match versions.iter().find(|one| **one == current) {
                Some(version) => *version,
                None => return Err(WriteItemError::Stale(current).into()),
            },
        };
        match state.store.patch_item(id, expected, patch.clone(), state.clock.now()).await {
            Err(WriteItemError::Stale(_)) if condition == IfMatch::Any => {}
            done => return Ok(with_etag(done?.into())),
        }
    }
    Err(Problem::unavailable(1).into())
}

/// What an import did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ImportShape {
    /// New items.
    created: u64,
    /// Items that were known by their sku and differed.
    updated: u64,
    /// Items that were known by their sku and did not.
    unchanged: u64,
    /// Lines that were left out, at most 1000 of them.
    skipped: Vec<BadLineShape>,
    /// How many lines were left out.
    skipped_count: u64,
}

/// A line that is no item.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BadLineShape {
    /// Its number, from 1.
    line: u64,
    /// What is wrong with it.
    reason: String,
}

/// Where an import goes: the one request whose body is read as it is worked on.
pub(super) const IMPORT: &str = "/api/v1/inventory/import";

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ImportQuery {
    /// Leave bad lines out and import the others, instead of nothing.
    #[serde(default)]
    skip_bad: bool,
}

fn lines(bad: &BadLines) -> Vec<BadLineShape> {
    bad.first
        .iter()
        .map(|bad| BadLineShape { line: bad.line, reason: bad.reason.clone() })
        .collect()
}

/// Bring in many items.
#[utoipa::path(
    post, path = "/api/v1/inventory/import", tag = "inventory", params(ImportQuery),
    request_body(content = String, content_type = "application/x-ndjson",
        description = "One item a line, as `POST /api/v1/inventory` takes it"),
    security(("bearer" = ["inventory:write"])),
    responses(
        (status = 200, description = "What was done", body = ImportShape),
        (status = 422, description = "Some lines are no items; nothing was imported"),
    )
)]
pub(super) async fn import(
    State(state): State<ApiState>,
    caller: Caller,
    QueryString(query): QueryString<ImportQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<ImportShape>, ApiError> {
    caller.needs(scope::INVENTORY)?;
    needs_type(&headers, &["application/x-ndjson", "application/jsonl"])?;
    let mut total = 0;
    let stream = body.into_data_stream().map_err(io::Error::other).and_then(move |chunk| {
        total += chunk.len();
        let fits = total <= MAX_IMPORT;
        std::future::ready(if fits { Ok(chunk) } else { Err(ErrorKind::FileTooLarge.into()) })
    });
    let reader = StreamReader::new(Box::pin(stream));
    let options = Options { skip_bad: query.skip_bad };
    let clock = std::sync::Arc::clone(&state.clock);
    let sql = state.store.sql().clone();
    // A task of its own: a client that goes away while it is written does not stop it in the middle.
    let importing = tokio::spawn(async move {
        import::run(&sql, reader, Format::Ndjson, options, clock, Box::new(|_| ())).await
    });
    let done = importing.await.map_err(|error| {
        tracing::error!(%error, "an import panicked");
        Problem::internal()
    })?;
    match done {
        Ok(imported) => Ok(Json(ImportShape {
            created: imported.created,
            updated: imported.updated,
            unchanged: imported.unchanged,
            skipped: lines(&imported.bad),
            skipped_count: imported.bad.count,
        })),
        Err(ImportError::BadLines(bad)) => {
            let lines = serde_json::to_value(lines(&bad)).unwrap_or_default();
            Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "bad-lines",
                "Some lines are no items; nothing was imported",
            )
            .detail(format!("{} bad lines", bad.count))
            .with("lines", lines)
            .into())
        }
        Err(ImportError::Store(error) | ImportError::Stopped { source: error, .. }) => {
            Err(error.into())
        }
        Err(ImportError::Read(error)) if error.kind() == ErrorKind::FileTooLarge => Err(
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large")
                .detail("Use `haetae inventory import` for more.")
                .into(),
        ),
        Err(ImportError::Read(_) | ImportError::File(_)) => {
            Err(ApiError::parameter("body", "it cannot be read to its end"))
        }
    }
}

fn with_etag(shape: ItemShape) -> Response {
    let tag = etag::etag(shape.version);
    let mut response = Json(shape).into_response();
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// Says so when the answer is from memory because the database is away (RFC 9211).
pub(super) fn mark(mut response: Response, stale: bool) -> Response {
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if stale {
        fields.insert(
            HeaderName::from_static("cache-status"),
            HeaderValue::from_static("haetae; hit; detail=database-away"),
        );
    }
    response
}
