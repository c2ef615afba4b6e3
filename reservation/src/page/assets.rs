//! The files under `/assets/`.

use std::sync::LazyLock;

use axum::{
    body::Body,
    extract::{Path, RawQuery},
    response::{IntoResponse, Response},
};
use haetae_base::asset::Assets;
use http::HeaderMap;

use crate::http::ApiError;

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    Assets::new(
        "/assets",
        &[
            ("reserve.css", include_str!("../../assets/reserve.css")),
            ("reserve.js", include_str!("../../assets/reserve.js")),
        ],
    )
});

/// Where a page finds the file.
pub(super) fn path(name: &str) -> String {
    ASSETS.path(name)
}

pub(super) async fn serve(
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let answer = ASSETS.answer(&name, query.as_deref(), &headers);
    answer.map_or_else(|| ApiError::not_found().into_response(), |answer| answer.map(Body::from))
}
