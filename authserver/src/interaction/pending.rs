//! A pending authorization request as the pages see it.
// SIGNATURES (being written; see mod.rs):
//
// pub(crate) struct Pending { pub id: String, pub client: Arc<Client>, pub need: Need,
//     pub subject: Option<AccountId>   /* who is signed in in this browser, when somebody is */,
//     pub login_hint: Option<String>, pub ui_locales: Vec<String>, pub scope: Scope }
// pub(crate) enum Need { Login, Create, SecondFactor, Consent { scope: Scope } }
// pub(crate) async fn pending(state: &AppState, jar: &CookieJar, id: &str) -> Result<Pending, InteractionError>;
// pub(crate) fn resume_path(id: &str) -> String;
// pub(crate) async fn grant_consent(state: &AppState, context: &RequestContext, jar: &CookieJar, id: &str)
//     -> Result<(), InteractionError>;
// pub(crate) enum Refusal { AccessDenied, UnmetAuthentication }
// pub(crate) async fn refuse(state: &AppState, context: &RequestContext, jar: &CookieJar, id: &str, why: Refusal)
//     -> Result<Response, InteractionError>;
// pub(crate) enum InteractionError { Expired, Unavailable(..) }
