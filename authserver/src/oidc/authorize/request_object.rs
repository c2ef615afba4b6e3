//! Request objects are not offered, and saying nothing would run the request without what is in them
//! (OpenID Connect Core 6.1, 6.2). The same goes for a registration in the request (7.2.1).

use super::Request;
use crate::oidc::error::{Code, OAuthError};

pub(super) fn check(request: &mut Request<'_>) -> Result<(), OAuthError> {
    for (parameter, code, description) in [
        ("request", Code::RequestNotSupported, "the parameter request is not supported"),
        ("request_uri", Code::RequestUriNotSupported, "the parameter request_uri is not supported"),
        (
            "registration",
            Code::RegistrationNotSupported,
            "the parameter registration is not supported",
        ),
    ] {
        if request.params.get(parameter).is_some() {
            return Err(OAuthError::new(code, description));
        }
    }
    Ok(())
}
