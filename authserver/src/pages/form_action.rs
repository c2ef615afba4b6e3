//! Where the forms of a page may lead (CSP `form-action`).
//!
//! Chromium applies `form-action` to every redirect that answers a form. The answer to a sign-in is a
//! redirect to the application, on another origin, on a loopback port or in a scheme of its own: so a
//! page that stands in an application's request allows what that application registered, and nothing
//! else. Everywhere else forms lead to this origin only. An application that redirects further, to an
//! origin that we cannot know, is reached by [`super::onward()`].

use url::{Host, Url};

use crate::domain::{client::Client, redirect_uri::RedirectUri};

/// The sources of a `form-action` directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FormAction(Vec<String>);

impl FormAction {
    /// To this origin only.
    pub(crate) fn own() -> Self {
        Self(vec!["'self'".to_owned()])
    }

    /// To this origin and to where the client may be answered.
    pub(crate) fn answering(client: &Client) -> Self {
        Self::own().and(&client.metadata.redirect_uris)
    }

    /// To this origin and to where people may go after signing out of the client.
    pub(crate) fn signing_out_of(client: &Client) -> Self {
        Self::own().and(&client.metadata.post_logout_redirect_uris)
    }

    fn and(mut self, uris: &[RedirectUri]) -> Self {
        for source in uris.iter().filter_map(source) {
            if !self.0.contains(&source) {
                self.0.push(source);
            }
        }
        self
    }

    /// The directive.
    pub(super) fn directive(&self) -> String {
        format!("form-action {}", self.0.join(" "))
    }
}

/// The CSP source (CSP3 2.3.1) of what is registered: on a loopback address any port (RFC 8252 7.3).
fn source(uri: &RedirectUri) -> Option<String> {
    let url = Url::parse(uri.as_str()).ok()?;
    match (url.scheme(), url.host()) {
        ("http", Some(Host::Ipv4(address))) => Some(format!("http://{address}:*")),
        _ => source_of(uri.as_str()),
    }
}

/// The CSP source of one redirect URI. Only text that the URL parser made goes in, so nothing in it can end the
/// directive.
pub(crate) fn source_of(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok()?;
    Some(match (url.scheme(), url.host()) {
        // The grammar of CSP has no IPv6 addresses; the scheme is the closest that it can say.
        (scheme @ ("http" | "https"), Some(Host::Ipv6(_))) => format!("{scheme}:"),
        ("http" | "https", Some(_)) => url.origin().ascii_serialization(),
        (scheme, _) => format!("{scheme}:"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directive(uris: &[&str]) -> String {
        let uris: Vec<RedirectUri> = uris.iter().map(|uri| uri.parse().expect("valid")).collect();
        FormAction::own().and(&uris).directive()
    }

    #[test]
    fn allows_what_is_registered_and_nothing_else() {
        assert_eq!(directive(&[]), "form-action 'self'");
        assert_eq!(
            directive(&[
                "https://app.example/callback?a=b",
                "https://app.example/other",
                "http://127.0.0.1/callback",
                "http://localhost:8090/callback",
                "dev.haetae.demo:/callback",
            ]),
            "form-action 'self' https://app.example http://127.0.0.1:* http://localhost:8090 \
             dev.haetae.demo:"
        );
        assert_eq!(directive(&["http://[::1]/callback"]), "form-action 'self' http:");
    }

    #[test]
    fn nothing_registered_can_end_the_directive() {
        let written = directive(&["https://xn--9d0bm53e.example/;script-src%20*", "com.a:/x;y,z"]);
        assert_eq!(written, "form-action 'self' https://xn--9d0bm53e.example com.a:");
    }
}
