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

use axum::Router;

pub(crate) use self::{
    field::Field,
    form::{FormKey, Posted, Typed},
    form_action::FormAction,
    instead::{Fault, Instead, error},
    logout::{Confirm, confirm_logout, signed_out},
    onward::onward,
    visit::{Page, Visit, local_path},
};
use crate::state::AppState;

/// `/consent`, and the files under `/static/`.
pub(crate) fn router() -> Router<AppState> {
    assets::router().merge(consent::router())
}

#[cfg(test)]
mod tests;
