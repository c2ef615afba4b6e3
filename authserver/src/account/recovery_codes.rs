//! Recovery codes: shown once, when two-step sign-in is turned on and when they are made anew.

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use haetae_base::secret::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;

use super::recently;
use crate::{
    audit::{Event, What},
    domain::{
        account::Account,
        factor::{RecoveryCodeHash, TotpFactor},
    },
    pages::{Confirm, FormAction, Instead, Page, Posted, Visit},
    sign_in::recovery_code,
    state::AppState,
};

#[derive(Template)]
#[template(path = "account/recovery_codes.html")]
struct CodesPage<'a> {
    page: &'a Page,
    notice: Option<String>,
    codes: Vec<&'a str>,
    next: String,
}

/// A new set of codes and what is stored of them.
pub(super) fn generate(account: &Account) -> (Vec<SecretString>, Vec<RecoveryCodeHash>) {
    let id = account.id.to_string();
    let codes = recovery_code::generate();
    let hashes = codes
        .iter()
        .filter_map(|code| recovery_code::hash(&id, code))
        .map(|hash| *hash.as_bytes())
        .collect();
    (codes, hashes)
}

/// The page that shows the codes, this once; afterwards the person goes on to `next`.
pub(super) fn show_once(
    visit: &mut Visit,
    codes: &[SecretString],
    next: &str,
    notice: Option<&'static str>,
) -> Response {
    let page = visit.page(&[], FormAction::own());
    let template = CodesPage {
        notice: notice.map(|key| page.t(key)),
        codes: codes.iter().map(ExposeSecret::expose_secret).collect(),
        next: next.to_owned(),
        page: &page,
    };
    visit.respond(StatusCode::OK, &page, &template)
}

/// `GET /account/recovery-codes`.
pub(super) async fn show(State(state): State<AppState>, mut visit: Visit) -> Response {
    let result = async {
        let person = recently(&state, &visit).await?;
        protected(&state, &person.account).await?;
        let page = visit.page(&[], FormAction::own());
        let template = Confirm {
            title: page.t("codes-renew-title"),
            lead: page.t("codes-renew-lead"),
            action: "/account/recovery-codes".to_owned(),
            hidden: Vec::new(),
            fields: Vec::new(),
            submit: page.t("codes-renew-submit"),
            danger: false,
            back: (page.t("cancel"), "/account".to_owned()),
            page: &page,
        };
        Ok(visit.respond(StatusCode::OK, &page, &template))
    }
    .await;
    result.unwrap_or_else(|instead: Instead| instead.into_response(visit))
}

/// Recovery codes are for accounts with two-step sign-in only.
async fn protected(state: &AppState, account: &Account) -> Result<(), Instead> {
    let factor = state.factors.find_totp(account.id).await?;
    if factor.as_ref().is_some_and(TotpFactor::is_confirmed) {
        Ok(())
    } else {
        Err(Instead::Redirect("/account".to_owned()))
    }
}

/// `POST /account/recovery-codes`.
pub(super) async fn submit(
    State(state): State<AppState>,
    Posted { mut visit, form: IgnoredAny }: Posted<IgnoredAny>,
) -> Response {
    let result = renew(&state, &mut visit).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn renew(state: &AppState, visit: &mut Visit) -> Result<Response, Instead> {
    let person = recently(state, visit).await?;
    let account = &person.account;
    protected(state, account).await?;
    let (codes, hashes) = generate(account);
    state.factors.replace_recovery_codes(account.id, &hashes).await?;
    let event =
        Event::success(What::RecoveryCodesReplaced).subject(account.id).sid(person.session.sid);
    state.audit.record(event.from(&visit.context));
    Ok(show_once(visit, &codes, "/account", None))
}
