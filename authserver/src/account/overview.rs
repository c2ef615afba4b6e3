//! `/account`: everything at a glance.

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use haetae_base::clock::Timestamp;
use haetae_session::sso::SsoSession;

use super::{NOTICE, device, person};
use crate::{
    domain::factor::TotpFactor,
    locale::{Argument, Language},
    pages::{FormAction, Instead, Page, Visit},
    state::AppState,
};

#[derive(Template)]
#[template(path = "account/overview.html")]
struct Overview<'a> {
    page: &'a Page,
    notice: Option<String>,
    name: String,
    username: String,
    email: Option<String>,
    since: String,
    two_step: Option<TwoStep>,
    sessions: Vec<Session>,
    applications: Vec<Application>,
}

struct TwoStep {
    since: String,
    recovery: String,
    few: bool,
}

struct Session {
    sid: String,
    device: String,
    this: bool,
    since: Dated,
    seen: Dated,
    address: Option<String>,
}

/// A text with an instant in it, which a script may show in the person's own time zone.
struct Dated {
    before: String,
    at: String,
    text: String,
    after: String,
}

struct Application {
    client_id: String,
    name: String,
    since: String,
}

/// `GET /account`.
pub(super) async fn show(State(state): State<AppState>, mut visit: Visit) -> Response {
    let result = overview(&state, &mut visit).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn overview(state: &AppState, visit: &mut Visit) -> Result<Response, Instead> {
    let person = person(state, visit).await?;
    let account = person.account;
    let page = visit.page(&[], FormAction::own());
    let language = page.language;
    let two_step = match state.factors.find_totp(account.id).await? {
        Some(factor) if factor.is_confirmed() => Some(two_step(state, &page, &factor).await?),
        _ => None,
    };
    let mut sessions = state.sso.list(&account.id.to_string(), state.now()).await?;
    // This device first, then those that were used last.
    sessions.sort_by_key(|session| {
        (session.sid != person.session.sid, std::cmp::Reverse(session.last_seen_at))
    });
    let sessions = sessions
        .iter()
        .map(|session| describe(&page, session, session.sid == person.session.sid))
        .collect();
    let mut applications = Vec::new();
    for consent in state.consents.list(account.id).await? {
        let client = state.clients.find(&consent.client_id).await?;
        applications.push(Application {
            name: client.map_or_else(
                || consent.client_id.clone(),
                |client| client.display_name().to_owned(),
            ),
            since: dated(&page, "account-application-since", &language.day(consent.granted_at)),
            client_id: consent.client_id,
        });
    }
    let template = Overview {
        notice: notice(state, visit, language).await?,
        name: account.display_name.clone(),
        username: account.username.to_string(),
        email: account.email.clone(),
        since: language.day(account.created_at),
        two_step,
        sessions,
        applications,
        page: &page,
    };
    Ok(visit.respond(StatusCode::OK, &page, &template))
}

async fn two_step(state: &AppState, page: &Page, factor: &TotpFactor) -> Result<TwoStep, Instead> {
    let left = state.factors.count_recovery_codes(factor.account).await?;
    let since = factor.confirmed_at.unwrap_or(factor.created_at);
    Ok(TwoStep {
        since: dated(page, "account-totp-on-text", &page.language.day(since)),
        recovery: page.with("account-recovery-left", &[("count", Argument::Number(left))]),
        few: left <= 1,
    })
}

fn dated(page: &Page, key: &str, date: &str) -> String {
    page.with(key, &[("date", Argument::Text(date))])
}

fn instant(page: &Page, key: &str, at: Timestamp) -> Dated {
    // A character that no text holds marks the place.
    let sentence = dated(page, key, "\0");
    let (before, after) = sentence.split_once('\0').unwrap_or((&sentence, ""));
    Dated {
        before: before.to_owned(),
        at: at.to_rfc3339(),
        text: page.language.moment(at),
        after: after.to_owned(),
    }
}

fn describe(page: &Page, session: &SsoSession, this: bool) -> Session {
    let address = session.address.as_deref().map(|address| {
        page.with("account-session-address", &[("address", Argument::Text(address))])
    });
    Session {
        sid: session.sid.to_string(),
        device: session
            .user_agent
            .as_deref()
            .and_then(device::name)
            .unwrap_or_else(|| page.t("account-session-unknown")),
        this,
        since: instant(page, "account-session-since", session.created_at),
        seen: instant(page, "account-session-seen", session.last_seen_at),
        address,
    }
}

/// What the page before left to be said, once.
async fn notice(
    state: &AppState,
    visit: &Visit,
    language: Language,
) -> Result<Option<String>, Instead> {
    let Some(browser) = state.cookies.browser(&visit.jar) else { return Ok(None) };
    let key: Option<String> = state.transient.take(NOTICE, &browser.to_base64url()).await?;
    Ok(key.and_then(|key| language.find_text(&key)))
}
