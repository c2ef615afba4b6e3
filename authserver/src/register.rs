//! `/register`: a person opens an account, and goes on to where they wanted to sign in.
//!
//! That a username is taken cannot be hidden from who wants to take it; it is told only after everything
//! else is right, each try costs a password hash, and an address has only so many. Email addresses are not
//! unique, so nothing about them is told.

use std::{collections::BTreeSet, net::IpAddr};

use askama::Template;
use axum::{Router, extract::State, http::StatusCode, response::Response, routing::get};
use haetae_base::{
    id::Id,
    secret::{ExposeSecret, SecretString, constant_time_eq},
};
use serde::Deserialize;

use crate::{
    audit::{Event, What},
    domain::account::{Account, InvalidUsername, PasswordHash, Username},
    interaction::{Authenticated, Need, Pending, signed_in},
    locale::{Argument, Language},
    pages::{Fault, Field, FormAction, Instead, Page, Posted, Typed, Visit},
    sign_in::{
        Way, finish,
        password::{self, Unfit},
        throttle::Guess,
    },
    state::AppState,
    store::StoreError,
};

/// `/register`.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/register", get(show).post(submit))
}

/// The longest name, in characters.
const LONGEST_NAME: usize = 80;

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage<'a> {
    page: &'a Page,
    lead: String,
    invalid: bool,
    action: String,
    fields: Vec<Field>,
    sign_in: String,
}

/// What the form posts.
#[derive(Debug, Default, Deserialize)]
struct Form {
    #[serde(default)]
    username: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: Typed,
    #[serde(default)]
    password_again: Typed,
}

/// What is wrong, by field: the key of the text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mistakes {
    username: Option<&'static str>,
    display_name: Option<&'static str>,
    email: Option<&'static str>,
    password: Option<&'static str>,
    password_again: Option<&'static str>,
}

impl Mistakes {
    const fn any(&self) -> bool {
        self.username.is_some()
            || self.display_name.is_some()
            || self.email.is_some()
            || self.password.is_some()
            || self.password_again.is_some()
    }
}

/// A form without mistakes.
struct Wanted {
    username: Username,
    display_name: String,
    email: Option<String>,
    password: SecretString,
}

async fn show(State(state): State<AppState>, mut visit: Visit) -> Response {
    let result = first_page(&state, &mut visit).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn first_page(state: &AppState, visit: &mut Visit) -> Result<Response, Instead> {
    let (way, pending) = open(state, visit).await?;
    Ok(register_page(state, visit, &way, pending.as_ref(), &Form::default(), &Mistakes::default()))
}

/// Whether there is anything to register for.
async fn open(state: &AppState, visit: &Visit) -> Result<(Way, Option<Pending>), Instead> {
    if !state.config.auth.registration.enabled {
        return Err(Fault::RegistrationClosed.into());
    }
    let way = Way::of(visit);
    let pending = way.pending(state, visit).await?;
    match pending.as_ref().map(|pending| &pending.need) {
        Some(Need::Login | Need::Create) => {}
        Some(Need::SecondFactor | Need::Consent { .. }) => {
            return Err(Instead::Redirect(way.to("/login")));
        }
        None => {
            if signed_in(state, &visit.jar).await?.is_some() {
                return Err(Instead::Redirect("/account".to_owned()));
            }
        }
    }
    Ok((way, pending))
}

fn register_page(
    state: &AppState,
    visit: &mut Visit,
    way: &Way,
    pending: Option<&Pending>,
    form: &Form,
    mistakes: &Mistakes,
) -> Response {
    let ui_locales = pending.map_or(&[][..], |pending| &pending.ui_locales);
    let forms =
        pending.map_or_else(FormAction::own, |pending| FormAction::answering(&pending.client));
    let page = visit.page(ui_locales, forms);
    let length = min_length(state);
    let lead = pending.map_or_else(
        || page.t("register-lead"),
        |pending| {
            let client = Argument::Text(pending.client.display_name());
            page.with("register-lead-client", &[("client", client)])
        },
    );
    let template = RegisterPage {
        lead,
        invalid: mistakes.any(),
        action: way.to("/register"),
        fields: fields(page.language, form, mistakes, length),
        sign_in: way.to("/login"),
        page: &page,
    };
    let status = if mistakes.any() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    visit.respond(status, &page, &template)
}

fn fields(language: Language, form: &Form, mistakes: &Mistakes, length: usize) -> Vec<Field> {
    let characters = [("length", Argument::Number(u64::try_from(length).unwrap_or(u64::MAX)))];
    let error = |key: Option<&'static str>| key.map(|key| language.text_with(key, &characters));
    Field::focus_first(vec![
        Field::text("username", language.text("field-username"), "username")
            .hint(language.text("register-username-hint"))
            .value(&form.username)
            .error(error(mistakes.username)),
        Field::text("display_name", language.text("field-display-name"), "name")
            .value(&form.display_name)
            .error(error(mistakes.display_name)),
        Field::email("email", language.text("field-email"))
            .optional(language)
            .value(&form.email)
            .error(error(mistakes.email)),
        Field::password("password", language.text("field-password"), "new-password")
            .hint(language.text_with("register-password-hint", &characters))
            .error(error(mistakes.password)),
        Field::password("password_again", language.text("field-password-confirm"), "new-password")
            .error(error(mistakes.password_again)),
    ])
}

fn min_length(state: &AppState) -> usize {
    state.config.auth.password.min_length
}

async fn submit(
    State(state): State<AppState>,
    Posted { mut visit, form }: Posted<Form>,
) -> Response {
    let result = register(&state, &mut visit, form).await;
    result.unwrap_or_else(|instead| instead.into_response(visit))
}

async fn register(state: &AppState, visit: &mut Visit, form: Form) -> Result<Response, Instead> {
    let (way, pending) = open(state, visit).await?;
    let wanted = match check(&form, min_length(state)) {
        Ok(wanted) => wanted,
        Err(mistakes) => {
            return Ok(register_page(state, visit, &way, pending.as_ref(), &form, &mistakes));
        }
    };
    let address: Option<IpAddr> = visit.context.address();
    // Counted and never taken back: neither accounts nor answers about names come by the thousand.
    let _ = state.sign_in.throttle.begin(Guess::Registration, "", address).await?;
    let locale = visit.language(pending.as_ref().map_or(&[], |pending| &pending.ui_locales));
    let account = match create(state, wanted, locale).await {
        Ok(account) => account,
        Err(Refused::Taken) => {
            let mistakes =
                Mistakes { username: Some("error-username-taken"), ..Mistakes::default() };
            return Ok(register_page(state, visit, &way, pending.as_ref(), &form, &mistakes));
        }
        Err(Refused::Instead(instead)) => return Err(instead),
    };
    let event = Event::success(What::AccountRegistered).subject(account.id).from(&visit.context);
    state.audit.record(event);
    finish(state, visit, &way, &account, Authenticated::password(&account)).await
}

enum Refused {
    Taken,
    Instead(Instead),
}

async fn create(state: &AppState, wanted: Wanted, locale: Language) -> Result<Account, Refused> {
    let phc = state
        .sign_in
        .hashes
        .hash(wanted.password)
        .await
        .map_err(|error| Refused::Instead(error.into()))?;
    let now = state.now();
    let account = Account {
        id: Id::new(now),
        username: wanted.username,
        display_name: wanted.display_name,
        email: wanted.email,
        email_verified: false,
        locale: Some(locale.tag().to_owned()),
        roles: BTreeSet::new(),
        password: Some(PasswordHash::from_phc(phc)),
        disabled_at: None,
        created_at: now,
        updated_at: now,
        epoch: 0,
        version: 1,
    };
    match state.accounts.insert(&account).await {
        Ok(()) => Ok(account),
        Err(StoreError::Exists(_)) => Err(Refused::Taken),
        Err(error) => Err(Refused::Instead(error.into())),
    }
}

/// Checks every field, so that the person hears of all mistakes at once.
fn check(form: &Form, min_length: usize) -> Result<Wanted, Mistakes> {
    let mut mistakes = Mistakes::default();
    let username: Option<Username> = match form.username.parse() {
        Ok(username) => Some(username),
        Err(error) => {
            mistakes.username = Some(match error {
                _ if form.username.trim().is_empty() => "error-username-required",
                InvalidUsername::Length => "error-username-length",
                InvalidUsername::Character => "error-username-character",
            });
            None
        }
    };
    let display_name = form.display_name.trim();
    mistakes.display_name = if display_name.is_empty() {
        Some("error-display-name-required")
    } else if display_name.chars().count() > LONGEST_NAME {
        Some("error-display-name-length")
    } else if display_name.chars().any(is_unprintable) {
        Some("error-display-name-character")
    } else {
        None
    };
    let email = form.email.trim();
    if !email.is_empty() && !looks_like_email(email) {
        mistakes.email = Some("error-email-invalid");
    }
    let name = username.as_ref().map_or("", Username::as_str);
    let password = match new_password(&form.password, &form.password_again, name, min_length) {
        Ok(password) => Some(password),
        Err(NewPassword::Unfit(key)) => {
            mistakes.password = Some(key);
            None
        }
        Err(NewPassword::Mismatch) => {
            mistakes.password_again = Some("error-password-mismatch");
            None
        }
    };
    let email = (!email.is_empty()).then(|| email.to_owned());
    match (username, password) {
        (Some(username), Some(password)) if !mistakes.any() => {
            Ok(Wanted { username, display_name: display_name.to_owned(), email, password })
        }
        _ => Err(mistakes),
    }
}

/// Why two fields do not make a new password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewPassword {
    /// The first one may not be a password: the key of the text that says why.
    Unfit(&'static str),
    /// The second one is another.
    Mismatch,
}

/// The new password out of the two fields that it was typed into, in the form in which it is hashed.
///
/// # Errors
/// [`NewPassword`] when it may not be one.
pub(crate) fn new_password(
    typed: &Typed,
    again: &Typed,
    username: &str,
    min_length: usize,
) -> Result<SecretString, NewPassword> {
    if typed.0.expose_secret().is_empty() {
        return Err(NewPassword::Unfit("error-password-required"));
    }
    let password =
        password::normalise(&typed.0).ok_or(NewPassword::Unfit("error-password-long"))?;
    password::check(&password, username, min_length).map_err(|unfit| {
        NewPassword::Unfit(match unfit {
            Unfit::TooShort => "error-password-short",
            Unfit::TooLong => "error-password-long",
            Unfit::Common => "error-password-common",
            Unfit::ContainsUsername => "error-password-username",
        })
    })?;
    let same =
        constant_time_eq(typed.0.expose_secret().as_bytes(), again.0.expose_secret().as_bytes());
    if same { Ok(password) } else { Err(NewPassword::Mismatch) }
}

/// Control characters, those that turn or hide text around them, and those that show as nothing: a name of
/// Hangul fillers, the blank nickname, is no name.
fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether it can be an address: whether it is one, only a mail to it can tell.
fn looks_like_email(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && !"<>()[],;:\\\"@".contains(c))
    };
    text.len() <= 254
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            plain(local)
                && plain(domain)
                && domain.contains('.')
                && !domain.starts_with(['.', '-'])
                && !domain.ends_with(['.', '-'])
                && !domain.contains("..")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Form {
        let password = || Typed("tiger lily on the roof".to_owned().into());
        Form {
            username: "minjun".to_owned(),
            display_name: " 김민준 ".to_owned(),
            email: String::new(),
            password: password(),
            password_again: password(),
        }
    }

    #[test]
    fn a_good_form_is_trimmed() {
        let Ok(wanted) = check(&form(), 12) else { panic!("no mistakes") };
        assert_eq!(wanted.display_name, "김민준");
        assert_eq!(wanted.email, None);
    }

    #[test]
    fn a_name_is_one_that_people_see() {
        let with = |name: &str| {
            let form = Form { display_name: name.to_owned(), ..form() };
            check(&form, 12).err().and_then(|mistakes| mistakes.display_name)
        };
        // A Hangul filler, a braille blank, a soft hyphen, a letter from the other side, a hidden tag.
        for hidden in ["\u{3164}", "\u{2800}", "a\u{ad}dmin", "\u{61c}a", "a\u{e0041}", "\u{1160}"]
        {
            assert_eq!(with(hidden), Some("error-display-name-character"), "{hidden:?}");
        }
        for seen in ["김민준", "O’Neil-Ünal", "नमस्ते", "❤️ Min", "محمد"]
        {
            assert_eq!(with(seen), None, "{seen}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once_by_field() {
        let bad = Form {
            username: "a b".to_owned(),
            display_name: "\u{202e}eman".to_owned(),
            email: "me@".to_owned(),
            password: Typed("short".to_owned().into()),
            ..Form::default()
        };
        assert_eq!(
            check(&bad, 12).err(),
            Some(Mistakes {
                username: Some("error-username-character"),
                display_name: Some("error-display-name-character"),
                email: Some("error-email-invalid"),
                password: Some("error-password-short"),
                password_again: None,
            })
        );
        let Err(empty) = check(&Form::default(), 12) else { panic!("mistakes") };
        assert_eq!(empty.username, Some("error-username-required"));
        assert_eq!(empty.password, Some("error-password-required"));
        let other = Form { password_again: Typed("tiger".to_owned().into()), ..form() };
        let Err(mistakes) = check(&other, 12) else { panic!("a mistake") };
        assert_eq!(mistakes.password_again, Some("error-password-mismatch"));
    }

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        for good in ["a@b.kr", "first.last+tag@mail.example.com", "사람@예시.한국"] {
            assert!(looks_like_email(good), "{good}");
        }
        for bad in
            ["a", "@b.kr", "a@", "a@b", "a b@c.kr", "a@b..kr", "a@-b.kr", "<a@b.kr>", "a@b.kr\n"]
        {
            assert!(!looks_like_email(bad), "{bad}");
        }
    }
}
