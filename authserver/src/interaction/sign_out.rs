//! The end of an SSO session and of everything that hangs on it.
// SIGNATURES (being written; see mod.rs):
//
// pub(crate) enum SignOutReason { Requested, AnotherPerson, Revoked }
// pub(crate) async fn end_session(state: &AppState, context: &RequestContext, sid: &str, reason: SignOutReason)
//     -> Result<(), InteractionError>;   // SSO session gone, refresh families killed, sid denylisted, audit event
