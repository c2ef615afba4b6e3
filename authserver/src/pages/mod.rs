//! The pages: the frame that all of them stand in, their form fields, protection of forms against
//! forgery, what a page may load and where its forms may lead, error pages, and the files under
//! `/static/`.
//!
//! A handler takes a [`Visit`], asks it for a [`Page`] and answers with [`Visit::respond`]. Whatever
//! stands in the way is an [`Instead`]: a redirect, or an error page in the person's language.

mod assets;
mod consent;
mod field;
mod form;
mod form_action;
mod instead;
mod logout;
mod onward;
mod visit;

use axum::{Router, response::Response, routing::get};

pub(crate) use self::{
    field::Field,
    form::{FormKey, Posted, Typed},
    form_action::{FormAction, source_of},
    instead::{Fault, Instead, error},
    logout::{Confirm, confirm_logout, signed_out},
    onward::onward,
    visit::{Page, Visit, local_path},
};
use crate::state::AppState;

/// `/consent`, the files under `/static/`, and the page for what is not there.
pub(crate) fn router() -> Router<AppState> {
    let nothing = [
        "/login/{*rest}",
        "/mfa/{*rest}",
        "/register/{*rest}",
        "/consent/{*rest}",
        "/account/{*rest}",
        "/device",
        "/device/{*rest}",
        "/admin",
        "/admin/{*rest}",
    ];
    nothing.into_iter().fold(assets::router().merge(consent::router()), |router, path| {
        router.route(path, get(not_found))
    })
}

async fn not_found(visit: Visit) -> Response {
    error(visit, &Fault::NotFound)
}

#[cfg(test)]
mod tests;
