//! From a form to an application's page. Chromium ends a form's navigation silently when any redirect on
//! the way leaves what `form-action` allows, also the third one, which the application makes. So for a
//! browser the form is answered by a page that goes on by itself (and has a link, should it not): what
//! comes after that is no form's navigation any more.
//!
//! An application on the person's device is reached by redirects alone: a system opens it only in the
//! navigation that the person began.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{FormAction, Page, Visit};
use crate::{
    domain::client::{ApplicationType, Client},
    locale::Argument,
    state::AppState,
};

#[derive(Template)]
#[template(path = "onward.html")]
struct Onward<'a> {
    page: &'a Page,
    text: String,
    location: &'a str,
}

/// Answers a form with the way on to `location`, a path of ours that leads to the client.
pub(crate) fn onward(
    state: &AppState,
    visit: &mut Visit,
    location: &str,
    client: Option<&Client>,
    ui_locales: &[String],
) -> Response {
    // Our own gateway redirects no further than its own origin.
    let own = &state.config.gateway.browser.client_id;
    let Some(client) = client.filter(|client| {
        visit.is_navigation()
            && client.client_id != *own
            && client.metadata.application_type == ApplicationType::Web
    }) else {
        return visit.redirect(location);
    };
    let page = visit.page(ui_locales, FormAction::own());
    let name = Argument::Text(client.display_name());
    let template =
        Onward { text: page.with("onward-text", &[("client", name)]), location, page: &page };
    visit.respond(StatusCode::OK, &page, &template)
}
