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
    /// Its id and its secret, in every reading that they have: one, or two of `Basic` credentials.
    readings: Vec<(String, Option<SecretString>)>,
    method: AuthMethod,
}

/// The client of a request, authenticated as it registered.
///
/// # Errors
/// `invalid_client` whatever is wrong with the client or its secret, so that nobody learns which clients
/// exist; `invalid_request` when it authenticates in two ways at once.
pub(super) async fn authenticate(
    state: &AppState,
    context: &RequestContext,
    headers: &HeaderMap,
    params: &Params,
) -> Result<Arc<Client>, OAuthError> {
    params.in_order()?;
    let presented = read(headers, params)?;
    let mut known = None;
    for (client_id, secret) in &presented.readings {
        if let Some(client) = state.clients.find(client_id).await? {
            if is_authentic(&client, secret.as_ref()) {
                return Ok(client);
            }
            known = Some(client);
        }
    }
    let mut event = Event::failure(
        What::ClientAuthentication,
        if known.is_some() { "wrong_secret_or_method" } else { "unknown_client" },
    )
    .from(context)
    .with("method", presented.method.as_str());
    // A name that is no client's may be a secret in the wrong field: it is not written down.
    if let Some(client) = known {
        event = event.client(&client.client_id);
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
        return Ok(Presented { readings: vec![(client_id, secret)], method });
    };
    if fields.next().is_some() || body_secret.is_some() {
        return Err(OAuthError::invalid_request("more than one way of client authentication"));
    }
    let mut readings = basic(authorization.as_bytes()).ok_or_else(OAuthError::invalid_client)?;
    if let Some(body_id) = body_id {
        readings.retain(|(client_id, _)| client_id == body_id);
        if readings.is_empty() {
            return Err(OAuthError::invalid_request("two different values of client_id"));
        }
    }
    let readings = readings.into_iter().map(|(id, secret)| (id, Some(secret))).collect();
    Ok(Presented { readings, method: AuthMethod::ClientSecretBasic })
}

/// Reads `Basic` credentials. Their parts are form-encoded before they are joined (RFC 6749 2.3.1), which many
/// libraries do not do: what they send as it is reads otherwise when there is a `+` or a `%` in it, as in
/// every other secret that is base64. So there may be two readings; either takes the whole secret.
fn basic(field: &[u8]) -> Option<Vec<(String, SecretString)>> {
    let (scheme, encoded) = std::str::from_utf8(field).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    let mut readings = vec![(form_decoded(client_id), form_decoded(secret).into())];
    if decoded.contains(['+', '%']) {
        readings.push((client_id.to_owned(), secret.to_owned().into()));
    }
    Some(readings)
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

fn is_authentic(client: &Client, secret: Option<&SecretString>) -> bool {
    match (secret, client.metadata.token_endpoint_auth_method) {
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
    fn basic_credentials_are_form_decoded_or_as_they_stand_there() {
        let readings = |text: &str| {
            let readings = basic(basic_of(text).as_bytes()).expect("credentials");
            let text =
                |(id, secret): &(String, SecretString)| format!("{id} {}", secret.expose_secret());
            readings.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(
            readings("demo%2Dpartner:a%3Ab+c%2Bd%25"),
            ["demo-partner a:b c+d%", "demo%2Dpartner a%3Ab+c%2Bd%25"]
        );
        assert_eq!(readings("app:q/+Z9=="), ["app q/ Z9==", "app q/+Z9=="]);
        assert_eq!(readings("app:100%:x"), ["app 100%:x", "app 100%:x"]);
        assert_eq!(readings("app:plain~secret"), ["app plain~secret"]);
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
