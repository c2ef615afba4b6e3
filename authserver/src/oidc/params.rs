//! The parameters of a request, form-encoded in a query or a body. Each may stand there once (RFC 6749
//! 3.1, 3.2), one without a value counts as left out, and there are at most [`MOST`].

use axum::{
    body::Bytes,
    http::{HeaderMap, header},
};
use url::form_urlencoded;

use super::error::OAuthError;

/// No request has more parameters: each costs time.
const MOST: usize = 64;

/// The parameters of one request, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    repeated: Vec<String>,
    too_many: bool,
}

impl Params {
    /// Reads a query or a form body.
    pub(crate) fn parse(encoded: &[u8]) -> Self {
        let mut params = Self::default();
        for (count, (name, value)) in form_urlencoded::parse(encoded).enumerate() {
            if count == MOST {
                params.too_many = true;
                break;
            }
            if params.pairs.iter().any(|(known, _)| *known == name) {
                params.repeated.push(name.into_owned());
            } else {
                params.pairs.push((name.into_owned(), value.into_owned()));
            }
        }
        params
    }

    /// Reads a form body. `None` when the body is something else.
    pub(crate) fn from_body(headers: &HeaderMap, body: &Bytes) -> Option<Self> {
        let media_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded").then(|| Self::parse(body))
    }

    /// Parameters that were read before.
    pub(crate) fn of(pairs: &[(String, String)]) -> Self {
        Self { pairs: pairs.to_vec(), ..Self::default() }
    }

    /// The value of a parameter, if it has one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Whether the parameter stands there more than once.
    pub(crate) fn is_repeated(&self, name: &str) -> bool {
        self.repeated.iter().any(|known| known == name)
    }

    /// Whether each parameter stands there once, and they are not too many.
    ///
    /// # Errors
    /// `invalid_request`.
    pub(crate) fn in_order(&self) -> Result<(), OAuthError> {
        if self.too_many {
            Err(OAuthError::invalid_request("there are more than 64 parameters"))
        } else if self.repeated.is_empty() {
            Ok(())
        } else {
            Err(OAuthError::invalid_request("a parameter is repeated"))
        }
    }

    /// How many bytes they take.
    pub(crate) fn size(&self) -> usize {
        self.pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// As a query.
    pub(crate) fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.pairs).finish()
    }

    /// All parameters.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_a_second_is_noticed() {
        let params = Params::parse(b"a=1&b=%ED%95%B4+x&a=2&c=&d");
        assert_eq!(params.get("a"), Some("1"));
        assert_eq!(params.get("b"), Some("해 x"));
        assert_eq!((params.get("c"), params.get("d"), params.get("e")), (None, None, None));
        assert!(params.in_order().is_err());
        assert!(params.is_repeated("a") && !params.is_repeated("b"));
        // An empty one first does not hide a second one.
        assert!(Params::parse(b"state=&state=x").is_repeated("state"));
    }

    #[test]
    fn what_is_read_has_a_bound() {
        let some = |count: usize| {
            let pairs: Vec<String> = (0..count).map(|number| format!("p{number}=1")).collect();
            Params::parse(pairs.join("&").as_bytes())
        };
        assert_eq!((some(64).iter().count(), some(64).in_order()), (64, Ok(())));
        assert_eq!((some(16_000).iter().count(), some(16_000).in_order().is_err()), (64, true));
        // One name over and over is as bad.
        assert!(Params::parse("a=1&".repeat(16_000).as_bytes()).repeated.len() < 64);
    }

    #[test]
    fn only_a_form_is_read() {
        let read = |media_type: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, media_type.parse().expect("a value"));
            Params::from_body(&headers, &Bytes::from_static(b"a=1"))
        };
        assert!(read("application/x-www-form-urlencoded").is_some());
        assert!(read("Application/X-WWW-Form-Urlencoded; charset=UTF-8").is_some());
        assert!(read("application/json").is_none());
        assert!(read("application/x-www-form-urlencoded-not").is_none());
        assert!(Params::from_body(&HeaderMap::new(), &Bytes::new()).is_none());
    }
}
