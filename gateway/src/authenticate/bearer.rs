//! `Authorization: Bearer` (RFC 6750): the hot path of every API call.

use haetae_base::problem::Problem;
use http::{HeaderValue, StatusCode, header};
use url::form_urlencoded;

use super::{Denied, Identity, invalid_token, refused_token, sign_in_first};
use crate::{metrics, proxy::Gateway};

/// Verifies the token of an `Authorization` field.
///
/// # Errors
/// The answer to a token that is not accepted.
pub(super) async fn verify(gateway: &Gateway, field: &HeaderValue) -> Result<Identity, Denied> {
    let token = match parse(field) {
        Parsed::Token(token) => token,
        Parsed::OtherScheme => {
            // Credentials of a kind that is not asked for are none (RFC 9110 11.6.1).
            metrics::authenticated("other", "refused");
            return Err(match sign_in_first(gateway) {
                Denied::SignIn { otherwise, .. } => Denied::Problem(otherwise),
                denied @ Denied::Problem(_) => denied,
            });
        }
        Parsed::Malformed => {
            metrics::authenticated("bearer", "malformed");
            return Err(malformed("The Authorization field is not `Bearer` and one token.").into());
        }
    };
    let verified = match gateway.verifier.cached(token, &*gateway.denylist) {
        Some(known) => known,
        None => gateway.verifier.verify(token, &*gateway.denylist).await,
    };
    let claims = verified.map_err(|error| {
        metrics::authenticated("bearer", error.name());
        Denied::from(refused_token(gateway, error))
    })?;
    if claims.cnf.is_some() {
        // RFC 9449 7.1, RFC 8705 3: bound to a key, and nobody has proved to hold it.
        metrics::authenticated("bearer", "sender_constrained");
        return Err(invalid_token(
            gateway,
            "the token is bound to a key and cannot be sent as Bearer",
        )
        .into());
    }
    metrics::bearer_accepted();
    Ok(Identity::Bearer(claims))
}

enum Parsed<'a> {
    Token(&'a str),
    OtherScheme,
    Malformed,
}

/// `Bearer`, one space or more, and one `b64token` (RFC 6750 2.1, RFC 9110 11.4); the scheme's case does not matter.
fn parse(field: &HeaderValue) -> Parsed<'_> {
    let Ok(text) = field.to_str() else { return Parsed::Malformed };
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Parsed::OtherScheme;
    }
    let token = token.trim_start_matches(' ');
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(legal) {
        Parsed::Malformed
    } else {
        Parsed::Token(token)
    }
}

/// Refuses a token in the query, where logs and `Referer` would spread it (RFC 6750 2.3, RFC 9700 4.3.2).
///
/// # Errors
/// When there is one.
pub(super) fn refuse_in_query(query: &str) -> Result<(), Denied> {
    if form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token") {
        metrics::authenticated("query", "refused");
        return Err(malformed("A token does not belong in the query.").into());
    }
    Ok(())
}

/// 400 `invalid_request` (RFC 6750 3.1).
pub(super) fn malformed(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed-credentials", "The credentials are malformed")
        .detail(detail)
        .header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"haetae\", error=\"invalid_request\""),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_scheme_in_any_case_and_one_token() {
        for text in ["Bearer a.b-c_d~e+f/g==", "bearer x", "BEARER x", "Bearer  x"] {
            assert!(matches!(parse(&HeaderValue::from_static(text)), Parsed::Token(_)), "{text}");
        }
        for text in [
            "Bearer",
            "Bearer ",
            "Bearer   ",
            "Bearer\tx",
            "Bearer \tx",
            "Bearer a b",
            "Bearer a,b",
        ] {
            let field = HeaderValue::from_static(text);
            assert!(!matches!(parse(&field), Parsed::Token(_)), "{text}");
        }
        for text in ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer \"a\""] {
            assert!(matches!(parse(&HeaderValue::from_static(text)), Parsed::Malformed), "{text}");
        }
        for text in ["Basic abc", "DPoP abc", "Bearerx abc", ""] {
            assert!(
                matches!(parse(&HeaderValue::from_static(text)), Parsed::OtherScheme),
                "{text}"
            );
        }
    }

    #[test]
    fn finds_a_token_in_the_query_however_it_is_spelled() {
        assert!(refuse_in_query("a=b&access_token=x").is_err());
        assert!(refuse_in_query("%61ccess_token=x").is_err());
        assert!(refuse_in_query("q=access_token&my_access_token=1").is_ok());
    }
}
