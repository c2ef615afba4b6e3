//! The pages of signing out. The end-session endpoint decides when they are shown.

use askama::Template;
use axum::{http::StatusCode, response::Response};

use super::{
    field::Field,
    form_action::FormAction,
    instead::Message,
    visit::{Page, Visit},
};
use crate::{domain::client::Client, locale::Argument};

/// A question with a button for yes and a link for no.
#[derive(Template)]
#[template(path = "confirm.html")]
pub(crate) struct Confirm<'a> {
    pub(crate) page: &'a Page,
    pub(crate) title: String,
    pub(crate) lead: String,
    pub(crate) action: String,
    pub(crate) hidden: Vec<(&'static str, String)>,
    pub(crate) fields: Vec<Field>,
    pub(crate) submit: String,
    pub(crate) danger: bool,
    pub(crate) back: (String, String),
}

/// Asks whether to sign out (OIDC RP-Initiated Logout 2). The form posts to `action` with `csrf` and the
/// `hidden` fields; the handler takes it as [`Posted`](super::Posted). `name` is who is signed in, `client`
/// who asks for it, if it is known.
pub(crate) fn confirm_logout(
    mut visit: Visit,
    action: &str,
    hidden: Vec<(&'static str, String)>,
    name: &str,
    client: Option<&Client>,
    ui_locales: &[String],
) -> Response {
    let forms = client.map_or_else(FormAction::own, FormAction::signing_out_of);
    let page = visit.page(ui_locales, forms);
    let lead = match client {
        Some(client) => {
            page.with("logout-lead-client", &[("client", Argument::Text(client.display_name()))])
        }
        None => page.with("logout-lead", &[("name", Argument::Text(name))]),
    };
    let confirm = Confirm {
        page: &page,
        title: page.t("logout-title"),
        lead,
        action: action.to_owned(),
        hidden,
        fields: Vec::new(),
        submit: page.t("logout-submit"),
        danger: false,
        back: (page.t("logout-stay"), visit.home().to_owned()),
    };
    visit.respond(StatusCode::OK, &page, &confirm)
}

/// Says that the person is signed out.
pub(crate) fn signed_out(mut visit: Visit, ui_locales: &[String]) -> Response {
    let page = visit.page(ui_locales, FormAction::own());
    let message = Message {
        page: &page,
        title: page.t("signed-out-title"),
        paragraphs: vec![page.t("signed-out-text")],
        action: Some((page.t("signed-out-again"), visit.home().to_owned())),
        details: Vec::new(),
    };
    visit.respond(StatusCode::OK, &page, &message)
}
