//! The files under `/static/`, compiled in. A page names them with the hash of their content, so that a
//! browser keeps them for ever and still sees each change at once.

use std::sync::LazyLock;

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use haetae_base::secret::SecretHash;

use crate::state::AppState;

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
        ("haetae.css", "text/css; charset=utf-8", include_str!("../../static/haetae.css")),
        ("haetae.js", "text/javascript; charset=utf-8", include_str!("../../static/haetae.js")),
        ("mark.svg", svg, include_str!("../../static/mark.svg")),
        ("roofs.svg", svg, include_str!("../../static/roofs.svg")),
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
    format!("/static/{name}?v={}", version.map_or("", String::as_str))
}

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/static/{name}", get(serve))
}

async fn serve(
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
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

#[cfg(test)]
mod tests {
    use super::*;

    async fn fetch(name: &str, query: Option<String>, known: Option<&str>) -> Response {
        let mut headers = HeaderMap::new();
        if let Some(known) = known {
            headers.insert(header::IF_NONE_MATCH, known.parse().expect("a value"));
        }
        serve(Path(name.to_owned()), RawQuery(query), headers).await
    }

    #[tokio::test]
    async fn only_the_named_version_is_kept_for_ever() {
        let (_, query) = path("haetae.css")
            .split_once('?')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("v");
        let exact = fetch("haetae.css", Some(query), None).await;
        assert!(
            exact.headers()[header::CACHE_CONTROL].to_str().expect("text").contains("immutable")
        );
        assert_eq!(exact.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");
        let other = fetch("haetae.css", Some("v=old".to_owned()), None).await;
        assert_eq!(other.headers()[header::CACHE_CONTROL], "public, max-age=300");
        let tag = other.headers()[header::ETAG].to_str().expect("text").to_owned();
        assert_eq!(fetch("haetae.css", None, Some(&tag)).await.status(), 304);
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        for name in ["", "..", "../Cargo.toml", "haetae.css/x", "HAETAE.CSS"] {
            assert_eq!(fetch(name, None, None).await.status(), 404, "{name}");
        }
    }

    #[test]
    fn neither_the_style_nor_the_script_loads_from_elsewhere() {
        for asset in ASSETS.iter() {
            let content = asset.content.replace("http://www.w3.org/2000/svg", "");
            assert!(!content.contains("http:") && !content.contains("https:"), "{}", asset.name);
        }
    }
}
