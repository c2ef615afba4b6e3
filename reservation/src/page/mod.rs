//! The page.
pub(crate) fn router() -> axum::Router<crate::http::ApiState> { axum::Router::new() }
