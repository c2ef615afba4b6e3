//! `WWW-Authenticate: Bearer` (RFC 6750 3).

use http::HeaderValue;

/// The challenges of this gateway.
#[derive(Debug)]
pub(crate) struct Challenges {
    /// For a request without credentials: no error code, because nothing was wrong.
    pub(crate) bare: HeaderValue,
}

impl Challenges {
    /// The challenges of the realm `haetae`.
    pub(crate) const fn new() -> Self {
        Self { bare: HeaderValue::from_static("Bearer realm=\"haetae\"") }
    }

    /// A challenge with an error code and further parameters.
    pub(crate) fn with(&self, error: &str, parameters: &[(&str, &str)]) -> HeaderValue {
        let mut text = format!("Bearer realm=\"haetae\", error=\"{error}\"");
        for (name, value) in parameters {
            // Nothing here has a quote in it, and nothing may ever bring one.
            let value = value.replace(['"', '\\'], "'");
            text.push_str(", ");
            text.push_str(name);
            text.push_str("=\"");
            text.push_str(&value);
            text.push('"');
        }
        HeaderValue::try_from(text).unwrap_or_else(|_| self.bare.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_form_of_rfc_6750() {
        let challenges = Challenges::new();
        assert_eq!(challenges.bare, "Bearer realm=\"haetae\"");
        assert_eq!(
            challenges.with("insufficient_scope", &[("scope", "a:b c")]),
            "Bearer realm=\"haetae\", error=\"insufficient_scope\", scope=\"a:b c\""
        );
        assert_eq!(
            challenges.with("invalid_token", &[("error_description", "a \"b\"\\")]),
            "Bearer realm=\"haetae\", error=\"invalid_token\", error_description=\"a 'b''\""
        );
    }
}
