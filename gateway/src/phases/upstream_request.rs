//! Fourth: the request as the service sees it. The only identity in it is the one written here, after
//! Pingora has removed what the client's `Connection` named; written earlier, a client could have had it
//! removed (CVE-2026-105299).

use http::{HeaderName, HeaderValue, Version, header};
use pingora::{Error, Result, http::RequestHeader, proxy::Session};

use super::HANDLED;
use crate::{
    answer::X_REQUEST_ID,
    authenticate::{Identity, browser_session::X_HAETAE_BROWSER},
    clean::cookies,
    ctx::Ctx,
    forwarded,
    proxy::Gateway,
};

/// Our name in `Via` (RFC 9110 7.6.3).
const VIA: &str = "haetae";
/// A request that has been here this often goes round in circles.
const MOST_PASSES: usize = 3;
const EXPECT: HeaderName = header::EXPECT;

/// # Errors
/// Without permission, or when the request goes round in circles.
pub(crate) fn run(
    gateway: &Gateway,
    session: &Session,
    request: &mut RequestHeader,
    ctx: &mut Ctx,
) -> Result<()> {
    let Some(authorized) = &ctx.authorized else { return Err(Error::new_in(HANDLED)) };
    let request_of = authorized.request();
    let facts = request_of.routed().clean().facts();

    match request_of.identity() {
        // A service that looks after credentials itself gets them as they came.
        Identity::Nobody => {}
        // The field that was verified is the one that is there: nothing could have removed it, and if
        // something did, it is put back.
        Identity::Bearer(_) => {
            if !request.headers.contains_key(header::AUTHORIZATION)
                && let Some(field) = session.req_header().headers.get(header::AUTHORIZATION)
            {
                request.insert_header(header::AUTHORIZATION, field.clone())?;
            }
        }
        Identity::Browser { authorization, .. } => {
            request.insert_header(header::AUTHORIZATION, authorization.clone())?;
        }
    }
    if facts.cookie {
        let allowed = request_of.routed().route().upstream.cookies();
        let left = cookies::only(&session.req_header().headers, allowed);
        request.remove_header(&header::COOKIE);
        if let Some(left) = left {
            request.insert_header(header::COOKIE, left)?;
        }
    }
    request.remove_header(&X_HAETAE_BROWSER);
    if session.req_header().version == Version::HTTP_10 {
        // An HTTP/1.0 client does not know what 100 is (RFC 9110 10.1.1).
        request.remove_header(&EXPECT);
    }
    forwarded::rewrite(request, &ctx.origin, facts.forwarded, gateway.scheme)?;
    request.insert_header(X_REQUEST_ID, ctx.request_id.to_header())?;
    via(request, session.req_header().version)
}

fn via(request: &mut RequestHeader, version: Version) -> Result<()> {
    let version = match version {
        Version::HTTP_2 => "2.0",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    };
    let before = request
        .headers
        .get_all(header::VIA)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>();
    if before.is_empty() {
        let value = match version {
            "1.1" => HeaderValue::from_static("1.1 haetae"),
            "2.0" => HeaderValue::from_static("2.0 haetae"),
            _ => HeaderValue::from_static("1.0 haetae"),
        };
        return request.insert_header(header::VIA, value);
    }
    let passes = before
        .iter()
        .flat_map(|value| value.split(','))
        .filter(|hop| hop.split_whitespace().nth(1) == Some(VIA))
        .count();
    if passes >= MOST_PASSES {
        return Err(Error::explain(
            pingora::ErrorType::HTTPStatus(508),
            "the request goes round in circles",
        ));
    }
    let all = format!("{}, {version} {VIA}", before.join(", "));
    request.insert_header(header::VIA, all)
}
