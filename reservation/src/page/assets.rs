//! The files under `/assets/`, compiled in. A page names them with the hash of their content, so that a
//! browser keeps them for ever and still sees each change at once.

use std::sync::LazyLock;

use axum::{
    extract::{Path, RawQuery},
    response::{IntoResponse, Response},
};
use haetae_base::secret::SecretHash;
use http::{HeaderMap, StatusCode, header};

use crate::http::ApiError;

struct Asset {
    name: &'static str,
    media_type: &'static str,
    content: &'static str,
    /// The first characters of the content's hash.
    version: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    let svg = "image/svg+xml";
    [
        ("haetae.css", "text/css; charset=utf-8", include_str!("../../assets/haetae.css")),
        ("haetae.js", "text/javascript; charset=utf-8", include_str!("../../assets/haetae.js")),
        ("mark.svg", svg, include_str!("../../assets/mark.svg")),
        ("roofs.svg", svg, include_str!("../../assets/roofs.svg")),
    ]
    .into_iter()
    .map(|(name, media_type, content)| {
        let version = SecretHash::of(content).to_base64url().chars().take(12).collect();
        Asset { name, media_type, content, version }
    })
    .collect()
});

/// Where a page finds the file.
pub(super) fn path(name: &str) -> String {
    let version = ASSETS.iter().find(|asset| asset.name == name).map(|asset| &asset.version);
    format!("/assets/{name}?v={}", version.map_or("", String::as_str))
}

pub(super) async fn serve(
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return ApiError::not_found().into_response();
    };
    let tag = format!("\"{}\"", asset.version);
    // Only the version that was asked for may be kept for ever: while two releases run side by side, the
    // other one may be asked.
    let asked = query.as_deref().and_then(|query| query.strip_prefix("v="));
    let cache = if asked == Some(asset.version.as_str()) {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=300"
    };
    let common = [
        (header::CACHE_CONTROL, cache),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::ETAG, tag.as_str()),
    ];
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == tag.as_str()) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    // An SVG that is opened by itself must not run anything either.
    let policy = (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'");
    (common, [(header::CONTENT_TYPE, asset.media_type), policy], asset.content).into_response()
}
