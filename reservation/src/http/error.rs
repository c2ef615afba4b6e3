//! Every error of the API as a problem with a stable type.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use haetae_base::problem::{FieldError, Problem};
use http::{HeaderValue, Method, StatusCode, header};

use super::request_id;
use crate::{
    accept::AcceptError,
    domain::reservation::{Refusal, Status},
    store::{StoreError, accept::AcceptRefusal, inventory::WriteItemError},
};

/// A problem on its way out; it gets the request's id there. Boxed: it is rare, and results are many.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Problem>);

impl ApiError {
    pub(crate) fn not_found() -> Self {
        Problem::not_found().into()
    }

    /// Fields that were refused.
    pub(crate) fn fields(errors: &[FieldError]) -> Self {
        let detail = errors.first().map_or_else(String::new, |error| match error.field.as_str() {
            "" => error.detail.clone(),
            field => format!("{field}: {}", error.detail),
        });
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-field", "A field is not valid")
            .detail(detail)
            .errors(errors)
            .into()
    }

    /// One field that was refused.
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> Self {
        Self::fields(&[FieldError { field: field.to_owned(), detail: detail.into() }])
    }

    /// A part of the address or of the head that makes no sense.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let error = FieldError { field: name.to_owned(), detail: detail.clone() };
        Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", "A parameter is not valid")
            .detail(format!("{name}: {detail}"))
            .errors(&[error])
            .into()
    }

    /// The state does not allow what was asked for.
    pub(crate) fn state(status: Status, detail: impl Into<String>) -> Self {
        Problem::new(
            StatusCode::CONFLICT,
            "reservation-state",
            "The state of the reservation does not allow this",
        )
        .detail(detail)
        .with("reservation_status", status.as_str())
        .into()
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn into_problem(self) -> Problem {
        *self.0
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_temporary() {
            tracing::warn!(%error, "the database failed");
            Problem::unavailable(2).into()
        } else {
            tracing::error!(%error, "the database holds what it must not");
            Problem::internal().into()
        }
    }
}

impl From<AcceptError> for ApiError {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::StillRunning => Problem::new(
                StatusCode::CONFLICT,
                "idempotency-key-running",
                "A request with this idempotency key is still running",
            )
            .retry_after(1)
            .into(),
            AcceptError::Overloaded => Problem::unavailable(1).into(),
            AcceptError::Store(error) if error.is_temporary() => Problem::unavailable(2).into(),
            AcceptError::Store(_logged) => Problem::internal().into(),
        }
    }
}

impl From<AcceptRefusal> for ApiError {
    fn from(refusal: AcceptRefusal) -> Self {
        match refusal {
            AcceptRefusal::UnknownItems(items) => {
                let errors: Vec<FieldError> = items
                    .iter()
                    .map(|item| FieldError {
                        field: "/items".to_owned(),
                        detail: format!("there is no item {item}"),
                    })
                    .collect();
                Problem::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "unknown-item",
                    "An item of the reservation does not exist",
                )
                .errors(&errors)
                .into()
            }
            AcceptRefusal::Price(error) => Self::field("/items", error.to_string()),
            AcceptRefusal::TooManyOpen { open, wanted, most } => Problem::new(
                StatusCode::CONFLICT,
                "too-many-open",
                "Too much is reserved and not confirmed",
            )
            .detail(format!(
                "{open} units are open and {wanted} more are wanted; at most {most} may be. \
                 Confirm or cancel a reservation first."
            ))
            .with("open", open)
            .with("wanted", wanted)
            .with("most", most.get())
            .into(),
        }
    }
}

impl From<WriteItemError> for ApiError {
    fn from(error: WriteItemError) -> Self {
        match error {
            WriteItemError::NotFound => Self::not_found(),
            WriteItemError::Stale(version) => Problem::new(
                StatusCode::PRECONDITION_FAILED,
                "stale-version",
                "The item was changed meanwhile",
            )
            .detail("Read it again and repeat the change on what it is now.")
            .with("version", version.get())
            .into(),
            WriteItemError::SkuTaken => {
                Problem::new(StatusCode::CONFLICT, "sku-taken", "Another item has this sku").into()
            }
            WriteItemError::Stock(error) => Problem::new(
                StatusCode::CONFLICT,
                "quantity-in-use",
                "The quantity is below what is held and sold",
            )
            .detail(error.to_string())
            .into(),
            WriteItemError::Attributes => Self::field("/attributes", error.to_string()),
            WriteItemError::Store(error) => error.into(),
        }
    }
}

/// Why a reservation did not come about, as a problem of its own or as the member `problem` of it.
pub(crate) fn refusal_problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::NotEnoughStock { item, wanted, available } => {
            Problem::new(StatusCode::CONFLICT, "not-enough-stock", "There is not enough stock")
                .detail(format!("{wanted} wanted, {available} available"))
                .with("inventory_id", item.to_string())
                .with("wanted", *wanted)
                .with("available", *available)
        }
        Refusal::PaymentRefused { reason } => {
            Problem::new(StatusCode::CONFLICT, "payment-refused", "The payment was refused")
                .detail(reason.clone())
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let problem = self.into_problem();
        if problem.has_request_id() {
            return problem.into_response();
        }
        match request_id::current() {
            Some(id) => problem.request_id(id).into_response(),
            None => problem.into_response(),
        }
    }
}

/// The router adds `Allow` (RFC 9110 15.5.6).
pub(super) async fn no_method(request: Request) -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This cannot be done with that method",
    );
    let mut response = ApiError::from(problem).into_response();
    if request.method() == Method::OPTIONS {
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = axum::body::Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
    }
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the cause over")]
pub(super) fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let text = cause
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| cause.downcast_ref::<String>().cloned());
    tracing::error!(cause = text.as_deref().unwrap_or("unknown"), "a handler panicked");
    ApiError::from(Problem::internal()).into_response()
}

/// 401 with its challenge (RFC 6750 3). Without credentials there is no error code in it.
pub(super) fn unauthorized(error: Option<&str>) -> ApiError {
    let challenge = match error {
        None => HeaderValue::from_static("Bearer realm=\"haetae\""),
        Some(description) => {
            let text = format!(
                "Bearer realm=\"haetae\", error=\"invalid_token\", error_description=\"{description}\""
            );
            HeaderValue::from_str(&text)
                .unwrap_or(HeaderValue::from_static("Bearer error=\"invalid_token\""))
        }
    };
    let problem =
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A valid access token is needed");
    let problem = match error {
        Some(description) => problem.detail(description),
        None => problem,
    };
    problem.header(header::WWW_AUTHENTICATE, challenge).into()
}

/// 403 with its challenge (RFC 6750 3.1).
pub(super) fn forbidden(scope: &'static str) -> ApiError {
    let text = format!("Bearer realm=\"haetae\", error=\"insufficient_scope\", scope=\"{scope}\"");
    let challenge = HeaderValue::from_str(&text)
        .unwrap_or(HeaderValue::from_static("Bearer error=\"insufficient_scope\""));
    Problem::new(
        StatusCode::FORBIDDEN,
        "insufficient-scope",
        "The access token does not permit this",
    )
    .detail(format!("The scope {scope} is needed."))
    .with("scope", scope)
    .header(header::WWW_AUTHENTICATE, challenge)
    .into()
}
