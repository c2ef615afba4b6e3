//! `/consent`: what an application of somebody else asks for, and the person's answer.

use std::collections::BTreeSet;

use askama::Template;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::Response,
    routing::get,
};
use serde::Deserialize;
use url::Url;

use super::{FormAction, Instead, Page, Posted, Visit, onward};
use crate::{
    domain::redirect_uri::RedirectUri,
    interaction::{Need, Refusal, grant_consent, refuse, resume_path, signed_in},
    locale::Argument,
    sign_in::Way,
    state::AppState,
};

/// `/consent`.
pub(super) fn router() -> Router<AppState> {
    Router::new().route("/consent", get(show).post(submit))
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentPage<'a> {
    page: &'a Page,
    title: String,
    account: String,
    lead: String,
    permissions: Vec<String>,
    action: String,
    destination: Option<String>,
}

async fn show(State(state): State<AppState>, mut visit: Visit) -> Response {
    let result = ask(&state, &mut visit).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn ask(state: &AppState, visit: &mut Visit) -> Result<Response, Instead> {
    let way = Way::of(visit);
    let Some(pending) = way.pending(state, visit).await? else {
        return Err(Instead::Redirect("/account".to_owned()));
    };
    let Need::Consent { scope } = &pending.need else {
        return Err(Instead::Redirect(resume_path(&pending.id)));
    };
    let Some(person) = signed_in(state, &visit.jar).await? else {
        return Err(Instead::Redirect(resume_path(&pending.id)));
    };
    let page = visit.page(&pending.ui_locales, FormAction::answering(&pending.client));
    let client = Argument::Text(pending.client.display_name());
    let permissions = scope.iter().map(|scope| permission(&page, scope)).collect();
    let template = ConsentPage {
        title: page.with("consent-title", &[("client", client)]),
        account: page
            .with("consent-account", &[("name", Argument::Text(&person.account.display_name))]),
        lead: page.with("consent-lead", &[("client", client)]),
        permissions,
        action: way.to("/consent"),
        destination: host_of(&pending.client.metadata.redirect_uris)
            .map(|host| page.with("consent-redirect", &[("host", Argument::Text(&host))])),
        page: &page,
    };
    Ok(visit.respond(StatusCode::OK, &page, &template))
}

/// What a scope means, in the person's language; a scope of the operator's own by its name.
fn permission(page: &Page, scope: &str) -> String {
    let key = format!("scope-{}", scope.replace([':', '_', '.'], "-"));
    page.language
        .find_text(&key)
        .filter(|_| scope != "other")
        .unwrap_or_else(|| page.with("scope-other", &[("scope", Argument::Text(scope))]))
}

/// The host that the person will be sent to, when it can be only one; nothing for an application on
/// their own device.
fn host_of(registered: &[RedirectUri]) -> Option<String> {
    let hosts: Option<BTreeSet<String>> = registered
        .iter()
        .map(|uri| {
            let url = Url::parse(uri.as_str()).ok().filter(|url| url.scheme() == "https")?;
            url.host_str().map(str::to_owned)
        })
        .collect();
    let mut hosts = hosts?.into_iter();
    hosts.next().filter(|_| hosts.next().is_none())
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    decision: String,
}

async fn submit(
    State(state): State<AppState>,
    Posted { mut visit, form }: Posted<Answer>,
) -> Response {
    let result = answer(&state, &mut visit, form).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn answer(state: &AppState, visit: &mut Visit, form: Answer) -> Result<Response, Instead> {
    let way = Way::of(visit);
    let Some(pending) = way.pending(state, visit).await? else {
        return Err(Instead::Redirect("/account".to_owned()));
    };
    // Anything but a clear yes is a no.
    if form.decision != "allow" {
        let why = Refusal::AccessDenied;
        let answer = refuse(state, &visit.context, &visit.jar, &pending.id, why).await?;
        let to_client = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        return Ok(match to_client {
            Some(location) => {
                onward(state, visit, location, Some(&pending.client), &pending.ui_locales)
            }
            None => answer,
        });
    }
    grant_consent(state, &visit.context, &visit.jar, &pending.id).await?;
    let next = resume_path(&pending.id);
    Ok(onward(state, visit, &next, Some(&pending.client), &pending.ui_locales))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_server_elsewhere_is_named_as_the_destination() {
        let host = |uris: &[&str]| {
            let uris: Vec<RedirectUri> =
                uris.iter().map(|uri| uri.parse().expect("valid")).collect();
            host_of(&uris)
        };
        let one = ["https://app.example/cb", "https://app.example/other"];
        assert_eq!(host(&one).as_deref(), Some("app.example"));
        assert_eq!(host(&["https://a.example/cb", "https://b.example/cb"]), None);
        assert_eq!(host(&["https://a.example/cb", "http://127.0.0.1/cb"]), None);
        assert_eq!(host(&["com.example.app:/cb"]), None);
    }
}
