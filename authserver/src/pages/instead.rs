//! What is answered instead of the page that was asked for: a redirect, or an error page.

use std::fmt::Display;

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use haetae_session::denylist::RevokeError;

use super::{
    form_action::FormAction,
    visit::{Page, Visit},
};
use crate::{
    fault,
    interaction::InteractionError,
    locale::Argument,
    sign_in::{hash_pool::HashError, throttle::Throttled},
    store::StoreError,
    transient::TransientError,
};

/// What stands in the way of the page that was asked for.
#[derive(Debug)]
pub(crate) enum Instead {
    /// Another page first: a local path, or the answer to an application.
    Redirect(String),
    /// An error page.
    Fault(Fault),
}

/// Why there is an error page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The pending request is unknown, too old, used up or another browser's.
    Expired,
    /// The form did not come from a page of ours.
    Forbidden,
    /// The form's token is not this browser's: its cookie is gone. `again` is the page to begin anew.
    FormExpired {
        /// A local path.
        again: String,
    },
    /// Too many attempts; seconds to wait.
    Throttled(u64),
    /// Too many people sign in at once.
    Busy,
    /// SQL or Redis does not answer.
    Unavailable,
    /// Nothing is there.
    NotFound,
    /// A mistake of ours; the cause is in the log.
    Internal,
    /// The application's request is wrong, and it cannot be told so by a redirect. Shown *on* the address
    /// of the authorization endpoint, with the error code and a text that stays the same.
    InvalidRequest {
        /// The error code of RFC 6749 4.1.2.1 or OIDC Core 3.1.2.6.
        code: String,
        /// What is wrong, in English, for the application's developer; nothing secret.
        description: String,
    },
    /// Registration is closed.
    RegistrationClosed,
}

impl Fault {
    /// The [`name`](Self::name) of each.
    pub(crate) const NAMES: [&str; 10] = [
        "expired",
        "forbidden",
        "form-expired",
        "throttled",
        "busy",
        "unavailable",
        "not-found",
        "internal",
        "invalid-request",
        "registration-closed",
    ];

    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Expired | Self::InvalidRequest { .. } => StatusCode::BAD_REQUEST,
            Self::Forbidden | Self::FormExpired { .. } | Self::RegistrationClosed => {
                StatusCode::FORBIDDEN
            }
            Self::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Throttled(seconds) => Some(*seconds),
            Self::Busy => Some(2),
            Self::Unavailable => Some(5),
            _ => None,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::FormExpired { .. } => "form-expired",
            Self::Throttled(_) => "throttled",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not-found",
            Self::Internal => "internal",
            Self::InvalidRequest { .. } => "invalid-request",
            Self::RegistrationClosed => "registration-closed",
        }
    }
}

/// A page that says something and leads on.
#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct Message<'a> {
    pub(super) page: &'a Page,
    pub(super) title: String,
    pub(super) paragraphs: Vec<String>,
    pub(super) action: Option<(String, String)>,
    pub(super) details: Vec<(String, String)>,
}

/// An error page in the person's language. The protocol endpoints call it for what cannot be told to the
/// application by a redirect.
pub(crate) fn error(mut visit: Visit, fault: &Fault) -> Response {
    let page = visit.page(&[], FormAction::own());
    let (title, paragraphs) = match fault {
        Fault::Expired => (page.t("error-expired-title"), vec![page.t("error-expired-text")]),
        Fault::Forbidden => (page.t("error-forbidden-title"), vec![page.t("error-forbidden-text")]),
        Fault::FormExpired { .. } => (page.t("error-title"), vec![page.t("problem-form-expired")]),
        Fault::Throttled(seconds) => {
            let wait = page.language.wait(*seconds);
            let text = page.with("error-throttled-text", &[("wait", Argument::Text(&wait))]);
            (page.t("error-throttled-title"), vec![text])
        }
        Fault::Busy => (page.t("error-busy-title"), vec![page.t("error-busy-text")]),
        Fault::Unavailable => {
            (page.t("error-unavailable-title"), vec![page.t("error-unavailable-text")])
        }
        Fault::NotFound => (page.t("error-not-found-title"), vec![page.t("error-not-found-text")]),
        Fault::Internal => (page.t("error-internal-title"), vec![page.t("error-internal-text")]),
        Fault::InvalidRequest { .. } => {
            (page.t("error-invalid-request-title"), vec![page.t("error-what-now")])
        }
        Fault::RegistrationClosed => {
            (page.t("register-closed-title"), vec![page.t("register-closed-text")])
        }
    };
    let mut details = Vec::new();
    // For the application's developer, in the small print: the person can do nothing about it.
    if let Fault::InvalidRequest { code, description } = fault {
        details.push((page.t("error-code"), format!("{code}: {description}")));
    }
    details.push((page.t("error-reference"), visit.context.request_id().to_owned()));
    let action = match fault {
        Fault::FormExpired { again } => Some((page.t("error-retry"), again.clone())),
        Fault::NotFound | Fault::RegistrationClosed => {
            Some((page.t("error-home"), visit.home().to_owned()))
        }
        Fault::Throttled(_) | Fault::Busy | Fault::Unavailable if visit.is_page() => {
            Some((page.t("error-retry"), visit.path().to_owned() + &visit.query()))
        }
        _ => None,
    };
    metrics::counter!("haetae_auth_error_pages_total", "fault" => fault.name()).increment(1);
    let message = Message { page: &page, title, paragraphs, action, details };
    let mut response = visit.respond(fault.status(), &page, &message);
    if let Some(seconds) = fault.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

impl Instead {
    /// An error page for a mistake of ours, whose cause goes to the log.
    pub(crate) fn internal(error: &dyn Display) -> Self {
        tracing::error!(%error, "a page failed");
        Fault::Internal.into()
    }

    /// The answer.
    pub(crate) fn into_response(self, visit: Visit) -> Response {
        match self {
            Self::Redirect(location) => visit.redirect(&location),
            Self::Fault(fault) => error(visit, &fault),
        }
    }
}

/// Only for an extractor that fails before there is a [`Visit`].
impl IntoResponse for Instead {
    fn into_response(self) -> Response {
        match self {
            Self::Redirect(location) => axum::response::Redirect::to(&location).into_response(),
            Self::Fault(fault) => fault.status().into_response(),
        }
    }
}

impl From<Fault> for Instead {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Throttled> for Instead {
    fn from(throttled: Throttled) -> Self {
        Self::Fault(Fault::Throttled(throttled.seconds()))
    }
}

impl From<HashError> for Instead {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Fault::Busy.into(),
            HashError::Stopped
            | HashError::Cost(_)
            | HashError::Unreadable
            | HashError::Start(_) => Self::internal(&error),
        }
    }
}

impl From<StoreError> for Instead {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => unavailable(&error),
            // Two changes at once: the second one starts over.
            StoreError::Stale => Fault::Unavailable.into(),
            StoreError::Exists(_) | StoreError::Inconsistent { .. } => Self::internal(&error),
        }
    }
}

impl From<TransientError> for Instead {
    fn from(error: TransientError) -> Self {
        match error {
            TransientError::Redis(_) => unavailable(&error),
            TransientError::Format { .. } => Self::internal(&error),
        }
    }
}

impl From<RevokeError> for Instead {
    fn from(error: RevokeError) -> Self {
        fault::Fault::from(error).into()
    }
}

impl From<haetae_session::StoreError> for Instead {
    fn from(error: haetae_session::StoreError) -> Self {
        unavailable(&error)
    }
}

impl From<fault::Fault> for Instead {
    fn from(fault: fault::Fault) -> Self {
        match fault {
            fault::Fault::Unavailable => Fault::Unavailable.into(),
            fault::Fault::Internal => Fault::Internal.into(),
        }
    }
}

impl From<InteractionError> for Instead {
    fn from(error: InteractionError) -> Self {
        match error {
            InteractionError::Expired => Fault::Expired.into(),
            InteractionError::Fault(fault) => fault.into(),
        }
    }
}

fn unavailable(error: &dyn Display) -> Instead {
    tracing::warn!(%error, "a page is not available");
    Fault::Unavailable.into()
}
