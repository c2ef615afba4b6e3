//! What happens to a request that is in order: the client is answered, or the person is asked for what is
//! missing. A function of what is known, and nothing else.

use haetae_base::clock::Timestamp;
use haetae_keys::claims::{Acr, Scope};

use super::{Request, prompt::Prompt};
use crate::{
    interaction::{Need, SignedIn},
    oidc::error::{Code, OAuthError},
};

/// What the stores know.
pub(super) struct Facts {
    /// The time.
    pub(super) now: Timestamp,
    /// When the request came first, if a page was shown for it since.
    pub(super) begun_at: Option<Timestamp>,
    /// Whether people may open accounts.
    pub(super) registration: bool,
    /// Whether the account has a second factor.
    pub(super) has_second_factor: bool,
    /// What would be granted.
    pub(super) scope: Scope,
    /// What the person allowed the client before.
    pub(super) consented: Option<Scope>,
    /// Whether the person allowed this very request on the consent page.
    pub(super) consented_now: bool,
}

/// What happens.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The client gets its code.
    Issue,
    /// The person is asked.
    Ask(Need),
    /// The client gets an error.
    Refuse(OAuthError),
}

pub(super) fn decide(request: &Request<'_>, person: Option<&SignedIn>, facts: &Facts) -> Decision {
    let Some(person) = person else {
        let create = request.asks_for(Prompt::Create) && facts.registration;
        return Decision::Ask(if create { Need::Create } else { Need::Login });
    };
    if is_another(request, person, facts) {
        return Decision::Refuse(OAuthError::new(
            Code::LoginRequired,
            "somebody else than the person of id_token_hint signed in",
        ));
    }
    if needs_login(request, person, facts) {
        return Decision::Ask(Need::Login);
    }
    if facts.scope.is_empty() {
        return Decision::Refuse(OAuthError::new(
            Code::InvalidScope,
            "the person may grant nothing of this scope",
        ));
    }
    if let Some(lowest) = request.acr_values.iter().min() {
        if *lowest > Acr::TwoFactor {
            return Decision::Refuse(OAuthError::new(
                Code::UnmetAuthenticationRequirements,
                "no factor of that assurance is offered",
            ));
        }
        if person.session.acr < *lowest {
            return Decision::Ask(Need::SecondFactor);
        }
    }
    // Whoever has a second factor signs in with it: a session from before its enrolment does not count.
    if facts.has_second_factor && person.session.acr < Acr::TwoFactor {
        return Decision::Ask(Need::SecondFactor);
    }
    if needs_consent(request, facts) {
        return Decision::Ask(Need::Consent { scope: facts.scope.clone() });
    }
    Decision::Issue
}

/// OpenID Connect Core 3.1.2.1: the request is about one person, and another one answered the question for
/// a sign-in. Asking again would ask for ever.
fn is_another(request: &Request<'_>, person: &SignedIn, facts: &Facts) -> bool {
    signed_in_for_this(person, facts)
        && request.hinted_subject.is_some_and(|subject| subject != person.account.id)
}

/// Whether the person signed in because this request asked for it.
fn signed_in_for_this(person: &SignedIn, facts: &Facts) -> bool {
    facts.begun_at.is_some_and(|begun| person.session.auth_time >= begun)
}

fn needs_login(request: &Request<'_>, person: &SignedIn, facts: &Facts) -> bool {
    let signed_in_for_this = signed_in_for_this(person, facts);
    if request.hinted_subject.is_some_and(|subject| subject != person.account.id) {
        return true;
    }
    let asked = request.asks_for(Prompt::Login) || request.asks_for(Prompt::SelectAccount);
    if asked && !signed_in_for_this {
        return true;
    }
    // A sign-in that this request asked for is new enough, however long the pages after it took.
    let too_old =
        request.max_age.is_some_and(|max_age| facts.now.since(person.session.auth_time) > max_age);
    too_old && !signed_in_for_this
}

fn needs_consent(request: &Request<'_>, facts: &Facts) -> bool {
    if facts.consented_now {
        return false;
    }
    if request.asks_for(Prompt::Consent) {
        return true;
    }
    !request.client.first_party
        && !facts.consented.as_ref().is_some_and(|consented| consented.covers(&facts.scope))
}
