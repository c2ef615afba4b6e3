//! A person who is signed in in this browser.
// SIGNATURES (being written; see mod.rs):
//
// pub(crate) struct SignedIn { pub session: SsoSession, pub account: Account }
// pub(crate) async fn signed_in(state: &AppState, jar: &CookieJar) -> Result<Option<SignedIn>, InteractionError>;
// pub(crate) struct Authenticated { account: AccountId, acr: Acr, amr: Vec<String>, upgrade: bool }
// impl Authenticated { pub fn password(account) /* 1fa, ["pwd"] */; pub fn password_and_otp(account) /* 2fa, ["pwd","otp","mfa"] */;
//     pub fn upgrade(account) /* one-time code for the session that is there: 2fa, adds "otp","mfa" */ }
// pub(crate) struct Completed { pub jar: CookieJar /* return it with the response */, pub location: String }
// pub(crate) async fn complete_sign_in(state: &AppState, context: &RequestContext, jar: CookieJar,
//     request: Option<&str>, return_to: Option<&str>, authenticated: Authenticated) -> Result<Completed, InteractionError>;
