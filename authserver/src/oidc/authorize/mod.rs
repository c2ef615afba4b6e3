//! The authorization endpoint (RFC 6749 3.1, OpenID Connect Core 3.1.2). The list [`CHECKS`] is the
//! specification: its order is the order in which a request is refused.

mod acr_values;
mod answer;
mod client;
mod decide;
mod hints;
mod max_age;
mod nonce;
mod pkce;
mod prompt;
mod redirect_uri;
mod request_object;
mod response_mode;
mod response_type;
mod scope;
mod state_parameter;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use haetae_keys::claims::{Acr, Scope};
use secrecy::ExposeSecret;

pub(crate) use self::answer::form_post_script;
pub(super) use self::answer::with_query;
use self::{
    answer::{Answer, ResponseMode},
    decide::{Decision, Facts},
    prompt::Prompt,
};
use super::{
    error::{Code, OAuthError},
    params::Params,
};
use crate::{
    audit::{Event, What},
    context::RequestContext,
    domain::{account::AccountId, client::Client, grant::Grant, scopes},
    fault::Fault,
    interaction::{self, InteractionError, Need, Refusal, SignedIn, Suspended},
    pages::{self, Visit},
    state::AppState,
    transient::code::CodeGrant,
};

/// An authorization request, as far as it is checked. Each check fills in what it is about.
pub(super) struct Request<'a> {
    params: &'a Params,
    client: Arc<Client>,
    redirect_uri: String,
    response_mode: ResponseMode,
    state: Option<String>,
    code_challenge: Option<String>,
    scope: Scope,
    nonce: Option<String>,
    prompt: BTreeSet<Prompt>,
    max_age: Option<Duration>,
    acr_values: Vec<Acr>,
    hinted_subject: Option<AccountId>,
}

/// One rule.
type Check = fn(&mut Request<'_>) -> Result<(), OAuthError>;

/// The rules, in order. Before them [`client::check`] and [`redirect_uri::check`] have established where
/// an answer may be sent at all; after them [`hints::check`] reads the `id_token_hint`, which needs keys.
const CHECKS: [Check; 12] = [
    state_parameter::check,
    response_mode::check,
    no_repeated_parameter,
    request_object::check,
    response_type::check,
    may_use_codes,
    pkce::check,
    scope::check,
    nonce::check,
    prompt::check,
    max_age::check,
    acr_values::check,
];

/// RFC 6749 3.1: parameters must not be included more than once; and there is a bound to their number.
fn no_repeated_parameter(request: &mut Request<'_>) -> Result<(), OAuthError> {
    request.params.in_order()
}

/// RFC 6749 4.1.2.1: the client must be registered for codes.
fn may_use_codes(request: &mut Request<'_>) -> Result<(), OAuthError> {
    if request.client.may(crate::domain::client::GrantType::AuthorizationCode) {
        Ok(())
    } else {
        Err(OAuthError::new(
            Code::UnauthorizedClient,
            "the client is not registered for the grant authorization_code",
        ))
    }
}

/// A request that is refused.
enum Refused {
    /// On a page of ours: nobody can be told by a redirect.
    OnPage(OAuthError),
    /// By a redirect to the client.
    ToClient(Box<Answer>, OAuthError),
    /// A failure of ours before the client is known.
    Fault(Fault),
}

/// The parameters that mean something here: those that are kept while the person signs in.
pub(crate) const PARAMETERS: [&str; 15] = [
    "acr_values",
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "id_token_hint",
    "login_hint",
    "max_age",
    "nonce",
    "prompt",
    "redirect_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
    "ui_locales",
];
/// The longest request, in bytes: it is kept while the person signs in.
const LONGEST: usize = 8 * 1024;

/// Runs all checks.
async fn check<'a>(state: &AppState, params: &'a Params) -> Result<Request<'a>, Refused> {
    if params.size() > LONGEST {
        let error = OAuthError::invalid_request("the request is longer than 8192 bytes");
        return Err(Refused::OnPage(error));
    }
    let client = client::check(state, params).await?;
    let redirect_uri = redirect_uri::check(params, &client).map_err(Refused::OnPage)?;
    let mut request = Request {
        params,
        client,
        redirect_uri,
        response_mode: ResponseMode::Query,
        state: None,
        code_challenge: None,
        scope: Scope::default(),
        nonce: None,
        prompt: BTreeSet::new(),
        max_age: None,
        acr_values: Vec::new(),
        hinted_subject: None,
    };
    for check in CHECKS {
        if let Err(error) = check(&mut request) {
            return Err(Refused::ToClient(Box::new(request.answer(state)), error));
        }
    }
    match hints::check(state, &mut request).await {
        Ok(()) => Ok(request),
        Err(error) => Err(Refused::ToClient(Box::new(request.answer(state)), error)),
    }
}

impl Request<'_> {
    /// Where the answer to this request goes.
    fn answer(&self, state: &AppState) -> Answer {
        Answer {
            redirect_uri: self.redirect_uri.clone(),
            mode: self.response_mode,
            state: self.state.clone(),
            issuer: state.issuer.clone(),
        }
    }

    fn asks_for(&self, prompt: Prompt) -> bool {
        self.prompt.contains(&prompt)
    }
}

pub(super) async fn by_get(
    State(state): State<AppState>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    authorize(&state, visit, params, None).await
}

pub(super) async fn by_post(
    State(state): State<AppState>,
    visit: Visit,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(params) = Params::from_body(&headers, &body) else {
        return on_page(visit, &OAuthError::invalid_request("the request body is not a form"));
    };
    match visit.once_more_with_cookies(&params) {
        Some(again) => visit.redirect(&again),
        None => authorize(&state, visit, params, None).await,
    }
}

/// A person comes back from the pages.
pub(super) async fn resume(State(state): State<AppState>, visit: Visit) -> Response {
    let id = visit.parameter("request").unwrap_or_default();
    match interaction::take(&state, &visit.jar, &id).await {
        Ok(suspended) => {
            let params = Params::of(&suspended.params);
            authorize(&state, visit, params, Some(suspended)).await
        }
        Err(InteractionError::Expired) => pages::error(visit, &pages::Fault::Expired),
        Err(InteractionError::Fault(fault)) => pages::error(visit, &page_fault(fault)),
    }
}

async fn authorize(
    state: &AppState,
    mut visit: Visit,
    params: Params,
    earlier: Option<Suspended>,
) -> Response {
    let request = match check(state, &params).await {
        Ok(request) => request,
        Err(refused) => return refuse(state, visit, refused),
    };
    match step(state, &mut visit, &request, earlier.as_ref()).await {
        Ok(response) => response,
        // The person can try again in a moment, which an application that was told so cannot do for them.
        // With `prompt=none` nobody looks: the client is told (RFC 6749 4.1.2.1).
        Err(error)
            if error.code == Code::TemporarilyUnavailable && !request.asks_for(Prompt::None) =>
        {
            pages::error(visit, &pages::Fault::Unavailable)
        }
        Err(error) => request.answer(state).error(&error),
    }
}

/// Answers the client, or sends the person to the page that gets what is missing.
async fn step(
    state: &AppState,
    visit: &mut Visit,
    request: &Request<'_>,
    earlier: Option<&Suspended>,
) -> Result<Response, OAuthError> {
    let person = interaction::signed_in(state, &visit.jar).await?;
    let facts = gather(state, request, person.as_ref(), earlier).await?;
    match decide::decide(request, person.as_ref(), &facts) {
        Decision::Issue => {
            // `decide` issues for a person only.
            let Some(person) = person else {
                return Err(OAuthError::from(Fault::Internal));
            };
            issue(state, &visit.context, request, &person, &facts).await
        }
        Decision::Ask(need) => {
            if request.asks_for(Prompt::None) {
                return Err(OAuthError::new(
                    match need {
                        Need::Login | Need::Create => Code::LoginRequired,
                        Need::SecondFactor => Code::InteractionRequired,
                        Need::Consent { .. } => Code::ConsentRequired,
                    },
                    "the person would have to be asked, and prompt is none",
                ));
            }
            let subject = person.map(|person| person.account.id);
            let begun = interaction::begin(
                state,
                visit,
                request.params,
                &request.client,
                subject,
                need,
                earlier,
            )
            .await?;
            visit.jar = begun.jar;
            Ok(visit.redirect(&begun.location))
        }
        Decision::Refuse(error) => {
            let mut event = Event::failure(What::Authorization, error.code.as_str())
                .client(&request.client.client_id)
                .from(&visit.context);
            if let Some(person) = &person {
                event = event.subject(person.account.id).sid(person.session.sid);
            }
            state.audit.record(event);
            Err(error)
        }
    }
}

/// What the stores know about this person and this client.
async fn gather(
    state: &AppState,
    request: &Request<'_>,
    person: Option<&SignedIn>,
    earlier: Option<&Suspended>,
) -> Result<Facts, OAuthError> {
    let now = state.now();
    let mut facts = Facts {
        now,
        begun_at: earlier.map(|earlier| earlier.begun_at),
        registration: state.config.auth.registration.enabled,
        has_second_factor: false,
        scope: request.scope.clone(),
        consented: None,
        consented_now: false,
    };
    let Some(person) = person else {
        return Ok(facts);
    };
    let id = person.account.id;
    facts.scope = scopes::permitted_to(&person.account, request.scope.clone());
    facts.has_second_factor =
        state.factors.find_totp(id).await?.is_some_and(|factor| factor.is_confirmed());
    let consent = state.consents.find(id, &request.client.client_id).await?;
    facts.consented = consent.map(|consent| consent.scope);
    facts.consented_now = earlier
        .and_then(|earlier| earlier.consented.as_ref())
        .is_some_and(|(who, scope)| *who == id && scope.covers(&facts.scope));
    Ok(facts)
}

async fn issue(
    state: &AppState,
    context: &RequestContext,
    request: &Request<'_>,
    person: &SignedIn,
    facts: &Facts,
) -> Result<Response, OAuthError> {
    let session = &person.session;
    let code = CodeGrant {
        grant: Grant {
            sub: person.account.id,
            client_id: request.client.client_id.clone(),
            sid: session.sid,
            scope: facts.scope.clone(),
            auth_time: session.auth_time,
            acr: session.acr,
            amr: session.amr.clone(),
            epoch: session.epoch,
            roles: person.account.roles.iter().map(ToString::to_string).collect(),
        },
        redirect_uri: request.redirect_uri.clone(),
        code_challenge: request.code_challenge.clone(),
        nonce: request.nonce.clone(),
        issued_at: facts.now,
    };
    let code_value = state.codes.issue(&code).await?;
    state.audit.record(
        Event::success(What::Authorization)
            .subject(person.account.id)
            .client(&request.client.client_id)
            .sid(session.sid)
            .from(context)
            .with("scope", facts.scope.to_string()),
    );
    Ok(request.answer(state).code(code_value.expose_secret()))
}

fn refuse(state: &AppState, visit: Visit, refused: Refused) -> Response {
    match refused {
        Refused::OnPage(error) => {
            state.audit.record(
                Event::failure(What::Authorization, error.code.as_str())
                    .from(&visit.context)
                    .with("shown", "on_page"),
            );
            on_page(visit, &error)
        }
        Refused::ToClient(answer, error) => {
            tracing::debug!(error = error.code.as_str(), description = %error.description,
                "an authorization request is refused");
            answer.error(&error)
        }
        Refused::Fault(fault) => pages::error(visit, &page_fault(fault)),
    }
}

fn on_page(visit: Visit, error: &OAuthError) -> Response {
    let fault = pages::Fault::InvalidRequest {
        code: error.code.as_str().to_owned(),
        description: error.description.clone().into_owned(),
    };
    pages::error(visit, &fault)
}

/// A failure of ours as a page.
pub(super) const fn page_fault(fault: Fault) -> pages::Fault {
    match fault {
        Fault::Unavailable => pages::Fault::Unavailable,
        Fault::Internal => pages::Fault::Internal,
    }
}

/// The answer to the client of a request whose person will not go on.
pub(crate) async fn refused_by_person(state: &AppState, params: &Params, why: Refusal) -> Response {
    let error = match why {
        Refusal::AccessDenied => {
            OAuthError::new(Code::AccessDenied, "the person refused, or went back")
        }
        Refusal::UnmetAuthentication => OAuthError::new(
            Code::UnmetAuthenticationRequirements,
            "the person has no second factor",
        ),
    };
    match check(state, params).await {
        Ok(request) => request.answer(state).error(&error),
        Err(Refused::ToClient(answer, error)) => answer.error(&error),
        // The client was shut meanwhile, or something is away.
        Err(Refused::OnPage(error)) => error.into_response(),
        Err(Refused::Fault(fault)) => fault.into_response(),
    }
}
