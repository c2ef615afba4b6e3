//! Who calls an endpoint for clients: `Authorization: Basic`, the secret in the body, or a public client
//! that only names itself (RFC 6749 2.3). One way a request, and the one that the client registered.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};

use super::{error::OAuthError, params::Params};
use crate::{
    audit::{Event, What},
    context::RequestContext,
    domain::client::{AuthMethod, Client},
    state::AppState,
};

/// A form that a client posted, and the client, authenticated as it registered.
pub(super) struct ClientRequest {
    pub(super) context: RequestContext,
    pub(super) client: Arc<Client>,
    pub(super) params: Params,
}

impl FromRequest<AppState> for ClientRequest {
    type Rejection = OAuthError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, OAuthError> {
        let (mut parts, body) = request.into_parts();
        let Ok(context) = RequestContext::from_request_parts(&mut parts, state).await;
        let headers = parts.headers.clone();
        let body = Bytes::from_request(Request::from_parts(parts, body), state)
            .await
            .map_err(|_| OAuthError::invalid_request("the body cannot be read"))?;
        let params = Params::from_body(&headers, &body).ok_or_else(|| {
            OAuthError::invalid_request("the body is not application/x-www-form-urlencoded")
        })?;
        let client = authenticate(state, &context, &headers, &params).await?;
        Ok(Self { context, client, params })
    }
}

/// What a request says about its client.
struct Presented {
    client_id: String,
    secret: Option<SecretString>,
    method: AuthMethod,
}

/// The client of a request, authenticated as it registered.
///
/// # Errors
/// `invalid_client` whatever is wrong with the client or its secret, so that nobody learns which clients
/// exist; `invalid_request` when it authenticates in two ways at once.
async fn authenticate(
    state: &AppState,
    context: &RequestContext,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Arc<Client>, OAuthError> {
    params.in_order()?;
    let presented = read(headers, params)?;
    let client = state.clients.find(&presented.client_id).await?;
    let known = client.is_some();
    if let Some(client) = client.filter(|client| is_authentic(client, &presented)) {
        return Ok(client);
    }
    let mut event = Event::failure(
        What::ClientAuthentication,
        if known { "wrong_secret_or_method" } else { "unknown_client" },
    )
    .from(context)
    .with("method", presented.method.as_str());
    // A name that is no client's may be a secret in the wrong field: it is not written down.
    if known {
        event = event.client(presented.client_id);
    }
    state.audit.record(event);
    Err(OAuthError::invalid_client())
}

fn read(headers: &HeaderMap, params: &Params) -> Result<Presented, OAuthError> {
    let body_id = params.get("client_id");
    let body_secret = params.get("client_secret");
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let Some(authorization) = fields.next() else {
        let client_id = body_id.ok_or_else(OAuthError::invalid_client)?.to_owned();
        let method = match body_secret {
            Some(_) => AuthMethod::ClientSecretPost,
            None => AuthMethod::None,
        };
        let secret = body_secret.map(|secret| secret.to_owned().into());
        return Ok(Presented { client_id, secret, method });
    };
    if fields.next().is_some() || body_secret.is_some() {
        return Err(OAuthError::invalid_request("more than one way of client authentication"));
    }
    let (client_id, secret) =
        basic(authorization.as_bytes()).ok_or_else(OAuthError::invalid_client)?;
    if body_id.is_some_and(|body_id| body_id != client_id) {
        return Err(OAuthError::invalid_request("two different values of client_id"));
    }
    Ok(Presented { client_id, secret: Some(secret), method: AuthMethod::ClientSecretBasic })
}

/// Reads `Basic` credentials, whose parts are form-encoded before they are joined (RFC 6749 2.3.1).
fn basic(field: &[u8]) -> Option<(String, SecretString)> {
    let (scheme, encoded) = std::str::from_utf8(field).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some((form_decoded(client_id), form_decoded(secret).into()))
}

fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decoded(&spaced)
}

/// Decodes `%XX`; a percent sign that begins no such triple stays, for clients that do not encode.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let value = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(value) = value {
            decoded.push(value);
            rest = after.get(2..).unwrap_or_default();
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn is_authentic(client: &Client, presented: &Presented) -> bool {
    match (&presented.secret, client.metadata.token_endpoint_auth_method) {
        (None, AuthMethod::None) => true,
        // A client that registered one way of sending its secret may use the other: the secret proves
        // the same, and libraries differ in what they do unasked.
        (Some(secret), AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost) => {
            client.has_secret(secret.expose_secret())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(authorization: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, authorization.parse().expect("a value"));
        headers
    }

    fn basic_of(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn basic_credentials_are_form_decoded() {
        let (id, secret) =
            basic(basic_of("demo%2Dpartner:a%3Ab+c%2Bd%25").as_bytes()).expect("credentials");
        assert_eq!((id.as_str(), secret.expose_secret()), ("demo-partner", "a:b c+d%"));
        let (_, secret) = basic(basic_of("app:100%:x").as_bytes()).expect("credentials");
        assert_eq!(secret.expose_secret(), "100%:x");
        for junk in ["Basic", "Basic !", "Bearer abc", &basic_of("no colon")] {
            assert!(basic(junk.as_bytes()).is_none(), "{junk}");
        }
    }

    #[test]
    fn one_way_of_authentication_a_request() {
        let read = |headers: &HeaderMap, body: &str| {
            read(headers, &Params::parse(body.as_bytes())).map(|presented| presented.method)
        };
        let none = HeaderMap::new();
        assert_eq!(read(&none, "client_id=a"), Ok(AuthMethod::None));
        assert_eq!(read(&none, "client_id=a&client_secret=b"), Ok(AuthMethod::ClientSecretPost));
        assert!(read(&none, "").is_err());
        let header = headers(&basic_of("a:b"));
        assert_eq!(read(&header, "client_id=a"), Ok(AuthMethod::ClientSecretBasic));
        assert!(read(&header, "client_id=other").is_err());
        assert!(read(&header, "client_secret=b").is_err());
        let mut two = headers(&basic_of("a:b"));
        two.append(header::AUTHORIZATION, basic_of("a:b").parse().expect("a value"));
        assert!(read(&two, "").is_err());
    }
}
