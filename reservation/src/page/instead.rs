//! What stands in the way of a page: the login first, or a message in the person's language.

use askama::Template;
use axum::{
    extract::{FromRequestParts, Request, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};

use super::visit::{Page, Visit, sign_in};
use crate::{
    http::{ApiError, ApiState},
    store::StoreError,
};

/// What comes instead of the page that was asked for.
#[derive(Debug)]
pub(super) enum Instead {
    /// The login, and then back.
    SignIn {
        /// The address to come back to.
        back: String,
    },
    /// There is no such page.
    NotFound,
    /// The form was posted from another site.
    Foreign,
    /// The token does not permit it.
    Forbidden,
    /// Something that this needs is away.
    Unavailable,
    /// What was sent makes no sense.
    BadRequest,
    /// A mistake of ours.
    Fault,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message {
    page: Page,
    title: String,
    text: String,
    reference: Option<String>,
}

impl Instead {
    /// The answer.
    pub(super) fn respond(self, visit: &Visit) -> Response {
        let (status, key) = match self {
            Self::SignIn { back } => return visit.redirect(&sign_in(&back)),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found"),
            Self::Foreign => (StatusCode::FORBIDDEN, "foreign"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::Fault => (StatusCode::INTERNAL_SERVER_ERROR, "fault"),
        };
        let page = visit.page();
        let title = page.t(&format!("{key}-title"));
        let text = page.t(&format!("{key}-text"));
        let message = Message { page, title, text, reference: visit.request_id() };
        let mut response = visit.respond(status, &message);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let soon = http::HeaderValue::from_static("2");
            response.headers_mut().insert(http::header::RETRY_AFTER, soon);
        }
        response
    }
}

impl From<StoreError> for Instead {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl From<ApiError> for Instead {
    fn from(error: ApiError) -> Self {
        match error.status() {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::FORBIDDEN => Self::Forbidden,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::Fault,
        }
    }
}

/// A page that is not there; below `/api`, a problem.
pub(crate) async fn no_page(State(state): State<ApiState>, request: Request) -> Response {
    if request.uri().path().starts_with("/api/") {
        return ApiError::not_found().into_response();
    }
    let (parts, _) = request.into_parts();
    show(Instead::NotFound, &state, parts).await
}

/// The page that says to come back in a moment.
pub(crate) async fn unavailable(state: &ApiState, parts: Parts) -> Response {
    show(Instead::Unavailable, state, parts).await
}

async fn show(instead: Instead, state: &ApiState, mut parts: Parts) -> Response {
    match Visit::from_request_parts(&mut parts, state).await {
        Ok(visit) => instead.respond(&visit),
        Err(never) => match never {},
    }
}
