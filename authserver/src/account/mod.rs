//! `/account`: what a person sees and changes about their own sign-in. Everything needs the SSO session,
//! and every change of security a sign-in of the last minutes.

mod applications;
mod device;
mod overview;
mod password;
mod recovery_codes;
mod sessions;
mod two_step;

use std::time::Duration;

use axum::{
    Router,
    routing::{get, post},
};
use haetae_keys::claims::Acr;

use crate::{
    domain::factor::TotpFactor,
    interaction::{SignedIn, signed_in},
    pages::{Instead, Visit},
    sign_in::Way,
    state::AppState,
};

/// How long a sign-in counts as recent.
const RECENT: Duration = Duration::from_mins(10);
/// Under which kind the notice for the next page is kept.
const NOTICE: &str = "notice";

/// `/account` and below.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/account", get(overview::show))
        .route("/account/password", get(password::show).post(password::submit))
        .route("/account/two-step", get(two_step::show).post(two_step::submit))
        .route("/account/two-step/off", get(two_step::show_off).post(two_step::submit_off))
        .route("/account/recovery-codes", get(recovery_codes::show).post(recovery_codes::submit))
        .route("/account/sessions/end", post(sessions::end))
        .route(
            "/account/sign-out-everywhere",
            get(sessions::show_everywhere).post(sessions::sign_out_everywhere),
        )
        .route("/account/applications/revoke", post(applications::revoke))
}

/// Who is signed in; or the sign-in page, which leads back here.
async fn person(state: &AppState, visit: &Visit) -> Result<SignedIn, Instead> {
    let here = visit.path().to_owned() + &visit.query();
    match signed_in(state, &visit.jar).await? {
        Some(signed_in) if !signed_in.account.is_disabled() => Ok(signed_in),
        _ => Err(Instead::Redirect(Way::leading_to(here).to("/login"))),
    }
}

/// Who signed in lately and with every factor that the account has; or the page that asks for what is
/// missing, which leads back here.
async fn recently(state: &AppState, visit: &Visit) -> Result<SignedIn, Instead> {
    let person = person(state, visit).await?;
    let here = visit.path().to_owned() + &visit.query();
    if state.now().since(person.session.auth_time) > RECENT {
        return Err(Instead::Redirect(Way::once_more(&here).to("/login")));
    }
    let factor = state.factors.find_totp(person.account.id).await?;
    let protected = factor.as_ref().is_some_and(TotpFactor::is_confirmed);
    if protected && person.session.acr < Acr::TwoFactor {
        return Err(Instead::Redirect(Way::once_more(&here).to("/mfa")));
    }
    Ok(person)
}

/// Goes back to the overview, which says `notice` once.
async fn back(
    state: &AppState,
    visit: &Visit,
    notice: &'static str,
) -> Result<axum::response::Response, Instead> {
    if let Some(browser) = state.cookies.browser(&visit.jar) {
        state
            .transient
            .put(NOTICE, &browser.to_base64url(), &notice, Duration::from_mins(1))
            .await?;
    }
    Ok(visit.redirect("/account"))
}

#[cfg(test)]
mod tests;
