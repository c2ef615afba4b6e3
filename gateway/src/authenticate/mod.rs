//! Who a request comes from: a bearer token or a browser session becomes verified claims, or an answer.

pub(crate) mod bearer;
pub(crate) mod browser_session;

use std::sync::Arc;

use haetae_base::problem::Problem;
use haetae_config::gateway::{Authenticate, WhenStale};
use haetae_keys::{
    claims::AccessClaims,
    verify::{Verified, VerifyError},
};
use http::{HeaderValue, Method, StatusCode, header};
use pingora::http::RequestHeader;

use crate::{clean::cookies, ctx::Ctx, metrics, proxy::Gateway, route::Routed};

/// Who a request comes from.
#[derive(Debug)]
pub(crate) enum Identity {
    /// Nobody said.
    Nobody,
    /// The holder of the bearer token that the request came with.
    Bearer(Arc<Verified<AccessClaims>>),
    /// The person behind a browser session.
    Browser {
        /// What their access token says.
        claims: Arc<Verified<AccessClaims>>,
        /// `Bearer` and that token, for the service behind.
        authorization: HeaderValue,
    },
}

impl Identity {
    /// The verified claims.
    pub(crate) fn claims(&self) -> Option<&AccessClaims> {
        match self {
            Self::Nobody => None,
            Self::Bearer(claims) | Self::Browser { claims, .. } => Some(claims.claims()),
        }
    }

    /// The verified token.
    pub(crate) fn verified(&self) -> Option<&Verified<AccessClaims>> {
        match self {
            Self::Nobody => None,
            Self::Bearer(claims) | Self::Browser { claims, .. } => Some(claims),
        }
    }

    /// Whether it came by cookie.
    pub(crate) const fn is_browser(&self) -> bool {
        matches!(self, Self::Browser { .. })
    }
}

/// A routed request of which is known who it comes from. Only [`authenticate`] makes one.
#[derive(Debug)]
pub(crate) struct Authenticated {
    routed: Routed,
    identity: Identity,
}

impl Authenticated {
    /// The request and its route.
    pub(crate) const fn routed(&self) -> &Routed {
        &self.routed
    }

    /// Who it comes from.
    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Why a request is not let in.
#[derive(Debug)]
pub(crate) enum Denied {
    /// Answer with this.
    Problem(Box<Problem>),
    /// A person has to sign in first.
    SignIn {
        /// How strongly, when the route says so.
        acr: Option<&'static str>,
        /// How recently, in seconds, when the route says so.
        max_age: Option<u64>,
        /// The answer for a caller that cannot be sent to a login page.
        otherwise: Box<Problem>,
    },
}

impl Denied {
    /// Whether it is for what the caller sent or left out, and not for what cannot be told now.
    pub(crate) fn is_callers_fault(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status().is_client_error(),
            Self::SignIn { .. } => true,
        }
    }
}

impl From<Problem> for Denied {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

/// Finds out who a request comes from, as its route asks.
///
/// # Errors
/// The answer to give instead of going on.
pub(crate) async fn authenticate(
    gateway: &Gateway,
    routed: Routed,
    request: &RequestHeader,
    ctx: &mut Ctx,
) -> Result<Authenticated, Denied> {
    let mode = routed.route().authenticate;
    if mode == Authenticate::None {
        return Ok(Authenticated { routed, identity: Identity::Nobody });
    }
    let facts = routed.clean().facts();
    if let Some(query) = request.uri.query() {
        bearer::refuse_in_query(query)?;
    }
    let cookie = if facts.cookie {
        let name = gateway.browser.cookies.session();
        cookies::single(&request.headers, name)
            .map_err(|refusal| Denied::from(refusal.problem()))?
    } else {
        None
    };
    let authorization =
        if facts.authorization { request.headers.get(header::AUTHORIZATION) } else { None };
    let identity = match (authorization, cookie) {
        (Some(_), Some(_)) => {
            metrics::authenticated("both", "refused");
            return Err(bearer::malformed(
                "Send a bearer token or the session cookie, not both (RFC 6750 2).",
            )
            .into());
        }
        (Some(field), None) => {
            unless_blind(gateway, &routed, bearer::verify(gateway, field).await?)?
        }
        (None, Some(cookie)) => {
            let found = browser_session::find(gateway, routed.route(), cookie, request, ctx).await;
            match found.and_then(|identity| unless_blind(gateway, &routed, identity)) {
                Err(denied) if may_go_on_as_nobody(mode, &request.method, &denied) => {
                    metrics::session_passed_over();
                    // It is for somebody who is signed in: what nobody sees must not outlast the moment.
                    ctx.cache_control = Some(HeaderValue::from_static("no-store"));
                    Identity::Nobody
                }
                found => found?,
            }
        }
        (None, None) => Identity::Nobody,
    };
    if mode == Authenticate::Required && identity.claims().is_none() {
        metrics::authenticated("none", "refused");
        return Err(sign_in_first(gateway));
    }
    Ok(Authenticated { routed, identity })
}

/// The answer to nobody, where somebody is needed.
pub(crate) fn sign_in_first(gateway: &Gateway) -> Denied {
    let otherwise = Box::new(unauthenticated(gateway));
    Denied::SignIn { acr: None, max_age: None, otherwise }
}

/// 401 without an error code: there were no credentials (RFC 6750 3.1).
pub(crate) fn unauthenticated(gateway: &Gateway) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "Sign in first")
        .detail("The request has no bearer token and no browser session.")
        .header(header::WWW_AUTHENTICATE, gateway.challenges.bare.clone())
}

/// Whether a browser whose session cannot be judged now is served as nobody: where nobody is served too, and only to
/// look, because what is changed would be changed in nobody's name. A bearer token is a client's explicit claim to be
/// somebody: what it gets without one, it would take for what it has access to, so it is told to ask again.
fn may_go_on_as_nobody(mode: Authenticate, method: &Method, denied: &Denied) -> bool {
    mode == Authenticate::Optional && method.is_safe() && !denied.is_callers_fault()
}

/// A token cannot be trusted while it is unknown whether it was revoked, unless the route says so and there
/// is at least an older copy of the denylist.
fn unless_blind(
    gateway: &Gateway,
    routed: &Routed,
    identity: Identity,
) -> Result<Identity, Denied> {
    let denylist = &gateway.denylist;
    let lenient = routed.route().when_stale == WhenStale::Allow && denylist.has_loaded();
    if identity.claims().is_none() || denylist.is_fresh() || lenient {
        return Ok(identity);
    }
    metrics::authenticated("any", "denylist_stale");
    Err(Problem::unavailable(2)
        .detail("It cannot be told now whether the token was revoked.")
        .into())
}

/// The answer to a token that breaks a rule.
pub(crate) fn refused_token(gateway: &Gateway, error: VerifyError) -> Problem {
    if error.is_unavailable() {
        return Problem::unavailable(2).detail("Tokens cannot be checked now.");
    }
    invalid_token(gateway, &error.to_string())
}

/// 401 `invalid_token` (RFC 6750 3.1).
pub(crate) fn invalid_token(gateway: &Gateway, description: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid-token", "The access token is not accepted")
        .detail(sentence(description))
        .header(
            header::WWW_AUTHENTICATE,
            gateway.challenges.with("invalid_token", &[("error_description", description)]),
        )
}

/// A description as a sentence: a challenge wants the one, a person the other.
fn sentence(description: &str) -> String {
    let mut letters = description.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).chain(std::iter::once('.')).collect()
    })
}
