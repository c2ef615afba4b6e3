//! The files under `/static/`.

use std::sync::LazyLock;

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use haetae_base::asset::Assets;

use crate::state::AppState;

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    Assets::new(
        "/static",
        &[
            ("sign_in.css", include_str!("../../static/sign_in.css")),
            ("sign_in.js", include_str!("../../static/sign_in.js")),
        ],
    )
});

/// Where a page finds the file.
pub(super) fn path(name: &str) -> String {
    ASSETS.path(name)
}

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/static/{name}", get(serve))
}

async fn serve(
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let answer = ASSETS.answer(&name, query.as_deref(), &headers);
    answer.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |answer| answer.map(Body::from))
}

#[cfg(test)]
mod tests {
    /// The conformance suite of OpenID walks the pages in `HtmlUnit`, whose engine gives up a whole script for
    /// syntax that it does not know.
    #[test]
    fn the_script_is_one_that_htmlunit_reads() {
        let script = include_str!("../../static/sign_in.js");
        for word in ["async ", "await ", "?.", "??", "...", "import ", "export ", "#"] {
            assert!(!script.contains(word), "{word}");
        }
    }
}
