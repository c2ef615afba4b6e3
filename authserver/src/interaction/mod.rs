//! Where the protocol and the pages meet. The authorization endpoint decides *what* is missing (a login,
//! a second factor, consent); the pages get it from the person; then the protocol looks again at
//! everything, from the start.
//!
//! # The way of a request
//!
//! 1. `GET|POST /oauth2/authorize` checks the request. When something is missing it stores the raw
//!    parameters in Redis under an id that nobody can guess, for 15 minutes, bound to this browser by the
//!    cookie `haetae-flow` ([`crate::cookies`]), and redirects to a page with `?request=<id>`:
//!
//!    | missing | page |
//!    |---|---|
//!    | nobody is signed in, or `prompt=login`, `max_age` ask for it again | `/login?request=<id>` |
//!    | `prompt=create` and nobody is signed in | `/register?request=<id>` |
//!    | a second factor (`acr_values`), or the account has one and the session lacks it | `/mfa?request=<id>` |
//!    | consent of the person for this client | `/consent?request=<id>` |
//!
//! 2. The page calls [`pending()`] with the id. [`InteractionError::Expired`] means that the id is unknown,
//!    too old, used up or another browser's: show an error page of status 400. [`Pending`] says which
//!    client asks, what is missing ([`Need`]), for whom, and in which language.
//!
//! 3. When the person has authenticated *completely* (the password, and the one-time code when the
//!    account has a confirmed factor), the page calls [`complete_sign_in`]. It makes the SSO session, or
//!    raises the one that is there, under a new cookie value always (no fixation), ends the session of
//!    another person in the same browser, writes the audit event, and returns the cookies to set and
//!    where to redirect to (303): `/oauth2/authorize/resume?request=<id>`, or for a sign-in without a
//!    pending request the local path that was asked for (default `/account`).
//!    A second factor for a session that is there already ([`Need::SecondFactor`]): the same call, with
//!    [`Authenticated::upgrade`].
//!    Until then the page keeps "password right, code still due" itself, with
//!    [`crate::transient::Transient`], bound to the same cookie.
//!
//! 4. `/consent` shows [`Pending::client`] and the scopes of [`Need::Consent`], and calls
//!    [`grant_consent`], then redirects to [`resume_path`].
//!
//! 5. A person who will not go on ("back to the application") is [`refuse`]d: the returned response
//!    carries the OAuth error to the client.
//!
//! `GET /oauth2/authorize/resume` takes the stored request out (once only), runs **every** check again
//! with the session as it is then, and either answers the client or starts over at 1 with what is still
//! missing. Nothing that a page did is trusted beyond the SSO session and the recorded consent.
//!
//! Pages that need a signed-in person without a client (`/account`) use [`signed_in`].

mod pending;
mod sign_in;
mod sign_out;

pub(crate) use self::{
    pending::{
        InteractionError, Need, Pending, Refusal, Suspended, begin, grant_consent, pending, refuse,
        resume_path, take,
    },
    sign_in::{Authenticated, SignedIn, complete_sign_in, half_ended, signed_in},
    sign_out::{SignOutReason, end_all_sessions, end_session, not_yet_refused, tokens_of},
};
